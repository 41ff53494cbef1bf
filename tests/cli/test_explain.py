"""`mee6 explain`: what it finds in a trace, as a table over the cases, and how it tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from mee6.api import records as convert
from mee6.api.v1 import console_pb2 as pb
from mee6.records import Circumstances, Invocation, Node, Pool, Span, Step, Trace, Usual
from mee6tui.explain import Explanation, Facts, Finding, critical_path, explain
from tests.cli.conftest import Run
from tests.support.fake_agent import FakeAgent

MS = 1_000_000
GIB = 1 << 30


def step(identity: str, function: str, *spans: tuple[str, float, float], **fields: Any) -> Step:
    known: dict[str, Any] = {
        "version": 1, "worker": "w1", "start": "warm", "via": "direct", "state": "succeeded", "pid": 1, "error": "",
    }  # fmt: skip
    made = tuple(Span(kind, int(start * MS), int(end * MS)) for kind, start, end in spans)
    parent = identity.rpartition(".")[0]
    return Step(id=identity, parent=parent, function=function, spans=made, invocation="i7", **{**known, **fields})


def usual(function: str, samples: int = 40, **medians: float) -> tuple[Usual, ...]:
    """Half as much again at the 95th."""
    parts = {**dict.fromkeys(("queued", "start", "resume", "load", "run", "total"), 0.0), **medians}
    return tuple(
        Usual(function, 1, part, samples, samples if p50 else 2, int(p50 * MS), int(1.5 * p50 * MS), int(p50 * MS))
        for part, p50 in parts.items()
    )


def trace(*steps: Step, state: str = "succeeded", ended: float = 0, error: str = "", **more: Any) -> Trace:
    last = max((span.end_ns for one in steps for span in one.spans), default=0)
    ended_ns = 0 if state == "running" else int(ended * MS) or last
    function = steps[0].function if steps else "f"
    call = Invocation("i7", "default", function, 1, state, "w1", "", 0, ended_ns, error)
    return Trace(call, steps, 0, 0, 0, **more)


def node(**changes: Any) -> Node:
    texts = ("id", "version", "driver", "isolation", "pause", "limits", "listen", "state_dir", "pause_policy")
    counts = ("api", "started_ns", "wall_offset_ns", "workers", "paused", "busy", "queued", "rss_bytes", "pid")
    known: dict[str, Any] = {**dict.fromkeys(texts, ""), **dict.fromkeys(counts, 0)}
    known |= dict.fromkeys(("invocations", "failures", "memory_bytes"), 0)
    known |= {"notes": (), "runtimes": (), "missing": (), "draining": False, "now_ns": 500 * MS, "max_workers": 8}
    known |= {"keep_alive_s": 600.0, "linger_s": 1.0, "memory_budget_bytes": 4 * GIB}
    pools = (Pool("python", 0, 0, 2, 16, ""), Pool("nodejs", 0, 0, 1, 0, "no such image"))
    return Node(**{**known, "pools": pools, **changes})


FACTS = {
    "f": Facts("python"),
    "g": Facts("python", max_parallelism=2),
    "js": Facts("nodejs"),
    "np": Facts("python", ("numpy", "pandas", "scipy", "pillow")),
    "flow": Facts("python", declared=True, retries=("b", "c")),
}
QUICK = usual("f", run=1)


@dataclass(frozen=True)
class Case:
    """A trace of one cause, and what is to be said of the longest part."""

    name: str
    trace: Trace
    part: str
    function: str
    verdict: str
    cause: str
    remedy: str


def queued(**found: Any) -> Trace:
    steps = (step("i7", "f", ("queued", 0, 30), ("run", 30, 31)),)
    return trace(*steps, usual=QUICK, circumstances=(Circumstances("i7", limit=8, leased=8, **found),))


def cold(**found: Any) -> Trace:
    steps = (step("i7", "f", ("start", 0, 60), ("load", 60, 61), ("run", 61, 62), start="cold"),)
    return trace(*steps, usual=QUICK, circumstances=(Circumstances("i7", **found),))


def loaded(function: str = "f", **found: Any) -> Trace:
    steps = (step("i7", function, ("load", 0, 9), ("run", 9, 10), start="prewarmed"),)
    return trace(*steps, usual=usual(function, run=1), circumstances=(Circumstances("i7", floor=2, **found),))


CALLER = step("i7", "g", ("run", 0, 100))
SLOW_CALLEE = trace(
    CALLER, step("i7.1", "f", ("run", 10, 90)), step("i7.2", "js", ("run", 10, 30), worker="w2"),
    usual=(*usual("g", run=20), *usual("f", run=5), *usual("js", run=20)),
)  # fmt: skip
HELD = trace(
    CALLER, step("i7.1", "f", ("queued", 10, 80), ("run", 80, 90), worker="w2"),
    usual=(*usual("g", run=20), *usual("f", run=10)),
    circumstances=(Circumstances("i7.1", held_ns=70 * MS, held_by="parallelism"),),
)  # fmt: skip
SPREAD = replace(HELD, circumstances=(Circumstances("i7.1", held_ns=70 * MS, held_by="fan-out"),))
STAYED = trace(
    CALLER, step("i7.1", "f", ("queued", 10, 80), ("run", 80, 90), via="proxy"),
    usual=(*usual("g", run=20), *usual("f", run=10)),
)  # fmt: skip
STAYED_COLD = trace(
    CALLER, step("i7.1", "f", ("start", 10, 80), ("load", 80, 81), ("run", 81, 90), via="proxy", start="cold"),
    usual=(*usual("g", run=20), *usual("f", run=10)),
)  # fmt: skip
BETWEEN = trace(
    step("i7", "flow", ("run", 0, 100)), step("i7.1", "f", ("run", 0, 10), name="a", via="proxy"),
    usual=(*usual("flow", run=20), *usual("f", run=10)),
)  # fmt: skip
AGAIN = replace(BETWEEN, steps=(
    *BETWEEN.steps, step("i7.2", "f", ("run", 10, 20), name="b", via="proxy", state="failed"),
    step("i7.3", "f", ("run", 90, 100), name="b", via="proxy"),
    step("i7.4", "f", ("run", 9, 10), name="c", via="proxy"),
))  # fmt: skip
SHARED = trace(
    step("i7", "flow", ("run", 0, 100)), step("i7.1", "f", ("queued", 10, 80), ("run", 80, 90), name="a", via="proxy"),
    usual=(*usual("flow", run=20), *usual("f", run=10)),
)  # fmt: skip
READ = trace(
    step("i7", "flow", ("load", 0, 9), ("run", 9, 10), start="prewarmed"), usual=usual("flow", run=1),
    circumstances=(Circumstances("i7", floor=2),),
)  # fmt: skip
RESUMED = trace(step("i7", "f", ("resume", 0, 9), ("run", 9, 10)), usual=QUICK)
SLOW = trace(step("i7", "f", ("run", 0, 10)), usual=QUICK)
FEW = trace(step("i7", "f", ("run", 0, 10)), usual=usual("f", 3, run=1))

CASES = [
    Case("cold, nothing prewarmed", cold(floor=0), "start", "f", "longer",
         "cold because no python worker is kept ready", "mee6 agent set prewarm=python=3"),
    Case("cold, a burst outran the pool", cold(floor=2, starting=3, ahead=4), "start", "f", "longer",
         "of the 2 kept ready none was left, and 3 were being made", "mee6 agent set prewarm=python=7"),
    Case("cold, the refill was behind", cold(floor=1), "start", "f", "longer",
         "of the 1 kept ready none was left, and none was being made yet", "mee6 agent set prewarm=python=3"),
    Case("a workflow without code", BETWEEN, "run", "flow", "longer", "it went by between its steps, with what", ""),
    Case("a step that ran again", AGAIN, "run", "flow", "longer",
         "it went by between its steps, the waits before b ran again included",
         '"backoffS" of b in the activity.json of flow'),
    Case("a step behind another in its worker", SHARED, "queued", "f", "longer",
         "another step ran in worker w1, where flow's steps that share it run one after the other",
         "mee6 flow explain flow"),
    Case("resumed", RESUMED, "resume", "f", "longer", "worker w1 was paused", "mee6 agent set linger=5m"),
    Case("queued, memory", queued(hindered="memory"), "queued", "f", "longer",
         "the memory budget of 4096 MiB was used up", "mee6 agent set memory-budget=8192M"),
    Case("queued, ceiling", queued(hindered="ceiling", ahead=1), "queued", "f", "longer",
         "as many python workers as may exist were in use; 1 other waited already", "ceiling=python=32"),
    Case("queued, all workers busy", queued(hindered="workers", ahead=3), "queued", "f", "longer",
         "all 8 workers that may run at its depth were in use; 3 others", "mee6 agent serve --max-workers 16"),
    Case("queued, starts", queued(hindered="starts"), "queued", "f", "longer", "as many as this driver makes",
         "mee6 agent set prewarm=python=3"),
    Case("queued, one in use free sooner", queued(hindered="busy", ahead=1), "queued", "f", "longer",
         "a worker in use was to be free before another would have been ready; 1 other", "wait-for-busy=off"),
    Case("queued, failing", queued(hindered="failing"), "queued", "f", "longer", "could not be started", "mee6 doctor"),
    Case("queued, nothing free", queued(), "queued", "f", "longer", "8 workers in use, none free", "prewarm"),
    Case("queued, its worker was lost", queued(lost=1), "queued", "f", "longer", "1 worker it was given", "mee6 agent"),
    Case("queued behind maxParallelism", HELD, "queued", "f", "longer", "g had 2 calls in other workers under way",
         '"maxParallelism": 4 in the activity.json of g'),
    Case("queued behind its workflow's bound", SPREAD, "queued", "f", "longer", "its workflow had as many calls",
         "mee6 agent serve --parallel-calls"),
    Case("queued in its caller's worker", STAYED, "queued", "f", "longer", "another call ran in worker w1",
         '"outflow": "always" for f in the activity.json of g'),
    Case("declared, its steps read", READ, "load", "flow", "longer", "so one loaded its steps", "mee6 act invoke flow"),
    Case("cold in its caller's worker", STAYED_COLD, "start", "f", "longer", "no spare python process",
         "mee6 agent set keep-alive=20m"),
    Case("loaded for the first time", loaded(), "load", "f", "longer", "no worker had held f v1 yet",
         "mee6 act invoke f, once"),
    Case("loaded since all were busy", loaded(holding=2), "load", "f", "longer", "2 workers that held f were in use",
         "mee6 bench f --closed 3"),
    Case("loaded since keep-alive was over",
         loaded(ended="idle for longer than its keep-alive", ended_ago_ns=60_000 * MS), "load", "f", "longer",
         "ended 60.0s before: idle for longer than its keep-alive", "mee6 agent set keep-alive=22m"),
    Case("loaded since memory was short", loaded(ended="memory was needed within the budget"), "load", "f", "longer",
         "memory was needed", "mee6 agent set memory-budget=8192M"),
    Case("loaded since another needed the room", loaded(ended="room was needed"), "load", "f", "longer",
         "room was needed", "mee6 agent serve --max-workers 16"),
    Case("loaded since somebody ended it", loaded(ended="it was evicted"), "load", "f", "longer", "it was evicted", ""),
    Case("loaded with its packages", loaded("np"), "load", "np", "longer",
         "its code with numpy, pandas, scipy and others", "mee6 act invoke np"),
    Case("loaded by Node.js", loaded("js"), "load", "js", "longer", "what it requires, which Node.js compiles",
         "mee6 act invoke js"),
    Case("slow code", SLOW, "run", "f", "longer", "it was f's own code; what it wrote then: mee6 act logs --id i7", ""),
    Case("slow callee", SLOW_CALLEE, "run", "f", "longer", "mee6 act logs --id i7.1", ""),
    Case("too few to compare", FEW, "run", "f", "unknown", "it was f's own code", ""),
    Case("warm as usual", trace(step("i7", "f", ("run", 0, 1)), usual=QUICK), "run", "f", "usual", "", ""),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_longest_part_has_its_cause_and_what_would_avoid_it(case: Case) -> None:
    found = explain(case.trace, FACTS, node())
    longest = found.findings[0]
    assert (longest.part, longest.function, longest.verdict) == (case.part, case.function, case.verdict)
    assert case.cause in longest.cause
    assert bool(case.cause) == bool(longest.cause)
    assert case.remedy in longest.remedy
    assert bool(case.remedy) == bool(longest.remedy)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_parts_are_the_whole(case: Case) -> None:
    found = explain(case.trace, FACTS, node())
    assert sum(one.took_ns for one in found.findings) == found.took_ns
    assert sum(one.share for one in found.findings) == pytest.approx(1)


@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        ("failed", "'f' raised ValueError: no", "it failed in the run of f: 'f' raised ValueError: no; what it wrote"),
        ("cancelled", "it was called off", "it was ended in the run of f: it was called off"),
        ("timed out", "took longer than its limit of 1 s", "it ran out of time in the run of f: took longer"),
        ("lost", "its process has ended", "its worker was lost in the run of f: its process has ended"),
        ("running", "", "it still goes on, now in the run of f; times are up to now"),
    ],
)
def test_how_it_ended_is_said_and_where(state: str, error: str, told: str) -> None:
    end = 0 if state == "running" else 10
    found = explain(
        trace(step("i7", "f", ("run", 0, end)), state=state, error=error, ended=11, usual=QUICK), FACTS, node()
    )
    assert found.notes[0].text.startswith(told)
    assert ("timeoutS" in found.notes[0].remedy) == (state == "timed out")
    assert found.took_ns == (500 * MS if state == "running" else 11 * MS)


def test_a_step_that_ran_out_of_its_own_time_is_told_where_that_is_set() -> None:
    late = "step 'x' (f) took longer than its 1 s"
    slow = step("i7.1", "f", ("run", 1, 9), name="x", state="timed out", error=late)
    found = explain(
        trace(step("i7", "flow", ("run", 0, 10)), slow, state="timed out", error=late, usual=usual("flow", run=1)),
        FACTS, node(),
    )  # fmt: skip
    wanted = 'a larger "timeoutS" of step x in the activity.json of flow, and no smaller one in that of f'
    assert found.notes[0].remedy == wanted


def test_one_that_waits_still_says_so() -> None:
    waiting = trace(step("i7", "f", ("queued", 0, 0), worker="", start=""), state="running", usual=QUICK)
    found = explain(replace(waiting, circumstances=(Circumstances("i7", limit=8, hindered="workers"),)), FACTS, node())
    assert found.notes[0].text.startswith("it still goes on, now in the queue of f")
    assert found.findings[0].cause.startswith("all 8 workers")


def test_what_was_not_seen_is_said() -> None:
    found = explain(trace(step("i7", "f", ("run", 0, 1)), usual=QUICK, incomplete=True), FACTS, node())
    assert "more steps than are remembered" in found.notes[0].text
    found = explain(trace(ended=3), {}, node())
    assert "none of its steps is known" in found.notes[0].text
    assert found.took_ns == 3 * MS


@pytest.mark.parametrize(
    ("samples", "told"),
    [(0, "no other run of f v1"), (1, "only 1 other run of f v1"), (7, "only 7 other runs of f v1")],
)
def test_too_few_runs_to_know_the_usual_is_said(samples: int, told: str) -> None:
    known = usual("f", samples, run=1) if samples else ()
    found = explain(trace(step("i7", "f", ("run", 0, 1)), usual=known), FACTS, node())
    assert found.notes[0].text.startswith(told)
    assert found.usual_ns is None


def test_a_caller_with_as_many_calls_elsewhere_as_it_may_have_is_told() -> None:
    calls = [step(f"i7.{n}", "f", ("run", 10 * n, 10 * n + 15), worker="w2") for n in range(1, 5)]
    found = explain(trace(CALLER, *calls, usual=usual("g")), FACTS, node())
    assert found.notes[0].text == "g made 4 calls in other workers, and 2 at once, as many as it may"
    assert found.notes[0].remedy == '"maxParallelism": 4 in the activity.json of g'


def test_a_function_that_is_not_known_any_more_leaves_no_half_command() -> None:
    for found in (cold(floor=0), queued(hindered="ceiling"), loaded()):
        assert "=None" not in explain(found, {}, node()).findings[0].remedy
        assert explain(found, {}, node()).findings[0].cause


def test_the_chain_that_the_result_waited_for_is_what_ended_last() -> None:
    """A call beside a longer one is no part of it, and one that outlives another is cut where that begins."""
    calls = (
        step("i7.1", "a", ("run", 1, 5)),
        step("i7.2", "b", ("run", 2, 4)),
        step("i7.3", "c", ("start", 4, 6), ("run", 6, 9)),
        step("i7.3.1", "d", ("run", 7, 8)),
    )
    whole = trace(step("i7", "g", ("queued", 0.2, 0.5), ("run", 0.5, 10)), *calls, ended=11)
    pieces = [
        (one.step.function, one.part, one.start_ns / MS, one.end_ns / MS) for one in critical_path(whole, 11 * MS)
    ]
    assert pieces == [
        ("g", "agent", 10, 11),
        ("g", "run", 9, 10),
        ("c", "run", 8, 9),
        ("d", "run", 7, 8),
        ("c", "run", 6, 7),
        ("c", "start", 4, 6),
        ("a", "run", 1, 4),
        ("g", "run", 0.5, 1),
        ("g", "queued", 0.2, 0.5),
        ("g", "agent", 0, 0.2),
    ]


def _reply() -> pb.TraceReply:
    spans = [pb.Span(kind=kind, start_ns=start * MS, end_ns=end * MS) for kind, start, end in
             (("start", 0, 60), ("load", 60, 61), ("run", 61, 62))]  # fmt: skip
    return pb.TraceReply(
        invocation=pb.Invocation(
            id="i7", username="default", function="echo", version=1, state="succeeded", ended_ns=62 * MS
        ),
        steps=[pb.Step(id="i7", function="echo", version=1, worker="w1", start="cold", spans=spans, state="succeeded")],
        circumstances=[pb.Circumstances(step="i7", floor=0)],
        usual=[pb.Usual(function="echo", version=1, part=part, samples=40, had=40, p50_ns=p50 * MS, p95_ns=p50 * MS)
               for part, p50 in (("start", 0), ("load", 1), ("run", 1), ("total", 2))],
    )  # fmt: skip


@pytest.fixture
def traced(agent: FakeAgent) -> FakeAgent:
    agent.traces["i7"] = _reply()
    return agent


def test_it_is_told_in_a_table_and_a_reason(on: Run, traced: FakeAgent) -> None:
    told = on("explain", "i7")
    assert told.stdout.splitlines() == [
        "i7  echo v1  succeeded  62.0ms  usually 2.00ms, p95 2.00ms of 40 runs",
        "",
        "PART   FUNCTION  STEP    TOOK  SHARE   USUAL     P95",
        "start  echo      i7    60.0ms    97%       0       0  longer than usual",
        "load   echo      i7    1.00ms     2%  1.00ms  1.00ms",
        "run    echo      i7    1.00ms     2%  1.00ms  1.00ms",
        "",
        "the start of echo, 60.0ms beyond its usual:",
        "  cold because no python worker is kept ready",
        "  avoided by: mee6 agent set prewarm=python=1",
    ]
    assert traced.requests[0].usual


def test_it_is_given_as_json_and_by_name(on: Run, traced: FakeAgent) -> None:
    found = json.loads(on("explain", "i7", "-o", "json").stdout)
    assert set(found) == set(Explanation.__dataclass_fields__)
    assert set(found["findings"][0]) == set(Finding.__dataclass_fields__)
    assert found["findings"][0]["took_ns"] == 60 * MS
    assert on("explain", "i7", "-o", "name").stdout == "i7\n"


def test_an_invocation_that_is_not_known_is_not_found(on: Run) -> None:
    result = on("explain", "nope")
    assert result.exit_code == 3
    assert "no invocation 'nope'" in result.stderr


def test_a_function_removed_since_is_explained_all_the_same(on: Run, traced: FakeAgent) -> None:
    traced.functions.clear()
    result = on("explain", "i7")
    assert result.exit_code == 0
    assert "cold because no worker is kept ready\n" in result.stdout
    assert "avoided by" not in result.stdout


def test_the_records_are_made_of_what_the_agent_tells() -> None:
    found = convert.trace(_reply())
    assert found.circumstances == (Circumstances("i7"),)
    assert found.usual[0] == Usual("echo", 1, "start", 40, 40, 0, 0, 0)
