"""The steps that run in this worker, and the calls between them and out of it.

Without I/O. A step is the invocation's first or somebody's call that stays; it ends after all its own calls have.
Who may call whom, and where it runs, are the rules of `mee6.outflow`; where its runtime comes from is `proxy.crew`'s
business.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from mee6.lane.messages import Call, Chunk, Credit, Fault, Head, Hop, Invoke, Report, Result
from mee6.outflow import Gate, Place, refusal
from proxy.ahead import Ahead
from proxy.crew import MAX_IDLE, Crew
from proxy.events import Command, SendAgent, SendRuntime
from proxy.plan import Plan
from proxy.step import LocalStep, Trace
from proxy.table import Runtime, RuntimeEvent, RuntimeState

_S, _E = RuntimeState, RuntimeEvent


class Calls:
    """All steps and calls of the invocation that goes on.

    Args:
        do: takes the commands.
    """

    def __init__(self, plan: Plan, crew: Crew, ahead: Ahead, trace: Trace, do: Callable[[Command], None]) -> None:
        self.steps: dict[str, LocalStep] = {}
        self._open: dict[str, tuple[LocalStep, Call, int]] = {}
        """Calls that have not ended: who makes it, what it is, when it came (ns)."""
        self._plan = plan
        self._crew = crew
        self._runtimes = crew.runtimes
        self._ahead = ahead
        self._trace = trace
        self._do = do
        self.on_branch: Callable[[int], None] = lambda _now: None
        """Is told when a call leaves the worker, where it runs beside what runs here."""
        self.on_called: Callable[[LocalStep, Runtime, int], None] = lambda _caller, _callee, _now: None
        """Is told of each call here that has ended, of its caller and of the runtime that did it."""

    # Calls ----------------------------------------------------------------------------------------------

    def ask(self, runtime: Runtime, call: Call, now_ns: int) -> None:
        """Takes a call that the step in a runtime makes; it goes on at once, waits for its turn or is refused."""
        caller = self.steps.get(call.invocation)
        if caller is None or caller.runtime != runtime.id or caller.held is not None or call.id in self._open:
            why = f"invocation {call.invocation} has ended and can call nothing any more"
            refused: Fault | None = Fault("call_refused", why)
        else:
            refused = refusal(caller.function, caller.chain, call.name, call.name in self._plan.functions)
        if caller is None or refused is not None:
            self._do(SendRuntime(runtime.id, Result(call.id, fault=refused)))
            return
        runtime.take(_E.CALLED)
        caller.open.add(call.id)
        self._open[call.id] = (caller, call, now_ns)
        self._admit(self._gate(caller).ask(call.id, call.name), now_ns)

    def _gate(self, caller: LocalStep) -> Gate:
        gate = caller.gate
        if gate is None:
            outflows = self._plan.outflows(caller.function)
            gate = caller.gate = Gate(outflows, caller.function.max_parallelism, can_stay=True)
        return gate

    def _admit(self, admitted: list[tuple[str, Place]], now_ns: int) -> None:
        for number, place in admitted:
            caller, call, asked_ns = self._open[number]
            if place is Place.ELSEWHERE:
                self.on_branch(now_ns)
                self._do(SendAgent(structs.replace(call, chain=caller.chain)))
                continue
            function, chain = self._plan.functions[call.name], [*caller.chain, call.name]
            step = LocalStep(call.id, caller.id, function, call.arg, call.content_type, chain)
            step.stored, step.room = call.stored, call.room
            if asked_ns != now_ns:
                step.spans.append(("queued", asked_ns, now_ns))
            step.limit(function.timeout_s, now_ns)
            self.begin(step, now_ns)

    def answered(self, result: Result, now_ns: int) -> None:
        """Takes the outcome of a call that ran elsewhere; one that nobody waits for is dropped."""
        entry = self._open.get(result.id)
        if entry is not None and result.id not in self.steps:
            self._answer(entry[0], result, now_ns)

    def _answer(self, caller: LocalStep, result: Result, now_ns: int) -> None:
        """Ends a call: its caller gets the outcome."""
        assert caller.runtime is not None
        self._do(SendRuntime(caller.runtime, result))
        self._close(caller, result.id, now_ns)

    def _close(self, caller: LocalStep, number: str, now_ns: int) -> None:
        """Takes note that a call has ended: calls that waited for their turn go."""
        assert caller.runtime is not None
        assert caller.gate is not None
        del self._open[number]
        caller.open.discard(number)
        if caller.open:
            self._admit(caller.gate.done(number), now_ns)
            return
        caller.gate.done(number)
        runtime = self._runtimes[caller.runtime]
        runtime.take(_E.ANSWERED)
        if caller.held is not None:
            self._finish(caller, runtime, caller.held, now_ns)

    # Direct calls ---------------------------------------------------------------------------------------

    def adopt(self, caller: LocalStep, callee: Runtime, lane: int, hop: Hop, now_ns: int) -> None:
        """Makes a step of a call that goes on over a direct lane, unless it may not run here now."""
        function = callee.function
        assert function is not None
        assert caller.runtime is not None
        outflow = self._plan.outflows(caller.function).get(function.name, "always")
        if outflow == "always" or any(number in self.steps for number in caller.open):
            return
        gate = self._gate(caller)
        if gate.ask(hop.id, function.name) != [(hop.id, Place.HERE)]:
            gate.done(hop.id)
            return
        self._runtimes[caller.runtime].take(_E.CALLED)
        caller.open.add(hop.id)
        started_ns = min(hop.start_ns, now_ns)
        self._open[hop.id] = (caller, Call(hop.id, caller.id, function.name, b"", ""), started_ns)
        step = self.steps[hop.id] = LocalStep(hop.id, caller.id, function, b"", "", [*caller.chain, function.name])
        step.lane, step.start = lane, "warm"
        step.limit(function.timeout_s, started_ns)
        self._occupy(step, callee, started_ns, now_ns)

    def set_aside(self, step: LocalStep, now_ns: int) -> None:
        """Parts a direct call that must have ended from its caller and its runtime; how it went is told later."""
        for number in list(step.open):
            if (inner := self.steps.get(number)) is not None:
                self.set_aside(inner, now_ns)
        if step.open or step.id not in self.steps:
            return
        assert step.runtime is not None
        del self.steps[step.id]
        runtime = self._runtimes[step.runtime]
        runtime.take(_E.REPORTED)
        runtime.step = None
        self._close(self._open[step.id][0], step.id, now_ns)

    # Steps ----------------------------------------------------------------------------------------------

    def begin(self, step: LocalStep, now_ns: int) -> None:
        """Begins a step in the best runtime there is: one that holds its function, a spare, or the next one."""
        self.steps[step.id] = step
        runtime = self._crew.find(step.function)
        if runtime is not None and runtime.state is _S.IDLE:
            step.start = "warm"
            if runtime.ahead:
                step.start = "ahead"
                self._ahead.used(runtime)
            self._run(step, runtime, now_ns)
            return
        if (joined := self._ahead.join(step, now_ns)) is not None:
            self.loading(step, joined, now_ns)
        elif runtime is None:
            step.start = step.start or "cold"
            step.state = "starting"
            step.enter("start", now_ns)
            self._trace.note(step, now_ns)
            self._crew.wait(step)
        else:
            step.start = "prewarmed"
            self._crew.give(runtime, step)
            self.loading(step, runtime, now_ns)

    def loading(self, step: LocalStep, runtime: Runtime, now_ns: int) -> None:
        """Takes note that a runtime was given to a step and loads its function."""
        step.pid = runtime.pid
        step.state = "starting"
        step.enter("load", now_ns)
        self._trace.note(step, now_ns)

    def loaded(self, step: LocalStep, runtime: Runtime, fault: Fault | None, now_ns: int) -> None:
        """Runs a step whose function is ready, or ends it where that failed."""
        if fault is not None:
            self._crew.end(runtime)
            self.fail(step, fault, now_ns)
        else:
            runtime.take(_E.LOADED)
            if runtime.joined:
                self._ahead.arrived(runtime, now_ns)
            self._run(step, runtime, now_ns)

    def _run(self, step: LocalStep, runtime: Runtime, now_ns: int) -> None:
        self._do(
            SendRuntime(
                runtime.id,
                Invoke(
                    step.id,
                    step.arg,
                    step.content_type,
                    step.chain,
                    step.request,
                    step.window,
                    stored=step.stored,
                    room=step.room,
                ),
            )
        )
        step.arg, step.request = b"", None
        for message in step.early:
            self._do(SendRuntime(runtime.id, message))
        step.early.clear()
        self._occupy(step, runtime, now_ns, now_ns)

    def _occupy(self, step: LocalStep, runtime: Runtime, started_ns: int, now_ns: int) -> None:
        runtime.take(_E.INVOKED)
        runtime.step = step.id
        runtime.used_ns = now_ns
        step.runtime = runtime.id
        step.pid = runtime.pid
        step.state = "running"
        step.enter("run", started_ns)
        self._trace.note(step, now_ns)
        self._ahead.began(step.function, now_ns)

    def reported(self, step: LocalStep, runtime: Runtime, report: Report, now_ns: int) -> None:
        """Takes a step's outcome from its runtime; it is held while calls of it are under way."""
        if step.open:
            step.held = report
        else:
            self._finish(step, runtime, report, now_ns)

    def streamed(self, runtime: Runtime, message: Head | Chunk | Credit) -> None:
        """Hands on what the first step's runtime streams; others have nobody to stream to."""
        step = self.steps.get(message.id)
        if step is not None and step.runtime == runtime.id and step.window and step.held is None:
            self._do(SendAgent(message))

    def stream(self, message: Chunk | Credit) -> None:
        """Hands on what the agent streams to the first step."""
        step = self.steps.get(message.id)
        if step is None or not step.window:
            return
        if step.state == "running" and step.runtime is not None:
            self._do(SendRuntime(step.runtime, message))
        else:
            step.early.append(message)

    def _finish(self, step: LocalStep, runtime: Runtime, report: Report, now_ns: int) -> None:
        runtime.take(_E.REPORTED)
        runtime.step = None
        runtime.used_ns = now_ns
        caller = self._open[step.id][0] if step.parent and not step.lane and step.ended is None else None
        self._conclude(step, report, now_ns)
        if caller is not None:
            self.on_called(caller, runtime, now_ns)
        if len(self._runtimes) > MAX_IDLE:
            self._crew.evict()

    def fail(self, step: LocalStep, fault: Fault, now_ns: int) -> None:
        """Ends a step that has no runtime any more: its calls are forgotten, those running here ended."""
        for number in step.open:
            self.drop(number, now_ns)
        step.open.clear()
        self._crew.stop_waiting(step)
        held = step.held if step.over else None
        self._conclude(step, held or Report(step.id, fault=fault), now_ns)

    def drop(self, number: str, now_ns: int) -> None:
        """Ends a call that nobody waits for any more, with all that it had running here; the trace is told of each."""
        self._open.pop(number, None)
        step = self.steps.pop(number, None)
        if step is None:
            return
        for inner in step.open:
            self.drop(inner, now_ns)
        step.open.clear()
        step.end_span(now_ns)
        step.state, step.error = "failed", "its caller ended"
        self._crew.stop_waiting(step)
        if step.runtime is not None and step.runtime in self._runtimes:
            self._crew.end(self._runtimes[step.runtime])
        self._trace.note(step, now_ns)

    def _conclude(self, step: LocalStep, report: Report, now_ns: int) -> None:
        del self.steps[step.id]
        step.end_span(now_ns)
        step.conclude(report.fault)
        step.result_bytes = len(report.result)
        self._trace.note(step, now_ns)
        if step.ended is not None:
            step.ended(step, report, now_ns)
        elif step.parent:
            caller = self._open[step.id][0]
            if step.lane:
                caller.passed = max(caller.passed, int(step.id.rpartition(".")[2]))
            if step.over:
                self._close(caller, step.id, now_ns)
            else:
                result = Result(
                    step.id, report.result, report.content_type, report.fault, report.put_back, report.stored
                )
                self._answer(caller, result, now_ns)
        else:
            self._trace.flush()
            self._do(SendAgent(report))
            self._ahead.ended()

    def end_overdue(self, now_ns: int) -> None:
        """Ends the calls that took longer than their functions may, with their runtimes."""
        for step in [s for s in self.steps.values() if s.deadline_ns and now_ns >= s.deadline_ns]:
            if step.id not in self.steps:  # ended with its caller
                continue
            if step.runtime is not None:
                self._crew.end(self._runtimes[step.runtime])
            self.fail(step, step.overdue, now_ns)

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        runtimes = self._runtimes
        for step in self.steps.values():
            waits = step in self._crew.waiting
            assert waits == (step.runtime is None), f"step {step.id} neither waits nor has a runtime"
            assert step.runtime is None or runtimes[step.runtime].step == step.id, "a step and its runtime agree"
            known = not step.parent or step.id in self._open or step.ended is not None
            assert known, "a step here is somebody's call, a declared step, or the first"
            assert step.open == {key for key, (caller, _c, _t) in self._open.items() if caller is step}
            assert step.gate is None or step.gate.running <= len(step.open)
            calling = step.runtime is not None and runtimes[step.runtime].state is _S.CALLING
            assert calling == bool(step.open), f"step {step.id} with {len(step.open)} calls is calling: {calling}"
            assert step.held is None or step.open, "an outcome is held only while calls are under way"
        for caller, _call, _asked in self._open.values():
            assert self.steps.get(caller.id) is caller, "every call has a caller that still runs"
