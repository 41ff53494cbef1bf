"""The files of a store: what is written is read, and what a function may have done to them is an error."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path

import pytest

from mee6.errors import InvalidInput
from mee6.lane.messages import Block
from mee6.lane.store import Region, Regions, copied, file_prefix, remove_files


def test_what_is_written_is_seen_by_others_without_a_copy(tmp_path: Path) -> None:
    own = Region(str(tmp_path), "w1-7-1", 1 << 20)
    assert own.write(4096, b"hello")
    other = Regions().of(str(tmp_path), Block("w1-7-1", 4096, 5))
    part = other.part(4096, 5)
    assert bytes(part) == b"hello"
    own.write(4096, b"there")
    assert bytes(part) == b"there"
    assert copied(str(tmp_path), Block("w1-7-1", 4096, 5)) == b"there"


def test_a_full_file_system_is_an_answer() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    region = Region.__new__(Region)
    region._sound, region._fd = {}, os.open("/dev/full", os.O_RDWR)
    try:
        assert not region.write(0, b"x")
    finally:
        os.close(region._fd)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "UP"])
def test_only_plain_names_are_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no file of that name"):
        Regions().of(str(tmp_path), Block(name, 0, 1))
    with pytest.raises(OSError, match="no file of that name"):
        copied(str(tmp_path), Block(name, 0, 1))


@pytest.mark.parametrize("made", ["link", "folder", "pipe", "nothing"])
def test_what_is_no_file_is_refused(tmp_path: Path, made: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    place = tmp_path / "w1-7-1"
    if made == "link":
        place.symlink_to(tmp_path / "secret")
    elif made == "folder":
        place.mkdir()
    elif made == "pipe":
        os.mkfifo(place)
    with pytest.raises(InvalidInput):
        Regions().of(str(tmp_path), Block("w1-7-1", 0, 1))
    with pytest.raises(OSError):
        copied(str(tmp_path), Block("w1-7-1", 0, 1))


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (4096, 1), (0, 4097), (4000, 97), (0, -1), (2**62, 2**62)])
def test_a_block_outside_of_its_file_is_refused(tmp_path: Path, offset: int, size: int) -> None:
    Region(str(tmp_path), "w1-7-1", 4096)
    with pytest.raises(InvalidInput):
        Regions().of(str(tmp_path), Block("w1-7-1", offset, size))
    with pytest.raises(OSError, match="has no"):
        copied(str(tmp_path), Block("w1-7-1", offset, size))


def test_few_regions_stay_open_and_none_that_has_been_removed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    regions = Regions()
    for number in range(10):
        Region(str(tmp_path), f"w{number}", 4096).close()
        regions.of(str(tmp_path), Block(f"w{number}", 0, 1))
    assert len(os.listdir("/proc/self/fd")) - before <= 8, "two for each: a mapping has its own"
    remove_files(str(tmp_path), "w")
    Region(str(tmp_path), "x", 4096).close()
    regions.of(str(tmp_path), Block("x", 0, 1))
    assert len(os.listdir("/proc/self/fd")) - before == 2
    regions.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_view_outlives_its_region_and_says_when_it_is_gone(tmp_path: Path) -> None:
    region = Region(str(tmp_path), "w1-7-1", 4096)
    region.write(0, b"hello")
    held = region.held(0, 5)
    gone: list[int] = []
    weakref.finalize(held, gone.append, 1)
    view = memoryview(held).cast("B")[1:3]
    del held
    region.close()
    gc.collect()
    assert bytes(view) == b"el"
    assert not gone
    del view
    gc.collect()
    assert gone


def test_the_files_of_one_process_are_removed_and_no_others(tmp_path: Path) -> None:
    for name in ("w1-7-1", "w1-7-2", "w1-71-1", "w11-7-1"):
        (tmp_path / name).touch()
    remove_files(str(tmp_path), file_prefix("w1", 7))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w1-71-1", "w11-7-1"]
    remove_files(str(tmp_path), file_prefix("w1"))
    assert [path.name for path in tmp_path.iterdir()] == ["w11-7-1"]
    remove_files(str(tmp_path / "none"), "w")


def test_a_region_that_cannot_be_mapped_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> None:
        raise OSError("no address space")

    monkeypatch.setattr("mee6.lane.store.mmap.mmap", refuse)
    with pytest.raises(OSError, match="no address space"):
        Region(str(tmp_path), "w1-7-1", 4096)
    assert not list(tmp_path.iterdir())
