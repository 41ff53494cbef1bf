"""Where one has been: the places, back and forward, as a browser keeps them. No Textual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mee6tui.console.screens.page import Place

KEPT: Final = 100


class Trail:
    """The places one has been to, and at which of them one is."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._here = -1
        self.before: Place | None = None
        """Where one was before, whichever way one came."""

    @property
    def here(self) -> Place | None:
        """Where one is; None at the very beginning."""
        return self._places[self._here] if self._here >= 0 else None

    @property
    def can_go_back(self) -> bool:
        """Whether one came from somewhere."""
        return self._here > 0

    @property
    def can_go_forward(self) -> bool:
        """Whether one has gone back."""
        return self._here < len(self._places) - 1

    def go(self, place: Place) -> None:
        """One is there now; what was ahead is forgotten."""
        self.before = self.here
        self._places = [*self._places[: self._here + 1], place][-KEPT:]
        self._here = len(self._places) - 1

    def travel(self, by: int) -> Place | None:
        """One goes back or forward; None where there is nothing."""
        there = self._here + by
        if not 0 <= there < len(self._places):
            return None
        self.before = self.here
        self._here = there
        return self.here

    def replace(self, place: Place) -> None:
        """One is there in the place of here: the way back stays as it is."""
        self._places[self._here] = place
