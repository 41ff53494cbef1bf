"""Declared workflows on a real agent: what runs where, in what order, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from mee6.client import Client
from mee6.content import pack
from mee6.declared.graph import graph_of
from mee6.errors import (
    FunctionRaised,
    InvalidInput,
    InvalidManifest,
    InvocationNotFound,
    Mee6Error,
    TimedOut,
    WorkerLost,
)
from mee6.manifest import parse
from mee6.records import Step, Trace
from mee6tui.cli import plan as planning
from mee6tui.planning.profile import FEWEST
from tests.e2e.test_samples import SAMPLES, add_language
from tests.e2e.test_workflows import NOTE, READ, run_of
from tests.support.agents import Agent, kill, until, write_function

pytestmark = pytest.mark.slow

ADD = "def main(arg):\n    return [arg] if not isinstance(arg, list) else [*arg, len(arg)]\n"
FAILS = "def main(arg):\n    raise ValueError(f'no {arg}')\n"
ONCE = """
import mee6
def main(arg):
    seen = mee6.flow / "seen"
    if not seen.exists():
        seen.touch()
        raise ValueError("not yet")
    return arg
"""
SLEEP = """
import time
def main(arg):
    time.sleep(arg if isinstance(arg, (int, float)) else 0.2)
    return arg
"""
ECHO = "def main(arg):\n    return arg\n"
TEXT = "Espresso, 2, 2.50\nJuice, 3, 14\n"


def declared(base: Path, name: str, steps: Any, **more: Any) -> Path:
    folder = base / name
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": name, "steps": steps, **more}))
    return folder


async def add(client: Client, base: Path, **code: str) -> None:
    for name, text in code.items():
        await client.add(write_function(base, name, text))


def steps(trace: Trace) -> dict[str, Step]:
    return {step.name: step for step in trace.steps if step.name}


async def test_the_sample_runs_and_its_trace_names_the_steps(any_client: Client) -> None:
    await add_language(any_client, "python")
    await any_client.add(SAMPLES / "declared/till")
    for _ in range(2):
        found = await any_client.invoke("till", TEXT)
        assert found == {
            "receipt": "2 x espresso  5.00\n3 x juice  42.00\ntotal 47.00, of which tax 4.27",
            "store": [{"take": 2, "of": "espresso"}, {"take": 3, "of": "juice"}],
            "thanks": "come again",
        }
    trace = await any_client.trace()
    named = steps(trace)
    assert {name: step.function for name, step in named.items()} == {
        "clean": "clean",
        "order": "enrich",
        "receipt": "publish",
        "store": "echo",
    }
    assert {step.state for step in trace.steps} == {"succeeded"}
    assert named["clean"].worker == named["order"].worker == trace.steps[0].worker
    assert named["order"].start == "warm"
    found = await any_client.invoke("till", TEXT.replace("14", "40"))
    assert found["thanks"] == "with 5 % off your next order"


async def test_a_chain_stays_in_one_worker_and_each_step_waits_for_the_one_before(
    any_client: Client, tmp_path: Path
) -> None:
    await add(any_client, tmp_path, add=ADD)
    chain: Any = {"s0": {"function": "add", "input": "$args"}}
    chain |= {f"s{n}": {"function": "add", "after": f"s{n - 1}"} for n in range(1, 10)}
    await any_client.add(declared(tmp_path, "chain", chain))
    assert await any_client.invoke("chain", {"a": 1}) == [{"a": 1}, *range(1, 10)]
    trace = await any_client.trace()
    assert len({step.worker for step in trace.steps}) == 1
    runs = [run_of(step) for step in steps(trace).values()]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(runs))


async def test_branches_run_beside_each_other_in_workers_of_one_storage(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, note=NOTE, read=READ)
    fork: Any = {f"w{n}": {"function": "note", "input": {"n": n, "together": 3}} for n in range(3)}
    fork["j"] = {"function": "read", "after": list(fork), "input": None}
    await any_client.add(declared(tmp_path, "fork", fork))
    assert set(await any_client.invoke("fork")) == {"0", "1", "2"}
    named = steps(await any_client.trace())
    assert len({named[f"w{n}"].worker for n in range(3)}) == 3


async def test_a_step_that_fails_runs_again_and_a_fault_that_stays_is_told_or_caught(
    any_client: Client, tmp_path: Path
) -> None:
    await add(any_client, tmp_path, once=ONCE, fails=FAILS, echo=ECHO)
    retry = {"attempts": 3, "backoffS": 0.05}
    await any_client.add(declared(tmp_path, "again", {"a": {"function": "once", "retry": retry}}))
    assert await any_client.invoke("again", "x") == "x"
    assert [step.state for step in (await any_client.trace()).steps] == ["succeeded", "failed", "succeeded"]
    await any_client.add(
        declared(tmp_path, "told", {"a": {"function": "fails"}, "b": {"function": "echo", "after": "a"}})
    )
    with pytest.raises(FunctionRaised, match="no x") as raised:
        await any_client.invoke("told", "x")
    assert (raised.value.function, raised.value.error_type) == ("fails", "ValueError")
    caught = {"function": "fails", "catch": {"function": "echo", "input": {"why": "$error.message"}}}
    await any_client.add(declared(tmp_path, "caught", {"a": caught}))
    assert await any_client.invoke("caught", "x") == {"why": "'fails' raised ValueError: no x"}
    await any_client.add(declared(tmp_path, "dangling", {"a": {"function": "echo", "input": "$args.x"}}))
    with pytest.raises(InvalidInput, match="step 'a': there is no"):
        await any_client.invoke("dangling", {"y": 1})


async def test_a_function_with_code_has_no_schedule(client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, echo=ECHO)
    with pytest.raises(InvalidInput, match="'echo' has code and no declared steps to schedule; leave --schedule out"):
        await client.invoke_raw("echo", *pack("x"), schedule="master")


async def test_a_limit_of_a_step_holds_here_and_elsewhere(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, sleep=SLEEP)
    slow = {"function": "sleep", "input": 20, "timeoutS": 0.3, "catch": {"on": ["timed_out"], "value": "$error.code"}}
    await any_client.add(declared(tmp_path, "limited", {"a": slow, "b": slow}))
    assert await any_client.invoke("limited") == {"a": "timed_out", "b": "timed_out"}
    assert len({step.worker for step in (await any_client.trace()).steps}) == 2


async def test_a_workflow_is_called_off_and_times_out_with_all_its_steps(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, sleep=SLEEP)
    both = {name: {"function": "sleep", "input": 30} for name in ("a", "b")}
    await any_client.add(declared(tmp_path, "long", both, timeoutS=1))
    with pytest.raises(TimedOut):
        await any_client.invoke("long")
    await until(lambda: _ended(any_client, "timed out"), "both have ended")
    await any_client.add(declared(tmp_path, "longer", both))
    call = asyncio.create_task(any_client.invoke("longer"))
    await until(lambda: _runs(any_client, "longer"), "both run")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: _ended(any_client, "cancelled"), "both have ended")


async def _runs(client: Client, function: str) -> bool:
    try:
        trace = await client.trace()
    except InvocationNotFound:  # it has not been accepted yet
        return False
    states = [step.state for step in trace.steps[1:]]
    return trace.invocation.function == function and states == ["running", "running"]


async def _ended(client: Client, how: str) -> bool:
    """Whether the workflow has ended so; then its steps have, the one in its own worker like the one elsewhere."""
    trace = await client.trace()
    if trace.invocation.state != how:
        return False
    here, elsewhere = (next(one for one in trace.steps if one.name == name) for name in ("a", "b"))
    assert here.worker == trace.steps[0].worker != elsewhere.worker
    assert (here.state, here.error) == ("cancelled", "its caller has ended")
    assert here.spans[-1].end_ns == trace.invocation.ended_ns
    return elsewhere.state in {"cancelled", how}


async def test_steps_are_lost_with_the_worker_that_runs_them(agent: Agent, client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, sleep=SLEEP)
    both = {name: {"function": "sleep", "input": 30} for name in ("a", "b")}
    await client.add(declared(tmp_path, "long", both))
    call = asyncio.create_task(client.invoke("long"))
    await until(lambda: _runs(client, "long"), "both run")
    here = steps(await client.trace())["a"]
    kill(agent.inside(here.worker).proxy)
    with pytest.raises(WorkerLost) as lost:
        await call
    trace = await client.trace()
    assert (steps(trace)["a"].state, steps(trace)["a"].error) == ("lost", lost.value.message)
    assert not [span for step in trace.steps for span in step.spans if not span.end_ns], "nothing goes on"


async def test_each_item_is_a_call_with_no_more_at_once_than_may(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, sleep=SLEEP)
    each = {"function": "sleep", "foreach": "$args", "input": 0.1, "concurrency": 2}
    await any_client.add(declared(tmp_path, "each", {"e": each}))
    assert await any_client.invoke("each", list(range(6))) == [0.1] * 6
    runs = [run_of(step) for step in (await any_client.trace()).steps if step.name == "e"]
    assert len(runs) == 6
    assert max(sum(start <= at < end for start, end in runs) for at, _end in runs) == 2


async def test_a_declared_workflow_is_a_step_of_another_and_is_called_by_code(
    any_client: Client, tmp_path: Path
) -> None:
    await add(any_client, tmp_path, add=ADD)
    await any_client.add(
        declared(tmp_path, "inner", {"a": {"function": "add"}, "b": {"function": "add", "after": "a"}})
    )
    await any_client.add(
        declared(tmp_path, "outer", {"x": {"function": "inner"}, "y": {"function": "add", "after": "x"}})
    )
    assert await any_client.invoke("outer", 7) == [7, 1, 2]
    code = "import mee6\ndef main(arg):\n    return mee6.invoke('inner', arg)\n"
    await any_client.add(write_function(tmp_path, "code", code, calls={"inner": ""}))
    assert await any_client.invoke("code", 8) == [8, 1]
    large = "x" * (2 << 20)
    assert await any_client.invoke("code", large) == [large, 1], "it may come by the store that workers share"


async def test_many_at_once_have_each_their_own_answer(client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, add=ADD, sleep=SLEEP)
    fork: Any = {f"s{n}": {"function": "sleep", "input": 0.01} for n in range(4)}
    fork["j"] = {"function": "add", "after": list(fork), "input": "$args"}
    await client.add(declared(tmp_path, "many", fork))
    assert await asyncio.gather(*(client.invoke("many", n) for n in range(12))) == [[n] for n in range(12)]


async def test_its_versions_are_those_of_its_acceptance(client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, f="def main(arg):\n    return 'old'\n")
    await client.add(declared(tmp_path, "w", {"a": {"function": "f"}}))
    assert await client.invoke("w") == "old"
    await add(client, tmp_path, f="def main(arg):\n    return 'new'\n")
    assert await client.invoke("w") == "new"


async def test_what_makes_no_sense_is_refused_when_it_is_added(client: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="line 1: steps wait for each other: a > a"):
        await client.add(declared(tmp_path, "w", {"a": {"function": "f", "after": "a"}}))
    added = await client.add(declared(tmp_path, "v", {"a": {"function": "nowhere"}}))
    assert added.missing == ("nowhere",)
    with pytest.raises(Mee6Error, match="'v' calls 'nowhere', which has not been added"):
        await client.invoke("v")


async def test_it_answers_over_http(agent: Agent, client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, echo=ECHO)
    folder = declared(tmp_path, "w", {"a": {"function": "echo"}}, output={"got": "$a"})
    await client.add(folder)
    async with httpx.AsyncClient() as http:
        url = (await client.describe("w")).url
        answer = await http.post(url, json={"x": 1})
    assert (answer.status_code, answer.json()) == (200, {"got": {"x": 1}})


@pytest.mark.parametrize("schedule", ["worker", "spread", "master"])
async def test_whoever_runs_it_the_outcome_is_the_same(any_client: Client, tmp_path: Path, schedule: str) -> None:
    await add_language(any_client, "python")
    await any_client.add(SAMPLES / "declared/till")
    await add(any_client, tmp_path, once=ONCE, fails=FAILS, sleep=SLEEP)

    async def run(name: str, arg: Any) -> Any:
        return (await any_client.invoke_raw(name, *pack(arg), schedule=schedule)).value

    found = await run("till", TEXT.replace("14", "40"))
    assert (found["receipt"][:18], len(found["store"]), found["thanks"][:4]) == ("2 x espresso  5.00", 2, "with")
    trace = await any_client.trace()
    assert {step.state for step in trace.steps} == {"succeeded"}
    chain = {step.worker for step in trace.steps if step.name in {"clean", "order"}}
    assert (trace.steps[0].worker in chain) == (schedule == "worker")
    retried = {"function": "once", "retry": {"attempts": 2, "backoffS": 0.05}}
    slow = {"function": "sleep", "input": 20, "timeoutS": 0.2, "catch": {"value": "$error.message"}}
    await any_client.add(declared(tmp_path, "both", {"a": retried, "b": slow}))
    found = await run("both", "x")
    assert found["a"] == "x"
    attempts = [(step.name, step.state) for step in (await any_client.trace()).steps[1:]]
    assert sorted(attempts) == [("a", "failed"), ("a", "succeeded"), ("b", "timed out")], "those that failed are there"
    assert re.match(r"step 'b' \(sleep\) took longer than its (limit of )?0\.2 s", found["b"]), "its own limit"
    await any_client.add(
        declared(tmp_path, "bad", {"a": {"function": "fails"}, "b": {"function": "sleep", "input": 20}})
    )
    with pytest.raises(FunctionRaised, match="no x"):
        await run("bad", "x")
    assert await run("till", TEXT), "the agent serves on"


async def test_steps_are_put_into_groups_by_what_they_took(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, echo=ECHO, sleep=SLEEP)
    long: Any = {
        "a": {"function": "echo"},
        **{name: {"function": "sleep", "input": 0.05, "after": "a"} for name in ("l", "r")},
        **{f"{name}2": {"function": "sleep", "input": 0.05, "after": name} for name in ("l", "r")},
        "j": {"function": "echo", "input": ["$l2", "$r2"]},
    }
    await any_client.add(declared(tmp_path, "long", long))
    for _ in range(4):
        await any_client.invoke("long", "x")
    await until(lambda: _grouped(any_client, "long"), "it is grouped")
    assert await any_client.invoke("long", "x") == [0.05, 0.05]
    trace = await any_client.trace()
    named = steps(trace)
    assert set(named) == set(long), "steps of a part are in the trace"
    assert named["l"].worker == named["l2"].worker != named["r"].worker == named["r2"].worker
    assert sum(step.function == "long" for step in trace.steps) == 2, "the whole, and the part that went elsewhere"
    assert {step.state for step in trace.steps} == {"succeeded"}


async def _grouped(client: Client, name: str) -> bool:
    return '"grouping":{' in (await client.describe(name)).known


async def test_a_plan_predicts_what_the_runs_that_it_stands_on_took(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, sleep=SLEEP)
    steps_of: Any = {
        "a": {"function": "sleep", "input": 0.01},
        "b": {"function": "sleep", "input": 0.01, "after": "a"},
    }
    await any_client.add(declared(tmp_path, "naps", steps_of))
    found = await any_client.describe("naps")
    manifest = parse(found.function.manifest)
    assert manifest.declaration is not None
    graph = graph_of(manifest.declaration)
    for _ in range(FEWEST + 8):  # the first ones are cold, or ran before its steps were grouped
        await any_client.invoke("naps")
    made = planning.plan(1, manifest, graph, await planning.fetch(any_client, found), None)
    assert made.profile.cold
    assert made.now.percentile(0.5) > 20e6
    row = planning.row(made)
    assert row["predicted"]["p50_ns"] == pytest.approx(row["measured"]["p50_ns"], rel=0.15)
