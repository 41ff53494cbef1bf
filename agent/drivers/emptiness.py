"""Whether a folder is as it was when it was last found empty: one look at its time of change instead of three at it.

After almost every invocation a worker's `flow` is still empty, and that question is on the warm path. Times of
change are coarse, so one counts only once it lies well back: then whatever comes later changes it.
"""

from __future__ import annotations

import os
import time
from typing import Final

COARSE_NS: Final = 50_000_000
"""Longer than the grain of any file system's times."""


class Emptiness:
    """What is remembered of one folder, whose times nobody else may set."""

    __slots__ = ("_inode", "_modified_ns")

    def __init__(self) -> None:
        self._inode = self._modified_ns = 0

    def holds(self, now: os.stat_result) -> bool:
        """Whether it is for certain still empty."""
        return now.st_ino == self._inode and now.st_mtime_ns == self._modified_ns

    def found(self, before: os.stat_result) -> None:
        """Takes note that it was empty, by what was seen of it before that was found."""
        if time.time_ns() - before.st_mtime_ns > COARSE_NS:
            self._inode, self._modified_ns = before.st_ino, before.st_mtime_ns
