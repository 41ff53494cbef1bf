"""A played console whose acts reach an agent's gRPC face: what is seen stands still, what is done is real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mee6.client import Client
from tests.console.conftest import Play, Stage
from tests.support.fake_agent import FakeAgent

PATIENCE_S = 20.0


@dataclass
class Acting:
    """A stage, and the agent that its acts go to."""

    stage: Stage
    agent: FakeAgent

    async def press(self, *keys: str) -> str:
        return await self.stage.press(*keys)

    async def write(self, text: str) -> str:
        names = {" ": "space", "\n": "enter"}
        return await self.stage.press(*(names.get(letter, letter) for letter in text))

    def asked(self, kind: type[Any]) -> list[Any]:
        """The requests of a kind that the agent has seen."""
        return [request for request in self.agent.requests if isinstance(request, kind)]

    async def until(self, probe: Callable[[], Any], what: str) -> str:
        """Lets things go on until it is so."""
        return await until(self.stage, probe, what)


async def until(stage: Stage, probe: Callable[[], Any], what: str) -> str:
    """Lets things go on until it is so; returns what is seen then."""
    deadline = time.monotonic() + PATIENCE_S
    while not probe():
        assert time.monotonic() < deadline, f"not seen: {what}\n{stage.said()}\n{stage.text}"
        await asyncio.sleep(0.01)
        await stage.settle()
    return await stage.settle()


@asynccontextmanager
async def acting(play: Play, folder: Path, size: tuple[int, int] = (80, 24), **settings: Any) -> AsyncIterator[Acting]:
    with FakeAgent(folder) as agent:
        async with Client(agent.address, user="default") as client:
            given = {"clients": {"desk": client}, "flags": {"desk": " --context desk"}, **settings}
            async with play(size, **given) as stage:
                yield Acting(stage, agent)
