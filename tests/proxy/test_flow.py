"""A declared workflow in a worker: what stays is run by counters here, what leaves is a call to the agent."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.declared.graph import Graph
from mee6.declared.parts import Layout, Part
from mee6.declared.run import Begin, CallEnded, Finish, FlowRun, Start
from mee6.declared.values import Value, packed
from mee6.lane.messages import (
    JSON,
    TEXT,
    Call,
    Expect,
    Fault,
    Function,
    Guessed,
    Invoke,
    Load,
    Next,
    Report,
    Result,
    Step,
    Steps,
    Welcome,
)
from mee6.manifest import parse
from proxy.table import RuntimeState
from tests.declared.play import simulate
from tests.declared.test_run import functions, graphs
from tests.proxy.play import Play, function

A, B, C = function("a"), function("b"), function("c")
CHAIN: Any = {"x": {"function": "a"}, "y": {"function": "b", "after": "x"}, "z": {"function": "a", "after": "y"}}
FORK: Any = {
    "x": {"function": "a"},
    "l": {"function": "b", "after": "x"},
    "r": {"function": "c", "after": "x"},
    "r2": {"function": "c", "after": "r"},
    "j": {"function": "a", "input": ["$l", "$r2"]},
}


def flow(steps: Any, **more: Any) -> Function:
    manifest = parse(json.dumps({"name": "w", "steps": steps, **more}))
    declaration = msgspec.json.encode(manifest.declaration)
    return Function(
        "w", 1, "python", "/act/rsc/w", manifest.outflows, manifest.max_parallelism, declaration=declaration
    )


class Flow(Play):
    """A worker that has loaded a declared workflow."""

    def __init__(self, steps: Any, *functions: Function, **more: Any) -> None:
        super().__init__()
        self.connect()
        self.agent(Welcome("w1"))
        root = flow(steps, **more)
        self.agent(Load("load", root, {one.name: one for one in (root, *functions)}))
        assert self.to_agent() == [Report("load")], "there is no code to load"
        self.connect_all()

    def begin(self, arg: Any = None, groups: dict[str, int] | None = None, part: Part | None = None) -> None:
        if part is not None:
            self.agent(Invoke("i", msgspec.msgpack.encode(part), "", ["w", "w"], part=True))
        else:
            self.agent(Invoke("i", json.dumps(arg).encode(), JSON, ["w"], groups=groups or {}))

    def runs(self, step: str, result: str = "", fault: Fault | None = None) -> Invoke:
        """The step is run, loaded first where its function is not."""
        self.connect_all()
        runtime = self.holder(step)
        if self.state(runtime) is RuntimeState.LOADING:
            self.runtime(runtime, Report(step))
        invoke = [message for message in self.sent(Invoke) if message.id == step][-1]
        self.runtime(runtime, Report(step, result.encode(), TEXT, fault))
        return invoke

    def away(self) -> list[Call]:
        return [message for message in self.to_agent() if isinstance(message, Call)]

    def records(self) -> dict[str, Step]:
        return {step.id: step for batch in self.sent(Steps) for step in batch.steps}


def test_a_chain_is_run_here_without_a_word_to_the_agent_between_its_steps() -> None:
    play = Flow(CHAIN, A, B)
    play.begin("arg")
    assert play.runs("i.1", "one").chain == ["w", "a"]
    assert play.runs("i.2", "two").arg == b"one"
    play.runs("i.3", "three")
    assert play.to_agent()[-1] == Report("i", b"three", TEXT)
    assert not play.sent(Call)
    records = play.records()
    assert [(one.function, one.name, one.state) for one in records.values()] == [
        ("a", "x", "succeeded"),
        ("b", "y", "succeeded"),
        ("a", "z", "succeeded"),
    ]
    assert records["i.3"].start == "warm"
    play.begin("again")
    for step in ("i.1", "i.2", "i.3"):
        play.runs(step)
    assert {one.start for one in play.records().values()} == {"warm"}


def test_without_groups_one_branch_stays_and_the_other_leaves() -> None:
    play = Flow(FORK, A, B, C)
    play.begin(1)
    play.runs("i.1", "x")
    assert [(call.id, call.name, call.step, call.chain) for call in play.away()] == [("i.3", "c", "r", ["w"])]
    play.runs("i.2", "l")
    play.agent(Result("i.3", b"r", TEXT))
    play.runs("i.4", "r2")
    assert json.loads(play.runs("i.5", "end").arg) == ["l", "r2"]
    assert play.to_agent()[-1] == Report("i", b"end", TEXT)


def test_a_group_leaves_as_one_call_with_what_it_needs() -> None:
    play = Flow(FORK, A, B, C)
    play.begin(1, {"x": 0, "l": 0, "r": 1, "r2": 1, "j": 0})
    play.runs("i.1", "x")
    (call,) = play.away()
    assert (call.name, call.part, call.chain) == ("w", True, ["w"])
    assert msgspec.msgpack.decode(call.arg, type=Part) == Part(["r", "r2"], {"x": Value(b"x", TEXT)})
    play.runs("i.3", "l")
    play.agent(Result(call.id, msgspec.msgpack.encode({"r2": Value(b"R", TEXT)})))
    assert json.loads(play.runs("i.4", "end").arg) == ["l", "R"]


def test_a_part_runs_by_its_own_counters_and_answers_what_others_need() -> None:
    play = Flow(FORK, A, B, C)
    play.begin(part=Part(["r", "r2"], {"x": packed("X")}))
    invoke = play.runs("i.1", "r")
    assert (invoke.arg, invoke.chain) == (b"X", ["w", "w", "c"])
    play.runs("i.2", "R")
    (report,) = [message for message in play.to_agent() if isinstance(message, Report)]
    assert msgspec.msgpack.decode(report.result, type=dict[str, Value | None]) == {"r2": Value(b"R", TEXT)}
    assert not play.sent(Call)


@pytest.mark.parametrize("raw", [b"", b"\x93\x91\xa1q\x80\xc0", b"nonsense"])
def test_what_is_no_part_is_answered_with_a_fault(raw: bytes) -> None:
    play = Flow(FORK, A, B, C)
    play.agent(Invoke("i", raw, "", ["w", "w"], part=True))
    (report,) = [message for message in play.to_agent() if isinstance(message, Report)]
    assert report.fault is not None
    assert report.fault.code == "invalid_input"
    play.begin(1)
    assert play.state(play.holder("i.1")) is RuntimeState.LOADING


def test_a_step_that_takes_too_long_is_ended_and_tried_again_after_its_wait() -> None:
    play = Flow({"x": {"function": "a", "timeoutS": 1, "retry": {"attempts": 2, "backoffS": 0.5}}}, A)
    play.begin()
    runtime = play.holder("i.1")
    play.runtime(runtime, Report("i.1"))
    play.after(1000)
    assert play.killed() == [runtime]
    play.after(499)
    assert play.core.tick_after_ns() == 1_000_000
    assert not [step for step in play.core._calls.steps if step == "i.2"]
    play.after(1)
    play.runs("i.2", "done")
    assert play.to_agent()[-1] == Report("i", b"done", TEXT)
    assert [(one.state, one.error) for one in play.records().values()] == [
        ("timed out", "step 'x' (a) took longer than its 1 s"),
        ("succeeded", ""),
    ]


def test_a_limit_of_a_step_that_leaves_goes_with_it() -> None:
    play = Flow({"x": {"function": "n", "timeoutS": 1}}, function("n", runtime="ruby"))
    play.begin()
    assert [(call.name, call.timeout_s) for call in play.away()] == [("n", 1.0)]


def test_a_failure_ends_what_runs_beside_it_and_the_worker_serves_on() -> None:
    play = Flow({"x": {"function": "a"}, "y": {"function": "b"}}, A, B)
    play.begin()
    (call,) = play.away()
    runtime = play.holder("i.1")
    play.runtime(runtime, Report("i.1"))
    play.agent(Result(call.id, fault=Fault("function_raised", "no", function="b")))
    assert play.killed() == [runtime]
    assert play.to_agent()[-1] == Report("i", fault=Fault("function_raised", "no", function="b"))
    assert play.records()["i.1"].state == "failed"
    play.connect_all()
    play.begin()
    play.runs("i.1", "1")
    play.agent(Result("i.2", b"2"))
    assert isinstance(play.to_agent()[-1], Report)


def test_a_step_that_waits_for_a_place_does_not_begin_when_a_failure_makes_it() -> None:
    play = Flow({"e": {"function": "a", "foreach": "$args"}}, A, maxParallelism=1)
    play.begin([1, 2, 3])
    runtime = play.holder("i.1")
    play.runs("i.1", fault=Fault("function_raised", "no", function="a"))
    assert [one.id for one in play.sent(Invoke)] == ["i.1"]
    assert not play.killed(), "its process is warm for the next one"
    assert play.state(runtime) is RuntimeState.IDLE


def test_what_a_step_that_is_ended_had_called_here_ends_in_the_trace_too() -> None:
    play = Flow({"x": {"function": "b"}, "y": {"function": "a"}}, A, function("b", g="no"), function("g"))
    play.begin()
    (call,) = play.away()
    caller = play.holder("i.1")
    play.runtime(caller, Report("i.1"))
    play.call(caller, "i.1.1", "g", "i.1")
    play.connect_all()
    play.runtime(play.holder("i.1.1"), Report("i.1.1"))
    play.after(10)
    assert play.records()["i.1.1"].state == "running"
    play.agent(Result(call.id, fault=Fault("function_raised", "no", function="a")))
    record = play.records()["i.1.1"]
    assert (record.state, record.error) == ("failed", "its caller ended")
    assert all(span.end_ns for span in record.spans)


def test_a_runtime_that_is_lost_fails_its_step_which_may_run_again() -> None:
    play = Flow({"x": {"function": "a", "retry": {"attempts": 2, "backoffS": 0}}}, A)
    play.begin()
    runtime = play.holder("i.1")
    play.runtime(runtime, Report("i.1"))
    play.dies(runtime)
    play.connect_all()
    play.runs("i.2", "again")
    assert play.to_agent()[-1] == Report("i", b"again", TEXT)


def test_a_step_whose_runtime_is_lost_in_the_moment_that_it_gets_it_fails_and_may_run_again() -> None:
    play = Flow({"x": {"function": "a", "retry": {"attempts": 2, "backoffS": 0}}}, A)
    play.begin()
    play.dies(play.holder("i.1"))
    play.connect_all()
    play.runs("i.2", "again")
    assert play.to_agent()[-1] == Report("i", b"again", TEXT)


def test_a_function_that_was_not_added_is_a_fault_that_can_be_caught() -> None:
    play = Flow({"x": {"function": "a", "catch": {"value": "$error.message"}}})
    play.begin()
    (report,) = [message for message in play.to_agent() if isinstance(message, Report)]
    assert b"'w' calls 'a', which has not been added" in report.result


def test_no_more_calls_leave_than_may() -> None:
    play = Flow({"e": {"function": "a", "foreach": "$args"}}, A, maxParallelism=2)
    play.begin([1, 2, 3, 4, 5])
    assert [call.id for call in play.away()] == ["i.2", "i.3"]
    play.agent(Result("i.3", b"3"))
    assert [call.id for call in play.away()] == ["i.4"]
    play.runs("i.1", "1")
    play.runs("i.5", "5")
    play.agent(Result("i.2", b"2"))
    play.agent(Result("i.4", b"4"))
    report = play.to_agent()[-1]
    assert isinstance(report, Report)
    assert json.loads(report.result) == ["1", "2", "3", "4", "5"]


def test_a_step_may_itself_call_and_be_a_workflow_of_code() -> None:
    play = Flow({"x": {"function": "a"}}, function("a", b="no"), B)
    play.begin()
    runtime = play.holder("i.1")
    play.runtime(runtime, Report("i.1"))
    play.call(runtime, "i.1.1", "b", "i.1")
    play.runs("i.1.1", "inner")
    assert play.result_for(runtime).result == b"inner"
    play.runs("i.1", "outer")
    assert play.to_agent()[-1] == Report("i", b"outer", TEXT)


def test_a_declared_workflow_that_is_called_has_a_worker_of_its_own() -> None:
    inner = flow(CHAIN)
    play = Flow({"x": {"function": "inner"}}, msgspec.structs.replace(inner, name="inner"), A, B)
    play.begin()
    assert [call.name for call in play.away()] == ["inner"]


def test_the_functions_that_come_next_are_loaded_while_the_first_runs() -> None:
    play = Flow(CHAIN, A, B)
    play.agent(Expect([Next("w", "a", 1.0), Next("w", "b", 1.0)], 2))
    play.begin()
    play.runtime(play.holder("i.1"), Report("i.1"))
    play.connect_all()
    (ahead,) = [load for load in play.sent(Load) if load.function.name == "b"]
    play.runtime(play.holder(ahead.id), Report(ahead.id))
    for step in ("i.1", "i.2", "i.3"):
        play.runs(step)
    assert [load.function.name for load in play.sent(Load)].count("b") == 1
    (told,) = play.sent(Guessed)
    assert [guess.function for guess in told.guesses] == ["b"]


def test_a_second_invocation_while_one_runs_is_refused() -> None:
    play = Flow(CHAIN, A, B)
    play.begin()
    play.begin()
    assert play.to_agent() == [Report("i", fault=Fault("conflict", "the worker is busy"))]


SUM = function("sum")


@settings(max_examples=80, deadline=None)
@given(graphs(), st.data())
def test_whatever_the_graph_and_whoever_answers_next_it_comes_to_what_it_must(of: Graph, data: st.DataObject) -> None:
    steps = msgspec.to_builtins({name: node.step for name, node in of.nodes.items()})
    play = Flow(steps, SUM, output={name: f"${name}" for name in steps}, maxParallelism=data.draw(st.integers(1, 3)))
    groups = {name: data.draw(st.sampled_from([0, 0, 1, 2])) for name in of.nodes} if data.draw(st.booleans()) else {}
    play.begin(1, groups)
    away: dict[str, Call] = {}
    while not isinstance(play.last and play.to_agent() and play.to_agent()[-1], Report):
        away |= {call.id: call for call in play.sent(Call) if call.id not in away}
        here = sorted(play.core._calls.steps)
        waiting = sorted(number for number in away if number in play.core._flow._asked)
        number = data.draw(st.sampled_from([*here, *waiting]))
        if number in waiting:
            play.agent(answer(of, away[number]))
        else:
            step = play.core._calls.steps[number]
            play.connect_all()
            runtime = play.holder(number)
            if play.state(runtime) is RuntimeState.LOADING:
                play.runtime(runtime, Report(number))
            (invoke,) = [one for one in play.sent(Invoke) if one.id == number]
            assert step.ended is not None
            play.runtime(runtime, Report(number, json.dumps(functions("", json.loads(invoke.arg))).encode(), JSON))
    report = play.to_agent()[-1]
    assert isinstance(report, Report)
    assert json.loads(report.result) == simulate(of, 1, functions, {}, lambda _count: 0).result


def answer(of: Graph, call: Call) -> Result:
    """What another worker makes of a call, or of a part."""
    if not call.part:
        return Result(call.id, json.dumps(functions("", json.loads(call.arg))).encode(), JSON)
    part = msgspec.msgpack.decode(call.arg, type=Part)
    inner = FlowRun(of, part.args, Layout(of).of_part(part.steps), part.steps, part.given)
    todo = inner.handle(Begin(), 0)
    while True:
        command = todo.pop(0)
        if isinstance(command, Finish):
            return Result(call.id, msgspec.msgpack.encode(command.outcomes))
        assert isinstance(command, Start)
        value = packed(functions("", json.loads(command.input.data)))
        todo += inner.handle(CallEnded(command.call, value), 0)
