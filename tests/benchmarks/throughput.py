"""How many invocations a second does one stream carry with 1, 8 and 32 callers, each waiting for its reply?"""

from __future__ import annotations

import asyncio
from time import monotonic_ns

from mee6.stream import InvokeStream
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench

CALLERS = (1, 8, 32)


async def measure(bench: Bench) -> None:
    """Rows: invocations in each of several seconds, and the latency meanwhile."""
    seconds = bench.count(30) // 10 + 1
    async with bench.agent(linger_s=600.0, prewarm={}) as running, running.client.stream() as stream:
        await running.function("echo", ECHO["python"])
        for callers in CALLERS:
            await _load(stream, callers, 1.0)
            rates, took = [], []
            for _ in range(seconds):
                latencies = await _load(stream, callers, 1.0)
                rates.append(len(latencies))
                took += latencies
            workers = len(await running.client.workers())
            bench.add(f"{callers} callers, a second", rates, "1/s", note=f"{workers} workers")
            bench.add(f"{callers} callers, latency", took, "us")


async def _load(stream: InvokeStream, callers: int, seconds: float) -> list[int]:
    """Latencies of all that came back within the time."""
    until = monotonic_ns() + int(seconds * 1e9)
    took: list[int] = []

    async def call() -> None:
        while (began := monotonic_ns()) < until:
            await stream.invoke("echo", PAYLOAD)
            took.append(monotonic_ns() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
    return took
