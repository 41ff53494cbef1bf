"""Random lives of declared workflows in one worker: steps end, fail, hang and lose their processes in any order.

Whatever happens, a step is run by one at a time, nothing begins after the end, there is one answer, and nothing of a
workflow is left when it has been given: no step, no call, no wait, and no record that says it still runs.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mee6.declared.parts import Part
from mee6.declared.values import packed
from mee6.lane.messages import JSON, Call, Fault, Invoke, Report, Result, Step, Steps
from proxy.events import (
    Command,
    Event,
    Kill,
    RuntimeClosed,
    RuntimeExited,
    RuntimeNotSpawned,
    SendAgent,
    SendRuntime,
)
from proxy.table import RuntimeState
from tests.proxy.play import function
from tests.proxy.test_flow import CHAIN, FORK, A, C, Flow

_AGAIN: Any = {"attempts": 3, "backoffS": 0.4}
GRAPHS: dict[str, Any] = {
    "chain": CHAIN,
    "fork": FORK,
    "wide": {"a": {"function": "a"}, "b": {"function": "b"}, "c": {"function": "c"}, "d": {"function": "a"}},
    "beside": {"x": {"function": "b"}, "y": {"function": "a"}},
    "each": {"e": {"function": "a", "foreach": [1, 2, 3, 4], "retry": _AGAIN}, "j": {"function": "c", "after": "e"}},
    "again": {
        "x": {"function": "a", "timeoutS": 1, "retry": _AGAIN},
        "y": {"function": "b", "after": "x", "timeoutS": 2, "catch": {"value": "$error.code"}},
        "z": {"function": "c", "after": "x", "retry": _AGAIN},
    },
}
APART = {"fork": {"x": 0, "l": 0, "r": 1, "r2": 1, "j": 0}}
"""Groups that leave as one call."""
FUNCTIONS = (A, function("b", g="no", timeout_s=5), C, function("g"))
"""Of which one has code that calls another in the same worker."""


class Watched(Flow):
    """A worker of which every command is taken note of, in order."""

    def __init__(self, steps: Any) -> None:
        self.here: dict[str, int] = {}
        """Runs under way in this worker, and the runtime of each."""
        self.left: dict[str, Call] = {}
        """Calls under way in other workers."""
        self.names: dict[str, str] = {}
        self.answers: dict[str, int] = {}
        """Invocation -> how often it was answered."""
        self.refused = ""
        """An invocation that came while another went on."""
        self.last_record: dict[str, Step] = {}
        super().__init__(steps, *FUNCTIONS, maxParallelism=2)
        self.each = {name for name, step in steps.items() if "foreach" in step}

    def event(self, event: Event) -> list[Command]:
        commands = super().event(event)
        for command in commands:
            self._note(command)
        return commands

    def _note(self, command: Command) -> None:
        match command:
            case SendRuntime(runtime, Invoke(id=number)):
                self._begins(number, self.core._calls.steps[number].name)
                if runtime in self.core.runtimes and self.core.runtimes[runtime].status is None:
                    self.here[number] = runtime  # which one that has exited cannot run
            case SendAgent(Call() as call):
                self._begins(call.id, call.step)
                self.left[call.id] = call
            case SendAgent(Steps(steps)):
                self.last_record |= {step.id: step for step in steps}
            case SendAgent(Report(id=number)) if number != "load":
                self.answers[number] = self.answers.get(number, 0) + 1
                if number != self.refused:
                    self.left.clear()  # which the agent ends with it
            case Kill(runtime):
                self.here = {number: at for number, at in self.here.items() if at != runtime}
            case _:
                pass

    def _begins(self, number: str, name: str) -> None:
        """A run begins: of a step that does not run, of a workflow that goes on."""
        assert not self.answers.get(number.partition(".")[0]), f"{number} begins after the end"
        assert number not in self.here
        assert number not in self.left
        self.names[number] = name
        if name and name not in self.each:
            running = [self.names[other] for other in (*self.here, *self.left) if other != number]
            assert name not in running, f"step {name} runs twice at once"


class FlowLives(RuleBasedStateMachine):
    @initialize(graph=st.sampled_from(sorted(GRAPHS)))
    def load(self, graph: str) -> None:
        self.graph = graph
        self.play = Watched(GRAPHS[graph])
        self.count = 0
        self.calls = 0
        self.gone: list[str] = []
        """Calls that have ended, of which a second outcome may come."""
        self.invoking = ""

    @property
    def goes_on(self) -> bool:
        return bool(self.invoking) and not self.play.answers.get(self.invoking)

    @precondition(lambda self: not self.goes_on)
    @rule(apart=st.booleans())
    def the_agent_invokes(self, apart: bool) -> None:
        self.count += 1
        self.invoking = f"i{self.count}"
        groups = APART.get(self.graph, {}) if apart else {}
        self.play.agent(Invoke(self.invoking, b"1", JSON, ["w"], groups=groups))

    @precondition(lambda self: self.goes_on)
    @rule()
    def the_agent_invokes_too_early(self) -> None:
        self.count += 1
        self.play.refused = f"i{self.count}"
        self.play.agent(Invoke(self.play.refused, b"1", JSON, ["w"]))
        assert self.play.answers[self.play.refused] == 1

    def _runtimes(self, *states: RuntimeState) -> list[int]:
        return sorted(one.id for one in self.play.core.runtimes.values() if one.state in states)

    @rule(index=st.integers(0, 9), comes=st.sampled_from([True, True, True, False]))
    def a_runtime_connects(self, index: int, comes: bool) -> None:
        if spawning := self._runtimes(RuntimeState.SPAWNING):
            number = spawning[index % len(spawning)]
            if comes:
                self.play.connect(number)
            else:
                self.play.event(RuntimeNotSpawned(number, "no memory"))

    @rule(index=st.integers(0, 9), loads=st.sampled_from([True, True, True, False]))
    def a_function_is_loaded(self, index: int, loads: bool) -> None:
        if loading := self._runtimes(RuntimeState.LOADING):
            runtime = self.play.core.runtimes[loading[index % len(loading)]]
            fault = None if loads else Fault("load_failed", "no such module")
            self.play.runtime(runtime.id, Report(runtime.step or runtime.joined, fault=fault))

    @rule(index=st.integers(0, 9), code=st.sampled_from(["", "", "", "function_raised"]), twice=st.booleans())
    def a_step_ends_here(self, index: int, code: str, twice: bool) -> None:
        if not self.play.here:
            return
        number = sorted(self.play.here)[index % len(self.play.here)]
        runtime = self.play.here[number]
        if self.play.core.runtimes[runtime].state is RuntimeState.CALLING or self.play.core.runtimes[runtime].closed:
            return
        del self.play.here[number]
        self.play.runtime(runtime, Report(number, b"1", JSON, Fault(code, "no") if code else None))
        if twice and runtime in self.play.core.runtimes:
            self.play.runtime(runtime, Report(number, b"2", JSON))

    @rule(index=st.integers(0, 9))
    def a_step_calls(self, index: int) -> None:
        busy = self._runtimes(RuntimeState.BUSY)
        able = [n for n in busy if (found := self.play.core.runtimes[n].function) is not None and found.name == "b"]
        if able:
            runtime = self.play.core.runtimes[able[index % len(able)]]
            assert runtime.step
            self.calls += 1
            self.play.runtime(runtime.id, Call(f"{runtime.step}.n{self.calls}", runtime.step, "g", b"1", JSON))

    @rule(index=st.integers(0, 9), code=st.sampled_from(["", "", "", "function_raised", "worker_lost", "timed_out"]))
    def a_call_ends_elsewhere(self, index: int, code: str) -> None:
        if not self.play.left:
            return
        number = sorted(self.play.left)[index % len(self.play.left)]
        call = self.play.left.pop(number)
        self.gone.append(number)
        data = b"1"
        if call.part:
            steps = msgspec.msgpack.decode(call.arg, type=Part).steps
            data = msgspec.msgpack.encode(dict.fromkeys(steps, packed(1)))
        self.play.agent(Result(number, data, JSON, Fault(code, "no") if code else None))

    @precondition(lambda self: self.gone)
    @rule(index=st.integers(0, 9))
    def an_outcome_comes_again(self, index: int) -> None:
        self.play.agent(Result(self.gone[index % len(self.gone)], b"2", JSON))

    @rule(index=st.integers(0, 9), status=st.sampled_from([0, 3, -9]), sign=st.sampled_from(["exit", "close", "both"]))
    def a_runtime_dies(self, index: int, status: int, sign: str) -> None:
        connected = sorted(
            one.id
            for one in self.play.core.runtimes.values()
            if one.state is not RuntimeState.SPAWNING and not one.closed and one.status is None
        )
        if connected:
            number = connected[index % len(connected)]
            if sign != "close":
                self.play.here = {key: at for key, at in self.play.here.items() if at != number}
                self.play.event(RuntimeExited(number, status))
            if sign != "exit":
                self.play.event(RuntimeClosed(number))

    @rule(ms=st.sampled_from([1, 10, 400, 1100, 5000]))
    def time_passes(self, ms: int) -> None:
        self.play.after(ms)

    @invariant()
    def it_is_answered_once_and_leaves_nothing(self) -> None:
        if not hasattr(self, "play"):
            return
        assert set(self.play.answers.values()) <= {1}
        if self.invoking and not self.goes_on:
            core = self.play.core
            assert not core._calls.steps
            assert not core._calls._open
            assert not core._flow._asked
            assert not core._flow.due_ns
            assert not [job for job in core._crew.waiting if getattr(job, "ended", None)]
            assert not self.play.here
            assert not [step for step in self.play.last_record.values() if step.state in ("starting", "running")]

    def teardown(self) -> None:
        """Lets everybody do their part: what goes on comes to an end."""
        if not hasattr(self, "play"):
            return
        for _ in range(200):
            if not self.goes_on:
                break
            self.play.connect_all()
            self.a_function_is_loaded(0, loads=True)
            for index in range(3):
                self.a_step_ends_here(index, "", twice=False)
            self.a_call_ends_elsewhere(0, "")
            self.play.after(600)
        assert not self.goes_on, "somebody waits for ever"
        self.it_is_answered_once_and_leaves_nothing()


TestFlowLives = FlowLives.TestCase
TestFlowLives.settings = settings(
    max_examples=int(os.environ.get("MEE6_EXAMPLES", "100")),
    derandomize="MEE6_EXAMPLES" not in os.environ,  # the same ones each time, unless asked for more
    stateful_step_count=60,
    deadline=None,
)
