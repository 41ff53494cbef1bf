"""Does `mee6 flow plan` say how long a declared workflow will take, and is what it proposes better?

Workflows whose inputs differ from run to run. Their 95th percentile is predicted from the
steps of every other run, and measured in those between, which have the same inputs. The plan is followed in a workflow
that is the same but for it, and both run in turns.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any, Final

from mee6.declared.graph import Graph, graph_of
from mee6.lane.messages import JSON
from mee6.manifest import Manifest, parse
from mee6.records import Description, Trace
from mee6tui.cli import plan as planning
from mee6tui.planning.distribution import measured
from mee6tui.planning.prediction import Predictor
from tests.benchmarks.harness.bench import Bench, Running

WORK: Final = """
import time

def main(ms):
    until = time.thread_time() + ms / 1e3
    while time.thread_time() < until:
        pass
    return ms
"""
WAIT: Final = "import time\n\ndef main(ms):\n    time.sleep(ms / 1e3)\n    return ms\n"
FLOWS: Final[dict[str, dict[str, Any]]] = {
    "chain": {
        "read": {"function": "wait", "input": "$args.a"},
        "make": {"function": "work", "input": "$args.b", "after": "read"},
        "keep": {"function": "wait", "input": "$args.c", "after": "make"},
    },
    "frames": {  # processor time in each item
        "list": {"function": "echo", "input": "$args.frames"},
        "each": {"function": "work", "foreach": "$list"},
        "keep": {"function": "wait", "input": "$args.c", "after": "each"},
    },
    "waits": {  # items that wait, fewer at once than could
        "list": {"function": "echo", "input": "$args.frames"},
        "each": {"function": "wait", "foreach": "$list", "concurrency": 4},
        "keep": {"function": "echo", "input": "$each"},
    },
    "twice": {  # the same twice, one after the other
        "left": {"function": "wait", "foreach": "$args.frames", "concurrency": 3},
        "right": {"function": "wait", "foreach": "$left", "concurrency": 4},
        "sum": {"function": "echo", "input": "$right"},
    },
}


async def measure(bench: Bench) -> None:
    """Rows: of each workflow, as it is and as planned; a note on each with prediction and measurement."""
    source = random.Random(7)
    async with bench.agent(linger_s=600.0, prewarm={"python": 9}) as running:
        await running.function("work", WORK)
        await running.function("wait", WAIT)
        await running.function("echo", "def main(arg):\n    return arg\n")
        for name, steps in FLOWS.items():
            await _one(bench, running, name, steps, source)


async def _one(bench: Bench, running: Running, name: str, steps: dict[str, Any], source: random.Random) -> None:
    await _add(running, name, steps)
    for _ in range(100):
        await _once(running, name, source)
    made = await _plan(running, name)
    widths = {step: width for step, width in made.proposal.widths.items() if width != made.profile.steps[step].width}
    planned = {step: {**one, "concurrency": widths[step]} if step in widths else one for step, one in steps.items()}
    ways = {"as it is": name, "as planned": f"{name}-planned"}
    await _add(running, ways["as planned"], planned)
    for _ in range(25):
        await _once(running, ways["as planned"], source)
    # The steps of every other run, and the whole of the one after it, which has the same input.
    told: dict[str, list[Trace]] = {way: [] for way in ways}
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(max(bench.count(60), 25)):
        state = source.getstate()
        for way, flow in ways.items():
            for place in range(2):
                source.setstate(state)
                trace = await _once(running, flow, source)
                if place:
                    took[way].append(trace.invocation.ended_ns - trace.invocation.accepted_ns)
                else:
                    told[way].append(trace)
    p95: dict[str, float] = {}
    for way, found in took.items():
        bench.add(f"{name}, {way}", found, "ms")
        p95[way] = measured(found).percentile(0.95) / 1e6
    description, manifest, graph = await _described(running, name)
    again = planning.plan(
        description.function.version, manifest, graph, planning.Runs(tuple(told["as it is"]), os.cpu_count() or 1), None
    )
    now = again.now.percentile(0.95) / 1e6
    then = Predictor(graph, again.profile, os.cpu_count() or 1).predict(widths).percentile(0.95) / 1e6
    bench.notes.append(
        f"{name}: p95 predicted {now:.1f} ms, measured {p95['as it is']:.1f} ({now / p95['as it is'] - 1:+.0%}); "
        f"planned {widths or 'nothing'}: predicted {then:.1f}, measured {p95['as planned']:.1f} "
        f"({then / p95['as planned'] - 1:+.0%}), {1 - p95['as planned'] / p95['as it is']:.0%} less than unplanned"
    )


async def _add(running: Running, name: str, steps: dict[str, Any]) -> None:
    folder = running.folder / name
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": name, "steps": steps}))
    await running.client.add(folder)


async def _described(running: Running, name: str) -> tuple[Description, Manifest, Graph]:
    found = await running.client.describe(name)
    manifest = parse(found.function.manifest)
    assert manifest.declaration is not None
    return found, manifest, graph_of(manifest.declaration)


async def _plan(running: Running, name: str) -> planning.Plan:
    found, manifest, graph = await _described(running, name)
    return planning.plan(found.function.version, manifest, graph, await planning.fetch(running.client, found), None)


async def _once(running: Running, name: str, source: random.Random) -> Trace:
    """One run; the inputs are skewed."""
    given = {
        **{key: source.lognormvariate(2, 0.4) for key in "abc"},
        "frames": [source.lognormvariate(1.5, 0.5) for _ in range(12)],
    }
    outcome = await running.client.invoke_raw(name, json.dumps(given).encode(), JSON)
    return await running.client.trace(outcome.id)
