"""What the remembered runs of a declared workflow tell of its steps: how long they ran, and how long they waited to.

Pure: traces in. Only warm runs count, and only those that succeeded: what a start costs is `mee6 explain`'s subject,
and in a plan it would hide the rest. Times are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mee6tui.steps import Times, times

if TYPE_CHECKING:
    from mee6.declared.graph import Graph
    from mee6.records import Step, Trace

FEWEST: Final = 20
"""Warm runs that a plan stands on at least: with fewer, the 95th percentile would be the slowest one."""
_COLD: Final = frozenset({"start", "load"})


class TooFew(ValueError):
    """There are too few runs to tell; `warm` are of use."""

    def __init__(self, warm: int) -> None:
        super().__init__(f"{warm} warm runs, where {FEWEST} are needed")
        self.warm = warm


@dataclass(frozen=True, slots=True)
class Item:
    """One call of a `foreach`."""

    lead: float
    """From when it could begin, its turn having come, until it ran."""
    run: float
    beside: float
    """How many of the others ran at the same time, on average."""


@dataclass(frozen=True, slots=True)
class StepProfile:
    """One step, over the runs; 0 in those that skipped it."""

    waits: tuple[float, ...]
    """From the end of the last step that it waits for until it ran: the way there, and its worker's other steps."""
    takes: tuple[float, ...]
    """From its begin to its end; of a `foreach`, of all items."""
    fans: tuple[tuple[Item, ...], ...] = ()
    """Of a `foreach`, each run's items in the order in which they began."""
    width: int = 0
    """Of a `foreach`, how many items ran at once at most; 0 where there never was more than one call."""
    workers: int = 1
    """In how many it ran at most, in one run."""

    @property
    def spreads(self) -> bool:
        """Whether its items run in several workers, so that there is a number of them to choose."""
        return self.width > 1 and self.workers > 1


@dataclass(frozen=True, slots=True)
class Profile:
    """A declared workflow."""

    steps: dict[str, StepProfile]
    """Those that call, in the order of the graph."""
    tails: tuple[float, ...]
    """From the end of its last step to its own."""
    totals: tuple[float, ...]
    """From acceptance to the end."""
    cold: int
    """Runs that were left out: something had to be started or loaded."""
    failed: int
    """Runs that were left out for how they ended."""
    moved: int
    """Runs that were left out because they had their steps in other workers than the latest."""


def profile(graph: Graph, traces: Iterable[Trace]) -> Profile:
    """What the traces of a workflow's runs, of one version and the latest last, tell of its steps.

    Raises:
        TooFew: of them are of use, in the workers that the latest ran in.
    """
    runs: list[_Run] = []
    cold = failed = 0
    for trace in traces:
        if trace.invocation.state != "succeeded" or trace.incomplete:
            failed += 1
        elif any(span.kind in _COLD for step in trace.steps for span in step.spans):
            cold += 1
        else:
            runs.append(_Run(graph, trace))
    kept = [run for run in runs if run.away == runs[-1].away]
    if len(kept) < FEWEST:
        raise TooFew(len(kept))
    steps = {name: _step(name, kept) for name, node in graph.nodes.items() if not node.step.is_switch}
    tails, totals = tuple(run.tail for run in kept), tuple(run.total for run in kept)
    return Profile(steps, tails, totals, cold, failed, len(runs) - len(kept))


class _Run:
    """One trace, by the steps of the graph."""

    def __init__(self, graph: Graph, trace: Trace) -> None:
        self.calls: dict[str, list[tuple[Step, Times]]] = {}
        for step in trace.steps:
            if step.name in graph.nodes and step.spans:
                self.calls.setdefault(step.name, []).append((step, times(step, 0)))
        for called in self.calls.values():
            called.sort(key=lambda call: call[1].run_ns)
        accepted = trace.invocation.accepted_ns
        self.total: float = trace.invocation.ended_ns - accepted
        self.ends: dict[str, int] = {}
        self.waits: dict[str, float] = {}
        for name, node in graph.nodes.items():
            ready = max((self.ends[one] for one in node.before), default=accepted)
            found = self.calls.get(name)
            self.ends[name] = max(at.end_ns for _step, at in found) if found else ready
            self.waits[name] = max(found[0][1].run_ns - ready, 0) if found else 0
        self.away = {
            name
            for name, called in self.calls.items()
            if any(step.worker != trace.invocation.worker for step, _at in called)
        }
        """Steps that ran in other workers than the one that holds the workflow."""
        self.tail: float = max(trace.invocation.ended_ns - max(self.ends.values()), 0)

    def takes(self, name: str) -> float:
        called = self.calls.get(name)
        return self.ends[name] - called[0][1].run_ns if called else 0.0

    def width(self, name: str) -> int:
        edges = [(at.run_ns, 1) for _step, at in self.calls.get(name, ())]
        edges += [(at.end_ns, -1) for _step, at in self.calls.get(name, ())]
        most = now = 0
        for _at, change in sorted(edges):
            now += change
            most = max(most, now)
        return most

    def workers(self, name: str) -> int:
        return len({step.worker for step, _at in self.calls.get(name, ())})

    def fan(self, name: str, width: int) -> tuple[Item, ...]:
        """Its items; the first `width` could begin at once, each other one when an earlier one had ended."""
        spans = [(at.run_ns, at.end_ns) for _step, at in self.calls.get(name, ())]
        ends = sorted(end for _begin, end in spans)
        items = []
        for place, (begin, end) in enumerate(spans):
            ready = spans[0][0] if place < width else ends[place - width]
            shared = sum(max(0, min(end, other[1]) - max(begin, other[0])) for other in spans) - (end - begin)
            items.append(Item(max(begin - ready, 0), end - begin, shared / (end - begin) if end > begin else 0.0))
        return tuple(items)


def _step(name: str, runs: Sequence[_Run]) -> StepProfile:
    waits = tuple(run.waits[name] for run in runs)
    takes = tuple(run.takes(name) for run in runs)
    if all(len(run.calls.get(name, ())) <= 1 for run in runs):
        return StepProfile(waits, takes)
    width = max(run.width(name) for run in runs)
    workers = max(run.workers(name) for run in runs)
    return StepProfile(waits, takes, tuple(run.fan(name, width) for run in runs), width, workers)
