"""Random lives of a worker: whatever happens, in whatever order, invariants hold and nobody waits for ever."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mee6.lane.messages import (
    AskHandover,
    Call,
    Fault,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Load,
    Report,
    Result,
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
    "foreign": [function("f", g="no"), function("g", runtime="ruby")],
}


class Process:
    """A runtime as the outside sees it."""

    def __init__(self) -> None:
        self.connected = False
        self.exited = False
        self.closed = False
        self.tasks: list[tuple[str, str]] = []
        """(load or invoke, id) to be reported."""
        self.running = ""
        self.calls = 0
        self.open: set[str] = set()
        self.granted = ""


class Lives(RuleBasedStateMachine):
    @initialize(graph=st.sampled_from(sorted(GRAPHS)))
    def begin(self, graph: str) -> None:
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
        self._obey(self.core.start())

    def _say(self, event: Event) -> None:
        self.now += 1
        self._obey(self.core.handle(event, self.now))

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Spawn(runtime):
                    assert runtime not in self.processes
                    self.processes[runtime] = Process()
                case Kill(runtime) | Release(runtime):
                    self.processes.pop(runtime, None)
                case SendRuntime(runtime, message):
                    self._to_runtime(self.processes[runtime], message)
                case SendAgent(message):
                    self._to_agent(message)
                case Exit():
                    self.over = True
                case _:
                    self.connected = True

    def _to_runtime(self, process: Process, message: object) -> None:
        assert process.connected, "nothing is sent to a runtime that has not said hello"
        match message:
            case Load(number) | Invoke(number):
                assert not process.tasks, "one task at a time"
                process.tasks.append((type(message).__name__, number))
                if isinstance(message, Invoke):
                    process.running, process.calls = number, 0
                else:
                    process.granted = number
            case Result(number):
                process.open.discard(number)
            case Handover():
                process.tasks.append(("Load", process.granted))
            case _:
                assert isinstance(message, Welcome)

    def _to_agent(self, message: object) -> None:
        match message:
            case Report(number) if number == self.loading:
                self.loading, self.asked = "", False
            case Report(number):
                assert number == self.invoking, "an invocation is reported once"
                self.invoking = ""
            case AskHandover():
                self.asked = True
            case Call(number):
                self.elsewhere.add(number)
            case _:
                assert isinstance(message, Steps)

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
        self._say(RuntimeSaid(number, Hello("", "runtime", "python", 100 + number)))

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

    @precondition(lambda self: any(p.tasks and not p.closed for p in self.processes.values()))
    @rule(index=st.integers(0, 9), outcome=st.sampled_from(["ok", "ok", "ok", "moved", "fault"]))
    def a_runtime_reports(self, index: int, outcome: str) -> None:
        number = self._pick(index, [n for n, p in self.processes.items() if p.tasks and not p.closed])
        kind, task = self.processes[number].tasks.pop(0)
        if kind == "Invoke":
            self.processes[number].running = ""
        fault = Fault("function_raised", "no") if outcome == "fault" else None
        self._say(RuntimeSaid(number, Report(task, fault=fault, handed_over=outcome == "moved")))

    @precondition(lambda self: any(p.running and not p.closed for p in self.processes.values()))
    @rule(index=st.integers(0, 9), callee=st.sampled_from("fghx"))
    def a_runtime_calls(self, index: int, callee: str) -> None:
        number = self._pick(index, [n for n, p in self.processes.items() if p.running and not p.closed])
        process = self.processes[number]
        process.calls += 1
        name = f"{process.running}.{process.calls}"
        process.open.add(name)
        self._say(RuntimeSaid(number, Call(name, process.running, callee, b"", "text/plain")))

    @precondition(lambda self: self.elsewhere)
    @rule(index=st.integers(0, 9))
    def the_agent_answers_a_call(self, index: int) -> None:
        number = sorted(self.elsewhere)[index % len(self.elsewhere)]
        self.elsewhere.discard(number)
        self._say(AgentSaid(Result(number)))

    @precondition(lambda self: self.processes)
    @rule(index=st.integers(0, 9), status=st.sampled_from([0, 3, -9]), sign=st.sampled_from(["exit", "close"]))
    def a_runtime_dies(self, index: int, status: int, sign: str) -> None:
        number = self._pick(index, sorted(self.processes))
        process = self.processes[number]
        if sign == "exit" and not process.exited:
            process.exited = True
            self._say(RuntimeExited(number, status))
        elif sign == "close" and not process.closed:
            process.closed = True
            self._say(RuntimeClosed(number))

    @rule(ms=st.sampled_from([1, 10, 300, 1100, 6000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms * 1_000_000
        self._say(Ticked())

    @invariant()
    def it_holds(self) -> None:
        if hasattr(self, "core") and not self.over:
            self.core.check()
            assert set(self.processes) == set(self.core.runtimes)

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
                if self.processes.get(number) is process and not (process.closed or process.exited):
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
            kind, task = process.tasks.pop(0)
            if kind == "Invoke":
                process.running = ""
            self._say(RuntimeSaid(number, Report(task)))


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
