"""Runs pip and npm for what is wanted, each in a box of its own, within limits.

A run may take so long, so much memory, so many processes and so much disk; whatever goes over ends all of it. Memory
and processes are held by a control group where there is one, else memory by a limit on each process. A run that is
cancelled ends at once. What comes of it is a folder; `store` keeps it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from agent.dependencies import box, tools
from agent.dependencies.child import Child
from agent.dependencies.wanted import Wanted
from agent.drivers.base import WorkerLimits
from agent.drivers.process.cgroups import Cgroups, hierarchies, sweep
from agent.drivers.process.group import Group
from mee6.errors import Mee6Error, TimedOut, TooLarge
from mee6.sizes import size_text

ISOLATION: Final = "MEE6_PROCESS_ISOLATION"
"""Set to `none`, it keeps the agent from using namespaces: the process driver's word, and this one's."""
PARALLEL: Final = 2
"""Runs at once."""
LOOK_EVERY_S: Final = 0.5
"""At the size of what is being made."""
_WORK_ROOM: Final = 3
"""How much more than the result may lie in the work folder: archives, caches, what is being built."""
_BOOT: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from agent.dependencies.box import main
main(sys.argv[2])
"""
_log: Final = logging.getLogger("mee6.agent")

Say = Callable[[str], None]
"""Takes one line about how far it is."""


@dataclass(frozen=True, slots=True)
class ResolveLimits:
    """What resolving one function's packages may take."""

    timeout_s: float = 300.0
    result_bytes: int = 1 << 30
    memory_bytes: int = 2 << 30
    pids: int = 256


class Resolver:
    """Resolves; one instance serves one agent.

    Args:
        agent_id: as the driver's.
        state_dir: the agent's; hidden from what runs.
        isolated: False: do not even try namespaces.
    """

    def __init__(self, agent_id: str, state_dir: Path, limits: ResolveLimits, *, isolated: bool = True) -> None:
        self._state_dir = state_dir.resolve()
        self._limits = limits
        self._group_name = f"{agent_id}-deps"
        self._cgroups = Cgroups(self._group_name)
        self._isolated: bool | None = None if isolated else False
        """None until it has been tried."""
        self._turns = asyncio.Semaphore(PARALLEL)
        self._opening = asyncio.Lock()
        self._is_open = False
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """Ends and removes what an agent that was killed while it resolved has left of its control groups."""
        own = Path("/proc/self/cgroup"), Path("/proc/self/mountinfo")
        if not all(path.exists() for path in own):
            return
        membership, mounts = (path.read_text() for path in own)
        for tree in hierarchies(mounts, membership):
            base = tree.own / "mee6" / self._group_name
            await sweep([base])
            with suppress(OSError):
                base.rmdir()

    def close(self) -> None:
        """Removes its control groups; nothing may be running."""
        if self._is_open:
            self._cgroups.close()
            self._is_open = False

    async def resolve(self, wanted: Wanted, language_version: str, work: Path, say: Say) -> Path:
        """Makes the folder of packages inside `work`, an empty folder.

        Raises:
            DependencyFailed: they cannot be had; says why.
            TimedOut, TooLarge, Exhausted: it took more than it may.
        """
        async with self._turns:
            await self._open()
            for name in ("home", "tmp", "root", tools.OUT):
                (work / name).mkdir()
            cwd = self._lay_out(wanted, work)
            what = f"{len(wanted.names)} package{'s' if len(wanted.names) != 1 else ''}"
            say(f"resolving {what}: {', '.join(wanted.names[:8])}{', ...' if len(wanted.names) > 8 else ''}")
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    if self._isolated is None:
                        self._isolated = await self._can_isolate(work)
                    inside = box.WORK if self._isolated else str(work)
                    run = tools.install(wanted, language_version, inside, sealed=self._isolated)
                    await self._run(wanted, run, work, cwd, say)
                    if wanted.language == "nodejs" and self._isolated and _has_scripts(work / tools.OUT):
                        say("building what has to be built")
                        for name in run.config:
                            (work / "home" / name).unlink()
                        await self._run(wanted, tools.build(inside), work, cwd, say)
            except TimeoutError as error:
                raise TimedOut(
                    f"the function's packages were not there within {self._limits.timeout_s:g} s; name fewer, or lock "
                    f"their versions"
                ) from error
            size = await asyncio.to_thread(_size, work / tools.OUT)
            if size > self._limits.result_bytes:
                raise self._too_large(size)
            return work / tools.OUT

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await asyncio.to_thread(self._cgroups.probe)
                self._is_open = True

    def _lay_out(self, wanted: Wanted, work: Path) -> str:
        """Writes what the tool is given; returns its folder, by name below `work`."""
        folder = work / (tools.OUT if wanted.language == "nodejs" else "given")
        for name, content in wanted.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder.name

    async def _can_isolate(self, work: Path) -> bool:
        nothing = tools.Run((sys.executable, "-I", "-S", "-c", ""), {}, {})
        code, lines = await self._boxed(nothing, work, tools.OUT, isolated=True, heard=lambda _line: None)
        if code != 0:
            why = lines[-1] if lines else f"exit {code}"
            _log.warning("packages are resolved without namespaces, so without running anything of theirs: %s", why)
        return code == 0

    async def _run(self, wanted: Wanted, run: tools.Run, work: Path, cwd: str, say: Say) -> None:
        for name, path in run.config.items():
            place = work / "home" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)

        def heard(line: str) -> None:
            if text := tools.progress(line):
                say(text)

        code, lines = await self._boxed(run, work, cwd, isolated=bool(self._isolated), heard=heard)
        if any("File too large" in line for line in lines) and code != 0:
            raise self._too_large(_WORK_ROOM * self._limits.result_bytes)
        if code != 0:
            raise tools.failure(wanted.language, lines)

    async def _boxed(
        self, run: tools.Run, work: Path, cwd: str, *, isolated: bool, heard: Say
    ) -> tuple[int, list[str]]:
        """Runs it to its end; the exit code and the last lines it said.

        Raises:
            TooLarge, Exhausted: it was ended for what it took.
        """
        limits = self._limits
        inside = box.WORK if isolated else str(work)
        order = box.Order(
            argv=list(run.argv),
            env={**run.env, "TMPDIR": "/tmp" if isolated else f"{work}/tmp"},  # noqa: S108  its own
            cwd=f"{inside}/{cwd}",
            work=str(work),
            state_dir=str(self._state_dir),
            needed=tools.needed_paths(),
            isolated=isolated,
            file_bytes=_WORK_ROOM * limits.result_bytes,
            data_bytes=0 if "memory" in self._cgroups.controllers else limits.memory_bytes,
        )
        source = str(Path(__file__).parents[2])
        text = msgspec.json.encode(order).decode()
        child = Child([sys.executable, "-I", "-c", _BOOT, source, text], {"PATH": os.defpath, "LANG": "C.UTF-8"})
        group: Group | None = None
        watch = asyncio.create_task(self._watch(work, child))
        tail: deque[str] = deque(maxlen=400)
        try:
            group = self._cgroups.create(f"r{next(self._numbers)}", WorkerLimits(limits.memory_bytes, 0, limits.pids))
            await asyncio.to_thread(group.add, child.pid)
            child.go()
            async for line in child.lines():
                tail.append(line)
                heard(line)
            code = await child.wait()
        finally:
            watch.cancel()
            await asyncio.shield(_end(child, group))
        with suppress(asyncio.CancelledError):
            if size := await watch:
                raise self._too_large(size)
        if group.new_ooms():
            raise TooLarge(
                f"building the function's packages took more than {size_text(limits.memory_bytes)} of memory",
                traceback="\n".join(list(tail)[-tools.TAIL_LINES :]),
            )
        return code, list(tail)

    async def _watch(self, work: Path, child: Child) -> int:
        """Ends the run when too much lies in its folder; returns how much."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            size = await asyncio.to_thread(_size, work)
            out = await asyncio.to_thread(_size, work / tools.OUT)
            if out > self._limits.result_bytes or size > _WORK_ROOM * self._limits.result_bytes:
                child.kill()
                return max(out, size)

    def _too_large(self, size: int) -> TooLarge:
        return TooLarge(
            f"the function's packages take {size_text(size)}, over the limit of "
            f"{size_text(self._limits.result_bytes)}; name fewer or smaller ones"
        )


async def _end(child: Child, group: Group | None) -> None:
    """Sees to it that nothing of a run is left: the box takes along what is in its namespace."""
    await child.end()
    if group is None:
        return
    group.kill()
    for folder in group.folders:  # where the box has no namespace, and the kernel no killer
        with suppress(OSError):
            for pid in (folder / "cgroup.procs").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
    try:
        await group.remove()
    except Mee6Error as error:
        _log.warning("%s", error)


def _has_scripts(folder: Path) -> bool:
    """Whether a package that npm installed wants to run something."""
    path = folder / "node_modules" / ".package-lock.json"
    return path.is_file() and '"hasInstallScript": true' in path.read_text("utf-8", "replace")


def _size(folder: Path) -> int:
    """Bytes of all files below, as far as they stand still."""
    total, ahead = 0, [str(folder)]
    while ahead:
        with suppress(OSError), os.scandir(ahead.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        ahead.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
