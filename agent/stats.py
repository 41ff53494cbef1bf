"""Counts and latencies of each function since the agent started."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Final

from agent.seats import Answer, Job
from agent.services.api import FunctionStats

WINDOW: Final = 1024
"""Invocations that the percentiles are taken over."""


@dataclass(slots=True)
class _Counts:
    invocations: int = 0
    failures: int = 0
    starts: dict[str, int] = field(default_factory=lambda: {"cold": 0, "prewarmed": 0, "warm": 0})
    took_ns: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))


class Stats:
    """All functions of all users."""

    def __init__(self) -> None:
        self.invocations = 0
        """Of workflows' first functions."""
        self.failures = 0
        self._functions: defaultdict[tuple[str, str], _Counts] = defaultdict(_Counts)

    def add(self, job: Job, answer: Answer) -> None:
        """Counts an invocation that has ended."""
        counts = self._functions[job.user, job.name]
        counts.invocations += 1
        counts.took_ns.append(time.monotonic_ns() - job.accepted_ns)
        if job.record is not None and job.record.start is not None:
            counts.starts[job.record.start] += 1
        if answer.fault is not None:
            counts.failures += 1
        if not job.parent:
            self.invocations += 1
            self.failures += answer.fault is not None

    def of(self, user: str, name: str) -> FunctionStats:
        """One function's."""
        counts = self._functions.get((user, name), _Counts())
        took = sorted(counts.took_ns)
        return FunctionStats(
            invocations=counts.invocations,
            failures=counts.failures,
            cold=counts.starts["cold"],
            prewarmed=counts.starts["prewarmed"],
            warm=counts.starts["warm"],
            p50_ms=_percentile(took, 0.50),
            p99_ms=_percentile(took, 0.99),
        )


def _percentile(ordered_ns: list[int], share: float) -> float:
    return ordered_ns[min(int(share * len(ordered_ns)), len(ordered_ns) - 1)] / 1e6 if ordered_ns else 0.0
