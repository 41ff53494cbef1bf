"""Folders as functions leave them are removed, and nothing beside them."""

from __future__ import annotations

import os
from pathlib import Path

from mee6.trees import remove_tree


def dig(place: Path, depth: int) -> None:
    """Makes folders in folders; a path to the deepest is longer than the system takes."""
    fd = os.open(place, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_folder_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    dig(top, 3000)
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    (top / "link").symlink_to(kept)
    (top / "inner" / "link").symlink_to(kept)
    remove_tree(top)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_what_stands_in_a_folders_place_is_removed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/")
    for name in ("file", "link", "nothing"):
        remove_tree(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_it_may_begin_at_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "top" / "inner").mkdir(parents=True)
    fd = os.open(tmp_path, os.O_RDONLY)
    remove_tree("top", dir_fd=fd)
    os.close(fd)
    assert list(tmp_path.iterdir()) == []


def test_folders_closed_to_their_owner_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "shut" / "inner" / "deep").mkdir(parents=True)
    for path in (top / "shut" / "inner", top / "shut", top):
        path.chmod(0)
    child = os.fork()
    if child == 0:  # root would not notice
        status = 1
        try:
            if os.geteuid() == 0:
                for path in (tmp_path, top, top / "shut", top / "shut" / "inner", top / "shut" / "inner" / "deep"):
                    os.chown(path, 65534, 65534)
            fd = os.open(tmp_path, os.O_RDONLY)
            if os.geteuid() == 0:
                os.setresuid(65534, 65534, 65534)
            remove_tree("top", dir_fd=fd)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert list(tmp_path.iterdir()) == []
