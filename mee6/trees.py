"""Removes folders that a function may have filled: thousands deep, closed to their owner, changing meanwhile.

`shutil.rmtree` gives up on the first, at Python's recursion limit. Here nothing recurses and no path grows: each
folder that is found is moved up to the top first. Links are never followed, whenever they are put in place.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

T = TypeVar("T")

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | Path, *, dir_fd: int | None = None) -> None:
    """Removes a folder with all that is in it, or what stands in its place; what cannot be removed is left.

    Args:
        dir_fd: the folder that a relative path starts from.
    """
    with suppress(OSError):
        os.unlink(path, dir_fd=dir_fd)
    with suppress(OSError):
        _patiently(lambda: _empty(path, dir_fd), path, dir_fd)
    with suppress(OSError):
        os.rmdir(path, dir_fd=dir_fd)


def _empty(path: str | Path, dir_fd: int | None) -> None:
    top = os.open(path, os.O_RDONLY | _FOLDER, dir_fd=dir_fd)
    try:
        mark, count = os.urandom(6).hex(), itertools.count()
        found = _cleared(top, lambda name: name)
        while found:
            with suppress(OSError):
                found += _removed(found.pop(), top, lambda: f"{mark}-{next(count)}")
    finally:
        os.close(top)


def _removed(name: str, top: int, fresh: Callable[[], str]) -> list[str]:
    """Removes a folder of `top`; the folders that were in it stand there now, under these fresh names."""
    fd = _patiently(lambda: os.open(name, os.O_RDONLY | _FOLDER, dir_fd=top), name, top)
    try:
        found = _cleared(fd, lambda inner: _moved(inner, fd, fresh(), top))
    finally:
        os.close(fd)
    with suppress(OSError):
        os.rmdir(name, dir_fd=top)
    return found


def _cleared(folder: int, keep: Callable[[str], str]) -> list[str]:
    """Removes a folder's files; what `keep` says of each folder in it."""
    kept = []
    with os.scandir(folder) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in listed:
        with suppress(OSError):
            if is_folder:
                kept.append(keep(name))
            else:
                os.unlink(name, dir_fd=folder)
    return kept


def _moved(name: str, fd: int, to: str, top: int) -> str:
    _patiently(lambda: os.rename(name, to, src_dir_fd=fd, dst_dir_fd=top), name, fd)
    return to


def _patiently(act: Callable[[], T], name: str | Path, dir_fd: int | None) -> T:
    """Does it, and once more where a folder that is closed to its owner was in the way."""
    try:
        return act()
    except PermissionError:
        fd = os.open(name, os.O_PATH | _FOLDER, dir_fd=dir_fd)
        try:
            Path(f"/proc/self/fd/{fd}").chmod(0o700)  # by descriptor: a name might have become a link by now
        finally:
            os.close(fd)
        return act()
