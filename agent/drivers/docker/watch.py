"""Looking at the engine again and again: whether it answers, what others did to our containers, what is left of ours.

A container may be removed, killed or paused by hand at any time. Its end is heard at once, on its control socket; that
it was paused is seen here, and its worker is given up, since only who paused it knows for how long. What could not be
removed when its worker ended, or was made after nobody waited for it any more, is removed here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from agent.drivers.docker import groups
from agent.drivers.docker.engine import Container, Engine
from agent.drivers.docker.worker import ContainerWorker
from agent.drivers.lives import Lives
from mee6.errors import Mee6Error

LOOK_EVERY_S: Final = 2.0
_log: Final = logging.getLogger("mee6.agent")


class Watch:
    """Looks after the containers of an agent, between `open` and `close`."""

    def __init__(self, engine: Engine, workers: Lives[ContainerWorker]) -> None:
        self._engine = engine
        self._workers = workers
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Looks no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            before = {worker.id: worker.api_pauses for worker in self._workers}
            trouble = self._engine.trouble
            try:
                found = await self._engine.ours()
            except Mee6Error as error:
                if not trouble:
                    _log.error("%s", error.message)
                continue
            if trouble:
                _log.warning("the Docker Engine answers again")
            for container in found:
                with suppress(Mee6Error):  # the next look tries again
                    await self._judge(container, before)

    async def _judge(self, container: Container, before: Mapping[str, int]) -> None:
        worker = self._workers.get(container.worker)
        if worker is None:
            if container.worker not in before:
                await remove(self._engine, container.id)
            return
        # Ours to pause is it only through the API; and a count that has moved means that it was, meanwhile.
        ours = worker.api_pauses % 2 == 1 or worker.api_pauses != before.get(worker.id)
        if container.is_paused and not ours and worker.up.done():
            self._workers.lost(worker, f"its container {container.id[:12]} was paused by somebody else")


async def remove_all(engine: Engine) -> None:
    """Removes every container of the engine's agent, and of nobody else."""
    await asyncio.gather(*(remove(engine, container.id) for container in await engine.ours()))


async def remove(engine: Engine, container: str) -> None:
    """Removes a container that no worker stands for, frozen or not."""
    state = await engine.state(container)
    if state is not None and (pid := int(state.get("Pid") or 0)):
        # One that is frozen behind the engine's back would not die of its signal.
        group = groups.find_group(container[:12], pid, container, 0)
        if group is not None:
            group.kill()
            groups.thaw(groups.engines_freezer(pid, container))
            group.close()
    await engine.remove(container)
