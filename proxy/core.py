"""What Kyle decides: which runtime does what, what stays in the worker, what goes to the agent.

Without I/O: `handle` takes an event and the time, and returns the commands that follow from it, in order;
`proxy.shell` does what they say. Here is the door: who said what, loads, and the ends of processes. The runtimes
are `proxy.crew`'s, the steps and their calls `proxy.calls`'s. What a runtime or the agent says out of turn is
answered with a fault or dropped; it never changes the state of another step.
"""

from __future__ import annotations

from typing import Final

from mee6.faults import bounded, exit_fault
from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Call,
    Chunk,
    Credit,
    Expect,
    Fault,
    Goodbye,
    Handover,
    Head,
    Hello,
    Hops,
    Introduced,
    Invoke,
    Load,
    Log,
    Report,
    Result,
    Stored,
    Welcome,
)
from proxy.affinity import Affinity
from proxy.ahead import Ahead
from proxy.calls import Calls
from proxy.crew import MAX_FAILED_STARTS, MAX_IDLE, Crew
from proxy.events import (
    AgentClosed,
    AgentSaid,
    Command,
    Connect,
    Event,
    Exit,
    Kill,
    RuntimeClosed,
    RuntimeDeaf,
    RuntimeExited,
    RuntimeNotSpawned,
    RuntimeSaid,
    RuntimeSpawned,
    SendAgent,
    SendRuntime,
    Ticked,
)
from proxy.flow import Flow
from proxy.lanes import Lanes
from proxy.load import ANSWER_NS, LoadEvent, LoadState, PendingLoad, may_leave
from proxy.plan import Plan
from proxy.step import LocalStep, Trace
from proxy.table import Runtime, RuntimeEvent, RuntimeState

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
        self._commands: list[Command] = []
        self._do = self._commands.append
        self.plan = Plan(languages | {language})
        self._trace = Trace(self._do)
        self._crew = Crew(language, self.plan, self._do)
        self._ahead = Ahead(self.plan, self._crew, self._do)
        self._calls = Calls(self.plan, self._crew, self._ahead, self._trace, self._do)
        self._affinity = Affinity(self._do)
        self._calls.on_branch = self._affinity.spread
        self._flow = Flow(self.plan, self._calls, self._ahead, self._trace, self._affinity, self._do)
        self._lanes = Lanes(self._crew, self._calls, self._trace, self._affinity, self._do)
        self._load: PendingLoad | None = None
        self._welcome: Welcome | None = None
        self._connected = False
        self._now_ns = 0
        self.runtimes = self._crew.runtimes

    def start(self) -> list[Command]:
        """The first commands; once."""
        self._crew.supply()
        return self._taken()

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Takes an event; returns what follows from it.

        Args:
            now_ns: nanoseconds, monotonic; never less than before.
        """
        self._now_ns = now_ns
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
            self._trace.flush()
        return self._taken()

    def comes_last(self, runtime: int, message: AnyMessage) -> bool:
        """Whether what other runtimes have said must be heard before this.

        It is the outcome of the whole, and what was said of direct calls below it was said before it, on other lanes.
        """
        if not isinstance(message, Report) or not self._lanes:
            return False
        step = self._calls.steps.get(message.id)
        return step is not None and not step.parent and step.runtime == runtime

    def tick_after_ns(self) -> int:
        """How long the shell may wait for another event before it ticks; 0 = for ever."""
        dues = [at for at in (self._ahead.due_ns(), self._flow.due_ns) if at]
        if dues:
            most_ns = 10_000_000 if self._trace.due_ns else 100_000_000
            return min(max(min(dues) - self._now_ns, 1_000_000), most_ns)
        if self._trace.due_ns:
            return 10_000_000
        if self._load or self._is_busy or self._crew.waiting or any(r.due_ns for r in self.runtimes.values()):
            return 100_000_000
        return 0

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        self._crew.check()
        self._calls.check()
        self._ahead.check()
        self._lanes.check()
        self._flow.check()

    @property
    def _is_busy(self) -> bool:
        return bool(self._calls.steps) or self._flow.is_on

    def _taken(self) -> list[Command]:
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    # The agent ------------------------------------------------------------------------------------------

    def _agent_said(self, message: AnyMessage, now_ns: int) -> None:
        if isinstance(message, Result):
            self._answered(message, now_ns)
        elif isinstance(message, Invoke):
            self._invoked(message, now_ns)
        elif isinstance(message, Chunk | Credit):
            self._calls.stream(message)
        elif isinstance(message, Load):
            self._asked_to_load(message, now_ns)
        elif isinstance(message, Handover):
            load = self._load
            if load is not None:
                load.grant = message
                self._advance(load, LoadEvent.GRANTED if message.token else LoadEvent.REFUSED, now_ns)
        elif isinstance(message, Welcome):
            self._welcome = message
            self._trace.worker = message.worker
            self._lanes.act = message.act if message.direct else ""
            self._affinity.wanted = message.one_core
            for runtime in self.runtimes.values():
                if runtime.state is not _S.SPAWNING:
                    self._do(SendRuntime(runtime.id, message))
        elif isinstance(message, Expect):
            self._ahead.expect(message)
        elif isinstance(message, Goodbye):
            self._do(Exit("the agent said goodbye"))

    def _answered(self, result: Result, now_ns: int) -> None:
        if not self._flow.answered(result, now_ns):
            self._calls.answered(result, now_ns)

    def _invoked(self, message: Invoke, now_ns: int) -> None:
        root = self.plan.root
        if root is None or self._load is not None or self._is_busy:
            why = "no function is loaded" if root is None else "the worker is busy"
            self._do(SendAgent(Report(message.id, fault=Fault("conflict", why))))
            return
        self._affinity.settle(now_ns)
        self._crew.wants_spares = True  # the agent has not taken it after all
        chain = message.chain or [root.name]
        if root.declaration:
            self._crew.supply()
            self._flow.begin(message, chain, now_ns)
            return
        step = LocalStep(message.id, "", root, message.arg, message.content_type, chain)
        step.request, step.window = message.request, message.window
        step.stored, step.room = message.stored, message.room
        self._calls.begin(step, now_ns)

    # Loads ----------------------------------------------------------------------------------------------

    def _asked_to_load(self, message: Load, now_ns: int) -> None:
        if self._load is not None or self._is_busy:
            self._do(SendAgent(Report(message.id, fault=Fault("conflict", "the worker is busy"))))
            return
        function = message.function
        self._crew.wants_spares = True
        self._ahead.forget()
        self.plan.change(function, message.functions)
        self._crew.end_strangers()
        if function.declaration:
            self._do(SendAgent(Report(message.id, fault=self._flow.load(function))))
            self._crew.supply()
            return
        load = self._load = PendingLoad(message.id, function)
        if may_leave(function) and not any(r.function == function for r in self.runtimes.values()):
            load.state = LoadState.ASKED
            load.due_ns = now_ns + ANSWER_NS
            self._begin(load)
            self._do(SendAgent(AskHandover()))
        else:
            self._begin(load)
            self._ahead.began(function, now_ns, runs=False)

    def _begin(self, load: PendingLoad) -> None:
        runtime = self._crew.find(load.function)
        if runtime is None:
            self._crew.wait(load)
        elif runtime.state is _S.IDLE:
            self._load = None
            self._do(SendAgent(Report(load.id)))
        else:
            self._crew.give(runtime, load)

    def _load_reported(self, load: PendingLoad, report: Report, now_ns: int) -> None:
        if report.fault is not None:
            self._advance(load, LoadEvent.FAILED, now_ns, report.fault)
        elif load.state is LoadState.OFFERED:
            self._advance(load, LoadEvent.MOVED if report.handed_over else LoadEvent.STAYED, now_ns)
        else:
            self._crew.failed_starts = 0
            self._advance(load, LoadEvent.LOADED, now_ns)

    def _advance(self, load: PendingLoad, event: LoadEvent, now_ns: int, fault: Fault | None = None) -> None:
        """Moves a load on, and does what its new state asks for."""
        after = load.take(event)
        runtime = self.runtimes[load.runtime] if load.runtime is not None else None
        if after is LoadState.OFFERED:
            assert load.grant is not None
            assert runtime is not None
            load.due_ns = now_ns + ANSWER_NS
            self._do(SendRuntime(runtime.id, load.grant))
        elif after is LoadState.PLAIN or after is LoadState.GRANTED:
            load.due_ns = 0
        elif after is LoadState.DONE:
            self._load = None
            if runtime is not None:
                self._settle(runtime, event)
            self._do(SendAgent(Report(load.id, fault=fault, handed_over=event is LoadEvent.MOVED)))

    def _settle(self, runtime: Runtime, how: LoadEvent) -> None:
        """Parts a runtime from the load that it did."""
        if how is LoadEvent.FAILED:
            self._crew.end(runtime)
        elif how is LoadEvent.MOVED:
            self._crew.hand_over(runtime)
        else:
            runtime.step = None
            runtime.used_ns = self._now_ns
            runtime.take(_E.LOADED)
            if len(self.runtimes) > MAX_IDLE:
                self._crew.evict()

    def _load_overdue(self, load: PendingLoad, now_ns: int) -> None:
        if load.state is not LoadState.OFFERED:
            self._advance(load, LoadEvent.REFUSED, now_ns)
            return
        # The runtime may have reached the agent or not: only without it is the worker surely the proxy's.
        load.take(LoadEvent.STARTED_ANEW)
        load.due_ns = 0
        assert load.runtime is not None
        self._crew.end(self.runtimes[load.runtime])
        load.runtime = None
        self._begin(load)

    # Runtimes -------------------------------------------------------------------------------------------

    def _runtime_said(self, runtime: Runtime, message: AnyMessage, now_ns: int) -> None:
        if isinstance(message, Call):
            self._calls.ask(runtime, message, now_ns)
        elif isinstance(message, Report):
            if runtime.step == message.id or (runtime.joined and runtime.joined == message.id):
                if message.fault is not None:
                    message = Report(message.id, fault=bounded(message.fault), handed_over=message.handed_over)
                self._reported(runtime, message, now_ns)
        elif isinstance(message, Head | Chunk | Credit):
            self._calls.streamed(runtime, message)
        elif isinstance(message, Log):
            self._trace.flush()  # whose output it is, the agent must know by then
            self._do(SendAgent(message))
        elif isinstance(message, Stored):
            self._do(SendAgent(message))
        elif isinstance(message, Hops):
            self._lanes.told(runtime, message, now_ns)
        elif isinstance(message, Introduced):
            self._lanes.answered(runtime, message)
        elif isinstance(message, Hello) and runtime.state is _S.SPAWNING:
            self._greeted(runtime, message, now_ns)

    def _greeted(self, runtime: Runtime, hello: Hello, now_ns: int) -> None:
        runtime.take(_E.CONNECTED)
        runtime.pid = runtime.pid or hello.pid
        runtime.direct = hello.direct
        if self._welcome is not None:
            self._do(SendRuntime(runtime.id, self._welcome))
        if not self._connected:
            self._connected = True
            self._do(Connect())
        job = self._crew.next_for(runtime)
        if job is not None:
            self._crew.give(runtime, job)
            if isinstance(job, LocalStep):
                self._calls.loading(job, runtime, now_ns)

    def _reported(self, runtime: Runtime, report: Report, now_ns: int) -> None:
        load = self._load
        if runtime.state is not _S.LOADING:
            self._calls.reported(self._calls.steps[report.id], runtime, report, now_ns)
            return
        if runtime.step is not None and self._ahead.is_loading(runtime):
            if report.fault is None:
                self._crew.failed_starts = 0
            self._ahead.loaded(runtime, report.fault, now_ns)
        elif load is not None and load.runtime == runtime.id:
            self._load_reported(load, report, now_ns)
        else:
            if report.fault is None:
                self._crew.failed_starts = 0
            self._calls.loaded(self._calls.steps[runtime.step or report.id], runtime, report.fault, now_ns)
        self._crew.supply()

    def _runtime_changed(
        self,
        runtime: Runtime,
        event: RuntimeClosed | RuntimeDeaf | RuntimeExited | RuntimeSpawned | RuntimeNotSpawned,
        now_ns: int,
    ) -> None:
        match event:
            case RuntimeSpawned():
                runtime.pid = event.pid
            case RuntimeNotSpawned():
                self._lost(runtime, event.message, now_ns)
                return
            case RuntimeDeaf():
                self._do(Kill(runtime.id))
                self._lost(runtime, "did not read what it was sent, and was ended", now_ns)
                return
            case RuntimeClosed():
                runtime.closed = True
            case RuntimeExited():
                runtime.status = event.status
        if runtime.closed and runtime.status is not None:
            self._lost(runtime, "", now_ns)
        elif runtime.closed or runtime.status is not None:
            runtime.due_ns = now_ns + DEATH_NS

    # Ends -----------------------------------------------------------------------------------------------

    def _lost(self, runtime: Runtime, why: str, now_ns: int) -> None:
        """Takes note that a runtime is gone, and tells whoever it worked for; `why` where its status does not."""
        step = self._calls.steps.get(runtime.step or "")
        load = self._load if self._load is not None and self._load.runtime == runtime.id else None
        self._crew.lose(runtime)
        if runtime.function is not None:
            name = runtime.function.name
            if why or runtime.status is None:
                fault = Fault("function_exited", f"the process of {name!r} {why}", function=name)
            else:
                fault = exit_fault(name, runtime.status)
            self._lanes.explain(runtime, fault)
            if load is not None:
                load.runtime = None
                self._advance(load, LoadEvent.FAILED, now_ns, fault)
            elif step is not None:
                self._calls.fail(step, fault, now_ns)
        if self._crew.failed_starts >= MAX_FAILED_STARTS:
            last = why or exit_fault(runtime.language, runtime.status or 0).message
            self._give_up(f"cannot start a {runtime.language} runtime: {last}", now_ns)
        self._crew.supply()

    def _give_up(self, why: str, now_ns: int) -> None:
        """Tells all who wait for a runtime that there will be none; without any, the worker is of no use."""
        if not self._connected:
            self._do(Exit(why))
        self._ahead.drop_waiting()
        for job in list(self._crew.waiting):
            fault = Fault("worker_lost", why, function=job.function.name)
            if isinstance(job, LocalStep):
                self._calls.fail(job, fault, now_ns)
            elif self._load is not None:
                self._crew.stop_waiting(job)
                self._advance(self._load, LoadEvent.FAILED, now_ns, fault)

    def _tick(self, now_ns: int) -> None:
        for runtime in [r for r in self.runtimes.values() if r.due_ns and now_ns >= r.due_ns]:
            if runtime.id not in self.runtimes:  # ended with its caller
                continue
            if runtime.status is None:
                self._do(Kill(runtime.id))
                self._lost(runtime, "closed its lane", now_ns)
            else:
                self._lost(runtime, "", now_ns)
        load = self._load
        if load is not None and load.due_ns and now_ns >= load.due_ns:
            self._load_overdue(load, now_ns)
        self._calls.end_overdue(now_ns)
        self._flow.tick(now_ns)
        self._ahead.go(now_ns)
        self._affinity.settle(now_ns)
        self._crew.supply()
