"""The workers of one kind that no function has been loaded into: how many to keep, when to make more.

Rules, without time or I/O of their own: keep `target` ready, make one behind each lease, and after failures
in a row wait longer each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from agent.core.circumstances import Hindrance
from agent.core.worker import Worker
from agent.drivers.base import PoolKey

FIRST_RETRY_NS: Final = 200_000_000
LAST_RETRY_NS: Final = 10_000_000_000
GIVE_UP_AFTER: Final = 3
"""Starts that failed in a row before waiting invocations are told."""


@dataclass(slots=True)
class Pool:
    """One key's workers that are starting or ready."""

    key: PoolKey
    target: int
    ready: list[Worker] = field(default_factory=list)
    """Connected, without a function, not leased; the last is the most recently used."""
    starting: int = 0
    failures: int = 0
    """Starts that failed in a row."""
    retry_at: int = 0
    last_failure: str = ""
    hindered: Hindrance | None = None
    """Why fewer were started than were missing when that was last asked for."""
    start: float = 0.0
    """What it takes until one has connected, in nanoseconds, a moving average; 0 while that is not known."""
    worker_bytes: int = 0
    """What one without a function uses, as far as it has been measured."""

    @property
    def surplus(self) -> int:
        """How many more are ready than it is asked to keep."""
        return len(self.ready) - self.target

    def missing(self, needed: int, now: int) -> int:
        """How many workers to start so that `needed` are ready or on their way; none while it waits after a failure."""
        return 0 if now < self.retry_at else max(0, needed - len(self.ready) - self.starting)

    def failed(self, reason: str, now: int) -> bool:
        """Takes note of a failed start; True when those waiting should be told."""
        self.failures += 1
        self.last_failure = reason
        self.retry_at = now + min(FIRST_RETRY_NS << (self.failures - 1), LAST_RETRY_NS)
        return self.failures >= GIVE_UP_AFTER

    def succeeded(self) -> None:
        """Takes note of a worker that connected."""
        self.failures = 0
        self.retry_at = 0
