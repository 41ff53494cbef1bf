"""What does the scheduling of a declared workflow cost, run where its steps are, and run by the agent step by step?

End to end, as the agent sees it, less what the functions of the critical path do: what FaaSFlow (ASPLOS '22) calls
scheduling overhead. Both ways in turns, warm, one workflow at a time. The graphs are files, beside which others may be
put: their steps call `noop`, whose input is how many seconds it sleeps. Those of scientific workflows are run twice:
with steps that do nothing, which is scheduling alone, and with their run times scaled down, where workers that are
taken are waited for as well.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
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
    reductions: dict[bool, list[float]] = {False: [], True: []}
    async with bench.agent(linger_s=600.0, prewarm={"python": 4}) as running:
        await running.function("noop", NOOP)
        for path in sorted(GRAPHS.glob("*.json")):
            for critical_s in (0.0, CRITICAL_S) if "-" in path.stem else (CRITICAL_S,):
                manifest = declared(path, critical_s)
                name, graph = manifest["name"], graph_of_manifest(manifest)
                sleeps = critical_ns(graph) > 0
                await add(running, manifest)
                took = await rounds(running, name, graph, bench.count(30 if sleeps else 90), WAYS)
                what = f"{path.stem}, {len(graph.nodes)} steps that {'sleep' if sleeps else 'do nothing'}"
                for way in WAYS:
                    bench.add(f"{what}, by the {way}", took[way], "ms")
                by_worker, by_master = (statistics.median(took[way]) for way in WAYS)
                reductions[sleeps].append(1 - by_worker / by_master)
                bench.notes.append(f"{what}: {reductions[sleeps][-1]:.1%} less by the worker (medians)")
    for sleeps, found in reductions.items():
        bench.notes.append(
            f"mean of {len(found)} graphs whose steps {'sleep' if sleeps else 'do nothing'}: "
            f"{statistics.mean(found):.1%} less"
        )


def declared(path: Path, critical_s: float = CRITICAL_S) -> dict[str, Any]:
    """A graph's manifest; of a scientific one, see `graphs/generate.py`, with its longest way scaled to so long."""
    found = json.loads(path.read_text())
    if isinstance(found, list):
        longest: dict[str, float] = {}
        for task in found:
            longest[task["id"]] = task["runtime_s"] + max((longest[one] for one in task["after"]), default=0.0)
        scale = critical_s / max(longest.values())
        tasks = {
            task["id"]: {"input": round(task["runtime_s"] * scale, 6), "after": list(task["after"])} for task in found
        }
        found = {"steps": {name: {"function": "noop", **task} for name, task in tasks.items()}}
    return {"name": path.stem if critical_s else f"{path.stem}-idle", **found, "maxParallelism": 4}


def graph_of_manifest(manifest: dict[str, Any]) -> Graph:
    declaration = parse(json.dumps(manifest)).declaration
    assert declaration is not None
    return graph_of(declaration)


async def add(running: Running, manifest: dict[str, Any]) -> None:
    """Adds a declared workflow."""
    folder = running.folder / manifest["name"]
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps(manifest))
    await running.client.add(folder)


async def rounds(
    running: Running, name: str, graph: Graph, count: int, ways: Sequence[str], arg: bytes = b"0"
) -> dict[str, list[int]]:
    """Nanoseconds of overhead, each way; all have been warmed up, and the groups have been found."""
    for _ in range(13):
        for way in ways:
            await _once(running, name, graph, way, arg)
    await until(partial(_grouped, running, name), "its groups", PATIENCE_S)
    took: dict[str, list[int]] = {way: [] for way in ways}
    for _ in range(count):
        for way in ways:
            took[way].append(await _once(running, name, graph, way, arg))
    return took


async def _grouped(running: Running, name: str) -> bool:
    return '"grouping":{' in (await running.client.describe(name)).known


async def _once(running: Running, name: str, graph: Graph, way: str, arg: bytes) -> int:
    outcome = await running.client.invoke_raw(name, arg, JSON, schedule=way)
    whole = (await running.client.trace(outcome.id)).invocation
    return whole.ended_ns - whole.accepted_ns - critical_ns(graph)


def critical_ns(graph: Graph) -> int:
    """How long the functions along the longest way sleep."""
    ends: dict[str, float] = {}
    for name, node in graph.nodes.items():
        ends[name] = max((ends[one] for one in node.before), default=0.0) + (
            node.step.input if isinstance(node.step.input, int | float) else 0.0
        )
    return int(max(ends.values()) * 1e9)
