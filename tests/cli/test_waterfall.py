# ruff: noqa: E501 - drawings
from __future__ import annotations

import json

import pytest

from mee6.api import records
from mee6.api.v1 import console_pb2
from mee6.records import Trace
from mee6tui.cli.units import age, duration, seconds, size
from mee6tui.cli.waterfall import lines, rows
from tests.cli.conftest import Run
from tests.support.fake_agent import FakeAgent

MS = 1_000_000


def step(identity: str, function: str, *spans: tuple[str, float, float], **fields: object) -> console_pb2.Step:
    parent = identity.rpartition(".")[0]
    known = {"worker": "w1", "start": "prewarmed", "via": "proxy", "state": "succeeded", "version": 1, **fields}
    return console_pb2.Step(
        id=identity, parent=parent, function=function, invocation="i7",
        spans=[console_pb2.Span(kind=kind, start_ns=int(a * MS), end_ns=int(b * MS)) for kind, a, b in spans],
        **known,  # type: ignore[arg-type]
    )  # fmt: skip


def reply(
    *steps: console_pb2.Step, ended: float = 40, error: str = "", state: str = "succeeded"
) -> console_pb2.TraceReply:
    call = console_pb2.Invocation(
        id="i7", username="default", function="pipeline", version=3, state=state, accepted_ns=0,
        ended_ns=int(ended * MS), error=error,
    )  # fmt: skip
    return console_pb2.TraceReply(invocation=call, steps=steps)


def trace(*steps: console_pb2.Step, ended: float = 40, error: str = "", state: str = "succeeded") -> Trace:
    return records.trace(reply(*steps, ended=ended, error=error, state=state))


SEQUENCE = (
    step("i7", "pipeline", ("queued", 0, 1), ("resume", 1, 2), ("load", 2, 10), ("run", 10, 40)),
    step("i7.1", "clean", ("load", 11, 15), ("run", 15, 20)),
    step("i7.2", "enrich", ("load", 20, 24), ("run", 24, 40), worker="w2", start="warm", via="direct"),
    step("i7.2.1", "tax", ("run", 30, 30.042), start="warm"),
)


HEAD = "i7  pipeline v3  succeeded  40.0ms  4 steps in 2 workers"
WORDS = "STEP      WORKER  START      VIA     TIME                                QUEUE  RESUME    LOAD     RUN   TOTAL"


def test_a_sequence_is_drawn_under_its_caller_and_to_scale() -> None:
    assert lines(trace(*SEQUENCE), width=110) == [
        HEAD,
        "",
        WORDS,
        "pipeline  w1      prewarmed  proxy   ░░░░░░░░█████████████████████████  1.00ms  1.00ms  8.00ms  30.0ms  40.0ms",
        "  clean   w1      prewarmed  proxy            ░░░████▌                                  4.00ms  5.00ms  9.00ms",
        "  enrich  w2      warm       direct                  ░░░░█████████████                  4.00ms  16.0ms  20.0ms",
        "    tax   w1      warm       proxy                           ▏                                    42us    42us",
    ]


def test_where_the_times_leave_no_room_those_before_the_run_are_one_column() -> None:
    assert lines(trace(*SEQUENCE), width=70) == [
        HEAD,
        "",
        "STEP      WORKER  START      VIA     TIME          BEFORE     RUN   TOTAL",
        "pipeline  w1      prewarmed  proxy   ░░░█████████  10.0ms  30.0ms  40.0ms",
        "  clean   w1      prewarmed  proxy      ░██        4.00ms  5.00ms  9.00ms",
        "  enrich  w2      warm       direct        ░█████  4.00ms  16.0ms  20.0ms",
        "    tax   w1      warm       proxy            ▏              42us    42us",
    ]


def test_a_terminal_without_block_characters_gets_ascii() -> None:
    drawn = lines(trace(*SEQUENCE), width=110, ascii_only=True)
    assert "\n".join(drawn).isascii()
    assert "  --------#########################  " in drawn[3]


def test_a_failed_step_says_why_once() -> None:
    failed = step("i7", "boom", ("queued", 0, 0.2), ("run", 0.2, 0.9), state="failed", error="no price\nmore")
    assert lines(trace(failed, ended=1, error="no price\nmore", state="failed"), width=80) == [
        "i7  pipeline v3  failed  1.00ms  1 step in 1 worker",
        "",
        "STEP  WORKER  START      VIA    TIME                         QUEUE    RUN  TOTAL",
        "boom  w1      prewarmed  proxy  ░░░░░░█████████████████████  200us  700us  900us",
        "✗ no price",
    ]


def test_an_inner_failure_that_was_caught_stands_at_its_step() -> None:
    outer, inner = step("i7", "outer", ("run", 0, 9)), step("i7.1", "inner", ("run", 1, 2), error="caught")
    assert lines(trace(outer, inner))[-1] == "    ✗ caught"


def test_an_invocation_that_waits_is_drawn_up_to_now() -> None:
    waiting = step("i7", "slow", ("queued", 0, 3), start="", via="", worker="")
    assert lines(trace(waiting, ended=0, state="queued"), width=80) == [
        "i7  pipeline v3  queued  still going on  1 step in 0 workers",
        "",
        "STEP  WORKER  START  VIA  TIME                                     QUEUE   TOTAL",
        "slow  -       -      -    ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  3.00ms  3.00ms",
    ]


def test_a_forgotten_trace_says_so() -> None:
    assert lines(trace())[-1] == "no steps: it has not started, or they have been forgotten"


def test_steps_without_their_caller_and_in_a_circle_are_still_drawn_once() -> None:
    orphan = step("i7.9.1", "orphan", ("run", 0, 1))
    itself = step("x", "itself", ("run", 0, 1))
    itself.parent = "x"
    found = rows(trace(orphan, itself))
    assert [(row.step.function, row.depth) for row in found] == [("orphan", 0), ("itself", 0)]


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_bars_keep_the_columns_aligned_for_hundreds_of_steps(width: int) -> None:
    steps = [step("i7", "many", ("run", 0, 400))]
    steps += [step(f"i7.{n}", "one", ("start", n / 3, n), ("run", n, n + 0.7)) for n in range(1, 400)]
    drawn = lines(trace(*steps, ended=400), width=width)
    assert len(drawn) == 3 + 400
    begins = drawn[2].index("TIME")
    assert {len(line) for line in drawn[2:]} == {len(drawn[2])}
    assert all(line[begins - 1] == " " and line[begins:].strip() for line in drawn[2:])


def test_colour_only_wraps_the_bar() -> None:
    plain, coloured = lines(trace(*SEQUENCE)), lines(trace(*SEQUENCE), color=True)
    assert [line.replace("\x1b[36m", "").replace("\x1b[0m", "") for line in coloured] == plain


def test_the_command_draws_and_gives_records(on: Run, agent: FakeAgent) -> None:
    agent.traces = {"i7": reply(*SEQUENCE)}
    assert on("trace").stdout.splitlines()[0] == HEAD
    assert on("trace", "i7", "-o", "name").stdout == "i7\n"
    found = json.loads(on("trace", "i7", "-o", "json").stdout)
    assert [(one["function"], one["depth"]) for one in found["steps"]][:2] == [("pipeline", 0), ("clean", 1)]
    assert found["steps"][1]["parts_ns"] == {"load": 4 * MS, "run": 5 * MS}


def test_invoke_with_trace_draws_on_standard_error(on: Run, agent: FakeAgent) -> None:
    agent.traces = {"inv1": reply(*SEQUENCE)}
    agent.traces["inv1"].invocation.function = "echo"
    result = on("act", "invoke", "echo", "x", "--trace")
    assert result.stdout == "x\n"
    assert "WORKER" in result.stderr


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0"), (999, "1us"), (42_400, "42us"), (999_400, "999us"), (999_600, "1.00ms"), (9_996_000, "10.0ms"),
        (99_960_000, "100ms"), (999_600_000, "1.00s"), (59_000_000_000, "59.0s"), (200_000_000_000, "3m20s"),
    ],
)  # fmt: skip
def test_durations_read_well(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_units_are_read_as_people_write_them() -> None:
    assert [seconds(text) for text in ("30", "30s", "250ms", "1.5m", "1h")] == [30, 30, 0.25, 90, 3600]
    assert [size(text) for text in ("10", "1k", "512M", "1GiB", "2 MB")] == [10, 1024, 512 << 20, 1 << 30, 2 << 20]
    assert [age(s) for s in (-1, 99, 150, 7200, 500_000)] == ["0s", "99s", "2m", "2h", "5d"]
