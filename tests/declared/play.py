"""A declared workflow played without a platform: functions are Python, and whoever drives decides who ends next."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from mee6.content import unpack
from mee6.declared.graph import Graph, graph_of
from mee6.declared.parts import Layout, layout_of
from mee6.declared.run import (
    Begin,
    CallEnded,
    Command,
    Event,
    Finish,
    FlowRun,
    PartEnded,
    Start,
    StartPart,
    Stop,
    Ticked,
)
from mee6.declared.values import Value, packed
from mee6.lane.messages import Fault
from mee6.manifest import parse

S = 1_000_000_000


def graph(steps: Mapping[str, Any], **more: Any) -> Graph:
    declaration = parse(json.dumps({"name": "w", "steps": steps, **more})).declaration
    assert declaration is not None
    return graph_of(declaration)


def fault(code: str = "function_raised", message: str = "no") -> Fault:
    return Fault(code, message, function="f", error_type="ValueError")


class Play:
    """One run, whose calls end when they are told to."""

    def __init__(
        self, steps: Mapping[str, Any] | Graph, args: Any = None, layout: Layout | None = None, **more: Any
    ) -> None:
        self.graph = steps if isinstance(steps, Graph) else graph(steps, **more)
        self.run = FlowRun(self.graph, packed(args), layout or Layout(self.graph))
        self.now = 1 * S
        self.open: dict[int, Start | StartPart] = {}
        self.started: list[str] = []
        self.stopped: list[int] = []
        self.end: Finish | None = None
        self.handle(Begin())

    def handle(self, event: Event) -> list[Command]:
        commands = self.run.handle(event, self.now)
        for command in commands:
            match command:
                case Start() | StartPart():
                    self.open[command.call] = command
                    if isinstance(command, Start):
                        self.started.append(command.step)
                case Stop():
                    del self.open[command.call]
                    self.stopped.append(command.call)
                case Finish():
                    assert self.end is None, "it ends once"
                    self.end = command
        self.run.check()
        return commands

    def call(self, step: str) -> Start:
        """The oldest call of a step that is under way."""
        return next(one for one in self.open.values() if isinstance(one, Start) and one.step == step)

    def gives(self, step: str, value: Any) -> None:
        """Ends the oldest call of a step with a value."""
        call = self.call(step)
        del self.open[call.call]
        self.handle(CallEnded(call.call, value if isinstance(value, Value) else packed(value)))

    def fails(self, step: str, code: str = "function_raised", message: str = "no") -> None:
        call = self.call(step)
        del self.open[call.call]
        self.handle(CallEnded(call.call, None, fault(code, message)))

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * S)
        self.handle(Ticked())

    @property
    def under_way(self) -> list[str]:
        return [one.step if isinstance(one, Start) else "+".join(one.part.steps) for one in self.open.values()]

    @property
    def result(self) -> Any:
        assert self.end is not None, f"it goes on, with {self.under_way}"
        assert self.end.fault is None, self.end.fault
        assert self.end.value is not None
        return unpack(self.end.value.data, self.end.value.content_type)

    @property
    def fault(self) -> Fault:
        assert self.end is not None
        assert self.end.fault is not None
        return self.end.fault


def seen(call: Start) -> Any:
    """What a call's function is given."""
    return unpack(call.input.data, call.input.content_type)


Functions = Callable[[str, Any], Any]
Pick = Callable[[int], int]


def simulate(graph: Graph, args: Any, functions: Functions, groups: Mapping[str, int], pick: Pick) -> Simulation:
    """Runs a whole workflow, with its parts in other workers, to its end."""
    simulation = Simulation(graph, functions, pick)
    simulation.run(args, layout_of(graph, groups))
    return simulation


class Simulation:
    """Runs workers side by side; `pick(n)` says which of n things that could happen next does."""

    def __init__(self, graph: Graph, functions: Functions, pick: Pick) -> None:
        self.graph = graph
        self.functions = functions
        self.pick = pick
        self.began: list[str] = []
        self.ended: list[str] = []
        self.finish: Finish | None = None
        self.messages = 0
        """Calls that went to another worker."""

    def run(self, args: Any, layout: Layout) -> None:
        root = FlowRun(self.graph, packed(args), layout)
        under_way: list[tuple[FlowRun, Command]] = []
        parents: dict[int, tuple[FlowRun, int]] = {}
        now = 0

        def tell(run: FlowRun, event: Event) -> None:
            for command in run.handle(event, now):
                if isinstance(command, StartPart):
                    self.messages += 1
                    inner = FlowRun(
                        self.graph,
                        command.part.args,
                        layout.of_part(command.part.steps),
                        own=command.part.steps,
                        given=command.part.given,
                    )
                    parents[id(inner)] = (run, command.call)
                    self.keep = [*getattr(self, "keep", []), inner]
                    tell(inner, Begin())
                elif isinstance(command, Start):
                    self.messages += command.outflow == "always"
                    self.began.append(command.step)
                    under_way.append((run, command))
                elif isinstance(command, Finish):
                    parent = parents.get(id(run))
                    if parent is None:
                        self.finish = command
                    else:
                        tell(parent[0], PartEnded(parent[1], command.outcomes, command.fault))
                elif isinstance(command, Stop):
                    under_way[:] = [one for one in under_way if one != (run, command)]
            run.check()

        tell(root, Begin())
        while under_way and self.finish is None:
            run, command = under_way.pop(self.pick(len(under_way)))
            assert isinstance(command, Start)
            given = unpack(command.input.data, command.input.content_type)
            self.ended.append(command.step)
            tell(run, CallEnded(command.call, packed(self.functions(command.function, given))))
        assert self.finish is not None, "it came to an end"

    @property
    def result(self) -> Any:
        assert self.finish is not None
        assert self.finish.fault is None, self.finish.fault
        assert self.finish.value is not None
        return unpack(self.finish.value.data, self.finish.value.content_type)
