"""The frame clock: the only painter.

It calls `flush` at a rate that the terminal can take: a frame is left out while earlier ones are still being
written, so that a slow link never holds up the event loop. A terminal without focus gets a few frames only, and so
does one of which nothing has come for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FPS: Final = 20.0
BLURRED_FPS: Final = 2.0
SLOWEST_FPS: Final = 1.0
IDLE_FPS: Final = 2.0
IDLE_S: Final = 1.0
"""Where nothing has come for so long, only ages change, and few frames do."""
BACKLOG: Final = 2
"""Frames that wait to be written, from which on no further one is made."""


@dataclass(slots=True)
class Figures:
    """How painting goes, for the console's page on itself."""

    fps: float = FPS
    frames: int = 0
    skipped: int = 0
    frame_ms: float = 0.0
    """What a frame took, averaged over about the last twenty."""
    lag_ms: float = 0.0
    """How late the loop was, likewise."""


class FrameClock:
    """Paints until it is cancelled.

    Args:
        flush: paints what has changed; given the time.
        backlog: how many frames wait to be written.
        moves: whether what is shown changes by itself, without anything that comes.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        flush: Callable[[float], None],
        backlog: Callable[[], int] = lambda: 0,
        moves: Callable[[], bool] = lambda: False,
        *,
        now: Callable[[], float] = time.monotonic,
        fps: float = FPS,
    ) -> None:
        self.flush = flush
        self.now = now
        self.target_fps = fps
        self.focused = True
        """Whether the terminal says that it has the focus."""
        self.figures = Figures(fps)
        self._backlog = backlog
        self._moves = moves
        self._wake = asyncio.Event()
        self._quiet_frames = 0

    def hurry(self) -> None:
        """Paints at once: something was asked for, or the focus came back."""
        self._wake.set()

    def stir(self) -> None:
        """Something came: paints with the next frame, and at the full rate for a while."""
        if self._is_idle:
            self._wake.set()
        self._quiet_frames = 0

    @property
    def _is_idle(self) -> bool:
        return self._quiet_frames > IDLE_S * self.target_fps

    def frame(self) -> None:
        """Paints, or leaves it out where the terminal is behind."""
        figures = self.figures
        if self._backlog() >= BACKLOG:
            figures.skipped += 1
            figures.fps = max(SLOWEST_FPS, figures.fps * 0.7)
            return
        limit = self.target_fps if self.focused else min(BLURRED_FPS, self.target_fps)
        figures.fps = min(limit, figures.fps * 1.1)
        began = time.perf_counter()
        self.flush(self.now())
        figures.frames += 1
        figures.frame_ms += ((time.perf_counter() - began) * 1e3 - figures.frame_ms) / 20

    async def run(self) -> None:
        """Goes on for as long as the console does."""
        loop = asyncio.get_running_loop()
        while True:
            self._quiet_frames = 0 if self._moves() else self._quiet_frames + 1
            pause_s = 1 / (min(IDLE_FPS, self.figures.fps) if self._is_idle else self.figures.fps)
            due = loop.time() + pause_s
            self._wake.clear()
            timer = loop.call_at(due, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
            late_ms = max(0.0, loop.time() - due) * 1e3
            self.figures.lag_ms += (late_ms - self.figures.lag_ms) / 20
            self.frame()
