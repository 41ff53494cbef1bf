"""What people do to workers: ending, freezing, thawing and limiting one, by name.

The core decides what comes of it; here it is refused where it cannot be, with the reason, and waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.core import events as ev
from agent.core.worker import Worker, WorkerState
from agent.drivers.base import Capabilities, Driver, LimitsWorkers, WorkerLimits
from agent.feed import WorkerView
from agent.shell import Shell
from agent.views import worker_view
from mee6.errors import Conflict, InvalidInput, NotFound


class Acts:
    """On the workers of one shell.

    Args:
        can: what the driver can do; known once it is open.
    """

    def __init__(self, shell: Shell, driver: Driver, can: Callable[[], Capabilities]) -> None:
        self._shell = shell
        self._driver = driver
        self._can = can

    def evict(self, worker: str, *, force: bool) -> None:
        """Ends a worker; see `NodeApi.evict`."""
        found = self._worker(worker)
        if found.lease and not force:
            raise Conflict(f"worker {worker} runs an invocation; see: mee6 act cancel {found.lease}, or --force")
        self._shell.tell(ev.EvictAsked(worker))

    async def pause(self, worker: str) -> WorkerView:
        """Freezes an idle worker; see `NodeApi.pause`."""
        found = self._worker(worker)
        if self._can().pause in ("", "none"):
            raise Conflict(f"the {self._can().driver} driver cannot pause workers here; see: mee6 agent status")
        match found.state:
            case WorkerState.PAUSED | WorkerState.PAUSING:
                pass
            case WorkerState.PREWARMED | WorkerState.WARM:
                self._shell.tell(ev.PauseAsked(worker))
            case _ if found.lease:
                raise Conflict(f"worker {worker} runs an invocation; see: mee6 act cancel {found.lease}")
            case _:
                raise Conflict(f"worker {worker} is {found.state}; only one that is prewarmed or warm can be paused")
        return await self._settled(worker, WorkerState.PAUSED, "paused")

    async def resume(self, worker: str) -> WorkerView:
        """Thaws a paused worker; see `NodeApi.resume`."""
        found = self._worker(worker)
        if found.state is WorkerState.PAUSING:
            await self._freezer_done(worker)
            found = self._worker(worker)
        if found.state is WorkerState.PAUSED:
            self._shell.tell(ev.ResumeAsked(worker))
        elif found.state is not WorkerState.WAKING:
            raise Conflict(f"worker {worker} is {found.state}, not paused; see: mee6 worker ls")
        return await self._settled(worker, WorkerState.WARM if found.digest else WorkerState.PREWARMED, "resumed")

    def _worker(self, name: str) -> Worker:
        worker = self._shell.core.fleet.workers.get(name)
        if worker is None:
            raise NotFound(f"no worker {name!r}; see: mee6 worker ls")
        return worker

    async def _freezer_done(self, worker: str) -> None:
        seat = self._shell.seats.get(worker)
        if seat is not None and seat.freezing is not None:
            await asyncio.wait([seat.freezing])

    async def _settled(self, name: str, wanted: WorkerState, what: str) -> WorkerView:
        """Waits for what the freezer does to a worker; its view afterwards."""
        await self._freezer_done(name)
        worker, seat = self._shell.core.fleet.workers.get(name), self._shell.seats.get(name)
        if worker is None or seat is None:
            raise Conflict(f"worker {name} ended before it was {what}; see the agent's log")
        if worker.state is not wanted and not worker.lease:
            raise Conflict(f"worker {name} is {worker.state} again; see: mee6 worker ls")
        return worker_view(worker, seat)

    async def set_limits(self, worker: str, memory_bytes: int | None, cpus: float | None) -> WorkerLimits:
        """Changes what a worker may use; see `NodeApi.set_limits`."""
        seat = self._shell.seats.get(worker)
        if seat is None or self._shell.core.fleet.workers[worker].state is WorkerState.STARTING:
            raise NotFound(f"no worker {worker!r} that is connected; see: mee6 worker ls")
        if not isinstance(self._driver, LimitsWorkers):
            raise Conflict(f"the {self._can().driver} driver cannot change the limits of a live worker")
        if (memory_bytes is not None and memory_bytes <= 0) or (cpus is not None and not 0 <= cpus < 1024):
            raise InvalidInput("memory must be above 0, and cores between 0 and 1024")
        asked = {"memory_bytes": memory_bytes, "cpus": cpus}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        limits = replace(seat.worker_limits, **given)
        await self._driver.set_limits(worker, limits.memory_bytes, limits.cpus)
        seat.worker_limits = limits
        return limits
