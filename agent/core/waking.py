"""Which paused workers to thaw before they are leased, for calls that are expected to leave their caller's worker.

Pure. A worker that is thawed ahead is idle like any other: whoever comes first may have it, and it is paused again
after its linger. A call that comes while it is being thawed takes it as it is.
"""

from __future__ import annotations

from typing import Final

from agent.core.fleet import Fleet
from agent.core.worker import AWAKE, WorkerState
from agent.drivers.base import PoolKey

MOST: Final = 8
"""Workers thawed for one function's calls: what a manifest lets run at once that says nothing."""


def asleep(fleet: Fleet, digest: str, key: PoolKey, width: float) -> list[str]:
    """The workers to thaw so that a plan's calls find as many awake.

    Those that hold it come first, then those without a function; of each the one used last.

    Args:
        width: calls that are expected at once.
    """
    pool = fleet.pools.get(key)
    wanted = min(max(round(width), 1), MOST)
    found: list[str] = []
    for idle in (fleet.holding.get(digest, ()), pool.ready if pool is not None else ()):
        wanted -= sum(worker.state in AWAKE or worker.state is WorkerState.WAKING for worker in idle)
        paused = [worker.id for worker in reversed(idle) if worker.state is WorkerState.PAUSED]
        taken = paused[: max(wanted, 0)]
        found += taken
        wanted -= len(taken)
    return found
