"""The declared workflow, or the part of one, that runs in this worker: its counters are here, where its steps are.

Without I/O. What begins when is `mee6.declared.run`'s to say. A step that stays is one like any other
(`proxy.calls`), but that no function called it; one that leaves is a call to the agent, and so is a part, which
another worker's proxy runs by counters of its own. No message goes to anybody between two steps that are here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from mee6.declared.graph import Declaration, Graph, graph_of
from mee6.declared.parts import Layout, Part, layout_of, needed
from mee6.declared.run import Begin, CallEnded, Event, Finish, FlowRun, PartEnded, Start, StartPart, Stop, Ticked
from mee6.declared.values import Value
from mee6.lane.messages import BINARY, Call, Fault, Function, Invoke, Report, Result
from mee6.outflow import Gate, Place, refusal
from proxy.affinity import Affinity
from proxy.ahead import Ahead
from proxy.calls import Calls
from proxy.events import Command, SendAgent
from proxy.lanes import LONG_NS
from proxy.plan import Plan
from proxy.step import LocalStep, Trace


class Flow:
    """What is declared and runs here.

    Args:
        do: takes the commands.
    """

    def __init__(
        self, plan: Plan, calls: Calls, ahead: Ahead, trace: Trace, affinity: Affinity, do: Callable[[Command], None]
    ) -> None:
        self._plan = plan
        self._calls = calls
        self._ahead = ahead
        self._trace = trace
        self._affinity = affinity
        self._do = do
        self._read: tuple[bytes, Graph] | None = None
        """The declaration read last, and what it came to."""
        self._laid: tuple[dict[str, int], Layout] | None = None
        """The groups told last, and the layout of it that they make."""
        self._run: FlowRun | None = None
        self._gate = Gate({}, 0, can_stay=True)
        self._id = ""
        self._chain: list[str] = []
        self._asked: dict[str, tuple[Start | StartPart, int]] = {}
        """Calls under way, those included that wait for their turn, and since when (ns)."""
        self._inbox: deque[Event] = deque()
        self._now = 0
        self._is_handling = False

    @property
    def is_on(self) -> bool:
        """Whether one runs."""
        return self._run is not None

    @property
    def due_ns(self) -> int:
        """When it wants a tick; 0 = it does not."""
        return self._run.due_ns if self._run is not None else 0

    def load(self, function: Function) -> Fault | None:
        """Reads a declaration; the fault where it cannot be read, which the agent should have found."""
        if self._read is not None and self._read[0] == function.declaration:
            return None
        try:
            declaration = msgspec.json.decode(function.declaration, type=Declaration)
            self._read, self._laid = (function.declaration, graph_of(declaration)), None
        except (msgspec.DecodeError, ValueError, LookupError) as error:
            return Fault("load_failed", f"the steps of {function.name!r} cannot be read: {error}", function.name)
        return None

    def begin(self, message: Invoke, chain: list[str], now_ns: int) -> None:
        """Runs it, or the part that a message asks for; its report follows."""
        root = self._plan.root
        assert root is not None
        assert self._read is not None
        graph = self._read[1]
        try:
            if message.part:
                part = msgspec.msgpack.decode(message.arg, type=Part)
                _demand_sound(graph, part)
                run = FlowRun(graph, part.args, Layout(graph).of_part(part.steps), part.steps, part.given)
            else:
                run = FlowRun(graph, Value(message.arg, message.content_type), self._layout(graph, message.groups))
        except (msgspec.DecodeError, LookupError) as error:
            fault = Fault("invalid_input", f"this is no part of {root.name!r}: {error}", root.name)
            self._do(SendAgent(Report(message.id, fault=fault)))
            return
        self._run = run
        self._id, self._chain = message.id, chain
        self._gate = Gate({}, root.max_parallelism, can_stay=True)
        self._handle(Begin(), now_ns)
        if self.is_on and not message.part:
            self._ahead.began(root, now_ns)

    def _layout(self, graph: Graph, told: dict[str, int]) -> Layout:
        """That of these groups, which one run after another has: of a hundred steps it takes a millisecond to make."""
        if self._laid is None or self._laid[0] != told:
            groups = {name: group for name, group in told.items() if name in graph.nodes}
            self._laid = told, layout_of(graph, groups)
        return self._laid[1]

    def answered(self, result: Result, now_ns: int) -> bool:
        """Takes the outcome of a call that ran elsewhere; False where it is none of its own."""
        if result.id not in self._asked or result.id in self._calls.steps:
            return False
        self._take(result.id, Value(result.result, result.content_type), result.fault, now_ns)
        return True

    def tick(self, now_ns: int) -> None:
        """Takes note of the time."""
        if self.due_ns and now_ns >= self.due_ns:
            self._handle(Ticked(), now_ns)

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        if self._run is not None:
            self._run.check()
            assert self._gate.running <= len(self._asked)
        else:
            assert not self._asked, "what has ended waits for nothing"
        for step in self._calls.steps.values():
            assert step.ended is None or step.id in self._asked, "a declared step is awaited"

    # Calls ----------------------------------------------------------------------------------------------

    def _handle(self, event: Event, now_ns: int) -> None:
        """Carries out what follows from an event; what comes up meanwhile has its turn after it."""
        self._inbox.append(event)
        self._now = now_ns
        if self._is_handling:
            return
        self._is_handling = True
        while self._inbox and self._run is not None:
            for command in self._run.handle(self._inbox.popleft(), now_ns):
                match command:
                    case Start() | StartPart():
                        self._ask(command, now_ns)
                    case Stop():
                        self._stop(command, now_ns)
                    case Finish():
                        self._finish(command)
        self._is_handling = False

    def _ask(self, command: Start | StartPart, now_ns: int) -> None:
        root = self._plan.root
        assert root is not None
        number = f"{self._id}.{command.call}"
        self._asked[number] = command, now_ns
        outflow = "always"
        if isinstance(command, Start):
            fault = refusal(root, self._chain, command.function, command.function in self._plan.functions)
            if fault is not None:
                self._asked.pop(number)
                self._inbox.append(CallEnded(command.call, None, fault))
                return
            if self._plan.can_run(command.function):
                outflow = command.outflow
        self._gate.outflows[number] = outflow
        self._admit(self._gate.ask(number, number), now_ns)

    def _admit(self, admitted: list[tuple[str, Place]], now_ns: int) -> None:
        for number, place in admitted:
            command, asked_ns = self._asked[number]
            if place is Place.ELSEWHERE:
                self._send(number, command, now_ns)
            else:
                assert isinstance(command, Start)
                self._begin(number, command, asked_ns, now_ns)

    def _send(self, number: str, command: Start | StartPart, now_ns: int) -> None:
        self._calls.on_branch(now_ns)
        if isinstance(command, StartPart):
            part, name = command.part, self._chain[-1]
            call = Call(number, self._id, name, msgspec.msgpack.encode(part), BINARY, self._chain, part=True)
        else:
            given = command.input
            call = Call(
                number, self._id, command.function, given.data, given.content_type, self._chain, step=command.step
            )
            if command.timeout_s:
                call = msgspec.structs.replace(call, timeout_s=command.timeout_s)
        self._do(SendAgent(call))

    def _begin(self, number: str, command: Start, asked_ns: int, now_ns: int) -> None:
        function, given = self._plan.functions[command.function], command.input
        chain = [*self._chain, command.function]
        step = LocalStep(number, self._id, function, given.data, given.content_type, chain)
        step.name = command.step
        step.ended = self._ended
        if asked_ns != now_ns:
            step.spans.append(("queued", asked_ns, now_ns))
        step.limit(min(command.timeout_s or function.timeout_s, function.timeout_s), now_ns)
        self._calls.begin(step, now_ns)

    def _ended(self, step: LocalStep, report: Report, now_ns: int) -> None:
        if step.runtime is not None:
            # Of one that was lost in the moment that it was given a runtime there is no span.
            kind, start_ns, end_ns = step.spans[-1] if step.spans else ("", 0, 0)
            if kind == "run" and end_ns - start_ns > LONG_NS:
                self._affinity.spread(now_ns)
            else:
                self._affinity.called(step.runtime, step.runtime, now_ns, direct=False)
        self._take(step.id, Value(report.result, report.content_type), report.fault, now_ns)

    def _take(self, number: str, value: Value, fault: Fault | None, now_ns: int) -> None:
        """Takes the outcome of a call: those that waited for it go, and those that waited for its place.

        These have the place at once, so that nobody overtakes them, but begin after it is known that all goes on.
        """
        command, _asked_ns = self._asked.pop(number)
        del self._gate.outflows[number]
        admitted = self._gate.done(number)
        self._handle(self._outcome(command, value, fault), now_ns)
        self._admit([one for one in admitted if one[0] in self._asked], now_ns)

    def _outcome(self, command: Start | StartPart, value: Value, fault: Fault | None) -> Event:
        if isinstance(command, Start):
            return CallEnded(command.call, None if fault else value, fault)
        try:
            outcomes = {} if fault else msgspec.msgpack.decode(value.data, type=dict[str, Value | None])
        except msgspec.DecodeError as error:
            outcomes, fault = {}, Fault("worker_lost", f"a part answered what cannot be read: {error}", self._chain[-1])
        return PartEnded(command.call, outcomes, fault)

    def _stop(self, command: Stop, now_ns: int) -> None:
        """Ends a call that is not wanted any more; one that left, the agent ends with the workflow."""
        number = f"{self._id}.{command.call}"
        self._asked.pop(number)
        self._gate.outflows.pop(number)
        self._calls.drop(number, now_ns)

    def _finish(self, finish: Finish) -> None:
        self._run = None
        self._inbox.clear()
        self._trace.flush()
        if finish.fault is not None:
            report = Report(self._id, fault=finish.fault)
        elif finish.value is not None:
            report = Report(self._id, finish.value.data, finish.value.content_type)
        else:
            report = Report(self._id, msgspec.msgpack.encode(finish.outcomes), BINARY)
        self._do(SendAgent(report))
        self._ahead.ended()


def _demand_sound(graph: Graph, part: Part) -> None:
    """Raises LookupError where a part has no place in a graph."""
    if (
        not part.steps
        or not graph.nodes.keys() >= set(part.steps)
        or not part.given.keys() >= needed(graph, part.steps)
    ):
        raise LookupError("it has other steps, or lacks what they need")
