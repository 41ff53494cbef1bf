"""One run of a declared workflow: which step begins, waits, runs again, is skipped, and what comes of it all.

Without I/O: `handle` takes an event and the time, and returns the commands that follow. Each step counts the
predecessors that have not ended (FaaSFlow's WorkerSP): the last of them lets it go, and nobody else is asked. The same
machine runs a whole workflow, in a worker or in the agent, and a part of one (`mee6.declared.parts`) in another worker.

Source of the counters: FaaSFlow (ASPLOS '22), `src/workflow_manager/workersp.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mee6.declared.graph import Graph, Node, named
from mee6.declared.parts import Layout, Part, needed
from mee6.declared.rules import catches, choice_in, error_value, holds, joined, runs_again
from mee6.declared.values import Outcome, Value, evaluate, look, packed
from mee6.errors import InvalidInput
from mee6.lane.messages import Fault

ITEMS: Final = 100_000
"""Of one `foreach`."""


class StepState(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"  # for steps before it
    RUNNING = "running"  # it has calls under way, or to be made
    CATCHING = "catching"  # it failed, and the function of its `catch` runs
    AWAY = "away"  # with its part in another worker
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    FAILED = "failed"


class StepEvent(StrEnum):
    """What can happen to a step."""

    BEGAN = "began"
    SENT = "sent away"
    SKIPPED = "skipped"
    ENDED = "ended"
    CAUGHT = "caught"
    FAILED = "failed"


S, E = StepState, StepEvent

TRANSITIONS: Final[Mapping[tuple[StepState, StepEvent], StepState]] = {
    (S.WAITING, E.BEGAN): S.RUNNING,
    (S.WAITING, E.SENT): S.AWAY,
    (S.WAITING, E.SKIPPED): S.SKIPPED,
    (S.RUNNING, E.ENDED): S.SUCCEEDED,
    (S.RUNNING, E.CAUGHT): S.CATCHING,
    (S.RUNNING, E.FAILED): S.FAILED,
    (S.CATCHING, E.ENDED): S.SUCCEEDED,
    (S.CATCHING, E.FAILED): S.FAILED,
    (S.AWAY, E.ENDED): S.SUCCEEDED,
    (S.AWAY, E.SKIPPED): S.SKIPPED,
    (S.AWAY, E.FAILED): S.FAILED,
}
DONE: Final = frozenset({S.SUCCEEDED, S.SKIPPED})


# Events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """It shall run; once, first."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call that `Start` asked for has ended, with a value or a fault."""

    call: int
    value: Value | None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The part that `StartPart` asked for has ended: what those of its steps came to that others need, or a fault."""

    call: int
    outcomes: Mapping[str, Outcome]
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: `due_ns` may have come."""


Event = Begin | CallEnded | PartEnded | Ticked


# Commands ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Call a function; tell by `CallEnded`."""

    call: int
    """Counted from 1, over all commands that start something."""
    step: str
    function: str
    input: Value
    outflow: str
    """Where it may run, in the words of `mee6.outflow`."""
    timeout_s: float
    """0 = as long as the function may."""


@dataclass(frozen=True, slots=True)
class StartPart:
    """Run a part in one other worker; tell by `PartEnded`."""

    call: int
    part: Part


@dataclass(frozen=True, slots=True)
class Stop:
    """Nobody waits for this call any more; its end need not be told."""

    call: int


@dataclass(frozen=True, slots=True)
class Finish:
    """It is over: with the workflow's result, with a part's outcomes, or with a fault."""

    value: Value | None = None
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    fault: Fault | None = None


Command = Start | StartPart | Stop | Finish


# The machine -------------------------------------------------------------------------------------------------


class _Item:
    """One call of a step's function, with its attempts: the only one, or that of one item."""

    __slots__ = ("call", "due_ns", "failures", "input", "result")

    def __init__(self, given: Value) -> None:
        self.input = given
        self.call = 0
        """Under way; 0 = none."""
        self.failures = 0
        self.due_ns = 0
        """When it runs again; 0 = it need not."""
        self.result: Value | None = None


class _Progress:
    """How far a step is."""

    __slots__ = ("fault", "items", "missing", "next", "node", "result", "running", "state")

    def __init__(self, node: Node, missing: int) -> None:
        self.node = node
        self.state = StepState.WAITING
        self.missing = missing
        """Of the steps that it waits for, how many have not ended."""
        self.items: list[_Item] = []
        self.next = 0
        """The first item that has not been begun."""
        self.running = 0
        """Items under way, those that wait to run again included."""
        self.result: Outcome = None
        self.fault: Fault | None = None
        """Of an item that failed for good: no more are begun."""

    def take(self, event: StepEvent) -> None:
        after = TRANSITIONS.get((self.state, event))
        assert after is not None, f"step {self.node.name!r} is {self.state} and cannot take {event!r}"
        self.state = after


class _PartProgress:
    __slots__ = ("failures", "missing", "names")

    def __init__(self, names: tuple[str, ...], missing: int) -> None:
        self.names = names
        self.missing = missing
        """Of the steps outside that it waits for, how many have not ended."""
        self.failures = 0


class FlowRun:
    """One run.

    Args:
        args: the workflow's arguments; for a part, as much of them as it needs.
        layout: what runs here and what in other workers.
        own: for a part, its steps; None = all.
        given: for a part, what the steps outside that it waits for came to.
    """

    def __init__(
        self,
        graph: Graph,
        args: Value | None,
        layout: Layout,
        own: Collection[str] | None = None,
        given: Mapping[str, Outcome] | None = None,
    ) -> None:
        self._graph = graph
        self._layout = layout
        self._is_part = own is not None
        self._known: dict[str, Outcome] = {**(given or {}), "args": args}
        names = dict.fromkeys(name for name in graph.nodes if own is None or name in own)
        self.steps: dict[str, _Progress] = {}
        for name in names:
            node = graph.nodes[name]
            self.steps[name] = _Progress(node, sum(one in names for one in node.before))
        self._parts: dict[str, _PartProgress] = {}
        for part in layout.parts:
            missing = len(needed(graph, part))
            self._parts |= dict.fromkeys(part, _PartProgress(part, missing))
        self._open: dict[int, tuple[_Progress, _Item | None] | _PartProgress] = {}
        """Calls under way, and whose: a step's item's, its `catch`'s (None), or a part's."""
        self._calls = 0
        self._left = len(self.steps)
        """Steps that have not ended."""
        self._waits: dict[int, tuple[_Progress, _Item]] = {}
        """Items that wait to run again, by the number of the call that failed."""
        self._commands: list[Command] = []
        self.over = False
        self.due_ns = 0
        """When it wants a `Ticked`, nanoseconds, monotonic; 0 = it does not."""

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Takes an event; returns what follows from it. After its `Finish` nothing does."""
        if not self.over:
            match event:
                case CallEnded():
                    self._call_ended(event, now_ns)
                case PartEnded():
                    self._part_ended(event, now_ns)
                case Ticked():
                    self._ticked(now_ns)
                case Begin():
                    self._begin(now_ns)
            self._finish_if_done()
        commands, self._commands = self._commands, []
        return commands

    def state(self, step: str) -> StepState:
        """Where a step stands."""
        return self.steps[step].state

    def of(self, call: int) -> str:
        """The step that made a call under way; empty where there is none, or a part did."""
        whose = self._open.get(call)
        return whose[0].node.name if isinstance(whose, tuple) else ""

    # Steps -------------------------------------------------------------------------------------------------

    def _begin(self, now_ns: int) -> None:
        steps = [one for one in self.steps.values() if not one.missing and one.node.name not in self._parts]
        parts = {id(one): one for one in self._parts.values() if not one.missing}
        for part in parts.values():
            self._send(part)
        for progress in steps:
            if not self.over:
                self._let_go(progress, now_ns)

    def _let_go(self, progress: _Progress, now_ns: int) -> None:
        """Begins a step all of whose predecessors have ended, or skips it."""
        name = progress.node.name
        if self._is_skipped(progress.node):
            progress.take(E.SKIPPED)
            self._ended(progress, None, now_ns)
            return
        progress.take(E.BEGAN)
        step = progress.node.step
        try:
            if step.is_switch:
                self._succeed(progress, packed(self._choice(progress.node)), now_ns)
                return
            progress.items = self._items(progress.node)
        except InvalidInput as error:
            message = f"step {name!r}: {error.message}"
            self._fail(progress, Fault("invalid_input", message, function=step.function), now_ns)
            return
        if progress.items:
            self._begin_items(progress)
        else:
            self._succeed(progress, packed([]), now_ns)

    def _is_skipped(self, node: Node) -> bool:
        """Whether no switch chose it, or nothing that it waits for ran."""
        if node.switches and not any(node.name in self._chosen(switch) for switch in node.switches):
            return True
        if not node.data:
            return False
        return all(self._known[one] is None for one in node.data)

    def _chosen(self, switch: str) -> list[str]:
        value = self._known[switch]
        return [] if value is None else choice_in(value)

    def _choice(self, node: Node) -> list[str]:
        """The steps that a switch chooses."""
        for condition, case in node.cases:
            found = look(condition, self._known.__getitem__)
            if holds(found, case):
                return named(case.then)
        return named(node.step.otherwise)

    def _items(self, node: Node) -> list[_Item]:
        known = self._known.__getitem__
        if node.foreach is None:
            return [_Item(evaluate(node.input, known))]
        items = look(node.foreach, known)
        if items is None:
            items = []
        if not isinstance(items, list) or len(items) > ITEMS:
            what = f"a list of {len(items)}" if isinstance(items, list) else type(items).__name__
            raise InvalidInput(f"'foreach' wants a list of at most {ITEMS} items, and got {what}")
        return [_Item(evaluate(node.input, known, {"item": item, "index": n})) for n, item in enumerate(items)]

    def _begin_items(self, progress: _Progress) -> None:
        """Begins as many items as may run at once."""
        most = progress.node.step.concurrency or len(progress.items)
        while progress.next < len(progress.items) and progress.running < most and progress.fault is None:
            item = progress.items[progress.next]
            progress.next += 1
            progress.running += 1
            self._call(progress, item)

    def _call(self, progress: _Progress, item: _Item) -> None:
        step = progress.node.step
        item.call = self._start(progress, step.function, item.input, item)

    def _start(self, progress: _Progress, function: str, given: Value, item: _Item | None) -> int:
        self._calls += 1
        self._open[self._calls] = (progress, item)
        name, timeout_s = progress.node.name, progress.node.step.timeout_s or 0.0
        self._commands.append(Start(self._calls, name, function, given, self._layout.outflow(name), timeout_s))
        return self._calls

    def _call_ended(self, event: CallEnded, now_ns: int) -> None:
        whose = self._open.pop(event.call, None)
        if not isinstance(whose, tuple):
            return
        progress, item = whose
        if item is None:  # of its `catch`
            if event.fault is None:
                self._succeed(progress, event.value, now_ns)
            else:
                self._give_up(progress, event.fault, now_ns)
            return
        item.call = 0
        if event.fault is None:
            item.result = event.value
            self._item_ended(progress, now_ns)
            return
        item.failures += 1
        retry = progress.node.step.retry
        if progress.fault is None and retry is not None and runs_again(retry, event.fault, item.failures):
            item.due_ns = now_ns + int(retry.wait_s(item.failures) * 1e9)
            self._waits[event.call] = (progress, item)
            self._ticked(now_ns)
        else:
            self._item_failed(progress, event.fault, now_ns)

    def _item_ended(self, progress: _Progress, now_ns: int) -> None:
        progress.running -= 1
        self._begin_items(progress)
        if progress.running:
            return
        if progress.fault is not None:
            self._fail(progress, progress.fault, now_ns)
        elif progress.node.foreach is None:
            self._succeed(progress, progress.items[0].result, now_ns)
        else:
            self._collect(progress, now_ns)

    def _collect(self, progress: _Progress, now_ns: int) -> None:
        """Makes a list of what the items came to."""
        results = [item.result for item in progress.items if item.result is not None]
        try:
            self._succeed(progress, joined(results), now_ns)
        except InvalidInput as error:
            message = f"step {progress.node.name!r}: {error.message}"
            self._fail(progress, Fault("invalid_input", message, function=progress.node.step.function), now_ns)

    def _item_failed(self, progress: _Progress, fault: Fault, now_ns: int) -> None:
        """Takes note that an item failed for good: those that run are awaited where the fault is caught."""
        if progress.fault is None:
            progress.fault = fault
            for call, (other, item) in list(self._waits.items()):
                if other is progress:
                    del self._waits[call]
                    item.due_ns = 0
                    progress.running -= 1
        if not catches(progress.node.step.catch, progress.fault):
            self._give_up(progress, progress.fault, now_ns)
        else:
            self._item_ended(progress, now_ns)

    def _fail(self, progress: _Progress, fault: Fault, now_ns: int) -> None:
        """Has a step's `catch` stand in for it, or ends the run."""
        catch, caught = progress.node.step.catch, progress.node.caught
        if catch is None or caught is None or not catches(catch, fault):
            self._give_up(progress, fault, now_ns)
            return
        try:
            value = evaluate(caught, self._known.__getitem__, {"error": error_value(fault)})
        except InvalidInput as error:
            message = f"catch of step {progress.node.name!r}: {error.message}"
            self._give_up(progress, Fault("invalid_input", message, function=fault.function), now_ns)
            return
        if not catch.function:
            self._succeed(progress, value, now_ns)
            return
        progress.take(E.CAUGHT)
        self._start(progress, catch.function, value, None)

    def _succeed(self, progress: _Progress, value: Value | None, now_ns: int) -> None:
        assert value is not None
        progress.take(E.ENDED)
        progress.items.clear()
        self._ended(progress, value, now_ns)

    def _ended(self, progress: _Progress, outcome: Outcome, now_ns: int) -> None:
        """Takes note of a step's end, and lets go whoever waited for nothing else."""
        name = progress.node.name
        progress.result = self._known[name] = outcome
        self._left -= 1
        parts: dict[int, _PartProgress] = {}
        ready: list[_Progress] = []
        for follower in self._graph.after[name]:
            after = self.steps.get(follower)
            if after is None:
                continue
            after.missing -= 1
            part = self._parts.get(follower)
            if part is None:
                if not after.missing:
                    ready.append(after)
            elif part is not self._parts.get(name):
                parts[id(part)] = part
        # What goes elsewhere goes first: it runs beside what runs here.
        for part in parts.values():
            part.missing -= 1
            if not part.missing:
                self._send(part)
        for after in ready:
            if not self.over:
                self._let_go(after, now_ns)

    def _give_up(self, progress: _Progress, fault: Fault, now_ns: int) -> None:
        """Ends the run: a step failed for good."""
        del now_ns
        progress.take(E.FAILED)
        self._end(Finish(fault=fault))

    # Parts -------------------------------------------------------------------------------------------------

    def _send(self, part: _PartProgress) -> None:
        """Has a part run in another worker."""
        for name in part.names:
            if self.steps[name].state is S.WAITING:
                self.steps[name].take(E.SENT)
        self._calls += 1
        self._open[self._calls] = part
        self._commands.append(StartPart(self._calls, self._layout.part(part.names, self._known)))

    def _part_ended(self, event: PartEnded, now_ns: int) -> None:
        part = self._open.pop(event.call, None)
        if not isinstance(part, _PartProgress):
            return
        if event.fault is None:
            for name in part.names:
                outcome = event.outcomes.get(name)
                skipped = name in event.outcomes and outcome is None
                self.steps[name].take(E.SKIPPED if skipped else E.ENDED)
                self._known[name] = outcome
            for name in part.names:
                self._ended(self.steps[name], event.outcomes.get(name), now_ns)
                if self.over:
                    return
            return
        part.failures += 1
        if self._layout.runs_again(part.names, event.fault, part.failures):
            self._send(part)
        else:
            self.steps[part.names[0]].take(E.FAILED)
            self._end(Finish(fault=event.fault))

    # Time and ends -----------------------------------------------------------------------------------------

    def _ticked(self, now_ns: int) -> None:
        """Runs again what is due."""
        for call, (progress, item) in list(self._waits.items()):
            if item.due_ns <= now_ns:
                del self._waits[call]
                item.due_ns = 0
                self._call(progress, item)
        self.due_ns = min((item.due_ns for _step, item in self._waits.values()), default=0)

    def _finish_if_done(self) -> None:
        if self.over or self._left:
            return
        if self._is_part:
            wanted = self._layout.wanted(self.steps)
            self._end(Finish(outcomes={name: self._known[name] for name in wanted}))
            return
        try:
            self._end(Finish(evaluate(self._graph.output, self._known.__getitem__)))
        except InvalidInput as error:
            self._end(Finish(fault=Fault("invalid_input", f"output: {error.message}")))

    def _end(self, finish: Finish) -> None:
        self._commands += [Stop(call) for call in self._open]
        self._open.clear()
        self._waits.clear()
        self.due_ns = 0
        self.over = True
        self._commands.append(finish)

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        for name, progress in self.steps.items():
            assert progress.missing >= 0, f"counter of {name} is {progress.missing}"
            waits = {one for one in progress.node.before if one in self.steps and self.steps[one].state not in DONE}
            assert progress.missing == len(waits), f"{name} counts {progress.missing}, waits for {sorted(waits)}"
            if progress.state not in (S.WAITING, S.AWAY):
                assert not progress.missing, f"{name} is {progress.state} before {sorted(waits)} ended"
            most = progress.node.step.concurrency
            assert most is None or progress.running <= most, f"{name} runs {progress.running} items at once"
        assert self.over or self._left == sum(one.state not in DONE for one in self.steps.values())
        assert self.over or bool(self._open or self._waits) or not self._calls, "something goes on until it is over"
