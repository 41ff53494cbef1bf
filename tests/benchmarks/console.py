"""What does the console cost: frames at load, event to screen, idle, its start, an hour's memory, warm calls beside?"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from bisect import bisect_left
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks import watchers
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.benchmarks.harness.in_console import EVENTS, HOUR_S, WORKERS, Samples
from tests.benchmarks.harness.terminal import terminal

MARK: Final = re.compile(rb"mark\d{5}")
RECORDING: Final = Path(__file__).parents[1] / "console" / "recordings" / "busy.jsonl"
WARM_MINUTES: Final = 24
"""After so many, all that is bounded is full: what is kept of logs is after 11, and its page has seen it since."""
PROGRAM: Final = "tests.benchmarks.harness.in_console"


async def measure(bench: Bench) -> None:
    """Rows: of processes of their own in real terminals of 160x45; under 6 minutes on two cores."""
    bench.notes.append(
        f"at load: {WORKERS:,} workers and {EVENTS:,} events/s fed in; CPU is the loop's, but of a second the process's"
    )
    bench.add("start to first paint", [await _first_paint() for _ in range(bench.count(20))], "ms")
    for page in ("pools", "workers"):
        found = await _run("load", page, str(bench.count(20)))
        load = f"{page} at load"
        bench.add(f"{load}: CPU of a frame, painted", found["frame"], "ms")
        bench.add(f"{load}: CPU of a frame before Textual paints it", found["flush"], "ms")
        bench.add(f"{load}: loop late", found["late"], "ms")
        bench.add(f"{load}: frames", found["fps"], "1/s")
        bench.add(f"{load}: taken in", found["taken"], "%", note="of what was due, second by second")
        bench.add(f"{load}: CPU of taking in, a second", found["taking"], "ms")
        bench.add(f"{load}: CPU of a second, all", found["cpu"], "ms")
        bench.add(f"{load}: written to the terminal, a second", found["written"], "MB")
    bench.add("event to screen", await _latency(bench.count(200), loaded=False), "ms", note="nothing else comes")
    bench.add("event to screen, at load", await _latency(bench.count(100), loaded=True), "ms")
    bench.add("idle: CPU of a second", (await _run("idle", "pools", str(bench.count(20))))["cpu"], "ms")
    await _beside_an_agent(bench)
    await _hour(bench)


async def _run(what: str, *arguments: str) -> Samples:
    async with terminal("-m", PROGRAM, what, *arguments) as running:
        found: Samples = json.loads(await running.reported(300))
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


async def _latency(events: int, *, loaded: bool) -> list[float]:
    """Nanoseconds from an event's arrival to its name in the terminal."""
    came: dict[str, int] = {}
    rest = b""

    def seen(more: bytes) -> None:
        nonlocal rest
        now = time.monotonic_ns()
        for mark in MARK.findall(rest + more):
            came.setdefault(mark.decode(), now)
        rest = (rest + more)[-8:]

    async with terminal("-m", PROGRAM, "marks", str(events), str(int(loaded)), seen=seen) as running:
        sent: Samples = json.loads(await running.reported(60 + events))
    return [came[mark] - at for mark, (at,) in sent.items() if mark in came]


async def _through_an_agent(running: Running, calls: int) -> list[float]:
    """Nanoseconds from asking for an invocation to its id in the terminal, the agent's batch and gRPC included."""
    text, came = bytearray(), list[tuple[int, int]]()

    def seen(more: bytes) -> None:
        text.extend(more)
        came.append((len(text), time.monotonic_ns()))

    asked: dict[str, int] = {}
    async with watchers.console(running, seen=seen) as shown:
        async with asyncio.timeout(60):
            while b"BEGAN" not in text:  # a key that comes before it can be obeyed is lost
                await asyncio.sleep(1)
                os.write(shown.screen, b"4")  # its invocations
        await asyncio.sleep(1)
        for _ in range(calls):
            began = time.monotonic_ns()
            asked[await running.client.submit("echo", PAYLOAD)] = began
            await asyncio.sleep(0.207)
    found = {id_: text.find(id_.encode()) for id_ in asked}
    ends = [end for end, _at in came]
    return [came[bisect_left(ends, place + len(id_))][1] - asked[id_] for id_, place in found.items() if place >= 0]


async def _beside_an_agent(bench: Bench) -> None:
    async with bench.agent(linger_s=600.0, prewarm={}) as running:
        async with watchers.console(running) as shown:
            await watchers.attached(running, 1)
            await asyncio.sleep(3)
            process, seconds = psutil.Process(shown.process.pid), bench.count(20)
            before = sum(process.cpu_times()[:2])
            await asyncio.sleep(seconds)
            used_s = (sum(process.cpu_times()[:2]) - before) / seconds
        bench.add("idle, on an agent that is idle too: CPU of a second", [used_s * 1e9], "ms", note=f"of {seconds} s")
        await running.function("echo", ECHO["python"])
        took = await _through_an_agent(running, bench.count(100))
        bench.add("invocation to screen, through an agent", took, "ms", note="nothing else happens")
        await watchers.attached(running, 0)
        await watchers.warm(bench, running, rounds=max(2, bench.count(8)), calls=300, beside=("three consoles",))


async def _hour(bench: Bench) -> None:
    """An hour's worth of events, played in some tens of seconds; with `--quick`, of half an hour."""
    found = await _run("hour", str(HOUR_S // 2 if bench.quick else HOUR_S))
    rss, events = found["rss"], found["events"][0]
    grown = (rss[-1] - rss[WARM_MINUTES - 1]) / (1 << 20)
    name = f"memory, an hour of {events / len(rss) / 60:.0f} events/s"
    bench.add(f"{name}: minute {WARM_MINUTES}", rss[WARM_MINUTES - 1 : WARM_MINUTES], "MB")
    note = f"a sample a minute; at the end {grown:+.1f} MB"
    bench.add(f"{name}: from then on", rss[WARM_MINUTES:], "MB", note=note)
