"""The frame clock: the only painter.

What comes after a pause is painted at once; what comes then, with the next frame, at a rate that the terminal can
take: a frame is left out while earlier ones are still being written, so that a slow link never holds up the event
loop. A terminal without focus gets a few frames only, and so does one of which nothing has come for a while.
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
SETTLING_FPS: Final = 5.0
"""After what came: what was lit up fades, and lines that there was no time for follow."""
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


@dataclass(slots=True)
class Pace:
    """When the next frame is due. Pure; times are seconds of one clock."""

    stirred: bool = False
    """Whether something came since the last frame."""
    happened: bool = False
    """Whether something was among it that leaves a frame to follow; what is only measured anew does not."""
    began: float = float("-inf")
    """The begin of the last frame."""
    free: float = float("-inf")
    """Until then, keys and what comes have their turn: for as long as the frame took."""
    shown: float = float("-inf")
    """The begin of the last frame that had something to show."""
    fresh: float = float("-inf")
    """The begin of the last one that showed what had happened."""

    def due(self, fps: float, *, moves: bool) -> float:
        """When the next frame is to begin.

        Args:
            fps: at most so many frames a second.
            moves: whether what is shown changes by itself.
        """
        if self.stirred or moves:
            earliest = self.shown + 1 / fps
        elif self.began - self.fresh < IDLE_S:
            earliest = self.began + 1 / min(fps, SETTLING_FPS)
        else:
            earliest = self.began + 1 / min(fps, IDLE_FPS)
        return max(earliest, self.free)

    def painted(self, began: float, ended: float, *, moves: bool, whole: bool) -> None:
        """A frame was painted, or left out where it is not `whole`."""
        if self.stirred or moves:
            self.shown = began
        if self.happened or moves:
            self.fresh = began
        self.began, self.free = began, ended + (ended - began)
        self.stirred, self.happened = not whole, self.happened and not whole


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
        self._limit = fps
        self._backlog = backlog
        self._moves = moves
        self._pace = Pace()
        self._hurried = False
        self._wake = asyncio.Event()

    def hurry(self) -> None:
        """Paints at once: something was asked for, or the focus came back."""
        self._hurried = self._pace.stirred = self._pace.happened = True
        self._wake.set()

    def stir(self, *, measured: bool = False) -> None:
        """Something came: paints with the next frame, which is now where the last such one was long ago.

        Args:
            measured: nothing happened, something was measured anew: one frame shows all of it.
        """
        if not measured:
            self._pace.happened = True
        if not self._pace.stirred:
            self._pace.stirred = True
            self._wake.set()

    def frame(self) -> bool:
        """Paints, or leaves it out where the terminal is behind; whether it painted."""
        figures = self.figures
        if self._backlog() >= BACKLOG:
            figures.skipped += 1
            figures.fps = max(SLOWEST_FPS, figures.fps * 0.7)
            return False
        before, self._limit = self._limit, self.target_fps if self.focused else min(BLURRED_FPS, self.target_fps)
        figures.fps = self._limit if before < self._limit else min(self._limit, figures.fps * 1.1)
        began = time.perf_counter()
        self.flush(self.now())
        figures.frames += 1
        figures.frame_ms += ((time.perf_counter() - began) * 1e3 - figures.frame_ms) / 20
        return True

    async def run(self) -> None:
        """Goes on for as long as the console does."""
        loop, pace = asyncio.get_running_loop(), self._pace
        while True:
            late_s = await self._next_frame(loop)
            self.figures.lag_ms += (late_s * 1e3 - self.figures.lag_ms) / 20
            self._hurried = False
            began, moves = loop.time(), self._moves()
            whole = self.frame()
            pace.painted(began, loop.time(), moves=moves, whole=whole)

    async def _next_frame(self, loop: asyncio.AbstractEventLoop) -> float:
        """Waits until a frame is due, or something was asked for; how late that is."""
        await asyncio.sleep(0)  # whatever is asked for while painting, others have their turn
        late_s = 0.0
        while True:
            self._wake.clear()
            due = self._pace.due(self.figures.fps, moves=self._moves())
            if self._hurried or due <= loop.time():
                return late_s
            timer = loop.call_at(due, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
            late_s = max(0.0, loop.time() - due)
