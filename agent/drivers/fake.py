"""A driver whose workers are in this process, and fail when told to: for tests of what uses drivers.

It keeps the contract of `agent.drivers.base` and passes its suite. A worker is a folder and, where the test
gives one, a coroutine that plays its proxy on the lane; it ends when the worker does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.drivers.base import Capabilities, Hooks, Usage, WorkerSpec
from mee6.errors import Conflict, Mee6Error, WorkerLost
from mee6.lane.store import FOLDER


@dataclass(slots=True)
class Trouble:
    """What goes wrong; changed at any time, it holds for what happens from then on."""

    start: Mee6Error | None = None
    start_blocks: asyncio.Event | None = None
    """A start waits until it is set."""
    exit_after_s: float | None = None
    """Workers end by themselves so long after their start."""
    pause: Mee6Error | None = None
    resume: Mee6Error | None = None
    stop_blocks: asyncio.Event | None = None


@dataclass(slots=True)
class FakeWorker:
    """What a test may look at."""

    spec: WorkerSpec
    paused: bool = False
    code: dict[str, Path] = field(default_factory=dict)
    flow_of: str = ""
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class FakeDriver:
    """See `agent.drivers.base.Driver`.

    Args:
        base: an empty folder for the workers' storage.
        lane: the agent's lane socket.
        proxy: plays the proxy of a worker; None for workers that never connect.
        pause: what it says that it pauses with; see `Capabilities.pause`.
    """

    def __init__(
        self,
        base: Path,
        lane: Path,
        proxy: Callable[[WorkerSpec], Coroutine[None, None, None]] | None = None,
        pause: str = "none",
    ) -> None:
        self.trouble = Trouble()
        self.workers: dict[str, FakeWorker] = {}
        self.calls: list[tuple[str, str]] = []
        """(method, worker), in order."""
        self._base = base
        self._lane = lane
        self._proxy = proxy
        self._pause = pause
        self._hooks: Hooks | None = None

    async def open(self, hooks: Hooks) -> Capabilities:
        """See `Driver.open`."""
        self._hooks = hooks
        await asyncio.to_thread(shutil.rmtree, self._base, ignore_errors=True)
        self._base.mkdir(parents=True)
        return Capabilities(driver="fake", isolation="none", pause=self._pause, limits="none")

    async def close(self) -> None:
        """See `Driver.close`."""
        for worker in list(self.workers):
            await self.stop(worker)
        self._hooks = None

    async def start(self, spec: WorkerSpec) -> None:
        """See `Driver.start`."""
        self.calls.append(("start", spec.worker))
        if self.trouble.start_blocks is not None:
            await self.trouble.start_blocks.wait()
        if self.trouble.start is not None:
            raise self.trouble.start
        if spec.worker in self.workers:
            raise Conflict(f"there is a worker {spec.worker} already")
        worker = FakeWorker(spec, flow_of=spec.worker)
        self.workers[spec.worker] = worker
        act = Path(self.act_path(spec.worker))
        (act / "rsc").mkdir(parents=True)
        (act.parent / "flow").mkdir()
        (act.parent / "store").mkdir()
        (act / FOLDER).symlink_to(act.parent / "store")
        (act / "flow").symlink_to(act.parent / "flow")
        if self._proxy is not None:
            worker.tasks.append(asyncio.create_task(self._play(spec, self._proxy)))
        if self.trouble.exit_after_s is not None:
            worker.tasks.append(asyncio.create_task(self._exit_later(spec.worker, self.trouble.exit_after_s)))

    async def _play(self, spec: WorkerSpec, proxy: Callable[[WorkerSpec], Coroutine[None, None, None]]) -> None:
        await proxy(spec)
        self.lose(spec.worker, "all of its processes have ended")

    async def _exit_later(self, worker: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.lose(worker, "told to end")

    def lose(self, worker: str, why: str) -> None:
        """Ends a worker as if by itself; nothing for one that is gone."""
        gone = self._forget(worker)
        if gone is not None and self._hooks is not None:
            self._hooks.on_exit(worker, why)

    def _forget(self, worker: str) -> FakeWorker | None:
        gone = self.workers.pop(worker, None)
        if gone is not None:
            for task in gone.tasks:
                if task is not asyncio.current_task():
                    task.cancel()
            shutil.rmtree(self._base / worker, ignore_errors=True)
        return gone

    async def stop(self, worker: str) -> None:
        """See `Driver.stop`."""
        self.calls.append(("stop", worker))
        if self.trouble.stop_blocks is not None:
            await self.trouble.stop_blocks.wait()
        gone = self._forget(worker)
        if gone is not None:
            await asyncio.gather(*gone.tasks, return_exceptions=True)

    async def pause(self, worker: str) -> None:
        """See `Driver.pause`."""
        self.calls.append(("pause", worker))
        if self.trouble.pause is not None:
            raise self.trouble.pause
        self._known(worker).paused = True

    async def resume(self, worker: str) -> None:
        """See `Driver.resume`."""
        self.calls.append(("resume", worker))
        if self.trouble.resume is not None:
            raise self.trouble.resume
        self._known(worker).paused = False

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`."""
        self.calls.append(("bind", worker))
        found = self._known(worker)
        act = Path(self.act_path(worker))
        for link in (*(act / "rsc").iterdir(), act / "flow", act / FOLDER):
            link.unlink()
        for name, bundle in code.items():
            (act / "rsc" / name).symlink_to(bundle)
        (act / "flow").symlink_to(self._base / flow_of / "flow")
        (act / FOLDER).symlink_to(self._base / flow_of / "store")
        found.code, found.flow_of = dict(code), flow_of

    def code_path(self, worker: str, name: str, bundle: Path) -> str:  # noqa: ARG002  other drivers need it
        """See `Driver.code_path`."""
        return f"{self.act_path(worker)}/rsc/{name}"

    def act_path(self, worker: str) -> str:
        """See `Driver.act_path`."""
        return str(self._base / worker / "act")

    def lane_path(self, worker: str) -> str:  # noqa: ARG002  the same for all here
        """See `Driver.lane_path`."""
        return str(self._lane)

    def store_path(self, worker: str) -> str:
        """See `Driver.store_path`."""
        return str(self._base / worker / "store")

    def clear_flow(self, worker: str) -> None:
        """See `Driver.clear_flow`."""
        self._known(worker)
        flow = self._base / worker / "flow"
        if flow.is_symlink() or flow.is_file():
            flow.unlink()
        shutil.rmtree(flow, ignore_errors=True)
        flow.mkdir()

    def owns(self, worker: str, pid: int) -> bool:
        """See `Driver.owns`; all of its workers are this process."""
        return worker in self.workers and pid == os.getpid()

    def usage(self, worker: str) -> Usage:
        """See `Driver.usage`."""
        return Usage(1 << 20, 1, 1) if worker in self.workers else Usage(0, 0, 0)

    def _known(self, worker: str) -> FakeWorker:
        found = self.workers.get(worker)
        if found is None:
            raise WorkerLost(f"worker {worker} is gone")
        return found
