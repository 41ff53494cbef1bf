"""What does a function's first invocation cost: from a prewarmed worker, awake or paused, and from nothing?

Each sample is a function of its own, so that no worker holds it yet; the worker goes with the function. The
parts are the spans of the invocation's trace; what is not in them is gRPC, client and scheduling. Page faults
are those of all the worker's processes, from its making to the end of the call: the kernel's share of a start in
a number that a busy machine does not change.
"""

from __future__ import annotations

from typing import Any

from tests.benchmarks.harness.bench import Bench
from tests.benchmarks.harness.calls import FirstCalls

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
                state = "paused" if pool == PAUSED else "prewarmed"
                faults: list[int] | None = [] if bench.driver == "process" else None
                calls = FirstCalls(running, language, state, 0 if pool == NONE else POOL, faults)
                whole = await calls.take(bench.count(40))
                bench.add(f"{language}, {pool}", whole, "ms", note=calls.parts.how)
                calls.parts.add_to(bench)
                bench.add("  page faults of its worker", faults or [], "faults")
