"""What all life cycles here share: a table of transitions, a refusal that changes nothing, a story.

A machine's table maps (state, event) to the next state; a pair that is not in it is refused. The story is
the machine's last events, so that a refusal in a report can be read without a debugger.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Generic, TypeVar

STORY_LENGTH: Final = 24

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class InvalidTransition(Exception):
    """An event that has no place in the current state. Nothing was changed."""

    def __init__(self, subject: str, state: StrEnum, event: StrEnum, story: str) -> None:
        super().__init__(f"{subject} is {state} and cannot take {event!r}; its story: {story or 'just made'}")
        self.state = state
        self.event = event


class Machine(Generic[S, E]):
    """One thing's life cycle.

    Args:
        subject: how messages name it, e.g. `worker w3`.
        table: (state, event) -> next state.
        state: where it begins.
    """

    __slots__ = ("_story", "_table", "state", "subject")

    def __init__(self, subject: str, table: Mapping[tuple[S, E], S], state: S) -> None:
        self.subject = subject
        self.state = state
        self._table = table
        self._story: list[tuple[E, S]] = []  # most things live for less events than that, and a list costs little

    def take(self, event: E) -> S:
        """Moves on.

        Raises:
            InvalidTransition: the pair is not in the table.
        """
        after = self._table.get((self.state, event))
        if after is None:
            raise self._refused(event)
        self.state = after
        story = self._story
        story.append((event, after))
        if len(story) >= 2 * STORY_LENGTH:
            del story[:STORY_LENGTH]
        return after

    def can(self, event: E) -> bool:
        """Whether `event` is in the table for the current state."""
        return (self.state, event) in self._table

    def demand(self, event: E) -> None:
        """Checks that `event` has its place now, for a step that changes other things first.

        Raises:
            InvalidTransition: the pair is not in the table.
        """
        if not self.can(event):
            raise self._refused(event)

    def story(self) -> str:
        """The last events and the states they led to, oldest first."""
        return ", ".join(f"{event} -> {state}" for event, state in self._story[-STORY_LENGTH:])

    def _refused(self, event: E) -> InvalidTransition:
        return InvalidTransition(self.subject, self.state, event, self.story())


def diagram(table: Mapping[tuple[S, E], S]) -> str:
    """The table as text, a line for each transition in the table's order; printed into a package's README."""
    width = max(len(state) for state, _event in table)
    events = max(len(event) for _state, event in table)
    return "\n".join(f"{state:<{width}}  {event:<{events}}  {after}" for (state, event), after in table.items())
