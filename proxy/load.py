"""The agent's `Load`, and the handover that may come of it.

loading -> (loaded) -> done, where nothing is handed over. Otherwise the agent is asked at once, while the
function loads; when both the load and the answer are there, the runtime is told to connect to the agent, and
the load is reported once it says how that went. Whatever fails on the way leaves the runtime with the proxy.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mee6.lane.messages import Function, Handover

ANSWER_NS: Final = 1_000_000_000
"""How long the agent may take to grant a handover, and a runtime to carry it out. Less than the agent's
own bound, so that the proxy is the first to give up."""


class LoadState(StrEnum):
    """How far a load is."""

    PLAIN = "plain"  # loading; the proxy keeps the runtime
    ASKED = "asked"  # loading; the agent has been asked and has not answered
    GRANTED = "granted"  # loading; the agent has answered with a token
    AWAITING = "awaiting"  # loaded; the agent's answer is not there yet
    OFFERED = "offered"  # loaded; the runtime is connecting to the agent
    DONE = "done"


class LoadEvent(StrEnum):
    """What can happen to a load."""

    GRANTED = "granted"
    REFUSED = "refused"
    """By the agent, or by its silence."""
    LOADED = "loaded"
    FAILED = "failed"
    MOVED = "moved"
    """The runtime is the agent's."""
    STAYED = "stayed"
    """The runtime could not reach the agent."""
    STARTED_ANEW = "started anew"
    """The runtime was silent and has been replaced."""


S, E = LoadState, LoadEvent

TRANSITIONS: Final[Mapping[tuple[LoadState, LoadEvent], LoadState]] = {
    (S.PLAIN, E.LOADED): S.DONE,
    (S.ASKED, E.GRANTED): S.GRANTED,
    (S.ASKED, E.REFUSED): S.PLAIN,
    (S.ASKED, E.LOADED): S.AWAITING,
    (S.GRANTED, E.LOADED): S.OFFERED,
    (S.AWAITING, E.GRANTED): S.OFFERED,
    (S.AWAITING, E.REFUSED): S.DONE,
    (S.OFFERED, E.MOVED): S.DONE,
    (S.OFFERED, E.STAYED): S.DONE,
    (S.OFFERED, E.STARTED_ANEW): S.PLAIN,
    **{(state, E.FAILED): S.DONE for state in S if state is not S.DONE},
}


class PendingLoad:
    """A function that the agent wants ready."""

    __slots__ = ("due_ns", "function", "grant", "id", "runtime", "state")

    def __init__(self, number: str, function: Function) -> None:
        self.id = number
        self.function = function
        self.runtime: int | None = None
        self.state = LoadState.PLAIN
        self.grant: Handover | None = None
        self.due_ns = 0
        """When the agent's answer, or the runtime's, is no longer waited for; 0 = nothing is."""

    def take(self, event: LoadEvent) -> LoadState | None:
        """Moves on; None where the event has no place, which is how late answers are dropped."""
        after = TRANSITIONS.get((self.state, event))
        if after is not None:
            self.state = after
        return after


def may_leave(function: Function) -> bool:
    """Whether the function needs no proxy: all that it calls runs in other workers anyway."""
    return all(outflow == "always" for outflow in function.dependencies.values())
