"""Sending: an open loop, which keeps its schedule whatever becomes of the calls, and a closed one.

In an open loop a call's latency counts from when it was to be sent, so that one slow answer shows in all the calls that
it kept waiting: there is no coordinated omission. In a closed loop each caller waits for its answer before it calls
again: it measures how much a system takes, and hides how long others would have waited.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from types import TracebackType
from typing import Final, Protocol, Self

from mee6tui.bench.arrivals import Arrivals
from mee6tui.bench.figures import Figures

MOST_UNDER_WAY: Final = 20_000
"""Calls without an answer; what is to be sent beyond is counted as not sent."""
UNSENT: Final = "not sent: too many under way"
BREATH: Final = 32
"""Sends in a row before answers are looked at."""

Sender = Callable[[], Awaitable[None]]
"""Makes one call; what it raises is its failure."""


class Alarm(Protocol):
    """Waits for a moment of the monotonic clock."""

    async def until(self, at_ns: int) -> None:
        """Returns at that moment, or at once where it has passed."""
        ...


class TimerAlarm:
    """By a timer of the kernel, some 50 us exact: an event loop's own timers come up to a millisecond late."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = -1
        self._rang = asyncio.Event()

    def __enter__(self) -> Self:
        self._file = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        asyncio.get_running_loop().add_reader(self._file, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    async def until(self, at_ns: int) -> None:
        """See `Alarm`."""
        if at_ns <= time.monotonic_ns():
            return
        seconds, nanoseconds = divmod(at_ns, 1_000_000_000)
        spec = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)  # struct itimerspec: no interval, the moment
        self._rang.clear()
        self._libc.timerfd_settime(self._file, 1, spec, None)  # 1: TFD_TIMER_ABSTIME
        await self._rang.wait()

    def _ring(self) -> None:
        os.read(self._file, 8)
        self._rang.set()


async def open_loop(
    figures: Figures,
    senders: Sequence[Sender],
    arrivals: Arrivals,
    alarm: Alarm,
    duration_s: float,
    warmup_s: float,
    kind_of: Callable[[BaseException], str],
) -> None:
    """Sends calls at their times, and waits for all answers.

    Args:
        senders: of each of `figures.tallies`.
        warmup_s: calls of the first so many seconds are sent, and not counted.
        kind_of: what a failure is counted as.
    """
    start = time.monotonic_ns()
    counted_from, until = int(warmup_s * 1e9), int((warmup_s + duration_s) * 1e9)
    under_way: set[asyncio.Task[None]] = set()
    in_a_row = 0
    for at_s, number in arrivals:
        at_ns = int(at_s * 1e9)
        if at_ns >= until:
            break
        counted, due = at_ns >= counted_from, start + at_ns
        if due > time.monotonic_ns():
            await alarm.until(due)
            in_a_row = 0
        elif (in_a_row := in_a_row + 1) % BREATH == 0:
            await asyncio.sleep(0)
        if len(under_way) >= MOST_UNDER_WAY:
            figures.tallies[number].errors[UNSENT] += counted
            continue
        if counted:
            figures.sent(time.monotonic_ns() - due)
        task = asyncio.create_task(_call(figures, number, senders[number], due, kind_of, counted=counted))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    while under_way:
        await asyncio.wait(under_way)
    figures.seconds = max((time.monotonic_ns() - start - counted_from) / 1e9, duration_s)


async def closed_loop(
    figures: Figures,
    senders: Sequence[Sender],
    weights: Sequence[float],
    random: Random,
    duration_s: float,
    warmup_s: float,
    kind_of: Callable[[BaseException], str],
) -> None:
    """Has `figures.callers` callers call again as soon as they have their answer, and waits for the last ones."""
    start = time.monotonic_ns()
    counted_from, until = start + int(warmup_s * 1e9), start + int((warmup_s + duration_s) * 1e9)
    numbers = range(len(senders))

    async def caller() -> None:
        while (now := time.monotonic_ns()) < until:
            number = random.choices(numbers, weights)[0]
            await _call(figures, number, senders[number], now, kind_of, counted=now >= counted_from)

    async with asyncio.TaskGroup() as group:
        for _ in range(figures.callers):
            group.create_task(caller())
    figures.seconds = max((time.monotonic_ns() - counted_from) / 1e9, duration_s)


async def _call(
    figures: Figures, number: int, send: Sender, due: int, kind_of: Callable[[BaseException], str], *, counted: bool
) -> None:
    tally = figures.tallies[number]
    try:
        await send()
    except Exception as error:
        if counted:
            tally.errors[kind_of(error)] += 1
    else:
        if counted:
            tally.latency.add(time.monotonic_ns() - due)
