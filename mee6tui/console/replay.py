"""A recording that is played: a clock of its own, which the console lives by, and a source that keeps to it.

The console's time is the recording's, so ages, rates and the past come out as they were, at any speed. Nothing is
played ahead of the clock, and the clock never passes what has not been played: after a jump it follows item by item.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mee6.errors import InvalidInput
from mee6.records import Batch, Snapshot
from mee6tui.console.recording import read
from mee6tui.console.source import LinkState, Sink

SLICE_S: Final = 0.01
"""How long the loop is held while items are played one after the other."""


class Tape:
    """A recording and how far it has been played.

    Args:
        speed: times as fast as it was; 0 = all of it at once.
        real: seconds, monotonic.

    Raises:
        InvalidInput: it cannot be read, or is no recording.
    """

    def __init__(self, path: Path, *, speed: float = 1.0, real: Callable[[], float] = time.monotonic) -> None:
        if speed < 0:
            raise InvalidInput(f"a recording cannot be played {speed:g} times as fast; give 0 or more, 0 = all at once")
        self.path = path
        self.name = path.name
        self.length_s, self._wall_ns = _facts(path)
        self._real = real
        self._speed = speed
        self._paused = False
        self._from_s, self._since = 0.0, real()
        self.next_s = 0.0
        """When the next item is due that has not been played."""
        self._moved = asyncio.Event()
        self._caught_up = asyncio.Event()

    def now(self) -> float:
        """Seconds since the recording began: the console's clock."""
        return min(self._position_s, self.next_s)

    def wall_ns(self) -> int:
        """What the time was then: nanoseconds since 1970, UTC."""
        return self._wall_ns + int(self.now() * 1e9)

    @property
    def speed(self) -> float:
        """How many times as fast as it was; 0 = at once."""
        return self._speed

    @speed.setter
    def speed(self, times: float) -> None:
        self._move(self.now())
        self._speed = times

    @property
    def paused(self) -> bool:
        """Whether it stands still."""
        return self._paused

    @paused.setter
    def paused(self, stands: bool) -> None:
        self._move(self.now())
        self._paused = stands

    @property
    def ended(self) -> bool:
        """Whether all has been played."""
        return self.next_s >= self.length_s and self.now() >= self.length_s

    async def play_to(self, moment: float) -> None:
        """Jumps ahead, and returns once all up to there has been played."""
        if not self.ended:
            self._move(min(max(moment, self.now()), self.length_s))
            await self._caught_up.wait()

    @property
    def _position_s(self) -> float:
        if self._paused:
            return self._from_s
        if self._speed == 0:
            return self.length_s
        return min(self.length_s, self._from_s + (self._real() - self._since) * self._speed)

    def _move(self, to_s: float) -> None:
        self._from_s, self._since = to_s, self._real()
        self._caught_up.clear()
        self._moved.set()

    async def reach(self, at_s: float) -> None:
        """Returns when an item of that time is due."""
        self.next_s = max(self.next_s, at_s)
        while (behind_s := at_s - self._position_s) > 0:
            self._caught_up.set()
            self._moved.clear()
            try:
                async with asyncio.timeout(None if self._paused else behind_s / self._speed):
                    await self._moved.wait()
            except TimeoutError:
                pass

    async def run_out(self) -> None:
        """Lets the clock come to the end; to be called when there is no further item."""
        await self.reach(self.length_s)
        self._caught_up.set()


class ReplaySource:
    """Plays a tape into the console, under the names that its agents had."""

    def __init__(self, tape: Tape) -> None:
        self.name = tape.name
        self.tape = tape

    async def run(self, sink: Sink) -> None:
        """Goes on until the end of the recording."""
        names: set[str] = set()
        held_since = time.monotonic()
        for recorded in read(self.tape.path):
            await self.tape.reach(recorded.at_s)
            if recorded.source not in names:
                names.add(recorded.source)
                sink.link(recorded.source, LinkState.REPLAY)
            sink.put(recorded.source, recorded.item)
            if time.monotonic() - held_since > SLICE_S:
                await asyncio.sleep(0)
                held_since = time.monotonic()
        await self.tape.run_out()
        for name in names:
            sink.link(name, LinkState.ENDED)


def _facts(path: Path) -> tuple[float, int]:
    """How long the recording is, and what the time was when it began (0 where it does not tell)."""
    length_s, wall_ns, offsets = 0.0, 0, dict[str, int]()
    for recorded in read(path):
        length_s = max(length_s, recorded.at_s)
        if wall_ns:
            continue
        match recorded.item:
            case Snapshot(node=node):
                offsets[recorded.source] = node.wall_offset_ns
            case Batch(events=[*_, last]):
                wall_ns = last.at_ns + offsets.get(recorded.source, 0) - int(recorded.at_s * 1e9)
            case _:
                pass
    return length_s, wall_ns
