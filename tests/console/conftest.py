"""The console without a terminal, fed by a recording of a real run, at a time that stands still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from mee6tui.console.app import ConsoleApp
from mee6tui.console.recording import Recorded, read
from mee6tui.console.source import Item, LinkState, Sink

BUSY = Path(__file__).parent / "recordings" / "busy.jsonl"
HANDED = Path(__file__).parent / "recordings" / "handed.jsonl"
BEGAN = 1_000.0


@dataclass
class Time:
    """A clock that goes on when it is told to."""

    now: float = BEGAN
    wall_ns: int = 1_796_000_000_000_000_000

    def on(self, seconds: float) -> None:
        self.now += seconds
        self.wall_ns += int(seconds * 1e9)


@dataclass
class Played:
    """A source that gives all of a recording at once, and then waits."""

    name: str
    time: Time
    items: list[Recorded]
    sink: Sink | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, sink: Sink) -> None:
        self.sink = sink
        sink.link(self.name, LinkState.LIVE)
        for recorded in self.items:
            self.time.now = max(self.time.now, BEGAN + recorded.at_s)
            sink.put(self.name, recorded.item)
        self.done.set()
        await asyncio.Event().wait()

    def say(self, item: Item) -> None:
        assert self.sink is not None
        self.sink.put(self.name, item)


@dataclass
class Stage:
    """A console that is played, and what one sees of it."""

    app: ConsoleApp
    pilot: Pilot[int]
    time: Time
    sources: list[Played]

    async def press(self, *keys: str) -> str:
        await self.pilot.press(*keys)
        return await self.settle()

    async def settle(self) -> str:
        """Lets a second pass and all be painted; returns what is seen."""
        self.time.on(1.1)
        await self.pilot.pause()
        self.app.flush(self.time.now)
        await self.pilot.pause()
        return self.text

    @property
    def text(self) -> str:
        return self.app.text()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def said(self) -> list[str]:
        """What the toasts say."""
        return [str(note.message) for note in self.app._notifications]


Play = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()


@pytest.fixture(scope="session")
def busy() -> list[Recorded]:
    return list(read(BUSY))


@pytest.fixture(scope="session")
def handed() -> list[Recorded]:
    """With the stages of handovers."""
    return list(read(HANDED))


@pytest.fixture
def play(busy: list[Recorded]) -> Play:
    """Plays the recording, under one name or several."""

    @asynccontextmanager
    async def playing(
        size: tuple[int, int] = (80, 24), names: tuple[str, ...] = ("desk",), items: Any = None, **settings: Any
    ) -> AsyncIterator[Stage]:
        at = Time()
        sources = [Played(name, at, busy if items is None else items) for name in names]
        app = ConsoleApp(sources, now=lambda: at.now, wall_ns=lambda: at.wall_ns, **settings)
        async with app.run_test(size=size) as pilot:
            for source in sources:
                await source.done.wait()
            stage = Stage(app, pilot, at, sources)
            await stage.settle()
            await stage.settle()
            yield stage

    return playing
