"""Which worker an invocation gets: a pure choice among those that could serve it.

In this order: one that holds its plan (last used first: its caches are hot, and the others get to sleep),
one that holds nothing (awake ones first). Never one that holds another function: it is ended instead when
room is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.worker import Worker, WorkerState


def choose(holding: Sequence[Worker], ready: Sequence[Worker]) -> Worker | None:
    """The worker to lease; None when none will do.

    Args:
        holding: idle workers that hold the plan, the last one the most recently used.
        ready: idle workers without a function, the last one the most recently used.
    """
    for group in (holding, ready):
        if group:
            awake = group[-1]
            if awake.state in (WorkerState.WARM, WorkerState.PREWARMED):
                return awake
            return next(
                (worker for worker in reversed(group) if worker.state in (WorkerState.WARM, WorkerState.PREWARMED)),
                awake,
            )
    return None


def least_valuable(idle: Iterable[Worker]) -> Worker | None:
    """The idle worker with a function that has not been used for longest; None when there is none."""
    return min((worker for worker in idle if worker.digest), key=lambda worker: worker.idle_since, default=None)
