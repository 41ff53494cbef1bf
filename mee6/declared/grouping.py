"""Which steps share a worker: a greedy search along the critical path, from measured run times and sizes.

FaaSFlow's algorithm (ASPLOS '22, `src/grouping/grouping.py`), for workers that run one step at a time: each step
begins in a group of its own. The lines of the longest way through the graph whose two ends may share a worker merge
their groups, the heaviest first, and the longest way is looked for anew, until no line of it can be merged. Groups of
which more would run at once than may are then made fewer, and the other lines have their turn, for what saves no time
may still save a worker and its messages. A merge may not make the whole longer: two steps of one group cannot run side
by side. The worker that holds the workflow is a group from the beginning, of nothing but where the arguments come from
and the output goes to.

Where many lines may be merged they are tried together, and in halves where that fails, so that some hundred steps take
some hundredths of a second. The same measures give the same groups.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from mee6.declared.branches import exclude
from mee6.declared.estimate import ARGS, OUTPUT, Estimate, Groups, Line, Measure
from mee6.declared.graph import Graph
from mee6.declared.parts import HERE
from mee6.declared.values import ARGS_NAME

GROUP_FUNCTIONS: Final = 8
"""In one worker; its proxy keeps as many loaded (`proxy.crew`)."""
_ESTIMATES: Final = 30_000
"""Times the number of steps: what a search may make, which takes 60 ms at most."""
OUTPUT_NAME: Final = "output"


class Merge(msgspec.Struct, frozen=True):
    """A line whose two ends came to share a worker."""

    above: str
    """A step, or `args`."""
    below: str
    """A step, or `output`."""
    saves_s: float
    """What it takes less than between two other workers."""


class Apart(msgspec.Struct, frozen=True):
    """A line whose two ends do not share one."""

    above: str
    below: str
    why: str


class Grouping(msgspec.Struct, frozen=True):
    """Which steps share a worker, and why."""

    groups: dict[str, int]
    """`HERE`, or a number from 1 up; a `foreach` that spreads over workers is in none."""
    takes_s: float
    """The longest way, as estimated."""
    spread_s: float
    """The same with each step in a worker of its own."""
    merges: list[Merge] = []
    apart: list[Apart] = []


class Known(msgspec.Struct, frozen=True):
    """What an agent knows of a workflow: how often it ran, how long its steps take, and what groups that makes."""

    runs: int
    measures: dict[str, Measure]
    grouping: Grouping | None = None
    """None while too little is known."""


def grouping(
    graph: Graph, measures: Mapping[str, Measure], memory_bytes: int, parallelism: int, args_bytes: float = 0.0
) -> Grouping:
    """The groups of a graph.

    Args:
        measures: of each step that calls; one that is missing takes no time.
        memory_bytes: of a worker; 0 = unlimited.
        parallelism: calls elsewhere at once.
    """
    search = _Search(graph, measures, memory_bytes, max(parallelism, 1), args_bytes)
    search.run()
    return search.found()


class _Search:
    def __init__(
        self, graph: Graph, measures: Mapping[str, Measure], memory_bytes: int, parallelism: int, args_bytes: float
    ) -> None:
        self._estimate = Estimate(graph, measures, args_bytes, parallelism)
        self._names = self._estimate.shape.names
        self._functions = [node.step.function for node in graph.nodes.values()]
        self._needs = {
            function: measures[name].memory_bytes
            for name, function in zip(self._names, self._functions, strict=True)
            if function and name in measures
        }
        self._memory_bytes = memory_bytes
        self._parallelism = parallelism
        self._groups = Groups(self._estimate.shape)
        self._now = self._estimate.schedule(self._groups)
        self._spread_s = self._now.takes_s
        self._left = _ESTIMATES // len(self._names)
        """Trials that may still be made; what else is estimated is little."""
        self._apart: dict[Line, str] = {}
        self._tried: set[tuple[int, int, int, int]] = set()
        """Pairs of groups, with the digits of their sizes, that may not be merged: tried again when one has doubled."""

    def run(self) -> None:
        """Merges until nothing can be."""
        while self._merge(self._now.path):
            pass
        self._make_fewer()
        self._deal()
        lines = [(above, below) for below, before in enumerate(self._estimate.shape.before) for above in before]
        while self._merge(lines):
            pass
        self._make_fewer()

    def found(self) -> Grouping:
        """The groups, numbered in the order of the graph."""
        groups, numbers = self._groups, {HERE: HERE}
        found: dict[str, int] = {}
        for step, name in enumerate(self._names):
            number = numbers.setdefault(groups.of[step], len(numbers))
            if not (self._estimate.is_foreach[step] and groups.is_alone(step)):
                found[name] = number
        shared, parted = self._lines()
        merges = [Merge(*self._named(line), self._estimate.saves_s(line)) for line in shared]
        apart = [Apart(*self._named(line), self._apart[line]) for line in parted if line in self._apart]
        return Grouping(found, self._now.takes_s, self._spread_s, merges, apart)

    def _lines(self) -> tuple[list[Line], list[Line]]:
        """All lines, the heaviest first: those whose ends share a worker, and those whose ends do not."""
        before, after = self._estimate.shape.before, self._estimate.shape.after
        lines: list[Line] = [(above, below) for below, all_of in enumerate(before) for above in all_of or [ARGS]]
        lines += [(step, OUTPUT) for step, followers in enumerate(after) if not followers]
        lines.sort(key=lambda line: -self._estimate.saves_s(line))
        at = self._groups.at
        return [one for one in lines if at(one[0]) == at(one[1])], [one for one in lines if at(one[0]) != at(one[1])]

    def _named(self, line: Line) -> tuple[str, str]:
        above, below = line
        return ARGS_NAME if above == ARGS else self._names[above], OUTPUT_NAME if below == OUTPUT else self._names[
            below
        ]

    # Merging by lines -----------------------------------------------------------------------------------

    def _merge(self, among: Sequence[Line]) -> bool:
        """Merges the groups of those of these lines that may be; False where none may."""
        before = self._groups
        by_weight = sorted(among, key=lambda line: -self._estimate.line_s(line, self._groups))
        self._try([line for line in by_weight if self._is_open(line)])
        return self._groups is not before

    def _is_open(self, line: Line) -> bool:
        """Whether a line may be merged, for all that can be told without an estimate of the whole."""
        one, other = self._groups.at(line[0]), self._groups.at(line[1])
        pair = self._pair(one, other)
        if one == other or pair in self._tried:
            return False
        members = self._groups.members[one] + self._groups.members[other]
        why = self._refused(members)
        if not why and (over_s := self._estimate.least_s(members) - self._now.takes_s) > _SAME_S:
            why = _longer(over_s)
        if why:
            self._apart.setdefault(line, why)
            self._tried.add(pair)
        return not why

    def _try(self, lines: Sequence[Line]) -> None:
        """Merges these lines where the whole takes no longer for it; else each half of them, the heavier first."""
        lines = [line for line in lines if self._groups.at(line[0]) != self._groups.at(line[1])]
        if not lines or not self._left:
            return
        merged = self._groups.merged([(self._groups.at(above), self._groups.at(below)) for above, below in lines])
        grown = {merged.at(end) for line in lines for end in line}
        why = next((why for group in sorted(grown) if (why := self._refused(merged.members[group]))), "")
        if not why:
            self._left -= 1
            found = self._estimate.schedule(merged)
            if found.takes_s <= self._now.takes_s + _SAME_S:
                self._groups, self._now = merged, found
                return
            why = _longer(found.takes_s - self._now.takes_s)
        if len(lines) == 1:
            self._apart.setdefault(lines[0], why)
            self._tried.add(self._pair(self._groups.at(lines[0][0]), self._groups.at(lines[0][1])))
            return
        half = len(lines) // 2
        self._try(lines[:half])
        self._try([line for line in lines[half:] if self._is_open(line)])

    def _pair(self, one: int, other: int) -> tuple[int, int, int, int]:
        kept, gone = sorted((one, other))
        members = self._groups.members
        return kept, gone, len(members[kept]).bit_length(), len(members[gone]).bit_length()

    def _refused(self, members: Sequence[int]) -> str:
        """Why these may not share a worker, whatever it saved."""
        functions = {self._functions[step] for step in members} - {""}
        if len(functions) > GROUP_FUNCTIONS:
            return f"{len(functions)} functions in one worker are more than the {GROUP_FUNCTIONS} it keeps loaded"
        needs = sum(self._needs.get(function, 0) for function in functions)
        if 0 < self._memory_bytes < needs:
            return f"their functions need {needs >> 20} MiB together, and a worker has {self._memory_bytes >> 20}"
        return ""

    # Merging for want of places -------------------------------------------------------------------------

    def _make_fewer(self) -> None:
        """Merges groups of which more would run at once than may, until no more do."""
        while (merged := self._fewer()) is not None:
            self._groups, self._now = merged, self._estimate.schedule(merged)

    def _fewer(self) -> Groups | None:
        """One pass over time: what finds no place joins whoever is free first; None where all have theirs."""
        running: dict[int, tuple[float, list[int]]] = {}
        """Group -> when it is free, and its steps that run."""
        pairs: list[tuple[int, int]] = []
        joined: dict[int, int] = {}
        members = dict(self._groups.members)
        for begin, end, steps in sorted(self._calls()):
            group, until = self._groups.of[steps[0]], end
            while group in joined:
                group = joined[group]
            running = {one: known for one, known in running.items() if known[0] > begin}
            at_once = self._at_once([steps, *(busy for _until, busy in running.values())])
            if group not in running and at_once > self._parallelism:
                free = sorted(running, key=lambda one: (running[one][0], one))
                both = next((one for one in free if not self._refused(members[group] + members[one])), None)
                if both is not None:
                    pairs.append((both, group))
                    joined[group] = both
                    members[both] = members[both] + members.pop(group)
                    group, until = both, running[both][0] + end - begin
            before, busy = running.get(group, (0.0, []))
            running[group] = (max(before, until), busy + steps)
        return self._groups.merged(pairs) if pairs else None

    def _deal(self) -> None:
        """Deals the steps out to as many workers as may run at once, where that is quicker than what was merged.

        Each goes to where it ends first, those with the longest way before them first.
        """
        estimate = self._estimate
        dealt: list[list[int]] = [[] for _ in range(self._parallelism + 1)]
        free = [0.0] * len(dealt)
        at, ends = [HERE] * len(self._names), [0.0] * len(self._names)
        for step in estimate.urgent():
            best = math.inf
            for worker in range(len(dealt)):
                begin = max(free[worker], estimate.ready(step, worker, at, ends)[0])
                if begin < best and not self._refused([*dealt[worker], step]):
                    best, at[step] = begin, worker
            if best == math.inf:
                return
            dealt[at[step]].append(step)
            ends[step] = best + estimate.runs[step]
            free[at[step]] = max(free[at[step]], ends[step])
        groups = Groups(estimate.shape).merged(
            [(HERE if n == 0 else steps[0] + 1, step + 1) for n, steps in enumerate(dealt) for step in steps]
        )
        found = estimate.schedule(groups)
        if found.takes_s < self._now.takes_s:
            self._groups, self._now = groups, found

    def _calls(self) -> list[tuple[float, float, list[int]]]:
        """What is sent elsewhere: when each begins and ends, and its steps."""
        calls: dict[int, list[int]] = {}
        for step, place in enumerate(self._groups.places):
            if place != HERE and not self._estimate.is_switch[step]:
                calls.setdefault(place, []).append(step)
        begins, ends = self._now.begins, self._now.ends
        return [(min(begins[s] for s in steps), max(ends[s] for s in steps), steps) for steps in calls.values()]

    def _at_once(self, running: Iterable[Sequence[int]]) -> int:
        """How many of these run at once at most: those of which only one runs have one place together."""
        cases = self._estimate.cases
        places: list[list[int]] = []
        for steps in running:
            for place in places:
                if all(exclude(cases[one], cases[other]) for one in steps for other in place):
                    place.extend(steps)
                    break
            else:
                places.append(list(steps))
        return len(places)


_SAME_S: Final = 1e-12


def _longer(seconds: float) -> str:
    longer_ms = seconds * 1e3
    return f"it would take {longer_ms:.{2 if longer_ms < 9.995 else 1}f}ms longer: they could not run side by side"
