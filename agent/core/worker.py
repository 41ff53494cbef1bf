"""A worker's life: from the driver's start to its end, with or without a function, paused or not.

`paused` is a state of its own; whether a function is loaded is told by `digest`. What a worker is leased for is told
by `leases`: one invocation, or as many as its runtime takes at once, which then are all of one depth. They come one
by one: the first wakes or loads it, and others join once it is busy. What was called off in a worker that goes on
for the others keeps its place until the runtime says that it has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from agent.core.handover import Handover
from agent.core.machine import Machine
from agent.drivers.base import PoolKey

if TYPE_CHECKING:
    from agent.core.invocation import Invocation


class WorkerState(StrEnum):
    """Where a worker stands; the same words in logs, API and console."""

    STARTING = "starting"  # asked of the driver, not yet connected
    PREWARMED = "prewarmed"  # connected, no function loaded
    LOADING = "loading"  # leased, its function is being loaded
    BUSY = "busy"  # leased, its function runs, once or several times at once
    WARM = "warm"  # a function is loaded, nobody uses it
    PAUSING = "pausing"  # being frozen; not leased
    PAUSED = "paused"  # frozen, with or without a function
    WAKING = "waking"  # being thawed by hand; not leased
    RESUMING = "resuming"  # leased, being thawed
    GONE = "gone"


class WorkerEvent(StrEnum):
    """What can happen to a worker."""

    CONNECTED = "connected"
    LEASED = "leased"
    JOINED = "joined"
    """Leased once more, beside those that run."""
    LOADED = "loaded"
    LEFT = "left"
    """One of several has ended."""
    RELEASED = "released"
    """The last has ended."""
    PAUSE_ASKED = "pause asked"
    PAUSED = "paused"
    PAUSE_FAILED = "pause failed"
    RESUME_ASKED = "resume asked"
    RESUMED = "resumed"
    RESUMED_EMPTY = "resumed empty"
    LOST = "lost"
    """It ended, or was told to end."""


S, E = WorkerState, WorkerEvent

TRANSITIONS: Final[Mapping[tuple[WorkerState, WorkerEvent], WorkerState]] = {
    (S.STARTING, E.CONNECTED): S.PREWARMED,
    (S.PREWARMED, E.LEASED): S.LOADING,
    (S.WARM, E.LEASED): S.BUSY,
    (S.PAUSED, E.LEASED): S.RESUMING,
    (S.PAUSING, E.LEASED): S.RESUMING,  # the shell finishes the pause first: a worker's commands go in order
    (S.RESUMING, E.PAUSED): S.RESUMING,
    (S.RESUMING, E.PAUSE_FAILED): S.RESUMING,
    (S.RESUMING, E.RESUMED): S.BUSY,
    (S.RESUMING, E.RESUMED_EMPTY): S.LOADING,
    (S.LOADING, E.LOADED): S.BUSY,
    (S.BUSY, E.JOINED): S.BUSY,
    (S.BUSY, E.LEFT): S.BUSY,
    (S.BUSY, E.RELEASED): S.WARM,
    (S.PREWARMED, E.PAUSE_ASKED): S.PAUSING,
    (S.WARM, E.PAUSE_ASKED): S.PAUSING,
    (S.PAUSING, E.PAUSED): S.PAUSED,
    (S.PAUSED, E.RESUME_ASKED): S.WAKING,
    (S.WAKING, E.RESUMED): S.WARM,
    (S.WAKING, E.RESUMED_EMPTY): S.PREWARMED,
    (S.WAKING, E.LEASED): S.RESUMING,  # the thaw that is under way serves the lease
    **{(state, E.LOST): S.GONE for state in S if state is not S.GONE},
}

IDLE: Final = frozenset({S.PREWARMED, S.WARM, S.PAUSING, S.PAUSED, S.WAKING})
AWAKE: Final = frozenset({S.PREWARMED, S.WARM})
LEASED: Final = frozenset({S.LOADING, S.BUSY, S.RESUMING})


@dataclass(slots=True, eq=False)
class Worker:
    """One worker, as the scheduler knows it. Times are nanoseconds, monotonic."""

    id: str
    pool: PoolKey
    started_at: int
    machine: Machine[WorkerState, WorkerEvent] = field(init=False)
    handover: Handover = field(init=False)
    digest: str = ""
    """Of the plan it holds; empty while no function is loaded."""
    leases: dict[str, Invocation] = field(default_factory=dict)
    """The invocations that have it, by id; empty while idle."""
    ending: dict[str, int] = field(default_factory=dict)
    """Those called off that have not ended, and when that is no longer waited for."""
    lease_depth: int = 0
    """Of all that have it."""
    slots: int = 1
    """How many its runtime takes at once."""
    closed: bool = False
    """Takes no more until all have ended: somebody waits for a worker."""
    offered: bool = False
    """Stands among those that others may join."""
    since: int = 0
    """When it came into its present state."""
    idle_since: int = 0
    invocations: int = 0
    memory_bytes: int = 0
    """As measured last; 0 until it has been."""
    cold_cost: int = 0
    """What it took to start it and to load its function, in nanoseconds: what its end would cost."""

    def __post_init__(self) -> None:
        self.machine = Machine(f"worker {self.id}", TRANSITIONS, WorkerState.STARTING)
        self.handover = Handover(self.id)
        self.since = self.started_at

    @property
    def state(self) -> WorkerState:
        """Its state."""
        return self.machine.state

    @property
    def lease(self) -> str:
        """An invocation that has it: the first of them; empty where none has."""
        return next(iter(self.leases), "")

    @property
    def in_use(self) -> bool:
        """Whether it has anything to end."""
        return bool(self.leases or self.ending)

    @property
    def has_room(self) -> bool:
        """Whether another invocation may join those that run; not beside one that may have to end it."""
        free = self.slots > len(self.leases) and not self.ending and not self.closed
        return free and self.machine.state is WorkerState.BUSY

    def take(self, event: WorkerEvent, now: int) -> None:
        """Moves on; see `Machine.take`."""
        self.machine.take(event)
        self.since = now
