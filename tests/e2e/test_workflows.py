"""Workflows on a real agent: what runs where, in how many workers, with whose storage; and how their errors travel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import CallRefused, FunctionRaised
from mee6.records import Step, Trace
from tests.e2e.test_samples import SAMPLES, add_language
from tests.support.agents import write_function

pytestmark = pytest.mark.slow
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")

FAN_OUT = """
import mee6
def main(arg):
    mee6.gather(*(("note", {"n": n, "together": arg.get("together", 1)}) for n in range(arg["calls"])))
    return mee6.invoke("read")
"""
NOTE = """
import time, mee6
def main(arg):
    name = str(arg["n"])
    (mee6.flow / name).write_text(mee6.context.invocation)
    end = time.monotonic() + 15
    while len(list(mee6.flow.iterdir())) < arg["together"]:
        assert time.monotonic() < end, "the others never came"
        time.sleep(0.002)
"""
"""Notes that it ran, and waits until so many others have as well."""
READ = """
import mee6
def main():
    return {path.name: path.read_text() for path in mee6.flow.iterdir()}
"""


async def add(client: Client, base: Path, name: str, code: str, **more: object) -> None:
    await client.add(write_function(base, name, code, **more))  # type: ignore[arg-type]


def run_of(step: Step) -> tuple[int, int]:
    return next((span.start_ns, span.end_ns) for span in step.spans if span.kind == "run")


def peak(steps: list[Step]) -> int:
    """The most steps that ran at one time."""
    runs = [run_of(step) for step in steps]
    return max((sum(start <= at < end for start, end in runs) for at, _ in runs), default=0)


def notes(trace: Trace) -> list[Step]:
    return [step for step in trace.steps if step.function == "note"]


@pytest.mark.parametrize("language", ["python", pytest.param("nodejs", marks=[pytest.mark.node, NODE])])
async def test_a_sequence_of_three_runs_in_one_worker_with_a_runtime_for_each_step(
    any_client: Client, language: str
) -> None:
    await add_language(any_client, language)
    traces = []
    for _ in range(2):
        await any_client.invoke("pipeline", "tea, 1, 2\n")
        traces.append(await any_client.trace())
    for trace in traces:
        assert [step.function for step in trace.steps] == ["pipeline", "clean", "enrich", "publish"]
        assert [step.id for step in trace.steps[1:]] == [f"{trace.invocation.id}.{n}" for n in (1, 2, 3)]
        assert len({step.worker for step in trace.steps}) == 1
        assert len({step.pid for step in trace.steps[1:]}) == 3
        assert trace.steps[0].via == "proxy"
        assert {step.state for step in trace.steps} == {"succeeded"}
    assert {step.via for step in traces[0].steps} == {"proxy"}
    assert {step.start for step in traces[1].steps} == {"warm"}


@pytest.mark.parametrize(
    ("outflow", "calls", "parallelism", "stay"),
    [("always", 5, 3, 0), ("optional:1", 5, 3, 1), ("optional:1", 3, 8, 1), ("no", 3, 3, 3)],
)
async def test_a_fan_out_takes_the_workers_that_outflow_and_parallelism_allow_and_one_flow(
    any_client: Client, tmp_path: Path, outflow: str, calls: int, parallelism: int, stay: int
) -> None:
    client = any_client
    await add(client, tmp_path, "fan", FAN_OUT, calls={"note": outflow, "read": "no"}, maxParallelism=parallelism)
    await add(client, tmp_path, "note", NOTE)
    await add(client, tmp_path, "read", READ)
    together = 1 if outflow == "no" else min(parallelism + stay, calls)
    seen = await client.invoke("fan", {"calls": calls, "together": together})
    trace = await client.trace()
    home = trace.steps[0].worker
    steps = notes(trace)
    assert sorted(seen) == [str(n) for n in range(calls)], "all wrote into the flow that the last one read"
    assert set(seen.values()) == {step.id for step in steps}
    here = [step for step in steps if step.worker == home]
    elsewhere = [step for step in steps if step.worker != home]
    if stay == calls:
        assert not elsewhere
    else:
        assert len({step.worker for step in elsewhere}) == min(parallelism, len(elsewhere))
        assert peak(elsewhere) == min(parallelism, len(elsewhere))
    if outflow == "optional:1" and calls - 1 <= parallelism:
        assert len(here) == 1
    elif outflow == "optional:1":
        assert here, "whoever is done at home takes the next that waits"
    else:
        assert len(here) == stay
    assert peak(here) <= 1, "a worker runs one step of a workflow at a time"
    (last,) = [step for step in trace.steps if step.function == "read"]
    assert last.worker == home


async def test_the_flow_of_one_invocation_is_gone_for_the_next(any_client: Client, tmp_path: Path) -> None:
    await add(any_client, tmp_path, "fan", FAN_OUT, calls={"note": "optional:1", "read": "no"})
    await add(any_client, tmp_path, "note", NOTE)
    await add(any_client, tmp_path, "read", READ)
    assert sorted(await any_client.invoke("fan", {"calls": 3})) == ["0", "1", "2"]
    assert sorted(await any_client.invoke("fan", {"calls": 1})) == ["0"]


async def test_word_count_counts_in_parallel_and_merges_at_home(client: Client) -> None:
    await add_language(client, "python")
    await client.invoke("wordcount", (SAMPLES / "texts" / "licences.txt").read_text())
    trace = await client.trace()
    home = trace.steps[0].worker
    counts = [step for step in trace.steps if step.function == "count"]
    assert len(counts) == 6
    assert 1 <= len({step.worker for step in counts} - {home}) <= 3
    assert any(step.worker == home for step in counts)
    assert peak([step for step in counts if step.worker != home]) <= 3
    assert trace.steps[-1].function == "merge"
    assert trace.steps[-1].worker == home


async def test_nested_fan_outs_share_one_flow_across_workers(any_client: Client, tmp_path: Path) -> None:
    outer = """
import mee6
def main(arg):
    mee6.gather(("fan", "a"), ("fan", "b"))
    return mee6.invoke("read")
"""
    fan = """
import mee6
def main(arg):
    mee6.gather(*(("note", {"n": arg + n, "together": 4}) for n in "12"))
"""
    await add(any_client, tmp_path, "outer", outer, calls={"fan": "always", "read": ""})
    await add(any_client, tmp_path, "fan", fan, calls={"note": "optional:1"})
    await add(any_client, tmp_path, "note", NOTE)
    await add(any_client, tmp_path, "read", READ)
    assert sorted(await any_client.invoke("outer")) == ["a1", "a2", "b1", "b2"]


async def test_a_call_that_is_not_declared_is_refused_and_says_what_to_do(client: Client, tmp_path: Path) -> None:
    await add(client, tmp_path, "sly", "import mee6\ndef main():\n    mee6.invoke('note', 1)\n", calls={"read": ""})
    await add(client, tmp_path, "note", NOTE)
    await add(client, tmp_path, "read", READ)
    with pytest.raises(FunctionRaised) as caught:
        await client.invoke("sly")
    assert caught.value.error_type == "CallRefused"
    assert (
        "'sly' may not call 'note': it is not among its dependencies (read); declare it in activity.json"
        in caught.value.message
    )


async def test_a_declared_function_that_was_never_added_is_refused_by_name(client: Client, tmp_path: Path) -> None:
    added = await client.add(
        write_function(tmp_path, "hopeful", "import mee6\ndef main():\n    mee6.invoke('ghost')\n", calls={"ghost": ""})
    )
    assert added.missing == ("ghost",)
    with pytest.raises(FunctionRaised) as caught:
        await client.invoke("hopeful")
    assert "'hopeful' calls 'ghost', which has not been added; add it with: mee6 act add DIR" in caught.value.message


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_a_function_that_calls_itself_without_end_is_stopped_by_name(
    any_client: Client, tmp_path: Path, outflow: str
) -> None:
    code = "import mee6\ndef main(n):\n    return mee6.invoke('again', n + 1)\n"
    await add(any_client, tmp_path, "again", code, calls={"again": outflow})
    with pytest.raises(FunctionRaised) as caught:
        await any_client.invoke("again", 0, timeout=20)
    assert "'again' stands 8 times in its own chain of callers: is it a cycle?" in caught.value.traceback


async def test_a_function_may_call_itself_as_deep_as_it_needs_below_the_limit(client: Client, tmp_path: Path) -> None:
    code = "import mee6\ndef main(n):\n    return n * (mee6.invoke('fact', n - 1) if n > 1 else 1)\n"
    await add(client, tmp_path, "fact", code, calls={"fact": ""})
    assert await client.invoke("fact", 6) == 720


async def test_a_chain_of_calls_deeper_than_the_limit_is_refused(client: Client, tmp_path: Path) -> None:
    for n in range(17):
        code = f"import mee6\ndef main():\n    return mee6.invoke('f{n + 1}')\n"
        await add(client, tmp_path, f"f{n}", code, calls={f"f{n + 1}": ""})
    await add(client, tmp_path, "f17", "def main():\n    return 'too deep'\n")
    with pytest.raises(FunctionRaised) as caught:
        await client.invoke("f0")
    assert "calls are 16 deep (f12 > f13 > f14 > f15 > f16): is it a cycle?" in caught.value.traceback


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_an_error_two_levels_down_reaches_the_caller_with_every_traceback(
    any_client: Client, tmp_path: Path, outflow: str
) -> None:
    await add(any_client, tmp_path, "top", "import mee6\ndef main():\n    mee6.invoke('mid')\n", calls={"mid": outflow})
    await add(any_client, tmp_path, "mid", "import mee6\ndef main():\n    mee6.invoke('low')\n", calls={"low": outflow})
    await add(any_client, tmp_path, "low", "def main():\n    raise KeyError('the fuse')\n")
    with pytest.raises(FunctionRaised) as caught:
        await any_client.invoke("top")
    error = caught.value
    assert "the fuse" in error.message
    assert "raise KeyError('the fuse')" in error.traceback
    assert "mee6.invoke('low')" in error.traceback
    assert "mee6.invoke('mid')" in error.traceback
    assert "runtimes/python" not in error.traceback, "a user sees the user's own frames"
    states = {step.function: step.state for step in (await any_client.trace()).steps}
    assert states == {"top": "failed", "mid": "failed", "low": "failed"}


@pytest.mark.node
@NODE
@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_an_error_crosses_languages_with_its_name_and_stack(
    any_client: Client, tmp_path: Path, outflow: str
) -> None:
    await add(any_client, tmp_path, "top", "import mee6\ndef main():\n    mee6.invoke('mid')\n", calls={"mid": outflow})
    mid = "const Box = require('@m6s/box');\nmodule.exports = async () => await Box.invoke('low');\n"
    await add(any_client, tmp_path, "mid", mid, runtime="nodejs", calls={"low": outflow})
    await add(any_client, tmp_path, "low", "def main():\n    raise KeyError('the fuse')\n")
    with pytest.raises(FunctionRaised) as caught:
        await any_client.invoke("top")
    assert "the fuse" in caught.value.message
    assert "raise KeyError('the fuse')" in caught.value.traceback
    assert "main.js" in caught.value.traceback


async def test_a_caught_error_is_an_ordinary_exception_and_the_worker_goes_on(
    any_client: Client, tmp_path: Path
) -> None:
    code = """
import mee6
def main():
    try:
        mee6.invoke("low")
    except mee6.errors.FunctionRaised as error:
        caught = [error.function, error.error_type, "raise ValueError" in error.traceback]
    both = mee6.gather("low", "fine", return_exceptions=True)
    return [*caught, type(both[0]).__name__, both[1], mee6.invoke("fine")]
"""
    await add(any_client, tmp_path, "top", code, calls={"low": "", "fine": "optional:1"})
    await add(any_client, tmp_path, "low", "def main():\n    raise ValueError('no')\n")
    await add(any_client, tmp_path, "fine", "def main():\n    return 'fine'\n")
    expected = ["low", "ValueError", True, "FunctionRaised", "fine", "fine"]
    assert await any_client.invoke("top") == expected
    assert await any_client.invoke("top") == expected


@pytest.mark.node
@NODE
async def test_a_node_workflow_calls_in_sequence_and_in_parallel(any_client: Client, tmp_path: Path) -> None:
    code = """
const Box = require('@m6s/box');
module.exports = async (arg) => {
  const first = await Box.invoke('add', [arg, 1]);
  const both = await Promise.all([Box.invoke('add', [first, 10]), Box.invoke('add', [first, 20])]);
  return both;
};
"""
    await add(any_client, tmp_path, "flow", code, runtime="nodejs", calls={"add": "optional:1"})
    await add(any_client, tmp_path, "add", "def main(pair):\n    return sum(pair)\n")
    assert await any_client.invoke("flow", 1) == [12, 22]


async def test_async_functions_call_in_parallel(any_client: Client, tmp_path: Path) -> None:
    code = """
import asyncio, mee6
async def main(arg):
    first = await mee6.aio.invoke("add", [arg, 1])
    return await asyncio.gather(mee6.aio.invoke("add", [first, 10]), mee6.aio.invoke("add", [first, 20]))
"""
    await add(any_client, tmp_path, "flow", code, calls={"add": "always"})
    await add(any_client, tmp_path, "add", "def main(pair):\n    return sum(pair)\n")
    assert await any_client.invoke("flow", 1) == [12, 22]


async def test_a_refused_call_is_a_call_refused_for_whoever_catches_it(client: Client, tmp_path: Path) -> None:
    code = """
import mee6
def main():
    try:
        mee6.invoke("other")
    except mee6.errors.CallRefused as error:
        return error.code
"""
    await add(client, tmp_path, "sly", code)
    assert await client.invoke("sly") == CallRefused.code
