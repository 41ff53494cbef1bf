"""Counts, rates and latencies of each function since the agent started."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, get_args

from agent.core.invocation import InvocationState
from agent.feed import FiguresView
from agent.seats import Job
from agent.services.api import FunctionStats
from mee6.lane.messages import Start, Step

WINDOW: Final = 1024
"""Invocations that the percentiles are taken over."""
BATCH: Final = 64
"""Invocations that are counted together; what a batch takes is below a tenth of a millisecond."""
RATE_S: Final = 5
"""Whole seconds that a rate is taken over."""
_SECOND: Final = 1_000_000_000
_LEAST, _MOST = 15, 37
"""Powers of two, in nanoseconds, that bound the buckets of times: 33 us to 137 s. No search finds one."""

Name = tuple[str, str]
"""(user, function)."""


@dataclass(slots=True)
class Rate:
    """How many a second, over the last whole seconds: a count for each."""

    counts: list[int] = field(default_factory=lambda: [0] * (RATE_S + 1))
    second: int = 0

    def add(self, now: int) -> None:
        """Counts one."""
        second = now // _SECOND
        if second != self.second:
            self._turn(second)
        self.counts[second % (RATE_S + 1)] += 1

    def at(self, now: int) -> float:
        """How many a second; the second that goes on is left out."""
        self._turn(now // _SECOND)
        return (sum(self.counts) - self.counts[self.second % (RATE_S + 1)]) / RATE_S

    def _turn(self, second: int) -> None:
        for passed in range(max(self.second + 1, second - RATE_S), second + 1):
            self.counts[passed % (RATE_S + 1)] = 0
        self.second = second


@dataclass(slots=True)
class Counts:
    """What is kept of a function."""

    invocations: int = 0
    failures: int = 0
    starts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(get_args(Start), 0))
    took_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    rate: Rate = field(default_factory=Rate)
    total_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (_MOST - _LEAST + 2))
    """How many took at most what `bounds_s` says, and more than the one before; the last: longer."""

    def add(self, now: int, took_ns: int, start: str, *, failed: bool) -> None:
        """Counts one that has ended; `start` as in `starts`, or empty where it never got a runtime."""
        self.invocations += 1
        self.took_ns.append(took_ns)
        self.total_ns += took_ns
        self.buckets[min(max((took_ns - 1).bit_length() - _LEAST, 0), _MOST - _LEAST + 1)] += 1
        self.rate.add(now)
        if start in self.starts:
            self.starts[start] += 1
        if failed:
            self.failures += 1

    def percentiles(self) -> tuple[float, float]:
        """p50 and p99 in milliseconds."""
        took = sorted(self.took_ns)
        return _percentile(took, 0.50), _percentile(took, 0.99)


class Stats:
    """All functions of all users."""

    def __init__(self) -> None:
        self._total = Counts()
        self._functions: defaultdict[Name, Counts] = defaultdict(Counts)
        self._uncounted: list[Job] = []
        self.handovers = 0
        self._shown: dict[Name, FiguresView] = {}

    @property
    def functions(self) -> defaultdict[Name, Counts]:
        """Of every one that has been invoked."""
        self.count()
        return self._functions

    @property
    def invocations(self) -> int:
        """Of workflows' first functions."""
        return self._all.invocations

    @property
    def failures(self) -> int:
        """Of those."""
        return self._all.failures

    @property
    def _all(self) -> Counts:
        self.count()
        return self._total

    def add(self, job: Job) -> None:
        """Counts an invocation that has ended, together with others: at once nobody needs it."""
        self._uncounted.append(job)
        if len(self._uncounted) >= BATCH:
            self.count()

    def count(self) -> None:
        """Counts those that have not been yet; whoever reads has it done first."""
        if not self._uncounted:
            return
        uncounted, self._uncounted = self._uncounted, []
        for job in uncounted:
            root, ended = job.plan.root, job.ended
            now, took, failed = job.ended_ns, job.ended_ns - job.accepted_ns, ended is not None and bool(ended.fault)
            start = (job.record.start if job.record is not None else None) or ""
            self._functions[job.user, root.name].add(now, took, start, failed=failed)
            if not job.parent:
                self._total.add(now, took, start, failed=failed)

    def add_step(self, user: str, step: Step) -> None:
        """Counts a step that has ended inside its caller's worker."""
        took_ns = step.spans[-1].end_ns - step.spans[0].start_ns if step.spans else 0
        failed = step.state != InvocationState.SUCCEEDED
        self.functions[user, step.function].add(time.monotonic_ns(), max(took_ns, 0), step.start, failed=failed)

    def of(self, user: str, name: str) -> FunctionStats:
        """One function's."""
        counts = self.functions.get((user, name), Counts())
        p50_ms, p99_ms = counts.percentiles()
        return FunctionStats(
            invocations=counts.invocations,
            failures=counts.failures,
            cold=counts.starts["cold"],
            prewarmed=counts.starts["prewarmed"],
            ahead=counts.starts["ahead"],
            warm=counts.starts["warm"],
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        )

    def overall(self, now: int) -> tuple[float, float, float]:
        """Of workflows' first functions: how many ended a second, p50 and p99 in milliseconds."""
        return (self._all.rate.at(now), *self._all.percentiles())

    def figures(self, jobs: Iterable[Job], now: int) -> tuple[FiguresView, ...]:
        """How every function does that has been invoked or is being invoked."""
        live = _live(jobs)
        names = {**dict.fromkeys(self.functions), **dict.fromkeys(live)}
        return tuple(self._figures(name, live, now) for name in names)

    def changed_figures(self, jobs: Iterable[Job], now: int) -> Iterator[FiguresView]:
        """Those that are not what was given here before; what nobody calls costs a comparison."""
        live = _live(jobs)
        for name in {**dict.fromkeys(self.functions), **dict.fromkeys(live)}:
            counts, shown = self.functions[name], self._shown.get(name)
            at_rest = shown is not None and not shown.rate and not (shown.queued or shown.running) and name not in live
            if at_rest and shown is not None and shown.invocations == counts.invocations:
                continue
            view = self._figures(name, live, now)
            if view != shown:
                self._shown[name] = view
                yield view

    def _figures(self, name: Name, live: Mapping[Name, list[int]], now: int) -> FiguresView:
        counts = self.functions[name]
        queued, running = live.get(name, (0, 0))
        p50_ms, p99_ms = counts.percentiles()
        return FiguresView(
            *name,
            rate=counts.rate.at(now),
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            invocations=counts.invocations,
            failures=counts.failures,
            cold=counts.starts["cold"],
            prewarmed=counts.starts["prewarmed"],
            ahead=counts.starts["ahead"],
            warm=counts.starts["warm"],
            queued=queued,
            running=running,
        )


def bounds_s() -> list[str]:
    """Upper bounds of `Counts.buckets` in seconds, as Prometheus writes them."""
    return [*(repr(2**power / 1e9) for power in range(_LEAST, _MOST + 1)), "+Inf"]


def _live(jobs: Iterable[Job]) -> dict[Name, list[int]]:
    """How many of each function wait for a worker, and how many have one."""
    live: dict[Name, list[int]] = {}
    for job in jobs:
        waits = job.record is None or job.record.state is InvocationState.QUEUED
        live.setdefault((job.user, job.name), [0, 0])[0 if waits else 1] += 1
    return live


def _percentile(ordered_ns: list[int], share: float) -> float:
    return ordered_ns[min(int(share * len(ordered_ns)), len(ordered_ns) - 1)] / 1e6 if ordered_ns else 0.0
