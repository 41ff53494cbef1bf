"""Which worker an invocation gets: a pure choice among those that could serve it.

In this order: one that holds its plan (last used first: its caches are hot, and the others get to sleep),
one that holds nothing (awake ones first). Never one that holds another function: it is ended instead when
room is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agent.core.worker import AWAKE, Worker


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


def least_valuable(idle: Iterable[Worker]) -> Worker | None:
    """The idle worker with a function that has not been used for longest; None when there is none."""
    return min((worker for worker in idle if worker.digest), key=lambda worker: worker.idle_since, default=None)
