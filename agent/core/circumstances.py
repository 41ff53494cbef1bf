"""How things stood for an invocation that found no worker holding its function: why it was cold, or had to wait.

Counted once, when it is accepted, and kept with it; a warm start has none. What is read out of it is the desk's
business (`mee6 explain`). No clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

KEPT_ENDS: Final = 512
"""Functions of which it is remembered how the last worker that held them ended."""


class Hindrance(StrEnum):
    """What kept a worker from being started at once for somebody who waits; the same words in the API."""

    WORKERS = "workers"  # as many as may be leased at this depth, or exist, are in use
    CEILING = "ceiling"  # as many of its runtime as may exist are in use
    MEMORY = "memory"  # the budget of all workers together is used up
    STARTS = "starts"  # as many are being started as the driver makes at once
    FAILING = "failing"  # the last starts failed; the next one waits
    BUSY = "busy"  # a worker in use was to be free before another would have been ready


@dataclass(slots=True)
class Circumstances:
    """What an invocation found. Durations are nanoseconds."""

    holding: int = 0
    """Workers that held its function, all of them in use."""
    ended: str = ""
    """Why the last idle worker that held it was ended; empty where none was."""
    ended_ago: int = 0
    ready: int = 0
    """Workers of its pool without a function, before it took one."""
    starting: int = 0
    floor: int = 0
    """How many its pool keeps ready."""
    ahead: int = 0
    """Others that waited already."""
    leased: int = 0
    """Workers in use, of any function."""
    limit: int = 0
    """How many may be at its depth."""
    hindered: Hindrance | None = None
    """What kept a worker from being started for it at once; None where one was, or was there."""
    lost: int = 0
    """Workers it was given that ended before its function was called."""
    held: int = 0
    """How long it was kept back before it was accepted."""
    held_by: str = ""
    """By what: `parallelism` of its caller, or `fan-out` of its workflow."""


@dataclass(slots=True)
class Ends:
    """How the last idle worker that held a function ended: (why, when), by the plan's digest; the latest few."""

    _ends: OrderedDict[str, tuple[str, int]] = field(default_factory=OrderedDict)

    def note(self, digest: str, reason: str, now: int) -> None:
        """Takes note of one."""
        self._ends[digest] = reason, now
        self._ends.move_to_end(digest)
        if len(self._ends) > KEPT_ENDS:
            self._ends.popitem(last=False)

    def of(self, digest: str, now: int) -> tuple[str, int]:
        """Why it ended and how long ago; an empty reason where none is known."""
        reason, at = self._ends.get(digest, ("", now))
        return reason, now - at
