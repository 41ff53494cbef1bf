"""Sending, with real time and calls of a few milliseconds."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from mee6tui.bench import load
from mee6tui.bench.arrivals import uniform
from mee6tui.bench.figures import Figures, Tally
from mee6tui.bench.load import UNSENT, Sender, TimerAlarm, closed_loop, open_loop

MS = 1_000_000


def kind_of(error: BaseException) -> str:
    return type(error).__name__


async def opened(send: Sender, rate: float, duration_s: float, warmup_s: float = 0.0) -> Figures:
    figures = Figures("uniform", [Tally("it")], rate=rate)
    with TimerAlarm() as alarm:
        schedule = uniform(rate, [1.0], Random(1))
        await open_loop(figures, [send], schedule, alarm, duration_s, warmup_s, kind_of)
    return figures


async def test_a_stall_shows_in_all_the_calls_it_kept_waiting() -> None:
    """What coordinated omission would hide: one slow answer, behind which the others stand in line."""
    server, answered = asyncio.Lock(), 0

    async def send() -> None:
        nonlocal answered
        async with server:
            answered += 1
            if answered == 1:
                await asyncio.sleep(0.1)

    figures = await opened(send, rate=200, duration_s=0.2)
    (tally,) = figures.tallies
    assert tally.latency.count == 40
    assert sum(count for value, count in _values(tally) if value > 20 * MS) >= 12
    closed = Figures("closed", [Tally("it")], callers=1)
    answered = 0
    await closed_loop(closed, [send], [1.0], Random(1), 0.2, 0.0, kind_of)
    (tally,) = closed.tallies
    assert sum(count for value, count in _values(tally) if value > 20 * MS) < tally.latency.count / 10


def _values(tally: Tally) -> list[tuple[int, int]]:
    points = list(tally.latency.points())
    return [(value, seen - before) for (value, seen), (_v, before) in zip(points, [(0, 0), *points], strict=False)]


async def test_calls_of_the_warm_up_are_sent_and_not_counted() -> None:
    sent = 0

    async def send() -> None:
        nonlocal sent
        sent += 1

    figures = await opened(send, rate=100, duration_s=0.1, warmup_s=0.1)
    assert (sent, figures.latency.count, figures.late.count) == (20, 10, 10)


async def test_failures_are_counted_by_kind_and_have_no_latency() -> None:
    async def send() -> None:
        raise ValueError("no")

    figures = await opened(send, rate=100, duration_s=0.05)
    assert (figures.latency.count, figures.errors) == (0, {"ValueError": 5})


async def test_what_is_beyond_the_bound_is_not_sent_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MOST_UNDER_WAY", 3)

    async def send() -> None:
        await asyncio.sleep(0.2)

    figures = await opened(send, rate=1000, duration_s=0.01)
    assert (figures.latency.count, figures.errors) == (3, {UNSENT: 7})


async def test_a_generator_that_is_kept_from_sending_says_so() -> None:
    async def send() -> None:
        time.sleep(0.005)  # noqa: ASYNC251 - that is the point

    figures = await opened(send, rate=1000, duration_s=0.05)
    assert not figures.kept_up
    assert figures.late.most > 10 * MS
    assert figures.latency.most > 10 * MS


async def test_a_closed_loop_has_no_more_calls_under_way_than_callers() -> None:
    under_way = most = 0

    async def send() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.002)
        under_way -= 1

    figures = Figures("closed", [Tally("a"), Tally("b")], callers=3)
    await closed_loop(figures, [send, send], [3.0, 1.0], Random(1), 0.1, 0.02, kind_of)
    assert most == 3
    first, second = figures.tallies
    assert first.latency.count > second.latency.count > 0
    assert figures.seconds >= 0.1


async def test_the_alarm_rings_at_its_time_and_not_before() -> None:
    with TimerAlarm() as alarm:
        late = []
        for _ in range(20):
            at = time.monotonic_ns() + 3 * MS
            await alarm.until(at)
            late.append(time.monotonic_ns() - at)
        await alarm.until(0)
    assert min(late) >= 0
    assert min(late) < MS
