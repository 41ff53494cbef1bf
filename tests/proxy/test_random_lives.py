"""Random lives of a worker: whatever happens, in whatever order, invariants hold and nobody waits for ever.

What the runtimes say waits in their lanes and is heard in any order but each one's own, as by an epoll loop. Their
direct calls are made here, with the Python runtime's own notes of what the proxy has yet to be told.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Call,
    Expect,
    Fault,
    Goodbye,
    Guessed,
    Handover,
    Hello,
    Introduce,
    Introduced,
    Invoke,
    Load,
    Log,
    Next,
    Report,
    Result,
    Step,
    Steps,
    Welcome,
)
from proxy.core import Proxy
from proxy.events import (
    AgentSaid,
    Command,
    Event,
    Exit,
    Kill,
    Pin,
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
    Unpin,
)
from runtimes.python.direct import Untold
from tests.proxy.play import function

GRAPHS = {
    "plain": [function("f")],
    "fan": [function("f", g="always", h="always", most=2), function("g"), function("h")],
    "line": [function("f", g="no"), function("g", h="no", timeout_s=5), function("h")],
    "mixed": [
        function("f", g="no", h="optional:1", most=1),
        function("g", f="no", h="always"),
        function("h", runtime="nodejs"),
    ],
    "wide": [function("f", dict.fromkeys("ghijklmnopq", "no")), *(function(name) for name in "ghijklmnopq")],
    "foreign": [function("f", g="no"), function("g", runtime="ruby")],
}


class Process:
    """A runtime as the outside sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.connected = False
        self.exited = False
        self.closed = False
        self.tasks: list[tuple[str, str]] = []
        """(load or invoke, id) to be reported."""
        self.running = ""
        self.chain: list[str] = []
        self.calls = 0
        self.open: set[str] = set()
        self.granted = ""
        self.unheard: list[AnyMessage] = []
        """What it has said and the proxy has not read."""
        self.edges: dict[str, int] = {}
        """Function -> its direct lane to it."""
        self.untold = Untold()
        self.direct = ""
        """The direct call that it makes."""
        self.called_by: Process | None = None
        """Who called it directly."""

    @property
    def alive(self) -> bool:
        return not (self.exited or self.closed)


class Lives(RuleBasedStateMachine):
    @initialize(
        graph=st.sampled_from(sorted(GRAPHS)), rounds=st.sampled_from([0, 2, 2, 3]), ahead=st.sampled_from([0, 2, 9])
    )
    def begin(self, graph: str, rounds: int, ahead: int) -> None:
        self.core = Proxy("python", frozenset({"python", "nodejs"}))
        self.now = 1
        self.processes: dict[int, Process] = {}
        self.functions = GRAPHS[graph]
        self.over = False
        self.connected = False
        self.loading = ""
        self.asked = False
        self.invoking = ""
        self.count = 0
        self.elsewhere: set[str] = set()
        self.callees: dict[int, Process] = {}
        """Direct lane -> who is called over it."""
        self.ended: set[str] = set()
        """Direct calls that have ended, of the invocation that goes on."""
        self.traced: dict[str, Step] = {}
        self._obey(self.core.start())
        if ahead:
            self._settle()
            self.the_agent_expects(ahead, 0, 1.0)
        if rounds:
            self._warm_up(rounds)

    def _warm_up(self, rounds: int) -> None:
        """Runs the workflow a few times, each function calling all it may, so that lives begin with direct lanes."""
        self._settle()
        self.the_agent_welcomes()
        self.the_agent_loads()
        if self.asked:
            self.the_agent_answers("")
        self._settle()
        for _ in range(rounds):
            self.the_agent_invokes()
            self._settle()
        self.the_agent_invokes()

    def _settle(self) -> None:
        """Lets all runtimes do their part until none has anything left to do, a call of each callee included."""
        for _ in range(40):
            for number, process in list(self.processes.items()):
                self._hear(process)
                known = next((one for one in self.functions if process.chain and one.name == process.chain[-1]), None)
                callees = list(known.dependencies) if known else []
                if process.running and not process.open and process.calls < 2 * len(callees) and len(process.chain) < 4:
                    self._call(process, callees[process.calls % len(callees)], at_once=True)
                else:
                    self._do_its_part(number, process)
            for call in sorted(self.elsewhere):
                self.elsewhere.discard(call)
                self._say(AgentSaid(Result(call)))

    def _say(self, event: Event) -> None:
        self.now += 1
        self._obey(self.core.handle(event, self.now))

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Spawn(runtime):
                    assert runtime not in self.processes
                    self.processes[runtime] = Process(runtime)
                case Kill(runtime) | Release(runtime):
                    process = self.processes.pop(runtime, None)
                    if process is not None:
                        process.exited = True
                        self._cut(process)
                case SendRuntime(runtime, message):
                    self._to_runtime(self.processes[runtime], message)
                case SendAgent(message):
                    self._to_agent(message)
                case Pin(runtimes, _) | Unpin(runtimes):
                    assert set(runtimes) <= set(self.processes)
                case Exit():
                    self.over = True
                case _:
                    self.connected = True

    def _to_runtime(self, process: Process, message: object) -> None:
        assert process.connected, "nothing is sent to a runtime that has not said hello"
        match message:
            case Load(number) if number.startswith("ahead/"):
                assert not process.tasks, "one task at a time"
                process.tasks.append(("Load", number))
            case Load(number) | Invoke(number):
                assert not process.tasks, "one task at a time"
                process.tasks.append((type(message).__name__, number))
                if isinstance(message, Invoke):
                    process.running, process.calls, process.chain = number, 0, message.chain
                    process.untold.begin(message, 0)
                    process.called_by = None
                    if number == self.invoking:
                        self.ended, self.traced = set(), {}
                else:
                    process.granted = number
            case Result(number):
                process.open.discard(number)
                if process.direct == number:
                    process.direct = ""
            case Introduce(lane, address, name):
                self._introduced(process, lane, address, name)
            case Handover():
                process.tasks.append(("Load", process.granted))
            case _:
                assert isinstance(message, Welcome)

    def _to_agent(self, message: object) -> None:
        match message:
            case Report(number) if number == self.loading:
                self.loading, self.asked = "", False
            case Report(number, fault=fault):
                assert number == self.invoking, "an invocation is reported once"
                self.invoking = ""
                known = {step.id for step in self.traced.values() if step.state in ("succeeded", "failed", "timed out")}
                lacking = self.ended - known if fault is None else set()
                assert not lacking, "every direct call is in the trace by the time its workflow is reported"
            case AskHandover():
                self.asked = True
            case Call(number):
                self.elsewhere.add(number)
            case _:
                assert isinstance(message, Steps | Log | Guessed)
                if isinstance(message, Guessed):
                    assert not self.invoking, "nobody waits for what is told of guesses"
                elif isinstance(message, Steps):
                    self.traced |= {step.id: step for step in message.steps}
                else:
                    assert message.invocation in self.traced or "." not in message.invocation

    def _introduced(self, process: Process, lane: int, address: str, name: str) -> None:
        if not address:
            process.edges = {to: number for to, number in process.edges.items() if number != lane}
        elif name:
            assert name not in process.edges, "one lane to a function"
            process.edges[name] = lane
        else:
            self.callees[lane] = process
            process.unheard.append(Introduced(lane, ready=True))

    def _cut(self, gone: Process) -> None:
        """Ends the lanes of a process that has ended, as its callers see it."""
        for process in self.processes.values():
            lost = [lane for lane in process.edges.values() if self.callees[lane] is gone]
            process.edges = {to: lane for to, lane in process.edges.items() if lane not in lost}
            call = process.untold.call
            for lane in lost:
                if call is not None and call.lane == lane and process.direct:
                    process.unheard += process.untold.take(lost=True)
                    process.untold.call = None
                process.unheard += [*process.untold.take(), Introduced(lane, ready=False)]

    def _hear(self, process: Process) -> None:
        """Lets the proxy read all that a process has said."""
        while process.unheard and self.processes.get(process.number) is process and not process.closed:
            message = process.unheard.pop(0)
            if self.core.comes_last(process.number, message):
                for other in [one for one in self.processes.values() if one is not process]:
                    self._hear(other)
            self._say(RuntimeSaid(process.number, message))

    @precondition(lambda self: any(p.unheard for p in self.processes.values()))
    @rule(index=st.integers(0, 9))
    def a_runtime_is_heard(self, index: int) -> None:
        number = self._pick(index, [n for n, p in self.processes.items() if p.unheard])
        self._hear(self.processes[number])

    def _pick(self, index: int, which: list[int]) -> int:
        return which[index % len(which)]

    def _some(self, **has: bool) -> list[int]:
        return [
            n for n, p in self.processes.items() if all(bool(getattr(p, key)) == value for key, value in has.items())
        ]

    @precondition(lambda self: self._some(connected=False, exited=False, closed=False))
    @rule(index=st.integers(0, 9), fails=st.integers(0, 9))
    def a_runtime_connects(self, index: int, fails: int) -> None:
        number = self._pick(index, self._some(connected=False, exited=False, closed=False))
        if fails == 0:
            self._say(RuntimeNotSpawned(number, "no memory"))
            self.processes.pop(number, None)
            return
        self._connect(number)

    def _connect(self, number: int) -> None:
        self.processes[number].connected = True
        self._say(RuntimeSpawned(number, 100 + number))
        self._say(RuntimeSaid(number, Hello("", "runtime", "python", 100 + number, direct=number % 5 > 0)))

    @precondition(lambda self: self.connected)
    @rule()
    def the_agent_welcomes(self) -> None:
        self._say(AgentSaid(Welcome("w1")))

    @precondition(lambda self: self.connected and not self.loading and not self.invoking)
    @rule()
    def the_agent_loads(self) -> None:
        self.count += 1
        self.loading = f"l{self.count}"
        self._say(AgentSaid(Load(self.loading, self.functions[0], {f.name: f for f in self.functions})))

    @precondition(lambda self: self.connected)
    @rule(
        at_once=st.sampled_from([0, 1, 2, 9]),
        after_ms=st.sampled_from([0, 0, 2, 400]),
        chance=st.sampled_from([0.2, 0.6, 1.0]),
    )
    def the_agent_expects(self, at_once: int, after_ms: int, chance: float) -> None:
        calls = [
            Next(f.name, callee, chance, after_ms * 1_000_000, 1_000_000)
            for f in self.functions
            for callee in f.dependencies
        ]
        self._say(AgentSaid(Expect(calls, at_once)))

    @precondition(lambda self: self.asked)
    @rule(token=st.sampled_from(["", "t"]))
    def the_agent_answers(self, token: str) -> None:
        self.asked = False
        self._say(AgentSaid(Handover(token, "/lane")))

    @precondition(lambda self: self.core.plan.root is not None and not self.loading and not self.invoking)
    @rule()
    def the_agent_invokes(self) -> None:
        self.count += 1
        self.invoking = f"i{self.count}"
        self._say(AgentSaid(Invoke(self.invoking, b"", "text/plain", ["f"])))

    def _reporting(self) -> list[int]:
        """Runtimes that may report: a step that was called directly, or calls so, waits for its calls itself."""
        return [
            n
            for n, p in self.processes.items()
            if p.tasks and p.alive and not (p.open and (p.called_by is not None or p.direct))
        ]

    @precondition(lambda self: self._reporting())
    @rule(
        index=st.integers(0, 9),
        outcome=st.sampled_from(["ok", "ok", "ok", "moved", "fault"]),
        at_once=st.booleans(),
    )
    def a_runtime_reports(self, index: int, outcome: str, at_once: bool) -> None:
        self._report(self.processes[self._pick(index, self._reporting())], outcome, at_once)

    def _report(self, process: Process, outcome: str, at_once: bool) -> None:
        kind, task = process.tasks.pop(0)
        fault = Fault("function_raised", "no") if outcome == "fault" else None
        if kind == "Invoke":
            process.running = ""
        caller = process.called_by
        if kind == "Invoke" and caller is not None:
            process.called_by = None
            below, told = process.untold.take_below(), process.untold.told
            if caller.alive:
                assert caller.direct == task
                caller.direct = ""
                caller.open.discard(task)
                self.ended.add(task)
                if caller.untold.ended(fault, below, told):
                    caller.unheard += caller.untold.take()
                if at_once:
                    self._hear(caller)
            return
        if kind == "Invoke":
            process.unheard += process.untold.take()
        process.unheard.append(Report(task, fault=fault, handed_over=outcome == "moved"))
        if at_once:
            self._hear(process)

    def _running(self) -> list[int]:
        return [n for n, p in self.processes.items() if p.running and p.alive]

    @precondition(lambda self: self._running())
    @rule(index=st.integers(0, 9), callee=st.sampled_from("fghijklmnopqx"), at_once=st.booleans())
    def a_runtime_calls(self, index: int, callee: str, at_once: bool) -> None:
        self._call(self.processes[self._pick(index, self._running())], callee, at_once=at_once)

    def _call(self, process: Process, callee: str, *, at_once: bool) -> None:
        process.calls += 1
        name = f"{process.running}.{process.calls}"
        lane = process.edges.get(callee)
        if lane is not None and not process.open and self.callees[lane].alive and callee not in process.chain:
            other = self.callees[lane]
            assert not other.tasks, "who is called directly has nothing to do"
            process.untold.calls(lane, name)
            invoke = Invoke(name, b"", "text/plain", [*process.chain, callee], above=process.untold.above)
            other.tasks.append(("Invoke", name))
            other.running, other.calls, other.chain, other.called_by = name, 0, invoke.chain, process
            other.untold.begin(invoke, lane)
            process.direct = name
            process.open.add(name)
        else:
            process.unheard += [*process.untold.take(), Call(name, process.running, callee, b"", "text/plain")]
            process.open.add(name)
            if at_once:
                self._hear(process)

    @precondition(lambda self: self._running())
    @rule(index=st.integers(0, 9), at_once=st.booleans())
    def a_direct_call_takes_long_or_prints(self, index: int, at_once: bool) -> None:
        process = self.processes[self._pick(index, self._running())]
        process.unheard += process.untold.take()
        if not process.direct:
            process.unheard.append(Log(process.running, "out", "x"))
        if at_once:
            self._hear(process)

    @precondition(lambda self: self.elsewhere)
    @rule(index=st.integers(0, 9))
    def the_agent_answers_a_call(self, index: int) -> None:
        number = sorted(self.elsewhere)[index % len(self.elsewhere)]
        self.elsewhere.discard(number)
        self._say(AgentSaid(Result(number)))

    @precondition(lambda self: self.processes)
    @rule(index=st.integers(0, 9), status=st.sampled_from([0, 3, -9]), sign=st.sampled_from(["exit", "close"]))
    def a_runtime_dies(self, index: int, status: int, sign: str) -> None:
        self._dies(self.processes[self._pick(index, sorted(self.processes))], status, sign)

    @precondition(lambda self: any(p.called_by is not None for p in self.processes.values()))
    @rule(index=st.integers(0, 9), is_caller=st.booleans(), status=st.sampled_from([0, -9]), exits_first=st.booleans())
    def one_of_two_that_call_directly_dies(self, index: int, is_caller: bool, status: int, exits_first: bool) -> None:
        number = self._pick(index, [n for n, p in self.processes.items() if p.called_by is not None])
        callee = self.processes[number]
        caller = callee.called_by
        process = caller if is_caller and caller is not None else callee
        for sign in ("exit", "close") if exits_first else ("close", "exit"):
            if self.processes.get(process.number) is process:
                self._dies(process, status, sign)

    def _dies(self, process: Process, status: int, sign: str) -> None:
        number = process.number
        was_alive = process.alive
        if sign == "exit" and not process.exited:
            process.exited = True
        elif sign == "close" and not process.closed:
            self._hear(process)
            if self.processes.get(number) is not process:
                return
            process.closed = True
        else:
            return
        if was_alive:
            self._cut(process)
        self._say(RuntimeExited(number, status) if sign == "exit" else RuntimeClosed(number))

    @rule(ms=st.sampled_from([1, 10, 300, 1100, 6000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms * 1_000_000
        self._say(Ticked())

    @invariant()
    def it_holds(self) -> None:
        if hasattr(self, "core") and not self.over:
            self.core.check()
            assert set(self.processes) == set(self.core.runtimes)
            for process in self.processes.values():
                caller = process.called_by
                if caller is not None:
                    assert self.processes.get(caller.number) is caller, "nobody runs on for a caller that is gone"

    def teardown(self) -> None:
        """Lets everybody do their part: the load and the invocation that were going on must come to an end."""
        if not hasattr(self, "core"):
            return
        for _ in range(300):
            if self.over or not (self.loading or self.invoking):
                break
            if self.asked:
                self.the_agent_answers("t")
            for number, process in list(self.processes.items()):
                self._hear(process)
                if self.processes.get(number) is process and process.alive:
                    self._do_its_part(number, process)
            for call in sorted(self.elsewhere):
                self.elsewhere.discard(call)
                self._say(AgentSaid(Result(call)))
            self.now += 600_000_000
            self._say(Ticked())
            if not self.over:
                self.core.check()
        assert self.over or not (self.loading or self.invoking), "somebody waits for ever"
        self._say(AgentSaid(Goodbye()))
        assert self.over

    def _do_its_part(self, number: int, process: Process) -> None:
        if not process.connected:
            self._connect(number)
        elif process.tasks and not process.open:
            self._report(process, "ok", at_once=True)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
