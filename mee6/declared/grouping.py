"""Which steps share a worker: a greedy search along the critical path, from measured run times and sizes.

FaaSFlow's algorithm (ASPLOS '22, `src/grouping/grouping.py`), for workers that run one step at a time: each step
begins in a group of its own. The heaviest line of the longest way through the graph whose two ends may share a worker
merges their groups, and the longest way is looked for anew, until no line of it can be merged; then the other lines
have their turn, for what saves no time may still save a worker and its messages. A merge may not make the whole longer:
two steps of one group cannot run side by side. The worker that holds the workflow is a group from the beginning, of
nothing but where the arguments come from and the output goes to.

The same measures give the same groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from mee6.declared.graph import Graph
from mee6.declared.parts import HERE, parts_of
from mee6.declared.values import ARGS_NAME

CALL_S: Final = 600e-6
"""A call of another worker, with its answer. Source: `tests/benchmarks/flows.py`, 2 cores."""
STEP_S: Final = 60e-6
"""The same within a worker. Source: as above."""
BYTE_S: Final = 1 / 400e6
"""A byte, to another worker and through the agent; within a worker a fifteenth of it (FaaSFlow's NET_MEM_RATIO)."""
NEAR: Final = 15
MOST_STEPS: Final = 64
"""Of a graph that is grouped: the search takes 0.1 s for so many, and 10 s for 200."""
GROUP_FUNCTIONS: Final = 8
"""In one worker; its proxy keeps as many loaded (`proxy.crew`)."""
FOOTPRINT_BYTES: Final = 24 << 20
"""Of a function whose memory nobody knows."""


class Measure(msgspec.Struct, frozen=True):
    """What is known of a step."""

    run_s: float
    result_bytes: float = 0.0
    calls: float = 1.0
    """In one run of the workflow: the items of a `foreach`."""
    memory_bytes: int = FOOTPRINT_BYTES


class Merge(msgspec.Struct, frozen=True):
    """A line whose two ends came to share a worker."""

    above: str
    """A step, or `args`."""
    below: str
    """A step, or `output`."""
    saves_s: float


class Apart(msgspec.Struct, frozen=True):
    """A line of the longest way whose two ends do not share one."""

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


OUTPUT: Final = "output"
_ENDS: Final = (ARGS_NAME, OUTPUT)


def grouping(
    graph: Graph, measures: Mapping[str, Measure], memory_bytes: int, parallelism: int, args_bytes: float = 0.0
) -> Grouping:
    """The groups of a graph.

    Args:
        measures: of each step that calls; one that is missing takes no time.
        memory_bytes: of a worker; 0 = unlimited.
        parallelism: calls elsewhere at once.
    """
    search = _Search(graph, measures, memory_bytes, parallelism, args_bytes)
    search.run()
    return search.found()


class _Search:
    def __init__(
        self, graph: Graph, measures: Mapping[str, Measure], memory_bytes: int, parallelism: int, args_bytes: float
    ) -> None:
        self._graph = graph
        self._measures = measures
        self._memory_bytes = memory_bytes
        self._parallelism = max(parallelism, 1)
        self._args_bytes = args_bytes
        self._group = {name: n for n, name in enumerate(graph.nodes, 1)} | dict.fromkeys(_ENDS, HERE)
        self._merges: list[Merge] = []
        self._apart: dict[tuple[str, str], str] = {}
        self._tried: set[tuple[int, int, int, int]] = set()
        """Pairs of groups, with their sizes, that may not be merged: not tried again until one of them grows."""
        self._spread_s = self._schedule(self._group)[0]

    def run(self) -> None:
        """Merges until nothing on the longest way can be."""
        while self._merge_one(self._schedule(self._group)[1]):
            pass
        lines = [(one, name) for name, node in self._graph.nodes.items() for one in sorted(node.before)]
        while self._merge_one(lines):
            pass
        while (over := self._over()) is not None:
            one, other = over
            for name, group in self._group.items():
                if group == other:
                    self._group[name] = one
        self._number()

    def found(self) -> Grouping:
        takes_s, _path = self._schedule(self._group)
        alone = [name for name, node in self._graph.nodes.items() if node.foreach is not None and self._is_alone(name)]
        groups = {name: self._group[name] for name in self._graph.nodes if name not in alone}
        apart = [Apart(*line, why) for line, why in self._apart.items() if self._group[line[0]] != self._group[line[1]]]
        return Grouping(groups, takes_s, self._spread_s, self._merges, apart)

    def _number(self) -> None:
        """Numbers the groups in the order of the graph."""
        numbers = {HERE: HERE}
        for name in self._graph.nodes:
            numbers.setdefault(self._group[name], len(numbers))
        self._group = {name: numbers[group] for name, group in self._group.items()}

    def _merge_one(self, among: list[tuple[str, str]]) -> bool:
        """Merges the groups of the heaviest of these lines that may be; False where none may."""
        takes_s, _path = self._schedule(self._group)
        places = self._places(self._group)
        lines = [(above, below) for above, below in among if self._group[above] != self._group[below]]
        for above, below in sorted(lines, key=lambda line: -self._line_s(line[0], line[1], places)):
            kept, gone = sorted((self._group[above], self._group[below]))
            sizes = list(self._group.values())
            pair = kept, gone, sizes.count(kept), sizes.count(gone)
            if pair in self._tried:
                continue
            merged = {name: kept if group == gone else group for name, group in self._group.items()}
            members = [name for name, group in merged.items() if group == kept and name not in _ENDS]
            why = self._refused(members)
            merged_s, _path = self._schedule(merged)
            if not why and merged_s > takes_s + 1e-12:
                why = f"it would take {(merged_s - takes_s) * 1e3:.2f} ms longer: they could not run side by side"
            if why:
                self._apart.setdefault((above, below), why)
                self._tried.add(pair)
                continue
            self._merges.append(Merge(above, below, takes_s - merged_s))
            self._group = merged
            return True
        return False

    def _refused(self, members: list[str]) -> str:
        """Why these may not share a worker, whatever it saved."""
        steps = [self._graph.nodes[name].step for name in members]
        functions = {step.function: self._measure(name).memory_bytes for name, step in zip(members, steps, strict=True)}
        functions.pop("", None)
        if len(functions) > GROUP_FUNCTIONS:
            return f"{len(functions)} functions in one worker are more than the {GROUP_FUNCTIONS} it keeps loaded"
        needs = sum(functions.values())
        if 0 < self._memory_bytes < needs:
            return f"their functions need {needs >> 20} MiB together, and a worker has {self._memory_bytes >> 20}"
        return ""

    def _over(self) -> tuple[int, int] | None:
        """Two groups to make one of, where more would run at once than may: the two with least to do."""
        spans: dict[int, tuple[float, float]] = {}
        busy: dict[int, float] = {}
        self._schedule(self._group, spans, busy)
        events = sorted([(start, 1) for start, _ in spans.values()] + [(end, -1) for _, end in spans.values()])
        peak = running = 0
        for _at, change in events:
            running += change
            peak = max(peak, running)
        if peak <= self._parallelism:
            return None
        lightest = sorted(spans, key=lambda group: (busy[group], group))
        for n, one in enumerate(lightest):
            for other in lightest[n + 1 :]:
                members = [name for name, group in self._group.items() if group in (one, other) and name not in _ENDS]
                if not self._refused(members):
                    return min(one, other), max(one, other)
        return None

    # The estimate ---------------------------------------------------------------------------------------

    def _measure(self, name: str) -> Measure:
        return self._measures.get(name, _NOTHING)

    def _is_alone(self, name: str) -> bool:
        return self._group[name] != HERE and list(self._group.values()).count(self._group[name]) == 1

    def _bytes(self, name: str) -> float:
        return self._args_bytes if name == ARGS_NAME else self._measure(name).result_bytes * self._measure(name).calls

    def _places(self, group: Mapping[str, int]) -> dict[str, int]:
        """Where each step runs: `HERE`, or with its part; parts know each other by way of `HERE`."""
        places = dict.fromkeys([*_ENDS, *self._graph.nodes], HERE)
        for number, part in enumerate(parts_of(self._graph, group), 1):
            places |= dict.fromkeys(part, number)
        return places

    def _line_s(self, above: str, below: str, places: Mapping[str, int]) -> float:
        """What it takes from the end of one step to the begin of another."""
        size_s = self._bytes(above) * BYTE_S
        if places[above] == places[below]:
            return size_s / NEAR
        hops = (places[above] != HERE) + (places[below] != HERE)
        return hops * (CALL_S / 2 + size_s)

    def _run_s(self, name: str, group: Mapping[str, int]) -> float:
        """How long a step takes its worker; a `foreach` in a group of its own is spread."""
        node, measure = self._graph.nodes[name], self._measure(name)
        if node.step.is_switch:
            return 0.0
        if node.foreach is None:
            return measure.run_s + STEP_S
        if group[name] != HERE and list(group.values()).count(group[name]) == 1:
            width = min(node.step.concurrency or self._parallelism, self._parallelism)
            return -(-measure.calls // width) * (measure.run_s + CALL_S)
        return measure.calls * (measure.run_s + STEP_S)

    def _schedule(
        self,
        group: Mapping[str, int],
        spans: dict[int, tuple[float, float]] | None = None,
        busy: dict[int, float] | None = None,
    ) -> tuple[float, list[tuple[str, str]]]:
        """How long all takes, and the lines of the longest way; each group runs one step at a time."""
        ends: dict[str, float] = {ARGS_NAME: 0.0}
        places = self._places(group)
        free: dict[int, float] = {}
        last: dict[int, str] = {}
        because: dict[str, str] = {}
        for name, node in self._graph.nodes.items():
            before = sorted(node.before) or [ARGS_NAME]
            begin, above = max((ends[one] + self._line_s(one, name, places), one) for one in before)
            at = group[name]
            if free.get(at, 0.0) > begin and not node.step.is_switch:
                begin, above = free[at], last[at]
            ends[name] = begin + self._run_s(name, group)
            because[name] = above
            if node.step.is_switch:
                continue
            free[at], last[at] = ends[name], name
            if at != HERE and spans is not None and busy is not None:
                spans[at] = (min(begin, spans.get(at, (begin, 0.0))[0]), ends[name])
                busy[at] = busy.get(at, 0.0) + ends[name] - begin
        final = [name for name in self._graph.nodes if not self._graph.after[name]]
        takes_s, name = max((ends[one] + self._line_s(one, OUTPUT, places), one) for one in final)
        path = [(name, OUTPUT)]
        while name != ARGS_NAME:
            path.append((because[name], name))
            name = because[name]
        return takes_s, path[::-1]


_NOTHING: Final = Measure(0.0)
