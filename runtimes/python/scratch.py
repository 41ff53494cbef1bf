"""The folder that an invocation has for itself under the worker's storage, as `cur` and as its id.

At most one step runs in a worker at a time, so `cur` is well defined: a callee in the same worker moves it, and
its caller moves it back. A process keeps one real folder for all its invocations and empties it after each; the id
is a link to it, made when the function asks for it, since only then can it know the name. Source: making and
removing a folder for each invocation took 10 us more of a step on a tmpfs, and 95 us on a disk.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from time import time_ns
from typing import Final

from mee6.trees import remove_tree

_libc: Final = ctypes.CDLL(None)
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_COARSE_NS: Final = 50_000_000
"""Longer than the grain of any file system's times that a worker's storage may be on."""


class Scratch:
    """The folder of one process's invocations.

    Args:
        act: the worker's storage.
    """

    def __init__(self, act: str) -> None:
        self.act = act
        self._cur = f"{act}/cur"
        self._name = f".scratch-{os.getpid()}"
        self._folder = f"{act}/{self._name}"
        self._empty_since = -1
        """Time of the folder's last change, when it was found empty well after it."""
        self._entered = False
        self._slot = f"{self._folder}.cur"
        """A link to this process's folder, while another's stands in its place as `cur`, and the other way round."""
        self._slots = os.fsencode(self._cur), os.fsencode(self._slot)
        self._has_slot = False
        self._swapped = False
        self._named = ""
        """The link to remove."""
        self.alone = False
        """No other process runs steps in this worker, as after a handover: `cur` stays where it is."""
        Path(self._folder).mkdir(exist_ok=True)

    def enter(self) -> None:
        """Points `cur` at this process's folder, if another process may have moved it."""
        if self.alone and self._entered:
            return
        self._entered = True
        # A thread of the function's may come back from a call at the same time, and do the same. A link made ahead
        # and renamed into place takes less here, but 3 us more of the processor in all, and a step's processes mostly
        # share one. Source: measured on a tmpfs.
        with suppress(OSError):
            os.unlink(self._cur)  # noqa: PTH108 - on every step's path, where Path costs as much again
        with suppress(OSError):  # a function may have left no room: it is told where it writes
            os.symlink(self._name, self._cur)  # noqa: PTH211 - as above

    def swap_in(self) -> None:
        """Points `cur` at this process's folder until `put_back`.

        Two links change places in one call, there and back, and the caller has nothing to do. Source: it takes half
        the time of removing and making them, measured on a tmpfs.
        """
        if self.alone:
            self.enter()
            return
        if not self._has_slot:
            self._has_slot = True
            with suppress(OSError):
                os.unlink(self._slot)  # noqa: PTH108 - as above
            with suppress(OSError):
                os.symlink(self._name, self._slot)  # noqa: PTH211 - as above
        try:
            self._swapped = _libc.renameat2(_AT_FDCWD, self._slots[0], _AT_FDCWD, self._slots[1], _RENAME_EXCHANGE) == 0
        except AttributeError:  # not every C library has it
            self._swapped = False
        if not self._swapped:
            self.enter()

    def put_back(self) -> bool:
        """Makes `cur` what it was before `swap_in`; False where that is its owner's to do."""
        if not self._swapped:
            return False
        self._swapped = False
        done = _libc.renameat2(_AT_FDCWD, self._slots[0], _AT_FDCWD, self._slots[1], _RENAME_EXCHANGE)
        self._has_slot = done == 0
        return self._has_slot

    def named(self, invocation: str) -> Path:
        """The folder's path by the id of the invocation that runs."""
        link = f"{self.act}/{invocation}"
        if not self._named:
            os.symlink(self._name, link)  # noqa: PTH211 - as above
            self._named = link
        return Path(link)

    def leave(self) -> None:
        """Empties the folder and drops its name; for after the report.

        Reading a folder takes five system calls; that it is as it was when it was found empty shows in one: its time
        of change.
        """
        if self._named:
            with suppress(FileNotFoundError):
                os.unlink(self._named)  # noqa: PTH108 - as above
            self._named = ""
        try:
            changed = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - as above
        except FileNotFoundError:  # the function has removed it
            changed = 0
        if changed == self._empty_since:
            return
        if not self._is_empty(changed):
            remove_tree(self._folder)
            with suppress(OSError):  # no room, as above; tried again after the next
                Path(self._folder).mkdir(exist_ok=True)

    def _is_empty(self, changed: int) -> bool:
        """Whether nothing has to be removed; takes note of when it was changed.

        That time is coarse, so it counts only once it lies so far back that a later change differs from it.
        """
        try:
            if os.listdir(self._folder):  # noqa: PTH208 - as above
                return False
        except FileNotFoundError:  # the function has removed it
            return False
        if time_ns() - changed > _COARSE_NS:
            self._empty_since = changed
        return True

    def full(self) -> str:
        """Which of the worker's folders has no room left, for people; empty for none."""
        for place in (str(self.flow()), self.act, os.environ.get("TMPDIR", "/tmp")):  # noqa: S108 - where it is by default
            with suppress(OSError):
                found = os.statvfs(place)
                if not found.f_bavail:
                    return f"{place} is full, with {found.f_blocks * found.f_frsize >> 20} MiB"
                if found.f_files and not found.f_favail:
                    return f"{place} is full, with {found.f_files} files"
        return ""

    def flow(self) -> Path:
        """The workflow's folder."""
        return Path(self.act, "flow")
