"""What a page is: a place in the console with a name, which shows a store and is painted by the frame clock.

The app makes a page when it is first gone to and keeps it: cursor, filter and sorting are still there when one comes
back. `show_store` is called whenever there is another store to be shown (live, frozen, an earlier moment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from textual.containers import Vertical
from textual.widget import Widget

from mee6tui.console.commands import Command, Key, Selection
from mee6tui.console.store import Store

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp


@dataclass(frozen=True, slots=True)
class Place:
    """Where one can be: a page, and on what it is opened."""

    page: str
    key: Key | None = None
    """What a page about one thing is about."""
    kind: str = ""
    """Of that thing, where the page is for several kinds."""


class Page(Vertical):
    """A page; subclasses set the names and build their widgets in `compose`."""

    NAME: ClassVar[str]
    """Lower case; what `:` takes and what `Command.pages` holds."""
    TITLE: ClassVar[str] = ""
    HELP: ClassVar[str] = ""
    """What it shows, in one or two sentences, for `?`."""
    KEY: ClassVar[str] = ""
    """The digit that leads here."""
    OPENS: ClassVar[frozenset[str]] = frozenset()
    """Kinds of things that are best shown here: enter on one leads to this page."""
    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys of its main widget and what they do, for `?`."""
    VERBS: ClassVar[Sequence[Command]] = ()
    """Commands that only this page has."""
    DEFAULT_CSS: ClassVar[str] = "Page { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__(id=f"page-{self.NAME}")
        self.place = Place(self.NAME)

    @property
    def console(self) -> ConsoleApp:
        """The app, by its own type."""
        return cast("ConsoleApp", self.app)

    @property
    def store(self) -> Store:
        """What is to be shown."""
        return self.console.shown

    @property
    def moves(self) -> bool:
        """Whether it changes by itself at the full frame rate, though nothing comes: an animation."""
        return False

    @property
    def is_old(self) -> bool:
        """Whether all that it shows is as it was when an agent was last heard of; then it is shown faded."""
        return False

    @property
    def main(self) -> Widget | None:
        """What takes the keys when the page is gone to."""
        return None

    def open(self, place: Place) -> None:
        """The page has been gone to; `show_store` follows."""
        self.place = place

    def show_store(self, store: Store) -> None:
        """Forgets what was shown and shows this store from now on."""

    def leave(self) -> None:
        """Another page is gone to: lets go of what it reads, since nobody takes it meanwhile."""

    def flush(self, now: float) -> None:
        """Paints what has changed; only called while the page is seen.

        Args:
            now: seconds, monotonic; the shown moment is `console.moment`.
        """

    def selection(self) -> Selection | None:
        """What the user points at."""
        return None

    def set_filter(self, text: str) -> None:
        """Shows only what matches; `InvalidInput` where that is no filter."""

    @property
    def filter_text(self) -> str:
        """The present filter."""
        return ""

    @property
    def can_filter(self) -> bool:
        """Whether `/` does anything."""
        return False

    def heading(self) -> str:
        """What the header says of it."""
        return self.TITLE or self.NAME

    def cli(self) -> str:
        """The command line that shows about the same; empty for none."""
        return ""

    def copy_text(self) -> str:
        """What `c` copies."""
        selection = self.selection()
        return selection.key[1] if selection else ""
