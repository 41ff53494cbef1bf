"""A page that is one table of the store's records of a kind: what all of them share; each says only its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from mee6tui.cli.units import age
from mee6tui.console import look
from mee6tui.console.commands import Key, Selection
from mee6tui.console.look import Sign
from mee6tui.console.screens.page import Page
from mee6tui.console.store import Changes, Store
from mee6tui.console.widgets.columns import Column
from mee6tui.console.widgets.table import LiveTable

Row = tuple[Key, Any]
"""A record with its key, which names the node it is of."""


class TablePage(Page):
    """A page that is one table of the store's records of a kind."""

    KIND: ClassVar[str]
    SORT: ClassVar[str] = ""
    CLI: ClassVar[str] = ""
    EMPTY: ClassVar[str] = "nothing yet"
    KEYS = (
        ("j k g G", "move; first, last"),
        ("space", "mark; ctrl+space up to here, ctrl+\\ none"),
        ("< > s", "sort by the column before, the next; turn round"),
        ("left right", "choose the cell that c copies"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._changes: Changes | None = None
        self._several = False
        self.table: LiveTable[Key, Row] = LiveTable(self.columns(), sort=self.SORT, ticking=True, empty=self.EMPTY)
        self.table.is_old = self.is_old_row
        self._away: list[str] = []

    def columns(self) -> list[Column[Row]]:
        """From left to right, without the node's."""
        raise NotImplementedError

    def records(self, store: Store) -> Iterable[tuple[Key, Any]]:
        """All rows."""
        return store.table(self.KIND).items()

    def reader(self, store: Store) -> Callable[[Key], Any]:
        """What reads one of them by its key; it says None where that is no longer."""
        return store.table(self.KIND).get

    def compose(self) -> ComposeResult:
        """The table."""
        yield self.table

    @property
    def main(self) -> Widget | None:
        """The table."""
        return self.table

    def show_store(self, store: Store) -> None:
        """Fills the table anew."""
        self._changes = store.changes(self.KIND)
        self._changes.clear()
        self._set_columns(store)
        self.table.replace({key: (key, record) for key, record in self.records(store)})

    def is_old_row(self, row: Row) -> bool:
        """Whether a row is as it was when its agent was last heard of."""
        return self.store.away_since(row[0][0]) is not None

    def leave(self) -> None:
        """Looks away: what changes meanwhile is read when one comes back."""
        self._changes = None

    def flush(self, now: float) -> None:
        """Hands what has changed to the table."""
        if self._changes:
            store, table = self.store, self.table
            read = self.reader(store)
            changed: dict[Key, Row] = {}
            for key in self._changes.take():
                record = read(key)
                if record is None:
                    table.drop(key)
                else:
                    changed[key] = (key, record)
            table.put_all(changed)
            if (len(store.nodes) > 1) != self._several:
                self._set_columns(store)
        away = [source for source in self.store.links if self.store.away_since(source) is not None]
        if away != self._away:
            self._away = away
            self.table.repaint()
        self.table.flush(now)

    def selection(self) -> Selection | None:
        """The marked rows, or the one under the cursor."""
        keys = self.table.selected
        return Selection(self.KIND, keys) if keys else None

    def point_at(self, key: Key) -> None:
        """Puts the cursor on a row, now or as soon as it comes."""
        self.table.point_at(key)

    def set_filter(self, text: str) -> None:
        """Filters the table."""
        self.table.set_filter(text)

    @property
    def filter_text(self) -> str:
        """The table's."""
        return self.table.filter.text

    @property
    def can_filter(self) -> bool:
        """Always."""
        return True

    def heading(self) -> str:
        """With how many rows there are."""
        shown, all_ = len(self.table.order), len(self.table.rows)
        marked = f", {len(self.table.marks)} marked" if self.table.marks else ""
        if self.table.filter:
            return f"{self.TITLE or self.NAME} /{self.filter_text}  {shown:,} of {all_:,}{marked}"
        return f"{self.TITLE or self.NAME} {all_:,}{marked}"

    def cli(self) -> str:
        """The list's command."""
        return self.CLI

    def copy_text(self) -> str:
        """The cell under the cursor."""
        return self.table.cell_text

    def on_live_table_opened(self, event: LiveTable.Opened) -> None:
        """Goes to what the row is about."""
        event.stop()
        self.console.open_thing(Selection(self.KIND, (event.key,)))

    def _set_columns(self, store: Store) -> None:
        """With the node's column where there are several."""
        self._several = len(store.nodes) > 1
        node: Column[Row] = Column("node", "NODE", 12, lambda row: row[0][0])
        self.table.set_columns([*self.columns(), *([node] if self._several else [])])

    # What the columns read

    def ago(self, source: str, at_ns: int) -> str:
        """How long ago it was, at the moment that is shown."""
        return age((self.store.agent_now(source, self.console.moment) - at_ns) / 1e9) if at_ns else ""

    def state(self, signs: dict[str, Sign] | Any, width: int = 11) -> Column[Row]:
        """The column of the state, by the signs of its kind."""

        def sign(row: Row) -> Sign:
            found: Sign = signs.get(row[1].state, look.UNKNOWN)
            return found

        return Column(
            "state",
            "STATE",
            width,
            lambda row: f"{self.table.palette.glyph(sign(row))} {row[1].state}",
            sort=lambda row: row[1].state,
            tone=lambda row: sign(row).tone,
            flashes=True,
        )


def quiet(_row: Row) -> str:
    """The tone of a column that says more than one looks for at first."""
    return "quiet"
