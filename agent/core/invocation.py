"""An invocation's life: accepted, given a worker, run, ended one way.

`ended` states are final. An invocation whose worker is lost before the function was called goes back to
the queue; one whose function was called may have had its effect, and ends as `lost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from agent.core.circumstances import Circumstances
from agent.core.concurrency import Estimate
from agent.core.machine import Machine
from agent.drivers.base import PoolKey
from mee6.lane.messages import Start


class InvocationState(StrEnum):
    """Where an invocation stands; the same words in logs, API and console."""

    QUEUED = "queued"  # accepted, waits for a worker
    STARTING = "starting"  # has a worker, which is being thawed or loaded
    RUNNING = "running"  # the function has been called
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LOST = "lost"  # its worker went away after the function was called


class InvocationEvent(StrEnum):
    """What can happen to an invocation."""

    LEASED = "leased"
    CALLED = "called"
    PUT_BACK = "put back"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LOST = "lost"


S, E = InvocationState, InvocationEvent
_LIVE: Final = (S.QUEUED, S.STARTING, S.RUNNING)

TRANSITIONS: Final[Mapping[tuple[InvocationState, InvocationEvent], InvocationState]] = {
    (S.QUEUED, E.LEASED): S.STARTING,
    (S.STARTING, E.CALLED): S.RUNNING,
    (S.STARTING, E.PUT_BACK): S.QUEUED,
    (S.RUNNING, E.SUCCEEDED): S.SUCCEEDED,
    **{(state, E.FAILED): S.FAILED for state in _LIVE},
    **{(state, E.CANCELLED): S.CANCELLED for state in _LIVE},
    **{(state, E.TIMED_OUT): S.TIMED_OUT for state in _LIVE},
    (S.STARTING, E.LOST): S.LOST,
    (S.RUNNING, E.LOST): S.LOST,
}

ENDED: Final = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELLED, S.TIMED_OUT, S.LOST})


@dataclass(slots=True, eq=False)
class Invocation:
    """One invocation that the agent dispatches: a workflow's first function, or a call that left its worker.

    Times are nanoseconds, monotonic.
    """

    id: str
    digest: str
    """Of its plan: which warm workers fit."""
    pool: PoolKey
    depth: int
    """1 for the first of a workflow; the length of its chain of callers."""
    accepted_at: int
    deadline: int
    caller: str = ""
    """The invocation, dispatched by this agent, in whose worker the call was made; empty for the first."""
    concurrency: int = 1
    """How many of its function a runtime takes at once, by its manifest."""
    estimate: Estimate = field(default_factory=Estimate)
    """What is known of its plan's invocations."""
    machine: Machine[InvocationState, InvocationEvent] = field(init=False)
    worker: str = ""
    start: Start | None = None
    attempts: int = 0
    """Workers lost before the function was called."""
    spans: list[tuple[str, int, int]] = field(default_factory=list)
    """(kind, start, end); end 0 while it goes on."""
    circumstances: Circumstances | None = None
    """What it found when it was accepted; None where a worker held its function."""
    stalls: int = 0
    """Invocations below it that have no worker that runs them."""
    stalled_since: int = 0
    """Since when there is one."""
    stalled: int = 0
    """How long there was one, before."""
    stalls_callers: bool = False
    """Is one of those to its callers."""

    def __post_init__(self) -> None:
        self.machine = Machine(f"invocation {self.id}", TRANSITIONS, InvocationState.QUEUED)
        self.spans.append(("queued", self.accepted_at, 0))

    @property
    def state(self) -> InvocationState:
        """Its state."""
        return self.machine.state

    @property
    def waits_since(self) -> int:
        """When it last came into the queue, while it stands there."""
        return self.spans[-1][1]

    def next_span(self, kind: str, now: int) -> None:
        """Ends the span that goes on and begins another; an empty kind begins none."""
        self.end_span(now)
        if kind:
            self.spans.append((kind, now, 0))

    def end_span(self, now: int) -> None:
        """Ends the span that goes on, if any."""
        if self.spans and self.spans[-1][2] == 0:
            kind, start, _end = self.spans[-1]
            self.spans[-1] = (kind, start, now)
