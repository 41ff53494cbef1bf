"""What does it save that the steps of a workflow share a worker, against each in another one?

The same declared workflows, of which nothing differs but the schedule: as the agent groups them, and `spread`, where
each step is sent through the agent to another worker. In turns, warm; end to end, as the agent sees it. The graphs are
those of `flows`, with steps that do nothing, and a chain that hands on values.
"""

from __future__ import annotations

import json
import statistics
from typing import Any, Final

from tests.benchmarks.flows import GRAPHS, NOOP, add, declared, graph_of_manifest, rounds
from tests.benchmarks.harness.bench import Bench

WAYS: Final = ("worker", "spread")
CHAIN: Final = 10
BYTES: Final = (1 << 10, 64 << 10, 1 << 20)
"""Handed on along a chain."""
ECHO: Final = "def main(arg):\n    return arg\n"


async def measure(bench: Bench) -> None:
    """Rows: for each workflow, each way; a note on each says how many times longer it takes spread."""
    factors = []
    async with bench.agent(linger_s=600.0, prewarm={"python": 4}) as running:
        await running.function("noop", NOOP)
        await running.function("echo", ECHO)
        workflows = [(declared(path, 0.0), b"0") for path in sorted(GRAPHS.glob("*.json")) if path.stem != "naps"]
        workflows += [(_chain(f"values-{size >> 10}-kib"), json.dumps("x" * size).encode()) for size in BYTES]
        for manifest, arg in workflows:
            graph = graph_of_manifest(manifest)
            await add(running, manifest)
            took = await rounds(running, manifest["name"], graph, bench.count(60), WAYS, arg)
            what = f"{manifest['name']}, {len(graph.nodes)} steps"
            bench.add(f"{what}, as grouped", took["worker"], "ms")
            bench.add(f"{what}, spread", took["spread"], "ms")
            factors.append(statistics.median(took["spread"]) / statistics.median(took["worker"]))
            bench.notes.append(f"{what}: {factors[-1]:.1f} times as long spread (medians)")
    bench.notes.append(f"of {len(factors)} workflows: {min(factors):.1f} to {max(factors):.1f} times as long")


def _chain(name: str) -> dict[str, Any]:
    """A chain each of whose steps hands on what it is given."""
    steps: dict[str, Any] = {"s0": {"function": "echo"}}
    steps |= {f"s{n}": {"function": "echo", "after": f"s{n - 1}"} for n in range(1, CHAIN)}
    return {"name": name, "steps": steps}
