"""What does it cost to call 8 functions that do nothing in 8 other workers and to have all results back, warm?"""

from __future__ import annotations

from functools import partial

from tests.benchmarks.harness.bench import PATIENCE_S, Bench, Running, timed
from tests.support.agents import until

WIDTH = 8

HOLD_S = 0.05
"""How long callees stay while they are to be spread; so that none is done before the next begins."""

NOOP = """\
import time

def main(hold_s):
    if hold_s:
        time.sleep(hold_s)
"""
FANNER = """\
from time import monotonic_ns
import mee6

def main(told):
    took = []
    for _ in range(told["count"]):
        began = monotonic_ns()
        mee6.gather(*[("noop", told.get("hold_s"))] * told["width"])
        took.append(monotonic_ns() - began)
    return took
"""


async def measure(bench: Bench) -> None:
    """Rows: one, and eight at once, as the calling function sees it; and a whole invocation of the workflow."""
    count = bench.count(500)
    async with bench.agent(linger_s=600.0, prewarm={"python": 2}) as running:
        await running.function("noop", NOOP)
        await running.function("fanner", FANNER, calls={"noop": "always"}, maxParallelism=WIDTH)
        await until(partial(_spread, running), f"{WIDTH} workers for the callees", PATIENCE_S)
        for width in (1, WIDTH):
            await running.client.invoke("fanner", {"count": 10, "width": width})
            took = await running.client.invoke("fanner", {"count": count, "width": width})
            bench.add(f"{width} call{'s' * (width > 1)} out and back", took, "us" if width == 1 else "ms")
        async with running.client.stream() as stream:
            whole = await timed(count, lambda: stream.invoke("fanner", {"count": 1, "width": WIDTH}))
        bench.add(f"a workflow of {WIDTH}, on a stream", whole, "ms")
        places = {step.worker for step in (await running.client.trace()).steps}
        bench.notes.append(f"the last fan-out ran in {len(places)} workers, its caller's included")


async def _spread(running: Running) -> bool:
    """Whether each callee has a worker of its own, after one more fan-out: an engine makes few at once."""
    await running.client.invoke("fanner", {"count": 1, "width": WIDTH, "hold_s": HOLD_S})
    return sum(worker.function == "noop" for worker in await running.client.workers()) >= WIDTH
