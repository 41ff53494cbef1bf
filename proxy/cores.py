"""Puts processes on one core and lets them go again, with all that they have started meanwhile.

What a process or a thread is given is inherited by whatever it starts: who is let go takes its threads and its
descendants along. Linux; where the kernel does not let it be done, nothing is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress


class Cores:
    """The cores that a worker's processes may use, and those of them that share one."""

    def __init__(self) -> None:
        self._all = os.sched_getaffinity(0)

    def pin(self, lead: int, pids: Iterable[int], beside: int) -> None:
        """Puts `pids` on the core that `lead` ran on last, and `beside` on the others where it is none of them."""
        core = _core_of(lead)
        if len(self._all) < 2 or core not in self._all:
            return
        places = {pid: {core} for pid in pids}
        places.setdefault(beside, self._all - {core})
        for pid, cores in places.items():
            with suppress(OSError):
                os.sched_setaffinity(pid, cores)

    def unpin(self, pids: Iterable[int]) -> None:
        """Gives `pids`, their threads and whatever these have started all cores again."""
        if len(self._all) < 2:
            return
        todo = list(pids)
        seen: set[int] = set()
        while todo:
            pid = todo.pop()
            if pid in seen:
                continue
            seen.add(pid)
            with suppress(OSError):
                for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names are wanted, not paths
                    os.sched_setaffinity(int(thread), self._all)
                    todo += [int(child) for child in _read(f"/proc/{pid}/task/{thread}/children").split()]


def _core_of(pid: int) -> int:
    """The core that a process ran on last; -1 where that cannot be found."""
    with suppress(OSError, IndexError, ValueError):
        return int(_read(f"/proc/{pid}/stat").rpartition(") ")[2].split()[36])
    return -1


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  the proxy does not load pathlib
        return file.read()
