"""A declared workflow as its manifest has it, and as a graph: which step waits for which.

The structs are what is read from `steps`; `Graph` adds what follows from them. Whether they make sense is
`mee6.declared.checking`'s to say; here it is taken for granted, but for cycles, which `order` reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from mee6.declared.values import ARGS_NAME, DEFAULT_ITEM, RESERVED, Expression, Literal, names, parse

Positive = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
"""Seconds; up to a week."""


class Retry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How often, and when, a step that failed runs again."""

    attempts: Annotated[int, msgspec.Meta(ge=2, le=100)] = 3
    """In all, the first included."""
    backoff_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.1
    """From the first failure to the second attempt."""
    factor: Annotated[float, msgspec.Meta(ge=1, le=100)] = 2.0
    """By which each further wait is longer than the one before."""
    max_backoff_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0
    on: list[str] = []
    """Codes of faults; empty = all but a wrong input, which the same input meets again."""

    def wait_s(self, failures: int) -> float:
        """Seconds until the next attempt, after so many failures."""
        return float(min(self.backoff_s * self.factor ** (failures - 1), self.max_backoff_s))


class Catch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What stands in for the result of a step that failed for good: a value, or what a function makes of the fault."""

    on: list[str] = []
    """Codes of faults; empty = all."""
    function: str = ""
    input: Any = msgspec.UNSET
    """Of the function; without it, the fault: `$error`."""
    value: Any = msgspec.UNSET


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One way of a switch: taken when its condition holds, and none before it did."""

    then: str | list[str]
    """The steps that run if it is taken."""
    condition: Any = msgspec.field(name="if", default=msgspec.UNSET)
    equals: Any = msgspec.field(name="is", default=msgspec.UNSET)
    above: float | None = None
    below: float | None = None
    among: list[Any] | None = msgspec.field(name="in", default=None)


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One step: a function that is called, or a switch."""

    function: str = ""
    input: Any = msgspec.UNSET
    after: str | list[str] = []
    foreach: Any = msgspec.UNSET
    """Of a list, the function is called once for each item."""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    """Items at once; None = as many as may run."""
    switch: list[Case] = []
    otherwise: str | list[str] = msgspec.field(name="else", default=[])
    timeout_s: Positive | None = None
    """Of one attempt."""
    retry: Retry | None = None
    catch: Catch | None = None

    @property
    def is_switch(self) -> bool:
        """Whether it chooses among steps and calls nothing."""
        return not self.function

    @property
    def is_foreach(self) -> bool:
        """Whether its function is called once for each item of a list."""
        return self.foreach is not msgspec.UNSET


class Declaration(msgspec.Struct, frozen=True):
    """What a manifest says of its steps."""

    steps: dict[str, Step]
    output: Any = msgspec.UNSET

    @property
    def functions(self) -> list[str]:
        """All that its steps may call, in their order."""
        found = [name for step in self.steps.values() for name in (step.function, step.catch and step.catch.function)]
        return list(dict.fromkeys(name for name in found if name))


class Cyclic(ValueError):
    """Steps wait for each other; `steps` goes round once, its first again at its end."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__(" > ".join(steps))
        self.steps = steps


@dataclass(frozen=True, slots=True)
class Node:
    """A step with its expressions read and its place in the graph."""

    name: str
    step: Step
    input: Expression
    foreach: Expression | None
    cases: tuple[tuple[Expression, Case], ...]
    caught: Expression | None
    """What its `catch` makes of a fault: the function's input, or the value."""
    before: frozenset[str]
    """The steps that it waits for."""
    data: frozenset[str]
    """Of these, those that are no switch that chooses it: it is skipped where all of them were."""
    switches: frozenset[str]
    """Those that may choose it: it is skipped where none does."""

    @property
    def names(self) -> frozenset[str]:
        """All that its expressions refer to: these it has to be given, not merely to come after."""
        read = [self.input, *(condition for condition, _case in self.cases)]
        read += [one for one in (self.foreach, self.caught) if one is not None]
        # Of a switch that may choose it, it must know what was chosen.
        return self.switches.union(*(names(one) for one in read))


@dataclass(frozen=True, slots=True)
class Graph:
    """A declared workflow, read. Made by `graph_of`."""

    nodes: Mapping[str, Node]
    """In an order in which they could run one after the other; of equals, as they are declared."""
    after: Mapping[str, tuple[str, ...]]
    """Step -> those that wait for it."""
    output: Expression
    ancestors: Mapping[str, frozenset[str]] = field(repr=False)
    """Step -> all that must have ended before it can begin."""

    @property
    def levels(self) -> dict[str, int]:
        """Step -> the length of the longest way to it, from 0."""
        found: dict[str, int] = {}
        for name, node in self.nodes.items():
            found[name] = 1 + max((found[one] for one in node.before), default=-1)
        return found


def named(targets: str | list[str]) -> list[str]:
    """One name or several, as a list."""
    return [targets] if isinstance(targets, str) else targets


def chosen(step: Step) -> list[str]:
    """All steps that a switch may choose."""
    found = [name for case in step.switch for name in named(case.then)]
    return list(dict.fromkeys([*found, *named(step.otherwise)]))


def graph_of(declaration: Declaration) -> Graph:
    """The graph of a declaration.

    Raises:
        Cyclic: steps wait for each other.
        ValueError: an expression cannot be read; `mee6.declared.checking` finds that first, and where it stands.
    """
    steps = declaration.steps
    switches: dict[str, list[str]] = {name: [] for name in steps}
    for name, step in steps.items():
        for target in chosen(step):
            switches.setdefault(target, []).append(name)
    nodes = {name: _node(name, step, frozenset(switches[name])) for name, step in steps.items()}
    ordered = {name: nodes[name] for name in order({name: node.before for name, node in nodes.items()})}
    after: dict[str, list[str]] = {name: [] for name in ordered}
    ancestors: dict[str, frozenset[str]] = {}
    for name, node in ordered.items():
        for one in node.before:
            after[one].append(name)
        ancestors[name] = node.before.union(*(ancestors[one] for one in node.before))
    return Graph(ordered, {name: tuple(found) for name, found in after.items()}, _output(declaration, after), ancestors)


def order(before: Mapping[str, Iterable[str]]) -> list[str]:
    """The steps in an order in which each comes after those that it waits for; of equals, as they are given.

    Raises:
        Cyclic: there is none.
    """
    missing = {name: set(waits) for name, waits in before.items()}
    found: list[str] = []
    while missing:
        ready = [name for name, waits in missing.items() if not waits]
        if not ready:
            raise Cyclic(_round(missing))
        for name in ready:
            del missing[name]
        for waits in missing.values():
            waits.difference_update(ready)
        found += ready
    return found


def _round(missing: Mapping[str, set[str]]) -> list[str]:
    """One way round, in the order in which the steps would run."""
    way = [next(iter(missing))]
    while way[-1] not in way[:-1]:
        way.append(min(one for one in missing[way[-1]] if one in missing))
    return way[way.index(way[-1]) :][::-1]


def _node(name: str, step: Step, switches: frozenset[str]) -> Node:
    cases = tuple((parse(case.condition), case) for case in step.switch)
    foreach = parse(step.foreach) if step.is_foreach else None
    caught = _caught(step.catch) if step.catch is not None else None
    given = _input(step)
    read = [given, *(condition for condition, _case in cases), *(one for one in (foreach, caught) if one is not None)]
    referred = {one for expression in read for one in names(expression) if one not in RESERVED}
    data = referred.union(named(step.after))
    return Node(name, step, given, foreach, cases, caught, frozenset(data | switches), frozenset(data), switches)


def _input(step: Step) -> Expression:
    """The input of a step; of one that does not say, the item, what the step before it gave, or the arguments."""
    if step.is_switch:
        return Literal(None)
    if step.input is not msgspec.UNSET:
        return parse(step.input)
    if step.is_foreach:
        return parse(DEFAULT_ITEM)
    after = named(step.after)
    return parse(f"${after[0] if len(after) == 1 else ARGS_NAME}")


def _caught(catch: Catch) -> Expression:
    if not catch.function:
        return parse(catch.value)
    return parse("$error" if catch.input is msgspec.UNSET else catch.input)


def _output(declaration: Declaration, after: Mapping[str, list[str]]) -> Expression:
    """What it returns: as it says, or what its last step gives; of several last ones, an object of all."""
    if declaration.output is not msgspec.UNSET:
        return parse(declaration.output)
    last = [name for name in declaration.steps if not after[name]]
    return parse(f"${last[0]}" if len(last) == 1 else {name: f"${name}" for name in last})
