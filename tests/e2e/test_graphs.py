"""The graphs of scientific workflows, of 45 to 114 tasks, run to their right end on a real agent.

What is asserted is read from the trace: each task ran once, and none began before those that it waits for had ended.
Each task's result is one more than the sum of what it was given, modulo a prime, so that the whole's says that each got
what those before it gave.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from agent.measured import FIRST
from mee6.client import Client
from mee6.lane.messages import JSON
from mee6.records import Trace
from tests.benchmarks.flows import GRAPHS
from tests.e2e.conftest import DOCKER, user_of
from tests.e2e.test_declared import add, declared
from tests.e2e.test_workflows import run_of
from tests.support.agents import until

pytestmark = pytest.mark.slow

PRIME: Final = 1_000_003
SCIENTIFIC: Final = sorted(path.stem for path in GRAPHS.glob("*-*.json"))
SUM: Final = f"""
import time
def main(arg):
    time.sleep(arg["s"])
    return (1 + sum(arg["of"])) % {PRIME}
"""
LONGEST_S: Final = 0.002
"""The longest task takes so long, the others less as they did where the graph was recorded."""
SMALL: Final = "docker", "epigenomics-45"


def tasks(name: str) -> tuple[dict[str, list[str]], dict[str, float]]:
    """Of each task, those that it waits for; and how long it takes, in seconds."""
    found = json.loads((GRAPHS / f"{name}.json").read_text())
    longest = max(task["runtime_s"] for task in found)
    took = {task["id"]: round(LONGEST_S * task["runtime_s"] / longest, 6) for task in found}
    return {task["id"]: list(task["after"]) for task in found}, took


def manifest(of: dict[str, list[str]], took: dict[str, float]) -> Any:
    return {
        "steps": {
            task: {"function": "sum", "input": {"s": took[task], "of": [f"${one}" for one in before]}}
            for task, before in of.items()
        },
        "output": {task: f"${task}" for task in of},
        "maxParallelism": 3,
    }


def right(of: dict[str, list[str]]) -> dict[str, int]:
    """What each task comes to."""
    found: dict[str, int] = {}
    for task, before in of.items():
        found[task] = (1 + sum(found[one] for one in before)) % PRIME
    return found


def check(of: dict[str, list[str]], trace: Trace) -> None:
    """Asserts that each task ran once, after those that it waits for."""
    assert trace.invocation.state == "succeeded"
    assert not trace.incomplete
    assert {step.state for step in trace.steps} == {"succeeded"}
    assert Counter(step.name for step in trace.steps if step.name) == Counter(list(of))
    runs = {step.name: run_of(step) for step in trace.steps if step.name}
    for task, before in of.items():
        for one in before:
            assert runs[one][1] <= runs[task][0], f"{task} began before {one} had ended"


async def _grouped(client: Client, name: str) -> bool:
    return '"grouping":{' in (await client.describe(name)).known


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("isolated", name) for name in SCIENTIFIC), pytest.param(*SMALL, marks=DOCKER.marks)],
)
async def test_a_scientific_graph_runs_every_task_once_and_in_its_order(
    kind: str, name: str, request: pytest.FixtureRequest, user: str, tmp_path: Path
) -> None:
    async with user_of(request.getfixturevalue(f"{kind}_agent"), user) as client:
        of, took = tasks(name)
        await add(client, tmp_path, sum=SUM)
        told = manifest(of, took)
        await client.add(declared(tmp_path, name, told.pop("steps"), **told))
        for n, schedule in enumerate(["worker"] * FIRST + ["worker", "spread", "master"]):
            if n == FIRST:
                await until(lambda: _grouped(client, name), "it is grouped")
            outcome = await client.invoke_raw(name, b"null", JSON, schedule=schedule)
            assert outcome.value == right(of)
            trace = await client.trace(outcome.id)
            check(of, trace)
            assert schedule == "worker" or len({step.worker for step in trace.steps}) > 1, "much of it runs elsewhere"


def test_the_graphs_are_those_that_faasflow_was_measured_on() -> None:
    assert {name.partition("-")[0] for name in SCIENTIFIC} == {"cycles", "epigenomics", "genome", "soykb"}
    assert len(SCIENTIFIC) == 8
