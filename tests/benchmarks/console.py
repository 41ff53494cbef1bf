"""What does the console cost: a frame under load, from event to screen, when idle, to open, and in memory?"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import psutil

from mee6.records import Batch, Event, Invocation, Worker
from mee6tui.console.source import Item, LinkState, Sink
from tests.benchmarks.harness.bench import Bench
from tests.benchmarks.harness.terminal import report, terminal

WORKERS: Final = 10_000
EVENTS: Final = 50_000
"""A second, in batches of 20 ms."""
HOUR_S: Final = 3600
HOUR_EVENTS: Final = 200
"""A second, while an hour is replayed."""
MARK: Final = re.compile(rb"mark\d{5}")
RECORDING: Final = Path(__file__).parents[1] / "console" / "recordings" / "busy.jsonl"
STATES: Final = ("busy", "warm", "paused", "prewarmed")


async def measure(bench: Bench) -> None:
    """Rows: of a process of its own in a real terminal of 160x45."""
    bench.add("start to first paint", [await _first_paint() for _ in range(bench.count(20))], "ms")
    for page in ("pools", "workers"):
        found = await _run("load", page, str(bench.count(20)))
        load = f"{page}, {WORKERS:,} workers, {EVENTS:,} events/s"
        bench.add(f"{load}: CPU of a frame", found["frames"], "ms")
        bench.add(f"{load}: loop late", found["late"], "ms")
        bench.add(f"{load}: CPU of a second", found["cpu"], "ms", note=f"{found['painted'][0]} frames/s")
        bench.add(f"{load}: CPU of taking in, a second", found["taken"], "ms", note=f"{found['applied'][0]:,} events/s")
    bench.add("event to screen", await _latency(bench.count(300)), "ms")
    bench.add("idle: CPU of a second", (await _run("idle", "pools", str(bench.count(20))))["cpu"], "ms")
    hour = await _run("hour", str(HOUR_S if not bench.quick else HOUR_S // 10))
    bench.add(f"memory, an hour of {HOUR_EVENTS} events/s", hour["rss"], "MB", note="a sample every minute")


async def _run(what: str, *arguments: str) -> dict[str, list[int]]:
    async with terminal("-m", __name__, what, *arguments) as running:
        found: dict[str, list[int]] = json.loads(await running.reported(300))
    return found


async def _first_paint() -> int:
    """Nanoseconds from starting `mee6 console` to the first text of its page."""
    painted = asyncio.Event()
    written = b""

    def seen(more: bytes) -> None:
        nonlocal written
        written += more
        if b"pools" in written:
            painted.set()

    began = time.monotonic_ns()
    async with terminal("-m", "mee6tui.cli.main", "console", "--replay", str(RECORDING), seen=seen):
        await asyncio.wait_for(painted.wait(), 60)
        return time.monotonic_ns() - began


async def _latency(events: int) -> list[int]:
    """Nanoseconds from an event's arrival to its name in the terminal."""
    came: dict[str, int] = {}
    rest = b""

    def seen(more: bytes) -> None:
        nonlocal rest
        now = time.monotonic_ns()
        for mark in MARK.findall(rest + more):
            came.setdefault(mark.decode(), now)
        rest = (rest + more)[-8:]

    async with terminal("-m", __name__, "marks", str(events), seen=seen) as running:
        sent: dict[str, int] = json.loads(await running.reported(60 + events))
    return [came[mark] - at for mark, at in sent.items() if mark in came]


# In the terminal


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
        sink.put(self.name, batch([worker(number, "warm") for number in range(self.workers)]))
        await self.then(sink)


def worker(number: int, state: str) -> Worker:
    """One of many."""
    at_ns = time.monotonic_ns()
    return Worker(
        f"w{number}", "python", state, "ann", f"f{number % 40}", 1, "direct", "", at_ns, number, "", 7, 1 << 24
    )


def invocation(name: str) -> Invocation:
    """One that runs."""
    return Invocation(name, "ann", "f1", 1, "running", "w1", "warm", time.monotonic_ns(), 0, "")


def batch(what: list[Worker] | list[Invocation]) -> Item:
    """An item as an agent sends it."""
    at_ns = time.monotonic_ns()
    return Batch(1, tuple(Event(at_ns, one) for one in what))


def _console(then: Callable[[Sink], Awaitable[None]], page: str, workers: int = WORKERS) -> None:
    from mee6tui.console.app import ConsoleApp
    from mee6tui.console.screens.page import Place

    async def play(sink: Sink) -> None:
        app.go(Place(page))
        await asyncio.sleep(2)  # until all is laid out and the collector has been told
        await then(sink)
        app.exit()

    app = ConsoleApp([Made(play, workers)])
    app.run()


def _load(page: str, seconds: int) -> None:
    from mee6tui.console.clock import FrameClock

    frames: list[int] = []
    original = FrameClock.frame

    def frame(clock: FrameClock) -> None:
        began = time.thread_time_ns()
        original(clock)
        frames.append(time.thread_time_ns() - began)

    FrameClock.frame = frame  # type: ignore[method-assign, assignment]  # its argument has another name
    puts: list[int] = []
    original_put = Sink.put

    def put(sink: Sink, source: str, item: Item) -> None:
        began = time.thread_time_ns()
        original_put(sink, source, item)
        puts.append(time.thread_time_ns() - began)

    Sink.put = put  # type: ignore[method-assign, assignment]  # its argument has another name
    late: list[int] = []

    async def tick() -> None:
        while True:
            began = time.monotonic_ns()
            await asyncio.sleep(0.01)
            late.append(max(0, time.monotonic_ns() - began - 10_000_000))

    made = [  # beforehand: their making is the agent's work
        Event(time.monotonic_ns(), worker(number % WORKERS, STATES[(number + number // WORKERS) % len(STATES)]))
        for number in range(EVENTS)
    ]

    async def then(sink: Sink) -> None:
        frames.clear()
        ticking = asyncio.create_task(tick())
        began = time.monotonic()
        puts.clear()
        cpu, before, sent = time.process_time_ns(), began, 0
        seconds_cpu, taken = list[int](), list[int]()
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) * EVENTS)
            chunk = Batch(1, tuple(made[place % EVENTS] for place in range(sent, due)))
            sent = due
            await sink.take("bench", chunk)
            if now - before >= 1:
                used = time.process_time_ns()
                seconds_cpu.append(used - cpu)
                taken.append(sum(puts))
                puts.clear()
                cpu, before = used, now
            await asyncio.sleep(0.02)
        ticking.cancel()
        passed = time.monotonic() - began
        figures = {"frames": frames, "late": late, "cpu": seconds_cpu, "taken": taken}
        report(json.dumps(figures | {"applied": [int(sent / passed)], "painted": [int(len(frames) / passed)]}))

    _console(then, page)


def _idle(page: str, seconds: int) -> None:
    async def then(_sink: Sink) -> None:
        used = []
        for _ in range(seconds):
            before = time.process_time_ns()
            await asyncio.sleep(1)
            used.append(time.process_time_ns() - before)
        report(json.dumps({"cpu": used}))

    _console(then, page, workers=200)


def _marks(events: int) -> None:
    async def then(sink: Sink) -> None:
        sent: dict[str, int] = {}
        for number in range(events):
            mark = f"mark{number:05}"
            sent[mark] = time.monotonic_ns()
            sink.put("bench", batch([invocation(mark)]))
            await asyncio.sleep(0.107)  # no multiple of a frame
        await asyncio.sleep(0.5)
        report(json.dumps(sent))

    _console(then, "invocations", workers=100)


def _hour(seconds: int) -> None:
    from mee6tui.console.app import ConsoleApp

    at, process, rss = 0.0, psutil.Process(), list[int]()
    app = ConsoleApp([], now=lambda: at)
    for second in range(seconds):
        for part in range(5):
            at = second + part / 5
            at_ns = int(at * 1e9)
            each = HOUR_EVENTS // 5
            names = [f"i{second}.{part}.{number}" for number in range(each // 2)]
            running = [
                Event(at_ns, Invocation(name, "ann", "f1", 1, "running", "w1", "warm", at_ns, 0, "")) for name in names
            ]
            ended = [
                Event(at_ns, Invocation(name, "ann", "f1", 1, "succeeded", "w1", "warm", at_ns, at_ns + 9, ""))
                for name in names
            ]
            app.sink.put("bench", Batch(1, (*running, *ended)))
        app.store.tick(at)
        if second % 60 == 59:
            rss.append(process.memory_info().rss)
    report(json.dumps({"rss": rss}))


RUNS: Final[Mapping[str, Callable[[list[str]], None]]] = {
    "load": lambda told: _load(told[0], int(told[1])),
    "idle": lambda told: _idle(told[0], int(told[1])),
    "marks": lambda told: _marks(int(told[0])),
    "hour": lambda told: _hour(int(told[0])),
}

if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    RUNS[sys.argv[1]](sys.argv[2:])
