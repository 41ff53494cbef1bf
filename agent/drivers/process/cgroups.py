"""Control groups of either version, and of both at once: what this machine gives, and the making of workers' own.

What works is found by trying it on a child, not by reading about it: mounts may be read-only, delegated
or half there. All groups are made below the agent's own, in each hierarchy, so that whatever limits were
set for the agent hold for its workers too. A worker's groups are `mee6/<agent id>/<worker>`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.drivers.base import WorkerLimits
from agent.drivers.process.group import CPU_PERIOD_US, FREEZE_TIMEOUT_S, REMOVE_TIMEOUT_S, Freezer, Group, is_removed

_CONTROLLERS: Final = ("memory", "cpu", "pids")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of groups, and this process's place in it."""

    version: int
    own: Path
    controllers: frozenset[str]


def hierarchies(mountinfo: str, membership: str) -> list[Hierarchy]:
    """The trees that this process can see itself in.

    Args:
        mountinfo: content of /proc/self/mountinfo.
        membership: content of /proc/self/cgroup.
    """
    places = dict[str, str]()
    for line in membership.splitlines():
        _, names, path = line.split(":", 2)
        places[names] = path
    found: list[Hierarchy] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind, options = before.split(), after.split()[0], after.split()[-1]
        if kind not in {"cgroup", "cgroup2"}:
            continue
        root, point = fields[3], fields[4]
        mounted = set(options.split(","))
        key = "" if kind == "cgroup2" else next((n for n in places if n and set(n.split(",")) <= mounted), None)
        if key is None or key not in places:
            continue
        own = Path(point) / os.path.relpath(places[key], root)
        if ".." in own.parts:
            continue  # mounted from a subtree that this process is not in
        found.append(Hierarchy(2 if kind == "cgroup2" else 1, own, frozenset((key or "").split(","))))
    return found


@dataclass(slots=True)
class Cgroups:
    """What was found to work, and the making of workers' groups with it."""

    agent_id: str
    freezer: Path | None = None
    freezer_version: int = 0
    killer: Path | None = None
    """Base of the version 2 tree, where `cgroup.kill` works."""
    controllers: dict[str, tuple[int, Path]] = field(default_factory=dict)
    """memory, cpu, pids, cpuacct -> version and base."""
    notes: list[str] = field(default_factory=list)

    @property
    def pause(self) -> str:
        """How a whole group is frozen; empty when it is not."""
        return f"cgroup{self.freezer_version}" if self.freezer is not None else ""

    @property
    def limits(self) -> str:
        """Where limits are set; empty when not all of them are."""
        versions = {version for name, (version, _) in self.controllers.items() if name in _CONTROLLERS}
        complete = all(name in self.controllers for name in _CONTROLLERS)
        return f"cgroup{max(versions)}" if complete else ""

    @property
    def bases(self) -> set[Path]:
        """The folders under which workers' groups are made."""
        found = {base for _, base in self.controllers.values()}
        return found | {base for base in (self.freezer, self.killer) if base is not None}

    def probe(self) -> None:
        """Tries everything out on a child of its own; blocks for some 20 ms."""
        here = Path("/proc/self")
        try:
            trees = hierarchies((here / "mountinfo").read_text(), (here / "cgroup").read_text())
        except OSError as error:
            self.notes.append(f"no cgroups: {error.strerror}")
            return
        if not trees:
            self.notes.append("no cgroups: none is mounted")
        # Version 2 first: its freezer leaves tasks killable, and it kills a whole group at once.
        for tree in sorted(trees, key=lambda tree: -tree.version):
            base = tree.own / "mee6" / self.agent_id
            names = self._wanted(tree)
            if not names:
                continue
            try:
                self._try(tree, base, names)
            except OSError as error:
                self.notes.append(f"cgroup{tree.version} {'+'.join(sorted(names))}: {error.strerror} at {tree.own}")
        missing = [name for name in _CONTROLLERS if name not in self.controllers]
        if "memory" in missing:
            self.notes.append("memory is limited for each process (RLIMIT_DATA), not for the worker")
        if left := [name for name in missing if name != "memory"]:
            self.notes.append(f"not limited: {', '.join(left)}")
        if missing:
            self.notes.append("a cgroup of its own helps: systemd-run --scope -p Delegate=yes mee6 agent serve")

    def _wanted(self, tree: Hierarchy) -> set[str]:
        offered = {"freezer", *_CONTROLLERS} if tree.version == 2 else set(tree.controllers)
        have = set(self.controllers) | ({"freezer"} if self.freezer is not None else set())
        return (offered & {"freezer", "cpuacct", *_CONTROLLERS}) - have

    def _try(self, tree: Hierarchy, base: Path, names: set[str]) -> None:
        base.mkdir(parents=True, exist_ok=True)
        if tree.version == 2:
            passed_on = _enable(tree.own, base, names - {"freezer"})
            names = {"freezer"} | passed_on
        trial = base / "probe"
        with suppress(FileExistsError):
            trial.mkdir()
        command = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(30)"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
            try:
                (trial / "cgroup.procs").write_text(str(child.pid))
                if "freezer" in names and self.freezer is None:
                    self._try_freezer(tree.version, base, trial)
                for name in names & {"cpuacct", *_CONTROLLERS}:
                    self.controllers[name] = tree.version, base
                if tree.version == 2 and (trial / "cgroup.kill").exists():
                    (trial / "cgroup.kill").write_text("1")
                    self.killer = base
            finally:
                child.kill()
                child.wait()
                _remove_now(trial)

    def _try_freezer(self, version: int, base: Path, trial: Path) -> None:
        freezer = Freezer(version, trial)
        try:
            freezer.write(frozen=True)
            deadline = time.monotonic() + FREEZE_TIMEOUT_S
            while not freezer.is_frozen():
                if time.monotonic() > deadline:
                    raise TimeoutError(0, "a process would not freeze")
            self.freezer, self.freezer_version = base, version
        finally:
            freezer.write(frozen=False)
            freezer.close()

    def create(self, worker: str, limits: WorkerLimits) -> Group:
        """Makes the worker's groups and sets their limits.

        Raises:
            OSError: a group could not be made; none is left.
        """
        folders = {base: base / worker for base in self.bases}
        try:
            for folder in folders.values():
                folder.mkdir()
            self._limit(folders, limits)
            freezer = None
            if self.freezer is not None:
                freezer = Freezer(self.freezer_version, folders[self.freezer])
        except OSError:
            for folder in folders.values():
                _remove_now(folder)
            raise
        memory = self.controllers.get("memory")
        return Group(
            worker=worker,
            folders=tuple(folders.values()),
            freezer=freezer,
            kill_file=folders[self.killer] / "cgroup.kill" if self.killer is not None else None,
            memory=(memory[0], folders[memory[1]]) if memory is not None else None,
            pids=folders[self.controllers["pids"][1]] if "pids" in self.controllers else None,
            cpu_file=self._cpu_file(folders),
            memory_limit=limits.memory_bytes,
            cpu=(self.controllers["cpu"][0], folders[self.controllers["cpu"][1]])
            if "cpu" in self.controllers
            else None,
        )

    def _cpu_file(self, folders: dict[Path, Path]) -> Path | None:
        if self.killer is not None:
            return folders[self.killer] / "cpu.stat"  # kept in every version 2 group, whatever is enabled
        if "cpuacct" in self.controllers:
            return folders[self.controllers["cpuacct"][1]] / "cpuacct.usage"
        return None

    def _limit(self, folders: dict[Path, Path], limits: WorkerLimits) -> None:
        settings: dict[tuple[str, int], list[tuple[str, str]]] = {
            ("memory", 1): [
                ("memory.limit_in_bytes", str(limits.memory_bytes)),
                ("memory.memsw.limit_in_bytes", str(limits.memory_bytes)),
            ],
            ("memory", 2): [("memory.max", str(limits.memory_bytes)), ("memory.swap.max", "0")],
            ("pids", 1): [("pids.max", str(limits.pids))],
            ("pids", 2): [("pids.max", str(limits.pids))],
        }
        if limits.cpus > 0:
            quota = str(int(limits.cpus * CPU_PERIOD_US))
            settings["cpu", 1] = [("cpu.cfs_period_us", str(CPU_PERIOD_US)), ("cpu.cfs_quota_us", quota)]
            settings["cpu", 2] = [("cpu.max", f"{quota} {CPU_PERIOD_US}")]
        for name, (version, base) in self.controllers.items():
            for file, value in settings.get((name, version), ()):
                path = folders[base] / file
                if "sw" not in file or path.exists():  # a kernel without swap accounting
                    path.write_text(value)

    def close(self) -> None:
        """Removes the agent's own folders, once they are empty."""
        for base in self.bases:
            for folder in (base, base.parent):
                with suppress(OSError):
                    folder.rmdir()


async def sweep(bases: Iterable[Path]) -> int:
    """Kills and removes the workers' groups of an earlier life; returns how many there were."""
    count = 0
    for base in bases:
        if not base.is_dir():
            continue
        for folder in [entry for entry in base.iterdir() if entry.is_dir()]:
            count += 1
            await _clear(folder)
    return count


async def _clear(folder: Path) -> None:
    with suppress(OSError):
        (folder / "freezer.state").write_text("THAWED")
    deadline = time.monotonic() + REMOVE_TIMEOUT_S
    while not is_removed(folder) and time.monotonic() < deadline:
        with suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        with suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
        await asyncio.sleep(0.002)


def _enable(own: Path, base: Path, names: set[str]) -> set[str]:
    """Passes controllers of a version 2 tree down to `base`; returns those that arrived."""
    offered = set((own / "cgroup.controllers").read_text().split()) & names
    if offered and (own / "cgroup.procs").read_text().split() == [str(os.getpid())] and (own / "cgroup.type").exists():
        # A group that holds processes passes nothing on: alone in it, the agent steps down into one of its own.
        leaf = own / "mee6-agent"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
    for folder in (own, base.parent, base):
        for name in sorted(offered):
            try:
                (folder / "cgroup.subtree_control").write_text(f"+{name}")
            except OSError:
                # Busy: a group that holds processes itself passes nothing on, unless it is the root.
                offered.discard(name)
    return offered


def _remove_now(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_TIMEOUT_S
    while not is_removed(folder) and time.monotonic() < deadline:
        time.sleep(0.001)
