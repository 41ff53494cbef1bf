"""All that happened, newest first, as the agents told it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mee6tui.console.commands import Key
from mee6tui.console.event import kind_of, sign_of, told
from mee6tui.console.look import clock_time
from mee6tui.console.screens.table_page import Row, TablePage, quiet
from mee6tui.console.store import Happened, Store
from mee6tui.console.widgets.columns import Column


class Events(TablePage):
    """All that happened."""

    NAME, TITLE, KEY, KIND = "events", "events", "0", "event"
    HELP = "All that the agents did, newest first. Of several changes within 50 ms only the last is told."
    SORT, CLI, EMPTY = "-number", "mee6 watch", "nothing has happened yet"

    def __init__(self) -> None:
        self._recent: dict[Key, Happened] = {}
        super().__init__()

    def is_old_row(self, row: Row) -> bool:  # noqa: ARG002 - whatever it is
        """What happened has happened."""
        return False

    def columns(self) -> list[Column[Row]]:
        """What an event is."""
        return [
            Column(
                "number", "NUMBER", 8, lambda row: f"{row[1].number:,}", lambda row: row[1].number, quiet, right=True
            ),
            Column("time", "TIME", 12, self._time, lambda row: row[1].event.at_ns, tone=quiet),
            Column("kind", "KIND", 10, lambda row: kind_of(row[1].event.what)),
            Column("what", "WHAT", 14, lambda row: told(row[1].event.what)[0]),
            Column("state", "STATE", 12, self._state, tone=self._tone),
            Column("detail", "DETAIL", 14, lambda row: told(row[1].event.what)[2], tone=quiet, grows=True),
        ]

    def records(self, store: Store) -> Iterable[tuple[Key, Happened]]:
        """The ring's."""
        return [((happened.source, str(happened.number)), happened) for happened in store.events]

    def reader(self, store: Store) -> Callable[[Key], Happened | None]:
        """Of those that are new and still in the ring."""
        first = store.events[0].number if store.events else 0
        return lambda key: self._recent.get(key) if int(key[1]) >= first else None

    def flush(self, now: float) -> None:
        """Notes what is new, and drops what the ring has lost."""
        store = self.store
        if self._changes:
            wanted = len(self._changes)
            newest = [store.events[-place] for place in range(1, min(wanted, len(store.events)) + 1)]
            self._recent = {(happened.source, str(happened.number)): happened for happened in newest}
            first = store.events[0].number if store.events else 0
            for key in [key for key in self.table.rows if int(key[1]) < first][:10_000]:
                self.table.drop(key)
        super().flush(now)

    def _time(self, row: Row) -> str:
        return clock_time(self.store.wall_ns(row[0][0], row[1].event.at_ns), millis=True)

    def _state(self, row: Row) -> str:
        state = told(row[1].event.what)[1]
        sign = sign_of(row[1].event.what)
        return f"{self.table.palette.glyph(sign)} {state}" if sign else state

    def _tone(self, row: Row) -> str:
        sign = sign_of(row[1].event.what)
        return sign.tone if sign else "text"
