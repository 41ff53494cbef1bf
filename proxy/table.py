"""The life of a runtime process in a worker, as a table.

Pure data: `proxy.core` moves runtimes along it. A pair that is not in the table is refused, changes nothing,
and the refusal tells the runtime's story, so that a report can be read without a debugger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from mee6.lane.messages import Function

STORY_LENGTH: Final = 16


class RuntimeState(StrEnum):
    """Where a runtime stands; the same words in logs, traces and tests."""

    SPAWNING = "spawning"  # asked of the worker's first process, not yet connected
    SPARE = "spare"  # connected, no function
    LOADING = "loading"  # importing a function, or being handed over with it
    IDLE = "idle"  # holds a function, runs nothing
    BUSY = "busy"  # runs a step
    CALLING = "calling"  # runs a step that has calls under way
    GONE = "gone"  # ended, killed, or handed over

    __hash__ = str.__hash__  # Enum's own is a Python function, which a step pays for eight times


class RuntimeEvent(StrEnum):
    """What can happen to a runtime."""

    CONNECTED = "connected"
    GIVEN = "given a function"
    LOADED = "loaded"
    INVOKED = "invoked"
    CALLED = "called"
    ANSWERED = "answered"
    """The last of its calls under way has ended."""
    REPORTED = "reported"
    HANDED_OVER = "handed over"
    LOST = "lost"
    """Its process ended, or was ended."""

    __hash__ = str.__hash__  # as above


S, E = RuntimeState, RuntimeEvent

TRANSITIONS: Final[Mapping[tuple[RuntimeState, RuntimeEvent], RuntimeState]] = {
    (S.SPAWNING, E.CONNECTED): S.SPARE,
    (S.SPARE, E.GIVEN): S.LOADING,
    (S.LOADING, E.LOADED): S.IDLE,
    (S.LOADING, E.HANDED_OVER): S.GONE,
    (S.IDLE, E.INVOKED): S.BUSY,
    (S.BUSY, E.CALLED): S.CALLING,
    (S.BUSY, E.REPORTED): S.IDLE,
    (S.CALLING, E.CALLED): S.CALLING,
    (S.CALLING, E.ANSWERED): S.BUSY,
    **{(state, E.LOST): S.GONE for state in S if state is not S.GONE},
}


class InvalidTransition(Exception):
    """An event that has no place in the runtime's state. Nothing was changed."""

    def __init__(self, runtime: Runtime, event: RuntimeEvent) -> None:
        story = ", ".join(f"{was} -> {state}" for was, state in runtime.story) or "just asked for"
        super().__init__(f"runtime {runtime.id} is {runtime.state} and cannot take {event!r}; its story: {story}")
        self.state = runtime.state
        self.event = event


class Runtime:
    """One runtime process, as the core knows it."""

    __slots__ = (
        "ahead",
        "closed",
        "direct",
        "due_ns",
        "function",
        "id",
        "joined",
        "language",
        "pid",
        "state",
        "status",
        "step",
        "story",
        "used_ns",
    )

    def __init__(self, number: int, language: str) -> None:
        self.id = number
        self.language = language
        self.state = RuntimeState.SPAWNING
        self.story: deque[tuple[RuntimeEvent, RuntimeState]] = deque(maxlen=STORY_LENGTH)
        self.pid = 0
        self.direct = False
        """It can be introduced to others."""
        self.function: Function | None = None
        self.step: str | None = None
        """The id of the step or of the agent's load that it works for."""
        self.ahead = False
        """Its function was loaded ahead, and has not been called yet."""
        self.joined = ""
        """The id of the load ahead that its step waits for; empty for none."""
        self.used_ns = 0
        self.closed = False
        """Its lane has ended."""
        self.status: int | None = None
        """Its exit status, once known."""
        self.due_ns = 0
        """When the other half of its end (status, end of lane) is no longer waited for; 0 = it lives."""

    def take(self, event: RuntimeEvent) -> RuntimeState:
        """Moves on.

        Raises:
            InvalidTransition: the pair is not in the table.
        """
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            raise InvalidTransition(self, event)
        self.state = after
        self.story.append((event, after))
        return after
