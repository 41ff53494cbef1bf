"""One worker's control groups, of either version: what runs in them is frozen, limited, measured, killed.

Knows nothing of who made them: `cgroups` makes those of processes, an engine those of its containers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.drivers.base import Usage
from mee6.errors import Conflict, Mee6Error

FREEZE_TIMEOUT_S: Final = 2.0
REMOVE_TIMEOUT_S: Final = 2.0
CPU_PERIOD_US: Final = 100_000


@dataclass(slots=True)
class Group:
    """One worker's groups."""

    worker: str
    folders: tuple[Path, ...]
    freezer: Freezer | None
    kill_file: Path | None
    memory: tuple[int, Path] | None
    pids: Path | None
    cpu_file: Path | None
    memory_limit: int
    cpu: tuple[int, Path] | None = None
    _ooms_told: int = 0

    def add(self, pid: int) -> None:
        """Takes a process in; what it forks from then on is in too."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def doors(self) -> tuple[list[int], int]:
        """Descriptors for a process to come in from the start, to be closed; and how many are for its parent.

        Those first: folders of version 2, to be forked into. The process itself, while it has one thread, writes a 0
        to each of the others, the `tasks` of version 1. For either the kernel need not have all forks and exits of
        the machine pass first, as it does for `add`: that takes a grace period, 7 ms at the median and 17 at worst,
        and this 0.1. Source: measured on Linux 6.18.

        Raises:
            OSError: a group is gone; none is open.
        """
        opened: list[int] = []
        parents = 0
        try:
            for folder in sorted(self.folders, key=lambda folder: (folder / "tasks").exists()):
                if (folder / "tasks").exists():
                    opened.append(os.open(folder / "tasks", os.O_WRONLY | os.O_CLOEXEC))
                else:
                    opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                    parents += 1
        except OSError:
            for fd in opened:
                os.close(fd)
            raise
        return opened, parents

    def kill(self) -> bool:
        """Kills everything in it, frozen or not; False where somebody else has to."""
        if self.freezer is not None and self.freezer.version == 1:
            self.freezer.write(frozen=False)  # or the signal would wait for the thaw
        if self.kill_file is None:
            return False
        with suppress(FileNotFoundError):
            self.kill_file.write_text("1")
        return True

    def new_ooms(self) -> int:
        """How often the kernel killed for memory since the last time that this was asked."""
        if self.memory is None:
            return 0
        version, folder = self.memory
        total = _field(folder / ("memory.events" if version == 2 else "memory.oom_control"), "oom_kill")
        new, self._ooms_told = total - self._ooms_told, total
        return new

    def usage(self) -> Usage | None:
        """What the group uses; None where its hierarchies do not say."""
        if self.memory is None or self.cpu_file is None:
            return None
        version, folder = self.memory
        try:
            memory = int((folder / ("memory.current" if version == 2 else "memory.usage_in_bytes")).read_text())
            if self.cpu_file.name == "cpu.stat":
                cpu_ns = _field(self.cpu_file, "usage_usec") * 1000
            else:
                cpu_ns = int(self.cpu_file.read_text())
            processes = len((folder / "cgroup.procs").read_text().split())
        except FileNotFoundError:
            return Usage(0, 0, 0)
        return Usage(memory, cpu_ns, processes)

    @property
    def can_limit(self) -> bool:
        """Whether `set_limits` has its files."""
        return self.memory is not None and self.cpu is not None

    def set_limits(self, memory_bytes: int, cpus: float) -> None:
        """Changes the limits of what runs in it.

        Raises:
            Conflict: it uses more than that already; nothing was changed.
            OSError: it is gone.
        """
        assert self.memory is not None
        assert self.cpu is not None
        version, folder = self.memory
        used = int((folder / ("memory.current" if version == 2 else "memory.usage_in_bytes")).read_text())
        # Version 2 would take the limit and kill for it; version 1 drops caches first, and refuses what remains.
        if version == 2 and used > memory_bytes:
            raise in_use(self.worker, used, memory_bytes)
        names = ["memory.max"] if version == 2 else ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        if memory_bytes > self.memory_limit:
            names.reverse()  # memory and swap together are never below memory alone
        for name in names:
            try:
                if (folder / name).exists():
                    (folder / name).write_text(str(memory_bytes))
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                raise in_use(self.worker, used, memory_bytes) from error
        self.memory_limit = memory_bytes
        version, folder = self.cpu
        quota = int(cpus * CPU_PERIOD_US)
        if version == 2:
            (folder / "cpu.max").write_text(f"{quota or 'max'} {CPU_PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(CPU_PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota or -1))

    def close(self) -> None:
        """Lets go of its files. Idempotent."""
        if self.freezer is not None:
            self.freezer.close()

    async def remove(self) -> None:
        """Removes the folders; the kernel may take a moment to see that they are empty.

        Raises:
            Mee6Error: one of them would not go.
        """
        self.close()
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        for folder in self.folders:
            while not is_removed(folder):
                if time.monotonic() > deadline:
                    raise Mee6Error(f"the cgroup of worker {self.worker} is still in use: {folder}")
                await asyncio.sleep(0.001)


class Freezer:
    """One group's freezer, its files kept open: pausing is two system calls."""

    __slots__ = ("_events", "_state", "file", "version")

    def __init__(self, version: int, folder: Path) -> None:
        self.version = version
        flags = os.O_RDWR | os.O_CLOEXEC
        self.file = folder / ("cgroup.freeze" if version == 2 else "freezer.state")
        """What is written to freeze it and to thaw it."""
        self._state = os.open(self.file, flags)
        self._events = self._state
        if version == 2:
            try:
                self._events = os.open(folder / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                os.close(self._state)
                raise

    def write(self, *, frozen: bool) -> None:
        """Orders it; freezing takes a moment."""
        if self._state < 0:
            return
        if self.version == 2:
            os.pwrite(self._state, b"1" if frozen else b"0", 0)
        else:
            os.pwrite(self._state, b"FROZEN" if frozen else b"THAWED", 0)

    def is_frozen(self) -> bool:
        """Whether everything in it is."""
        content = os.pread(self._events, 256, 0)
        return b"frozen 1" in content if self.version == 2 else content.startswith(b"FROZEN")

    def is_thawed(self) -> bool:
        """Whether it neither is frozen nor being frozen."""
        content = os.pread(self._events, 256, 0)
        return b"frozen 0" in content if self.version == 2 else content.startswith(b"THAWED")

    async def freeze(self) -> None:
        """Freezes and waits until it is so; usually it is within the first looks."""
        self.write(frozen=True)
        for _ in range(20):
            if self.is_frozen():
                return
        deadline = time.monotonic() + FREEZE_TIMEOUT_S
        while not self.is_frozen():
            if time.monotonic() > deadline:
                self.write(frozen=False)
                raise Mee6Error(f"its processes did not freeze within {FREEZE_TIMEOUT_S:g} s")
            await asyncio.sleep(0.0005)
            if self.version == 1:
                self.write(frozen=True)  # a task that forked meanwhile is missed by the first one

    def close(self) -> None:
        """Lets go of its files. Idempotent."""
        for fd in {self._state, self._events} - {-1}:
            os.close(fd)
        self._state = self._events = -1


def in_use(worker: str, used: int, wanted: int) -> Conflict:
    """Why a limit cannot shrink."""
    return Conflict(
        f"worker {worker} uses {used >> 20} MiB: its limit cannot shrink to {wanted >> 20} MiB; "
        "end what it runs first, or choose a higher limit"
    )


def is_removed(folder: Path) -> bool:
    """Removes a group; False while something is in it."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _field(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.split()[:1] == [name]), 0)
