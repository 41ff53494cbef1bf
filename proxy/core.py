"""What Kyle decides: which runtime does what, what stays in the worker, what goes to the agent.

Without I/O: `handle` takes an event and the time, and returns the commands that follow from it, in order.
`proxy.shell` does what they say. One invocation runs at a time, and of its steps one; the rules of who may
call whom, and where it runs, are those of `mee6.outflow`. What a runtime or the agent says out of turn is
answered with a fault or dropped; it never changes the state of another step.
"""

from __future__ import annotations

from typing import Final

from mee6.faults import exit_fault
from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Call,
    Fault,
    Function,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Load,
    Log,
    Report,
    Result,
    Welcome,
)
from mee6.outflow import Gate, Place, refusal
from proxy.events import (
    AgentClosed,
    AgentSaid,
    Command,
    Connect,
    Event,
    Exit,
    Kill,
    Release,
    RuntimeClosed,
    RuntimeExited,
    RuntimeNotSpawned,
    RuntimeSaid,
    RuntimeSpawned,
    SendAgent,
    SendRuntime,
    Spawn,
    Ticked,
)
from proxy.load import ANSWER_NS, LoadEvent, LoadState, PendingLoad, may_leave
from proxy.step import LocalStep, Trace
from proxy.table import Runtime, RuntimeEvent, RuntimeState

MAX_IDLE: Final = 8
"""Loaded runtimes kept; the one that was not used for longest goes first."""
MAX_FAILED_STARTS: Final = 3
"""Runtimes in a row that ended before they loaded anything; then whoever waits for one is told."""
DEATH_NS: Final = 500_000_000
"""How long the status of a runtime whose lane ended is waited for, and the other way round."""

_S, _E = RuntimeState, RuntimeEvent


class Proxy:
    """The proxy of one worker.

    Args:
        language: the worker's; one spare of it is started at once.
        languages: all that the worker can start.
    """

    def __init__(self, language: str, languages: frozenset[str]) -> None:
        self.language = language
        self.languages = languages | {language}
        self.runtimes: dict[int, Runtime] = {}
        self.functions: dict[str, Function] = {}
        """All that the loaded function may reach."""
        self.root: Function | None = None
        self._welcome: Welcome | None = None
        self._connected = False
        self._moved = False
        """The runtime is the agent's; nothing is left to do but to be sent away."""
        self._load: PendingLoad | None = None
        self._steps: dict[str, LocalStep] = {}
        self._calls: dict[str, tuple[LocalStep, Call, int]] = {}
        """Calls that have not ended: who makes it, what it is, when it came (ns)."""
        self._waiting: list[PendingLoad | LocalStep] = []
        """Those for whom no runtime was there."""
        self._local: dict[str, str] = {}
        """Functions that run in this worker when they are called -> their language."""
        self._trace = Trace()
        self._counter = 0
        self._failed_starts = 0
        self._commands: list[Command] = []
        self._do = self._commands.append

    def start(self) -> list[Command]:
        """The first commands; once."""
        self._top_up()
        return self._taken()

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Takes an event; returns what follows from it.

        Args:
            now_ns: nanoseconds, monotonic; never less than before.
        """
        if isinstance(event, RuntimeSaid):
            runtime = self.runtimes.get(event.runtime)
            if runtime is not None:
                self._runtime_said(runtime, event.message, now_ns)
        elif isinstance(event, AgentSaid):
            self._agent_said(event.message, now_ns)
        elif isinstance(event, Ticked):
            self._tick(now_ns)
        elif isinstance(event, AgentClosed):
            self._do(Exit("the agent closed the lane"))
        else:
            runtime = self.runtimes.get(event.runtime)
            if runtime is not None:
                self._runtime_changed(runtime, event, now_ns)
        if self._trace.due_ns and now_ns >= self._trace.due_ns:
            self._flush()
        return self._taken()

    def tick_after_ns(self) -> int:
        """How long the shell may wait for another event before it ticks; 0 = for ever."""
        if self._trace.due_ns:
            return 10_000_000
        if self._load or self._steps or self._waiting or any(r.due_ns for r in self.runtimes.values()):
            return 100_000_000
        return 0

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        owners = {r.step: r for r in self.runtimes.values() if r.step is not None}
        jobs = {step.id: step for step in self._steps.values()}
        for runtime in self.runtimes.values():
            assert runtime.state is not _S.GONE, "a runtime that is gone is forgotten"
            working = runtime.state in (_S.LOADING, _S.BUSY, _S.CALLING)
            assert working == (runtime.step is not None), f"{runtime.state} with step {runtime.step}"
            assert (runtime.function is None) == (runtime.state in (_S.SPAWNING, _S.SPARE)), runtime.state
        running = [s for s in jobs.values() if s.runtime and self.runtimes[s.runtime].state is _S.BUSY]
        assert len(running) <= 1, "one step runs at a time"
        for step in jobs.values():
            waits = step in self._waiting
            assert waits == (step.runtime is None), f"step {step.id} neither waits nor has a runtime"
            assert waits or owners[step.id].id == step.runtime
            assert not step.parent or step.id in self._calls, "a step here is somebody's call, or the first"
            assert step.open == {key for key, (caller, _c, _t) in self._calls.items() if caller is step}
            assert step.gate is None or step.gate.running <= len(step.open)
            calling = step.runtime is not None and self.runtimes[step.runtime].state is _S.CALLING
            assert calling == bool(step.open), f"step {step.id} with {len(step.open)} calls is calling: {calling}"
            assert step.held is None or step.open, "an outcome is held only while calls are under way"
        for caller, _call, _asked in self._calls.values():
            assert self._steps.get(caller.id) is caller, "every call has a caller that still runs"
        for job in self._waiting:
            spares = [r for r in self.runtimes.values() if r.state is _S.SPARE and not r.due_ns]
            assert job.function.runtime not in {r.language for r in spares}, "nobody waits beside a spare"
        assert sum(r.state is _S.IDLE for r in self.runtimes.values()) <= MAX_IDLE

    # The agent ------------------------------------------------------------------------------------------

    def _agent_said(self, message: AnyMessage, now_ns: int) -> None:
        if isinstance(message, Result):
            entry = self._calls.get(message.id)
            if entry is not None and message.id not in self._steps:
                self._answer(entry[0], message, now_ns)
        elif isinstance(message, Invoke):
            self._invoked(message, now_ns)
        elif isinstance(message, Load):
            self._asked_to_load(message, now_ns)
        elif isinstance(message, Handover):
            load = self._load
            if load is not None:
                load.grant = message
                self._advance(load, LoadEvent.GRANTED if message.token else LoadEvent.REFUSED, now_ns)
        elif isinstance(message, Welcome):
            self._welcome = message
            for runtime in self.runtimes.values():
                if runtime.state is not _S.SPAWNING:
                    self._do(SendRuntime(runtime.id, message))
        elif isinstance(message, Goodbye):
            self._do(Exit("the agent said goodbye"))

    def _asked_to_load(self, message: Load, now_ns: int) -> None:
        if self._load is not None or self._steps:
            self._do(SendAgent(Report(message.id, fault=_fault("conflict", "the worker is busy"))))
            return
        function = message.function
        self._moved = False
        self.root = function
        self.functions = {**message.functions, function.name: function}
        self._local = self._reachable(function)
        for runtime in [r for r in self.runtimes.values() if r.state is _S.IDLE]:
            if runtime.function not in self.functions.values():
                self._end(runtime)
        load = self._load = PendingLoad(message.id, function)
        if may_leave(function) and not any(r.function == function for r in self.runtimes.values()):
            load.state = LoadState.ASKED
            load.due_ns = now_ns + ANSWER_NS
            self._acquire(load, now_ns)
            self._do(SendAgent(AskHandover()))
        else:
            self._acquire(load, now_ns)

    def _invoked(self, message: Invoke, now_ns: int) -> None:
        if self.root is None or self._load is not None or self._steps:
            why = "no function is loaded" if self.root is None else "the worker is busy"
            self._do(SendAgent(Report(message.id, fault=_fault("conflict", why))))
            return
        self._moved = False  # the agent has not taken it after all
        chain = message.chain or [self.root.name]
        step = LocalStep(message.id, "", self.root, message.arg, message.content_type, chain)
        self._begin(step, now_ns)

    # Runtimes -------------------------------------------------------------------------------------------

    def _runtime_said(self, runtime: Runtime, message: AnyMessage, now_ns: int) -> None:
        if isinstance(message, Call):
            self._called(runtime, message, now_ns)
        elif isinstance(message, Report):
            self._reported(runtime, message, now_ns)
        elif isinstance(message, Log):
            self._flush()  # whose output it is, the agent must know by then
            self._do(SendAgent(message))
        elif isinstance(message, Hello) and runtime.state is _S.SPAWNING:
            runtime.take(_E.CONNECTED)
            runtime.pid = runtime.pid or message.pid
            if self._welcome is not None:
                self._do(SendRuntime(runtime.id, self._welcome))
            if not self._connected:
                self._connected = True
                self._do(Connect())
            for job in self._waiting:
                if job.function.runtime == runtime.language:
                    self._waiting.remove(job)
                    self._give(runtime, job, now_ns)
                    break

    def _runtime_changed(
        self,
        runtime: Runtime,
        event: RuntimeClosed | RuntimeExited | RuntimeSpawned | RuntimeNotSpawned,
        now_ns: int,
    ) -> None:
        match event:
            case RuntimeSpawned():
                runtime.pid = event.pid
            case RuntimeNotSpawned():
                self._lost(runtime, None, event.message, now_ns)
            case RuntimeClosed():
                runtime.closed = True
            case RuntimeExited():
                runtime.status = event.status
        if runtime.closed and runtime.status is not None:
            self._lost(runtime, runtime.status, "", now_ns)
        elif runtime.closed or runtime.status is not None:
            runtime.due_ns = now_ns + DEATH_NS

    def _reported(self, runtime: Runtime, report: Report, now_ns: int) -> None:
        if runtime.step != report.id:
            return
        if runtime.state is not _S.LOADING:
            step = self._steps[report.id]
            if step.open:
                step.held = report
            else:
                self._finish(step, runtime, report, now_ns)
        elif (load := self._load) is not None and load.runtime == runtime.id:
            if report.fault is not None:
                self._advance(load, LoadEvent.FAILED, now_ns, report.fault)
            elif load.state is LoadState.OFFERED:
                self._advance(load, LoadEvent.MOVED if report.handed_over else LoadEvent.STAYED, now_ns)
            else:
                self._failed_starts = 0
                self._advance(load, LoadEvent.LOADED, now_ns)
            self._top_up()
        else:
            step = self._steps[report.id]
            if report.fault is not None:
                self._end(runtime)
                self._fail(step, report.fault, now_ns)
            else:
                self._failed_starts = 0
                runtime.take(_E.LOADED)
                self._run(step, runtime, now_ns)
            self._top_up()

    def _called(self, runtime: Runtime, call: Call, now_ns: int) -> None:
        caller = self._steps.get(call.invocation)
        if caller is None or caller.runtime != runtime.id or caller.held is not None or call.id in self._calls:
            fault = _fault("call_refused", f"invocation {call.invocation} has ended and can call nothing any more")
            self._do(SendRuntime(runtime.id, Result(call.id, fault=fault)))
            return
        refused = refusal(caller.function, caller.chain, call.name, call.name in self.functions)
        if refused is not None:
            self._do(SendRuntime(runtime.id, Result(call.id, fault=refused)))
            return
        gate = caller.gate
        if gate is None:
            gate = caller.gate = Gate(self._outflows(caller.function), caller.function.max_parallelism, can_stay=True)
        runtime.take(_E.CALLED)
        caller.open.add(call.id)
        self._calls[call.id] = (caller, call, now_ns)
        self._admit(gate.ask(call.id, call.name), now_ns)

    # Loads ----------------------------------------------------------------------------------------------

    def _advance(self, load: PendingLoad, event: LoadEvent, now_ns: int, fault: Fault | None = None) -> None:
        after = load.take(event)
        if after is None:
            return
        runtime = self.runtimes[load.runtime] if load.runtime is not None else None
        if after is LoadState.OFFERED:
            assert load.grant is not None
            assert runtime is not None
            load.due_ns = now_ns + ANSWER_NS
            self._do(SendRuntime(runtime.id, load.grant))
        elif after is not LoadState.DONE:
            if after is not LoadState.AWAITING:
                load.due_ns = 0
        else:
            self._load = None
            if event is LoadEvent.FAILED:
                if runtime is not None:
                    self._end(runtime)
            elif runtime is not None:
                runtime.step = None
                if event is LoadEvent.MOVED:
                    self._moved = True
                    runtime.take(_E.HANDED_OVER)
                    del self.runtimes[runtime.id]
                    self._do(Release(runtime.id))
                else:
                    runtime.take(_E.LOADED)
            self._do(SendAgent(Report(load.id, fault=fault, handed_over=event is LoadEvent.MOVED)))

    # Steps ----------------------------------------------------------------------------------------------

    def _begin(self, step: LocalStep, now_ns: int) -> None:
        self._steps[step.id] = step
        if step.parent:
            step.deadline_ns = now_ns + int(step.function.timeout_s * 1e9)
        self._acquire(step, now_ns)

    def _acquire(self, job: PendingLoad | LocalStep, now_ns: int) -> None:
        """Finds a runtime for a job: one that holds its function, a spare, or the next one to connect."""
        found: Runtime | None = None
        spare: Runtime | None = None
        for runtime in self.runtimes.values():
            if runtime.due_ns:
                continue
            if runtime.state is _S.IDLE and runtime.function == job.function:
                if found is None or runtime.used_ns > found.used_ns:
                    found = runtime
            elif runtime.state is _S.SPARE and runtime.language == job.function.runtime:
                spare = runtime
        if found is not None:
            if isinstance(job, LocalStep):
                job.start = "warm"
                self._run(job, found, now_ns)
            else:
                self._load = None
                self._do(SendAgent(Report(job.id)))
        elif spare is not None:
            if isinstance(job, LocalStep):
                job.start = "prewarmed"
            self._give(spare, job, now_ns)
        else:
            self._waiting.append(job)
            if isinstance(job, LocalStep):
                job.start = "cold"
                job.state = "starting"
                job.enter("start", now_ns)
                self._trace.note(job, now_ns)
            self._top_up()

    def _give(self, runtime: Runtime, job: PendingLoad | LocalStep, now_ns: int) -> None:
        runtime.take(_E.GIVEN)
        runtime.function = job.function
        runtime.step = job.id
        job.runtime = runtime.id
        self._do(SendRuntime(runtime.id, Load(job.id, job.function)))
        if isinstance(job, LocalStep):
            job.pid = runtime.pid
            job.state = "starting"
            job.enter("load", now_ns)
            self._trace.note(job, now_ns)
        self._top_up()

    def _run(self, step: LocalStep, runtime: Runtime, now_ns: int) -> None:
        runtime.take(_E.INVOKED)
        self._do(SendRuntime(runtime.id, Invoke(step.id, step.arg, step.content_type, step.chain)))
        runtime.step = step.id
        runtime.used_ns = now_ns
        step.runtime = runtime.id
        step.pid = runtime.pid
        step.state = "running"
        step.arg = b""
        step.enter("run", now_ns)
        self._trace.note(step, now_ns)

    def _admit(self, admitted: list[tuple[str, Place]], now_ns: int) -> None:
        for number, place in admitted:
            caller, call, asked_ns = self._calls[number]
            chain = [*caller.chain, call.name]
            if place is Place.ELSEWHERE:
                self._do(
                    SendAgent(Call(call.id, call.invocation, call.name, call.arg, call.content_type, caller.chain))
                )
                continue
            step = LocalStep(call.id, caller.id, self.functions[call.name], call.arg, call.content_type, chain)
            if asked_ns != now_ns:
                step.spans.append(("queued", asked_ns, now_ns))
            self._begin(step, now_ns)

    def _finish(self, step: LocalStep, runtime: Runtime, report: Report, now_ns: int) -> None:
        """Ends a step that its runtime has reported."""
        runtime.take(_E.REPORTED)
        runtime.step = None
        runtime.used_ns = now_ns
        self._conclude(step, report, now_ns)
        if len(self.runtimes) > MAX_IDLE:
            self._evict()

    def _fail(self, step: LocalStep, fault: Fault, now_ns: int) -> None:
        """Ends a step that has no runtime any more: its calls are forgotten, those running here ended."""
        for number in list(step.open):
            self._forget(number)
        step.open.clear()
        if step in self._waiting:
            self._waiting.remove(step)
        self._conclude(step, Report(step.id, fault=fault), now_ns)

    def _conclude(self, step: LocalStep, report: Report, now_ns: int) -> None:
        del self._steps[step.id]
        step.end_span(now_ns)
        fault = report.fault
        if fault is None:
            step.state = "succeeded"
        else:
            step.state = "timed out" if fault.code == "timed_out" else "failed"
            step.error = fault.message
        self._trace.note(step, now_ns)
        if step.parent:
            caller = self._calls[step.id][0]
            self._answer(caller, Result(step.id, report.result, report.content_type, fault), now_ns)
        else:
            self._flush()
            self._do(SendAgent(report))

    def _answer(self, caller: LocalStep, result: Result, now_ns: int) -> None:
        """Ends a call: its caller gets the outcome, and calls that waited for their turn go."""
        assert caller.runtime is not None
        assert caller.gate is not None
        self._do(SendRuntime(caller.runtime, result))
        del self._calls[result.id]
        caller.open.discard(result.id)
        if caller.open:
            self._admit(caller.gate.done(result.id), now_ns)
            return
        caller.gate.done(result.id)
        runtime = self.runtimes[caller.runtime]
        runtime.take(_E.ANSWERED)
        if caller.held is not None:
            self._finish(caller, runtime, caller.held, now_ns)

    def _forget(self, number: str) -> None:
        """Drops a call whose caller is gone, and all that it had running here."""
        self._calls.pop(number, None)
        step = self._steps.pop(number, None)
        if step is None:
            return
        for inner in step.open:
            self._forget(inner)
        step.open.clear()
        step.state, step.error = "failed", "its caller ended"
        if step in self._waiting:
            self._waiting.remove(step)
        if step.runtime is not None and step.runtime in self.runtimes:
            self._end(self.runtimes[step.runtime])

    # Processes ------------------------------------------------------------------------------------------

    def _lost(self, runtime: Runtime, status: int | None, why: str, now_ns: int) -> None:
        """Takes note that a runtime is gone, and tells whoever it worked for; `why` where there is no status."""
        if runtime.state in (_S.SPAWNING, _S.SPARE):
            self._failed_starts += 1
        function, step = runtime.function, self._steps.get(runtime.step or "")
        load = self._load if self._load is not None and self._load.runtime == runtime.id else None
        runtime.take(_E.LOST)
        del self.runtimes[runtime.id]
        self._do(Release(runtime.id))
        if load is not None:
            load.runtime = None
        if step is not None or load is not None:
            assert function is not None
            name = function.name
            if status is not None:
                fault = exit_fault(name, status)
            else:
                fault = _fault("function_exited", f"the process of {name!r} {why}", name)
            if step is not None:
                self._fail(step, fault, now_ns)
            if load is not None:
                self._advance(load, LoadEvent.FAILED, now_ns, fault)
        if self._failed_starts >= MAX_FAILED_STARTS:
            last = why or exit_fault(runtime.language, status or 0).message
            self._give_up(f"cannot start a {runtime.language} runtime: {last}", now_ns)
        self._top_up()

    def _give_up(self, why: str, now_ns: int) -> None:
        if not self._connected:
            self._do(Exit(why))
        for job in list(self._waiting):
            fault = _fault("worker_lost", why, job.function.name)
            if isinstance(job, LocalStep):
                self._fail(job, fault, now_ns)
            else:
                self._waiting.remove(job)
                self._advance(job, LoadEvent.FAILED, now_ns, fault)

    def _end(self, runtime: Runtime) -> None:
        runtime.take(_E.LOST)
        del self.runtimes[runtime.id]
        self._do(Kill(runtime.id))

    def _evict(self) -> None:
        idle = [r for r in self.runtimes.values() if r.state is _S.IDLE]
        if len(idle) > MAX_IDLE:
            self._end(min(idle, key=lambda r: r.used_ns))

    def _top_up(self) -> None:
        """Asks for runtimes: one for each job that waits, and a spare of each language still needed."""
        wanted: dict[str, int] = {}
        for job in self._waiting:
            wanted[job.function.runtime] = wanted.get(job.function.runtime, 0) + 1
        if self._failed_starts < MAX_FAILED_STARTS:
            for language in self._spares():
                wanted[language] = wanted.get(language, 0) + 1
        if not wanted:
            return
        for runtime in self.runtimes.values():
            if runtime.state in (_S.SPAWNING, _S.SPARE) and not runtime.due_ns and runtime.language in wanted:
                wanted[runtime.language] -= 1
        for language, count in wanted.items():
            for _ in range(count):
                self._counter += 1
                self.runtimes[self._counter] = Runtime(self._counter, language)
                self._do(Spawn(self._counter, language))

    def _spares(self) -> set[str]:
        """Languages of which a spare is wanted: those of functions that run here and that no runtime holds."""
        if self._moved:
            return set()
        if self.root is None:
            return {self.language}
        held = {r.function.name for r in self.runtimes.values() if r.function is not None}
        held.update(job.function.name for job in self._waiting)
        return {language for name, language in self._local.items() if name not in held}

    # Time -----------------------------------------------------------------------------------------------

    def _tick(self, now_ns: int) -> None:
        for runtime in [r for r in self.runtimes.values() if r.due_ns and now_ns >= r.due_ns]:
            if runtime.id not in self.runtimes:  # ended with its caller
                continue
            if runtime.status is None:
                self._do(Kill(runtime.id))
                self._lost(runtime, None, "closed its lane", now_ns)
            else:
                self._lost(runtime, runtime.status, "", now_ns)
        load = self._load
        if load is not None and load.due_ns and now_ns >= load.due_ns:
            if load.state is LoadState.OFFERED:
                # It may have reached the agent or not: only without it is the worker surely the proxy's.
                load.take(LoadEvent.STARTED_ANEW)
                load.due_ns = 0
                assert load.runtime is not None
                self._end(self.runtimes[load.runtime])
                load.runtime = None
                self._acquire(load, now_ns)
            else:
                self._advance(load, LoadEvent.REFUSED, now_ns)
        for step in [s for s in self._steps.values() if s.deadline_ns and now_ns >= s.deadline_ns]:
            if step.id not in self._steps:
                continue
            name = step.function.name
            if step.runtime is not None:
                self._end(self.runtimes[step.runtime])
            fault = _fault("timed_out", f"{name!r} took longer than its {step.function.timeout_s:g} s", name)
            self._fail(step, fault, now_ns)
        self._top_up()

    # Helpers --------------------------------------------------------------------------------------------

    def _reachable(self, root: Function) -> dict[str, str]:
        """The functions that run here when `root` is invoked -> their language."""
        found = {root.name: root.runtime}
        todo = [root]
        while todo:
            for name, outflow in self._outflows(todo.pop()).items():
                callee = self.functions.get(name)
                if callee is not None and outflow != "always" and name not in found:
                    found[name] = callee.runtime
                    todo.append(callee)
        return found

    def _outflows(self, function: Function) -> dict[str, str]:
        """The function's outflows; what this worker cannot run always leaves."""
        return {
            name: outflow if name in self.functions and self.functions[name].runtime in self.languages else "always"
            for name, outflow in function.dependencies.items()
        }

    def _flush(self) -> None:
        if self._trace.due_ns:
            self._do(SendAgent(self._trace.take(self._welcome.worker if self._welcome else "")))

    def _taken(self) -> list[Command]:
        commands = self._commands
        self._commands = []
        self._do = self._commands.append
        return commands


def _fault(code: str, message: str, function: str = "") -> Fault:
    return Fault(code, message, function=function)
