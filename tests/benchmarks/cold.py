"""What does a function's first invocation cost: from a prewarmed worker, awake or paused, and from nothing?

Each sample is a function of its own, so that no worker holds it yet; the worker goes with the function. The
parts are the spans of the invocation's trace; what is not in them is gRPC, client and scheduling.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from time import monotonic_ns
from typing import Any

from mee6 import content
from mee6.records import Worker
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running

POOL = 2
AWAKE, PAUSED, NONE = "prewarmed, awake", "prewarmed, paused", "no worker"


async def measure(bench: Bench) -> None:
    """Rows: for each language and each pool, end to end and by spans."""
    for language in bench.languages:
        for pool in (AWAKE, PAUSED, NONE):
            settings: dict[str, Any] = {
                "prewarm": {} if pool == NONE else {language: POOL},
                "linger_s": 0.02 if pool == PAUSED else 600.0,
            }
            async with bench.agent(**settings) as running:
                await _first_calls(bench, running, language, pool)


async def _first_calls(bench: Bench, running: Running, language: str, pool: str) -> None:
    client = running.client
    whole: list[int] = []
    spans: defaultdict[str, list[int]] = defaultdict(list)
    starts: defaultdict[str, int] = defaultdict(int)
    for number in range(-2, bench.count(40)):
        name = f"first{number}"
        comment = "#" if language == "python" else "//"
        await running.function(name, f"{ECHO[language]}{comment} {number}\n", runtime=language)
        if pool != NONE:
            await running.until_workers(partial(_ready, "paused" if pool == PAUSED else "prewarmed"), pool)
        began = monotonic_ns()
        outcome = await client.invoke_raw(name, *content.pack(PAYLOAD))
        took = monotonic_ns() - began
        step = (await client.trace(outcome.id)).steps[0]
        await client.remove(name)
        if pool == NONE:
            await running.until_workers(lambda workers: not workers, "no worker")
        if number < 0:
            continue
        whole.append(took)
        starts[step.start] += 1
        for span in step.spans:
            spans[span.kind].append(span.end_ns - span.start_ns)
    how = ", ".join(f"{start} {count}" for start, count in starts.items())
    bench.add(f"{language}, {pool}", whole, "ms", note=how)
    for kind, took_each in spans.items():
        bench.add(f"  of it {kind}", took_each, "ms")


def _ready(state: str, workers: tuple[Worker, ...]) -> bool:
    return sum(worker.state == state and not worker.function for worker in workers) == POOL
