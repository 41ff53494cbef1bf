"""What is remembered of a folder that was found empty, and when that counts."""

from __future__ import annotations

import os
import time
from pathlib import Path

from agent.drivers.emptiness import COARSE_NS, Emptiness


def _empty_since(folder: Path, age_ns: int) -> os.stat_result:
    changed = time.time_ns() - age_ns
    os.utime(folder, ns=(changed, changed))
    return folder.stat()


def test_a_folder_long_empty_is_known_to_be_until_something_comes_into_it(tmp_path: Path) -> None:
    known = Emptiness()
    before = _empty_since(tmp_path, 10 * COARSE_NS)
    assert not known.holds(before)
    known.found(before)
    assert known.holds(tmp_path.stat())
    (tmp_path / "x").touch()
    assert not known.holds(tmp_path.stat())
    (tmp_path / "x").unlink()
    assert not known.holds(tmp_path.stat())


def test_a_folder_just_changed_is_not_known_since_a_change_right_after_might_not_show(tmp_path: Path) -> None:
    known = Emptiness()
    before = _empty_since(tmp_path, -COARSE_NS)  # its time lies ahead, however long this takes
    known.found(before)
    assert not known.holds(tmp_path.stat())


def test_another_folder_of_the_same_time_is_not_known(tmp_path: Path) -> None:
    known = Emptiness()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        os.utime(folder, ns=(10**18, 10**18))
    known.found(one.stat())
    assert known.holds(one.stat())
    assert not known.holds(two.stat())
