"""Programs that are the console in a terminal, filled by a source that makes events up; each reports samples.

Run by `harness.terminal`, a process each: `python -m tests.benchmarks.harness.in_console load pools 20`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import psutil

from mee6.records import Batch, Event, Handover, Invocation, Log, Span, Stage, Step, What, Worker
from mee6tui.console.source import LinkState, Sink
from tests.benchmarks.harness.terminal import report

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

WORKERS: Final = 10_000
EVENTS: Final = 50_000
"""A second, in batches of 20 ms."""
HOUR_S: Final = 3600
HOUR_CALLS: Final = 40
"""A second, of which each is 13 events, while an hour is played."""
STATES: Final = ("busy", "warm", "paused", "prewarmed")
PAGES: Final = ("pools", "workers", "functions", "invocations", "nodes", "events", "handovers", "logs")
Samples = dict[str, list[float]]


class Made:
    """A source of made events.

    Args:
        then: what happens after the workers are known; it ends the console.
    """

    name = "bench"

    def __init__(self, then: Callable[[Sink], Awaitable[None]], workers: int = WORKERS) -> None:
        self.then = then
        self.workers = workers

    async def run(self, sink: Sink) -> None:
        """Plays."""
        sink.link(self.name, LinkState.LIVE)
        sink.put(self.name, batch(*(worker(number, "warm") for number in range(self.workers))))
        await self.then(sink)


def worker(number: int, state: str) -> Worker:
    """One of many."""
    at_ns = time.monotonic_ns()
    return Worker(
        f"w{number}", "python", state, "ann", f"f{number % 40}", 1, "direct", "", at_ns, number, "", 7, 1 << 24
    )


def batch(*what: What, at_ns: int = 0) -> Batch:
    """An item as an agent sends it."""
    at_ns = at_ns or time.monotonic_ns()
    return Batch(1, tuple(Event(at_ns, one) for one in what))


def console(
    then: Callable[[Sink], Awaitable[Samples]],
    page: str,
    workers: int = WORKERS,
    now: Callable[[], float] = time.monotonic,
) -> ConsoleApp:
    """The console on a page, which reports what `then` found."""
    from mee6tui.console.app import ConsoleApp
    from mee6tui.console.screens.page import Place

    async def play(sink: Sink) -> None:
        app.go(Place(page))
        await asyncio.sleep(2)  # until all is laid out and the collector has been told
        try:
            report(json.dumps(await then(sink)))
        finally:
            app.exit()

    app = ConsoleApp([Made(play, workers)], now=now)
    return app


def many() -> list[Event]:
    """A second's worth, made beforehand, since making them is the agent's work: every worker in other states."""
    at_ns = time.monotonic_ns()
    states = [STATES[(number + number // WORKERS) % len(STATES)] for number in range(EVENTS)]
    return [Event(at_ns, worker(number % WORKERS, state)) for number, state in enumerate(states)]


async def feed(sink: Sink, made: list[Event], seconds: float, every_second: Callable[[float], None]) -> None:
    """Sends as many as are due, every 20 ms; tells each second how long it truly was."""
    began = before = time.monotonic()
    sent = 0
    while (now := time.monotonic()) < began + seconds:
        due = int((now - began) * EVENTS)
        await sink.take("bench", Batch(1, tuple(made[place % EVENTS] for place in range(sent, due))))
        sent = due
        if now - before >= 1:
            every_second(now - before)
            before = now
        await asyncio.sleep(0.02)


def load(page: str, seconds: int) -> None:
    """Frames, the loop's lateness, and what each second took and painted, under load."""
    found: Samples = {name: [] for name in ("frame", "flush", "late", "cpu", "taking", "fps", "taken", "written")}
    spent = {"taking": 0.0, "written": 0.0}
    _clocked(found, spent)

    async def tick() -> None:
        while True:
            began = time.monotonic_ns()
            await asyncio.sleep(0.01)
            found["late"].append(max(0, time.monotonic_ns() - began - 10_000_000))

    made = many()

    async def then(sink: Sink) -> Samples:
        for samples in found.values():
            samples.clear()
        ticking = asyncio.create_task(tick())
        cpu, frames = time.process_time_ns(), 0
        spent.update(taking=0.0, written=0.0)
        numbered = sink.store.numbered

        def second(length_s: float) -> None:
            nonlocal cpu, frames, numbered
            now = time.process_time_ns()
            found["cpu"].append((now - cpu) / length_s)
            found["fps"].append((len(found["frame"]) - frames) / length_s)
            found["taken"].append((sink.store.numbered - numbered) / EVENTS / length_s)
            found["taking"].append(spent["taking"] / length_s)
            found["written"].append(spent["written"] / length_s)
            cpu, frames, numbered = now, len(found["frame"]), sink.store.numbered
            spent.update(taking=0.0, written=0.0)

        await feed(sink, made, seconds + 0.5, second)
        ticking.cancel()
        return found

    console(then, page).run()


def _clocked(found: Samples, spent: dict[str, float]) -> None:
    """Has the loop's thread note its CPU time: of a frame with the painting that follows it, and of taking in."""
    from textual.drivers.linux_driver import LinuxDriver
    from textual.screen import Screen

    from mee6tui.console.clock import FrameClock

    frame, paint, put, write = FrameClock.frame, Screen._on_timer_update, Sink.put, LinuxDriver.write

    def timed_frame(clock: FrameClock) -> bool:
        began = time.thread_time_ns()
        painted = frame(clock)
        found["flush"].append(time.thread_time_ns() - began)
        found["frame"].append(found["flush"][-1])
        return painted

    def timed_paint(screen: Any) -> None:
        began = time.thread_time_ns()
        paint(screen)
        if found["frame"]:
            found["frame"][-1] += time.thread_time_ns() - began

    def timed_put(sink: Sink, source: str, item: Batch) -> None:
        began = time.thread_time_ns()
        put(sink, source, item)
        spent["taking"] += time.thread_time_ns() - began

    def counted_write(driver: Any, data: str) -> None:
        spent["written"] += len(data)
        write(driver, data)

    FrameClock.frame, Sink.put = timed_frame, timed_put  # type: ignore[method-assign, assignment]
    Screen._on_timer_update, LinuxDriver.write = timed_paint, counted_write  # type: ignore[method-assign, assignment]


def idle(page: str, seconds: int) -> None:
    """CPU of seconds in which nothing comes."""

    async def then(_sink: Sink) -> Samples:
        used: list[float] = []
        for _ in range(seconds):
            before = time.process_time_ns()
            await asyncio.sleep(1)
            used.append(time.process_time_ns() - before)
        return {"cpu": used}

    console(then, page, workers=200).run()


def marks(events: int, loaded: int) -> None:
    """When invocations with names that can be found on the screen came: nanoseconds, under their names.

    Args:
        loaded: whether all else comes beside.
    """

    async def then(sink: Sink) -> Samples:
        sent: Samples = {}
        made = many() if loaded else []
        feeding = asyncio.create_task(feed(sink, made, 1e9, lambda _sent: None)) if loaded else None
        for number in range(events):
            mark = f"mark{number:05}"
            at_ns = time.monotonic_ns()
            sent[mark] = [at_ns]
            sink.put("bench", batch(Invocation(mark, "ann", "f1", 1, "running", "w1", "warm", at_ns, 0, "")))
            await asyncio.sleep(0.107)  # no multiple of a frame
        if feeding:
            feeding.cancel()
        await asyncio.sleep(0.5)
        return sent

    console(then, "invocations", workers=WORKERS if loaded else 100).run()


def calls(second: int, part: int, at_ns: int) -> Iterator[What]:
    """What happens in a tenth of a second of the hour: a tenth of the calls, whole, with their output."""
    for number in range(HOUR_CALLS // 10):
        id_, place = f"i{second}.{part}.{number}", (second * 7 + number) % 500
        name, function = f"w{place}", f"f{place % 40}"
        spans = (Span("queued", at_ns, at_ns + 1000), Span("run", at_ns + 1000, 0))
        yield Worker(name, "python", "busy", "ann", function, 1, "direct", id_, at_ns, second, "", 7, 1 << 24)
        yield Invocation(id_, "ann", function, 1, "running", name, "warm", at_ns, 0, "")
        yield Step(id_, "", function, 1, name, "warm", "direct", "running", 7, "", spans, id_)
        for line in range(4):
            yield Log(id_, function, name, "out", f"{line}: handled {id_} in 12 ms\n", 0)
        yield Step(f"{id_}.1", id_, function, 1, name, "warm", "direct", "succeeded", 7, "", spans, id_)
        yield Step(id_, "", function, 1, name, "warm", "direct", "succeeded", 7, "", spans, id_)
        yield Invocation(id_, "ann", function, 1, "succeeded", name, "warm", at_ns, at_ns + 12_000_000, "")
        yield Worker(name, "python", "warm", "ann", function, 1, "direct", "", at_ns, second, "", 7, 1 << 24)
        yield Handover(name, "alone", "", 7, id_, "ann", function, 8, (Stage("requested", at_ns),))
        gone = second % 60 == number  # and comes again
        state = "gone" if gone else "warm"
        yield Worker(name, "python", state, "ann", function, 1, "direct", "", at_ns, second, "", 7, 1 << 24)


def hour(seconds: int) -> None:
    """Resident memory after each minute of an hour that is played as fast as it goes; another page every minute."""
    from mee6tui.console.screens.page import Place

    at = 1000.0
    process = psutil.Process()
    found: Samples = {"rss": [], "events": []}

    async def then(sink: Sink) -> Samples:
        nonlocal at
        for second in range(seconds):
            for part in range(10):
                at += 0.1
                sink.put("bench", batch(*calls(second, part, int(at * 1e9)), at_ns=int(at * 1e9)))
            await asyncio.sleep(0)
            if second % 60 == 59:
                await asyncio.sleep(0.06)  # so that each page is painted
                found["rss"].append(process.memory_info().rss)
                app.go(Place(PAGES[(second // 60) % len(PAGES)]))
        found["events"].append(sink.store.numbered)
        return found

    app = console(then, "pools", 500, now=lambda: at)
    app.run()


RUNS: Final[Mapping[str, Callable[[list[str]], None]]] = {
    "load": lambda told: load(told[0], int(told[1])),
    "idle": lambda told: idle(told[0], int(told[1])),
    "marks": lambda told: marks(int(told[0]), int(told[1])),
    "hour": lambda told: hour(int(told[0])),
}

if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    RUNS[sys.argv[1]](sys.argv[2:])
