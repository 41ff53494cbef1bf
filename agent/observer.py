"""Whom the shell tells of what came about. It defines this; the node's `agent.chronicle` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.core.worker import Worker
from agent.seats import Job, Seat
from mee6.lane.messages import Guess, Log, Steps


class Observer(Protocol):
    """What the node sees and says. Called after the fact, on the loop; must be quick."""

    @property
    def is_watched(self) -> bool:
        """Whether anybody would see a worker change: while not, nobody need be told."""
        ...

    def worker_changed(self, worker: Worker, seat: Seat) -> None:
        """A worker may have come into another state."""
        ...

    def worker_gone(self, seat: Seat, reason: str) -> None:
        """A worker has been told to end."""
        ...

    def invocation_changed(self, job: Job) -> None:
        """An invocation came into another state."""
        ...

    def invocation_ended(self, job: Job) -> None:
        """An invocation has its answer."""
        ...

    def handover_changed(self, worker: Worker, seat: Seat, reason: str) -> None:
        """A handover went a step on."""
        ...

    def steps_reported(self, job: Job, steps: Steps) -> None:
        """A proxy told of steps inside its worker."""
        ...

    def guessed(self, seat: Seat, guesses: Sequence[Guess]) -> None:
        """A proxy told what came of what it loaded ahead."""
        ...

    def logged(self, seat: Seat, job: Job | None, log: Log) -> None:
        """A function wrote something."""
        ...
