"""Which worker an invocation gets, and which one is ended where room is needed: pure choices.

In this order: one that holds its plan (last used first: its caches are hot, and the others get to sleep),
one that holds nothing (awake ones first). Never one that holds another function: it is ended instead when
room is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from agent.core.worker import AWAKE, Worker

MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MEBIBYTE: Final = 1 << 20


def choose(idle: Sequence[Worker]) -> Worker | None:
    """The worker to lease of several that would do: an awake one, used last; None when there is none.

    Args:
        idle: the last one is the most recently used.
    """
    if not idle:
        return None
    last = idle[-1]
    if last.state in AWAKE:  # nearly always: those that are used get no time to be paused
        return last
    return next((worker for worker in reversed(idle) if worker.state in AWAKE), last)


def value(idle: int, cost: int, memory_bytes: int) -> float:
    """What it is worth to keep an idle worker: what its end would cost, by how soon it may be used and what it holds.

    Recency stands for the chance of another call. Source: GreedyDual-Size-Frequency as FaasCache applies it
    (ASPLOS 2021), with the time since the last use in the place of its frequency and clock.

    Args:
        idle: nanoseconds since its last use.
        cost: nanoseconds to start and load another.
        memory_bytes: what it uses; 0 = not measured.
    """
    return max(cost, MILLISECOND) / (max(idle, 0) + SECOND) / max(memory_bytes, MEBIBYTE)


def least_valuable(idle: Iterable[Worker], now: int) -> Worker | None:
    """The idle worker with a function that is missed least; None when there is none."""
    return min(
        (worker for worker in idle if worker.digest),
        key=lambda worker: (value(now - worker.idle_since, worker.cold_cost, worker.memory_bytes), worker.idle_since),
        default=None,
    )
