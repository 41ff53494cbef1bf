"""The folder of an invocation: empty for each, however quickly one follows the other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runtimes.python.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(str(tmp_path))


def settled(scratch: Scratch, act: Path) -> Path:
    """The folder, left empty a good while ago and known to be so."""
    scratch.enter()
    folder = (act / "cur").resolve()
    os.utime(folder, ns=(0, 1_000_000_000))
    scratch.leave()
    return folder


def test_what_an_invocation_left_is_gone_before_the_next_one(scratch: Scratch, tmp_path: Path) -> None:
    for number in range(50):  # so quickly that many share one tick of the file system's clock
        scratch.enter()
        folder = tmp_path / "cur"
        assert not list(folder.iterdir())
        (folder / f"file{number}").write_text("x")
        (folder / "inner").mkdir()
        scratch.leave()


def test_a_file_is_found_in_a_folder_that_was_known_to_be_empty(scratch: Scratch, tmp_path: Path) -> None:
    folder = settled(scratch, tmp_path)
    scratch.leave()
    (folder / "file").write_text("x")
    scratch.leave()
    assert not list(folder.iterdir())


def test_a_folder_that_the_function_removed_is_there_again(scratch: Scratch, tmp_path: Path) -> None:
    folder = settled(scratch, tmp_path)
    shutil.rmtree(folder)
    scratch.leave()
    assert folder.is_dir()


def test_a_folder_known_to_be_empty_is_not_read_again(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(scratch, tmp_path)
    monkeypatch.setattr(os, "listdir", lambda _path: pytest.fail("it was read"))
    scratch.leave()
