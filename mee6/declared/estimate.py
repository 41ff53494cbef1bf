"""How long a declared workflow takes with its steps in certain groups, from what each was measured to take.

Workers run one step at a time. A line between two steps of one worker costs next to nothing; any other goes by way of
the worker that holds the workflow and of the agent, which takes one call after the other. Steps on different ways of a
switch do not wait for each other: of them, one runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from mee6.declared.branches import Cases, cases_of, exclude
from mee6.declared.graph import Graph
from mee6.declared.parts import HERE
from mee6.declared.shape import Shape

CALL_S: Final = 600e-6
"""A call of another worker, with its answer. Source: `tests/benchmarks/flows.py`, 2 cores."""
AGENT_S: Final = 150e-6
"""Of that, what keeps the agent from the next call. Source: as above, ten calls at once."""
STEP_S: Final = 20e-6
"""What the proxy does for a step within a worker, beside its run, which is told from message to message. Source: as
above."""
BYTE_S: Final = 1 / 400e6
"""A byte, to another worker and through the agent; within a worker a fifteenth of it (FaaSFlow's NET_MEM_RATIO)."""
NEAR: Final = 15
FOOTPRINT_BYTES: Final = 24 << 20
"""Of a function whose memory nobody knows."""


class Measure(msgspec.Struct, frozen=True):
    """What is known of a step."""

    run_s: float
    result_bytes: float = 0.0
    calls: float = 1.0
    """In one run of the workflow: the items of a `foreach`."""
    memory_bytes: int = FOOTPRINT_BYTES


NOTHING: Final = Measure(0.0)
ARGS: Final = -1
"""Where the arguments come from, among the numbers of steps."""
OUTPUT: Final = -2
"""Where the output goes to."""
Line = tuple[int, int]


class Groups:
    """Which steps share a worker: of each its group, and of each group its steps in ascending order."""

    __slots__ = ("members", "of", "places", "shape")

    def __init__(self, shape: Shape) -> None:
        """Each step begins in a group of its own."""
        self.shape = shape
        self.of = list(range(1, len(shape.names) + 1))
        self.members: dict[int, list[int]] = {HERE: []} | {n + 1: [n] for n in range(len(shape.names))}
        self.places = list(self.of)
        """Of each step, where it runs: `HERE`, or a number for each part."""

    def at(self, end: int) -> int:
        """The group of a step, or of an end of the whole."""
        return HERE if end < 0 else self.of[end]

    def merged(self, pairs: Sequence[tuple[int, int]]) -> Groups:
        """Others, with one group made of each of these pairs, by the lowest of their numbers."""
        into: dict[int, int] = {}

        def root(group: int) -> int:
            while group in into:
                group = into[group]
            return group

        for pair in pairs:
            kept, gone = sorted(map(root, pair))
            if kept != gone:
                into[gone] = kept
        other = object.__new__(Groups)
        other.shape, other.of, other.places = self.shape, self.of.copy(), self.places.copy()
        other.members = self.members.copy()
        grown: dict[int, list[int]] = {}
        for gone in into:
            kept = root(gone)
            grown.setdefault(kept, list(self.members[kept])).extend(other.members.pop(gone))
        for kept, members in grown.items():
            members.sort()
            other.members[kept] = members
            for step in members:
                other.of[step] = kept
                other.places[step] = HERE
            for part in self.shape.parts(members) if kept != HERE else []:
                for step in part:
                    other.places[step] = part[0] + 1
        return other

    def is_alone(self, step: int) -> bool:
        """Whether a step has a group of its own, elsewhere."""
        return self.of[step] != HERE and len(self.members[self.of[step]]) == 1


class Schedule(msgspec.Struct):
    """What an estimate comes to."""

    takes_s: float
    path: list[Line]
    """The lines of the longest way, or of what held it up."""
    begins: list[float]
    ends: list[float]


class Estimate:
    """Of one graph with its measures.

    Args:
        parallelism: calls elsewhere at once.
    """

    def __init__(self, graph: Graph, measures: Mapping[str, Measure], args_bytes: float, parallelism: int) -> None:
        self.shape = Shape(graph)
        nodes = list(graph.nodes.values())
        known = [measures.get(node.name, NOTHING) for node in nodes]
        self.is_switch = [node.step.is_switch for node in nodes]
        self.is_foreach = [node.foreach is not None for node in nodes]
        self.runs = [
            0.0 if node.step.is_switch else (measure.calls if node.foreach is not None else 1.0)
            * (measure.run_s + STEP_S)
            for node, measure in zip(nodes, known, strict=True)
        ]  # fmt: skip
        self._spread = [
            max(
                -(-measure.calls // min(node.step.concurrency or parallelism, parallelism)) * (measure.run_s + CALL_S),
                measure.calls * AGENT_S,
            )
            for node, measure in zip(nodes, known, strict=True)
        ]
        sizes = [measure.result_bytes * measure.calls for measure in known]
        self._size_s = [size * BYTE_S for size in (*sizes, args_bytes)]
        """Of each step, and at the end, which `ARGS` is, of the arguments."""
        cases = cases_of(graph)
        self.cases: list[Cases] = [cases[node.name] for node in nodes]
        self._branches = any(self.cases)
        self._finals = [step for step, after in enumerate(self.shape.after) if not after]
        self._heads = [0.0] * len(nodes)
        self._tails = [0.0] * len(nodes)
        self._bound()

    def run_s(self, step: int, groups: Groups) -> float:
        """How long a step takes its worker; a `foreach` in a group of its own is spread."""
        return self._spread[step] if self.is_foreach[step] and groups.is_alone(step) else self.runs[step]

    def line_s(self, line: Line, groups: Groups) -> float:
        """What it takes from the end of one step to the begin of another."""
        above, below = line
        one = HERE if above < 0 else groups.places[above]
        other = HERE if below < 0 else groups.places[below]
        size_s = self._size_s[above]
        return size_s / NEAR if one == other else ((one != HERE) + (other != HERE)) * (CALL_S / 2 + size_s)

    def saves_s(self, line: Line) -> float:
        """What a line takes less within a worker than from one that is elsewhere to another, or to an end."""
        size_s = self._size_s[line[0]]
        return (1 + (line[0] >= 0 and line[1] >= 0)) * (CALL_S / 2 + size_s) - size_s / NEAR

    def ready(self, step: int, place: int, places: Sequence[int], ends: Sequence[float]) -> tuple[float, int]:
        """When a step at a place has all that it needs from those before it at theirs, and which of them is last."""
        sizes, before = self._size_s, self.shape.before[step]
        if not before:
            return (sizes[ARGS] / NEAR if place == HERE else CALL_S / 2 + sizes[ARGS]), ARGS
        found, last = -1.0, ARGS
        for one in before:
            other = places[one]
            if other == place:
                end = ends[one] + sizes[one] / NEAR
            else:
                end = ends[one] + ((other != HERE) + (place != HERE)) * (CALL_S / 2 + sizes[one])
            if end > found:
                found, last = end, one
        return found, last

    def urgent(self) -> list[int]:
        """The steps, each before those that wait for it, and of others the one with the longest way before it first."""
        return sorted(range(len(self.runs)), key=lambda step: -(self._tails[step] + self._least[step]))

    def schedule(self, groups: Groups) -> Schedule:
        """When each step begins and ends; each group runs one step at a time."""
        of, places = groups.of, groups.places
        begins = [0.0] * len(of)
        ends = [0.0] * len(of)
        because = [ARGS] * len(of)
        last: dict[int, int] = {}
        sent: set[int] = set()
        wire = 0.0
        for step, place in enumerate(places):
            begin, above = self.ready(step, place, places, ends)
            if not self.is_switch[step]:
                if place != HERE and place not in sent:
                    sent.add(place)
                    begin = max(begin, wire)
                    wire = begin + AGENT_S
                # It waits for its worker.
                held = self._last(step, groups, ends) if self._branches else last.get(of[step], ARGS)
                if held != ARGS and ends[held] > begin:
                    begin, above = ends[held], held
                last[of[step]] = step
            begins[step], ends[step], because[step] = begin, begin + self.run_s(step, groups), above
        finals = [(ends[one] + self.line_s((one, OUTPUT), groups), -one) for one in self._finals]
        takes_s, step = max(finals)[0], -max(finals)[1]
        path = [(step, OUTPUT)]
        while step != ARGS:
            path.append((because[step], step))
            step = because[step]
        return Schedule(takes_s, path[::-1], begins, ends)

    def _last(self, step: int, groups: Groups, ends: Sequence[float]) -> int:
        """Of the steps in a step's worker that run if it does, the last to end before it."""
        cases = self.cases[step]
        before = [
            one
            for one in groups.members[groups.of[step]]
            if one < step and not self.is_switch[one] and not exclude(cases, self.cases[one])
        ]
        return max(before, key=ends.__getitem__, default=ARGS)

    def least_s(self, members: Sequence[int]) -> float:
        """What the whole takes at least if these steps share a worker, whatever the others do."""
        work = sum(self.runs[step] for step in members if not self.cases[step])
        return min(self._heads[step] for step in members) + work + min(self._tails[step] for step in members)

    def _bound(self) -> None:
        """The time before and after each step that no grouping saves."""
        self._least = [
            min(run, spread) if is_foreach else run
            for run, spread, is_foreach in zip(self.runs, self._spread, self.is_foreach, strict=True)
        ]
        for step, before in enumerate(self.shape.before):
            self._heads[step] = max((self._heads[one] + self._least[one] for one in before), default=0.0)
        for step in reversed(range(len(self._least))):
            self._tails[step] = max(
                (self._tails[one] + self._least[one] for one in self.shape.after[step]), default=0.0
            )
