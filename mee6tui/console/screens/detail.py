"""All about one thing, live: a worker, a function, a node, an event. Where nothing better shows it."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.records import Invocation, Step, asdict
from mee6tui.cli.units import age, duration
from mee6tui.console import look
from mee6tui.console.commands import Key, Selection
from mee6tui.console.event import kind_of, told
from mee6tui.console.look import bytes_, clock_time
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.screens.table_page import Row
from mee6tui.console.store import Store
from mee6tui.console.widgets.columns import Column
from mee6tui.console.widgets.line import Line, Lines
from mee6tui.console.widgets.table import LiveTable

FIGURES_S = 0.5


class Detail(Page):
    """One thing, and what happened to it."""

    NAME, TITLE = "detail", "detail"
    HELP = "All that is known of one thing, and below it what happened to it, newest first."
    DEFAULT_CSS: ClassVar[str] = """
    Detail > #facts { height: auto; max-height: 60%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.facts = Lines(ground="panel", id="facts")
        self.table: LiveTable[Key, Row] = LiveTable(
            [
                Column("time", "TIME", 12, self._time, lambda row: row[1].number, lambda _row: "quiet"),
                Column("kind", "KIND", 10, lambda row: kind_of(row[1].event.what)),
                Column("what", "WHAT", 14, lambda row: told(row[1].event.what)[0]),
                Column("state", "STATE", 12, lambda row: told(row[1].event.what)[1]),
                Column("detail", "DETAIL", 14, lambda row: told(row[1].event.what)[2], grows=True),
            ],
            sort="-time",
            empty="nothing has happened to it since the console was opened",
        )
        self._shown_at = float("-inf")
        self._seen = 0

    def compose(self) -> ComposeResult:
        """Facts above, events below."""
        yield self.facts
        yield self.table

    @property
    def is_old(self) -> bool:
        """Once its agent is away, unless it has ended."""
        key = self.place.key
        if key is None or self.place.kind == "event" or self.store.away_since(key[0]) is None:
            return False
        return not getattr(self._record(), "ended_ns", 0)

    @property
    def main(self) -> Widget | None:
        """The events."""
        return self.table

    def open(self, place: Place) -> None:
        """Another thing."""
        super().open(place)
        self._shown_at = float("-inf")
        self._seen = 0
        self.table.replace({})

    def show_store(self, store: Store) -> None:  # noqa: ARG002 - it is read when it is painted
        """Collects its events anew."""
        self._seen = 0
        self._shown_at = float("-inf")
        self.table.replace({})

    def flush(self, now: float) -> None:
        """Twice a second."""
        if now - self._shown_at >= FIGURES_S:
            self._shown_at = now
            lines = self._facts()
            self.facts.styles.height = len(lines)
            self.facts.show(lines)
            self._collect()
        self.table.flush(now)

    def selection(self) -> Selection | None:
        """What the page is about."""
        return Selection(self.place.kind, (self.place.key,)) if self.place.key else None

    def heading(self) -> str:
        """The thing's name."""
        return f"{self.place.kind} {self.place.key[1]}" if self.place.key else self.TITLE

    def cli(self) -> str:
        """The command that shows it."""
        name = self.place.key[1] if self.place.key else ""
        match self.place.kind:
            case "function":
                return f"mee6 act describe {name.partition('/')[2]}"
            case "invocation":
                return f"mee6 trace {name}"
            case "node":
                return "mee6 agent status"
            case _:
                return "mee6 worker ls"

    @property
    def can_filter(self) -> bool:
        """Its events."""
        return True

    @property
    def filter_text(self) -> str:
        """Of its events."""
        return self.table.filter.text

    def set_filter(self, text: str) -> None:
        """Filters its events."""
        self.table.set_filter(text)

    def _time(self, row: Row) -> str:
        return clock_time(self.store.wall_ns(row[0][0], row[1].event.at_ns), millis=True)

    def _record(self) -> Any:
        key = self.place.key
        if key is None:
            return None
        if self.place.kind == "event":
            found = (happened for happened in self.store.events if str(happened.number) == key[1])
            happened = next(found, None)
            return happened.event.what if happened else None
        return self.store.table(self.place.kind).get(key)

    def _facts(self) -> list[Line]:
        record = self._record()
        if record is None:
            return [[("", "text")], [("  it is gone, and no more is known of it; esc goes back", "quiet")]]
        source = self.place.key[0] if self.place.key else ""
        pairs = [(name, self._fact(source, name, getattr(record, name))) for name in record.__struct_fields__]
        known = [(name, text) for name, text in pairs if text]
        width = max(len(_title(name)) for name, _text in known)
        return [
            [(f"  {_title(name).ljust(width)}  ", "quiet"), (self._signed(name, text), _tone(name, text))]
            for name, text in known
        ]

    def _signed(self, name: str, text: str) -> str:
        signs = look.WORKERS if self.place.kind == "worker" else look.INVOCATIONS
        return self.facts.palette.word(signs[text]) if name == "state" and text in signs else text

    def _fact(self, source: str, name: str, value: Any) -> str:
        if name == "spans":
            return "  ".join(f"{span.kind} {duration(span.end_ns - span.start_ns)}" for span in value if span.end_ns)
        if name == "pools":
            return ", ".join(f"{pool.name} {pool.ready} ready of {pool.floor}" for pool in value)
        if name == "cpu":
            return f"{value:.2f} cores" if value else ""
        if name == "cpu_ns":
            return duration(value) if value else ""
        if name.endswith("_ns") and name not in {"wall_offset_ns", "now_ns"}:
            if not value:
                return ""
            ago = age((self.store.agent_now(source, self.console.moment) - value) / 1e9)
            return f"{clock_time(self.store.wall_ns(source, value), millis=True)}, {ago} ago"
        if name in {"wall_offset_ns", "now_ns"}:
            return ""
        if name.endswith("_bytes"):
            return bytes_(value) if value else ""
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        if isinstance(value, bool):
            return "yes" if value else ""
        return str(value).replace("\n", " / ") if value else ""

    def _collect(self) -> None:
        key = self.place.key
        if key is None:
            return
        for happened in reversed(self.store.events):
            if happened.number <= self._seen:
                break
            if happened.source == key[0] and self._concerns(happened.event.what, key[1]):
                event_key = (happened.source, str(happened.number))
                self.table.put(event_key, (event_key, happened))
        self._seen = self.store.numbered

    def _concerns(self, what: Any, identity: str) -> bool:
        match self.place.kind:
            case "worker":
                return identity in (getattr(what, "worker", ""), what.id if kind_of(what) == "worker" else "")
            case "function":
                user, _, name = identity.partition("/")
                named = what.name if kind_of(what) == "function" else getattr(what, "function", "")
                return bool(named == name and getattr(what, "username", user) == user)
            case "invocation":
                if isinstance(what, Invocation):
                    return what.id == identity
                return isinstance(what, Step) and what.invocation == identity
            case "node":
                return kind_of(what) in {"worker", "function"}
            case _:
                return False

    def raw(self) -> str:
        """The record as JSON, for `y`."""
        record = self._record()
        return json.dumps(asdict(record), indent=2, ensure_ascii=False) if record else ""


def _title(name: str) -> str:
    if name == "cpu_ns":
        return "cpu time"
    return name.removesuffix("_ns").removesuffix("_bytes").replace("_", " ")


def _tone(name: str, text: str) -> str:
    if name in {"error", "reason", "failure"}:
        return "error"
    for signs in (look.WORKERS, look.INVOCATIONS):
        if name == "state" and text in signs:
            return signs[text].tone
    return "text"
