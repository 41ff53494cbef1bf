"""What does the scheduling of a declared workflow cost, run where its steps are, and run by the agent step by step?

End to end, as the agent sees it, less what the functions of the critical path do: what FaaSFlow (ASPLOS '22) calls
scheduling overhead. Both ways in turns, warm, one workflow at a time. The graphs are files, beside which others may be
put: their steps call `noop`, whose input is how many seconds it sleeps.
"""

from __future__ import annotations

import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any, Final

from mee6.declared.graph import Graph, graph_of
from mee6.lane.messages import JSON
from mee6.manifest import parse
from tests.benchmarks.harness.bench import PATIENCE_S, Bench, Running
from tests.support.agents import until

GRAPHS: Final = Path(__file__).parent / "graphs"
CRITICAL_S: Final = 0.05
"""Along the longest way of a scientific graph."""
WAYS: Final = ("worker", "master")
NOOP = "import time\n\ndef main(seconds):\n    if seconds:\n        time.sleep(seconds)\n"


async def measure(bench: Bench) -> None:
    """Rows: for each graph, each way; a note on each graph says what they come to, and one on the mean of all."""
    reductions = []
    async with bench.agent(linger_s=600.0, prewarm={"python": 4}) as running:
        await running.function("noop", NOOP)
        for path in sorted(GRAPHS.glob("*.json")):
            manifest = declared(path)
            graph = _graph(manifest)
            await _add(running, path.stem, manifest)
            took = await _rounds(running, path.stem, graph, bench.count(150))
            for way in WAYS:
                bench.add(f"{path.stem}, {len(graph.nodes)} steps, by the {way}", took[way], "ms")
            by_worker, by_master = (statistics.median(took[way]) for way in WAYS)
            reductions.append(1 - by_worker / by_master)
            bench.notes.append(f"{path.stem}: {reductions[-1]:.1%} less by the worker (medians)")
    bench.notes.append(f"mean of {len(reductions)} graphs: {statistics.mean(reductions):.1%} less")


def declared(path: Path) -> dict[str, Any]:
    """A graph's manifest; of a scientific one, see `graphs/generate.py`, with its times scaled down."""
    found = json.loads(path.read_text())
    if isinstance(found, list):
        longest: dict[str, float] = {}
        for task in found:
            longest[task["id"]] = task["runtime_s"] + max((longest[one] for one in task["after"]), default=0.0)
        scale = CRITICAL_S / max(longest.values())
        tasks = {
            task["id"]: {"input": round(task["runtime_s"] * scale, 6), "after": list(task["after"])} for task in found
        }
        found = {"steps": {name: {"function": "noop", **task} for name, task in tasks.items()}}
    return {"name": path.stem, **found, "maxParallelism": 4}


def _graph(manifest: dict[str, Any]) -> Graph:
    declaration = parse(json.dumps(manifest)).declaration
    assert declaration is not None
    return graph_of(declaration)


async def _add(running: Running, name: str, manifest: dict[str, Any]) -> None:
    folder = running.folder / name
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps(manifest))
    await running.client.add(folder)


async def _rounds(running: Running, name: str, graph: Graph, count: int) -> dict[str, list[int]]:
    """Nanoseconds of overhead, each way; both have been warmed up, and the groups have been found."""
    for _ in range(13):
        for way in WAYS:
            await _once(running, name, graph, way)
    await until(partial(_grouped, running, name), "its groups", PATIENCE_S)
    took: dict[str, list[int]] = {way: [] for way in WAYS}
    for _ in range(count):
        for way in WAYS:
            took[way].append(await _once(running, name, graph, way))
    return took


async def _grouped(running: Running, name: str) -> bool:
    return '"grouping":{' in (await running.client.describe(name)).known


async def _once(running: Running, name: str, graph: Graph, way: str) -> int:
    outcome = await running.client.invoke_raw(name, b"0", JSON, schedule=way)
    whole = (await running.client.trace(outcome.id)).invocation
    return whole.ended_ns - whole.accepted_ns - critical_ns(graph)


def critical_ns(graph: Graph) -> int:
    """How long the functions along the longest way sleep."""
    ends: dict[str, float] = {}
    for name, node in graph.nodes.items():
        ends[name] = max((ends[one] for one in node.before), default=0.0) + node.step.input
    return int(max(ends.values()) * 1e9)
