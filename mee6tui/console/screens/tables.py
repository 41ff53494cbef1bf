"""The tables: workers, functions, invocations, nodes, events. One class shows them all; each says only its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.records import (
    FunctionChange,
    Handover,
    Invocation,
    Log,
    Node,
    Step,
    Worker,
)
from mee6tui.cli.units import age, duration
from mee6tui.console import look
from mee6tui.console.commands import Key, Selection
from mee6tui.console.look import Sign, bytes_, clock_time, count
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.store import Changes, Happened, Store
from mee6tui.console.widgets.table import Column, LiveTable

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

    def leave(self) -> None:
        """Looks away: what changes meanwhile is read when one comes back."""
        self._changes = None

    def flush(self, now: float) -> None:
        """Hands what has changed to the table."""
        if self._changes:
            store, table = self.store, self.table
            read = self.reader(store)
            for key in self._changes.take():
                record = read(key)
                if record is None:
                    table.drop(key)
                else:
                    table.put(key, (key, record))
            if (len(store.nodes) > 1) != self._several:
                self._set_columns(store)
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


def _quiet(_row: Row) -> str:
    return "quiet"


def _cpu(row: Row) -> str:
    return f"{row[1].cpu * 100:.0f}%" if row[1].cpu >= 0.005 else ""


def _runs(row: Row) -> int:
    return int(row[1].invocations)


def _number(row: Row) -> int:
    return int(row[1].number)


class Workers(TablePage):
    """The sandboxes."""

    NAME, TITLE, KEY, KIND = "workers", "workers", "2", "worker"
    HELP = "Every sandbox of every node: what it holds, what it does, what it uses. Those that are gone stay for 8 s."
    SORT, CLI, EMPTY = "worker", "mee6 worker ls", "no workers yet"

    def columns(self) -> list[Column[Row]]:
        """What a worker is."""
        return [
            Column("worker", "WORKER", 8, lambda row: row[1].id, sort=lambda row: numbered(row[1].id)),
            self.state(look.WORKERS),
            Column("function", "FUNCTION", 16, lambda row: row[1].function or row[1].reason, grows=True, flashes=True),
            Column("for", "FOR", 5, self._for, sort=lambda row: -row[1].since_ns, tone=_quiet, right=True, priority=2),
            Column(
                "runs", "RUNS", 6, lambda row: count(row[1].invocations), lambda row: row[1].invocations, right=True
            ),
            Column(
                "memory",
                "MEMORY",
                9,
                lambda row: bytes_(row[1].memory_bytes) if row[1].memory_bytes else "",
                lambda row: row[1].memory_bytes,
                right=True,
                priority=1,
            ),
            Column("cpu", "CPU", 5, _cpu, lambda row: row[1].cpu, right=True, priority=1),
            Column("via", "VIA", 6, lambda row: row[1].via, tone=_quiet, priority=5),
            Column("pool", "POOL", 8, lambda row: row[1].pool, tone=_quiet, priority=3),
            Column("user", "USER", 8, lambda row: row[1].username, tone=_quiet, priority=4),
            Column("invocation", "INVOCATION", 14, lambda row: row[1].invocation, tone=_quiet, priority=6),
        ]

    def _for(self, row: Row) -> str:
        return self.ago(row[0][0], row[1].since_ns)


class Functions(TablePage):
    """What can be invoked."""

    NAME, TITLE, KEY, KIND = "functions", "functions", "3", "function"
    HELP = "The functions of all users, with how their invocations of the last minutes went."
    SORT, CLI, EMPTY = "function", "mee6 act ls", "no functions yet; n adds one"

    def columns(self) -> list[Column[Row]]:
        """What a function is."""
        return [
            Column("function", "FUNCTION", 14, lambda row: row[1].name, grows=True),
            Column(
                "version", "VER", 4, lambda row: f"v{row[1].version}", lambda row: row[1].version, _quiet, right=True
            ),
            Column("runtime", "RUNTIME", 8, lambda row: row[1].runtime, tone=_quiet, priority=3),
            Column("kind", "KIND", 8, lambda row: "workflow" if row[1].is_workflow else "", tone=_quiet, priority=4),
            Column("workers", "WORKERS", 7, lambda row: str(self._workers(row) or ""), self._workers, right=True),
            Column("rate", "RATE/S", 6, self._rate, lambda row: self._of(row, "rate"), right=True),
            Column("p50", "P50", 7, self._time("p50_ms"), lambda row: self._of(row, "p50_ms"), right=True),
            Column("p99", "P99", 7, self._time("p99_ms"), lambda row: self._of(row, "p99_ms"), right=True, priority=1),
            Column(
                "runs", "RUNS", 6, self._count_of("invocations"), lambda row: self._of(row, "invocations"), right=True
            ),
            Column(
                "failed",
                "FAILED",
                6,
                self._count_of("failures"),
                lambda row: self._of(row, "failures"),
                lambda row: "error" if self._of(row, "failures") else "quiet",
                right=True,
                priority=2,
            ),
            Column(
                "cold", "COLD", 5, self._count_of("cold"), lambda row: self._of(row, "cold"), right=True, priority=3
            ),
            Column("user", "USER", 8, lambda row: row[1].username, tone=_quiet, priority=5),
        ]

    def _of(self, row: Row, name: str) -> float:
        figures = self.store.figures.get(row[0])
        return float(getattr(figures, name)) if figures else 0.0

    def _rate(self, row: Row) -> str:
        value = self._of(row, "rate")
        return look.rate(value) if value else ""

    def _time(self, name: str) -> Callable[[Row], str]:
        return lambda row: look.milliseconds(self._of(row, name))

    def _count_of(self, name: str) -> Callable[[Row], str]:
        return lambda row: count(value) if (value := self._of(row, name)) else ""

    def _workers(self, row: Row) -> int:
        return self._held.get((row[0][0], row[1].username, row[1].name), 0)

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], int] = {}
        self._counted_at = float("-inf")
        super().__init__()

    def show_store(self, store: Store) -> None:
        """Counts the workers first."""
        self._count(store)
        super().show_store(store)

    def flush(self, now: float) -> None:
        """Counts the workers of each once a second."""
        if now - self._counted_at >= 1.0:
            self._counted_at = now
            self._count(self.store)
        super().flush(now)

    def _count(self, store: Store) -> None:
        self._held.clear()
        for (source, _id), worker in store.workers.items():
            if worker.function and worker.state != "gone":
                key = (source, worker.username, worker.function)
                self._held[key] = self._held.get(key, 0) + 1


class Invocations(TablePage):
    """The calls from outside."""

    NAME, TITLE, KEY, KIND = "invocations", "invocations", "4", "invocation"
    HELP = "The calls from outside, newest first; enter shows what one did, step by step."
    SORT, CLI, EMPTY = "-began", "mee6 trace", "no invocations yet; i makes one"

    def columns(self) -> list[Column[Row]]:
        """What an invocation is."""
        return [
            Column("began", "BEGAN", 8, self._began, lambda row: row[1].accepted_ns, tone=_quiet),
            Column("function", "FUNCTION", 16, lambda row: row[1].function, grows=True),
            self.state(look.INVOCATIONS),
            Column("took", "TOOK", 7, self._took, self._took_ns, right=True),
            Column("start", "START", 9, lambda row: row[1].start, tone=_start_tone),
            Column("worker", "WORKER", 8, lambda row: row[1].worker, tone=_quiet, priority=1),
            Column("user", "USER", 8, lambda row: row[1].username, tone=_quiet, priority=4),
            Column("version", "VER", 4, lambda row: f"v{row[1].version}", tone=_quiet, right=True, priority=5),
            Column("id", "ID", 12, lambda row: row[1].id, tone=_quiet, priority=3),
            Column("error", "ERROR", 16, _first_error, tone=lambda _row: "error", priority=2, grows=True),
        ]

    def _began(self, row: Row) -> str:
        return clock_time(self.store.wall_ns(row[0][0], row[1].accepted_ns))

    def _took_ns(self, row: Row) -> int:
        end = row[1].ended_ns or self.store.agent_now(row[0][0], self.console.moment)
        return max(0, int(end - row[1].accepted_ns))

    def _took(self, row: Row) -> str:
        return duration(self._took_ns(row))


def _first_error(row: Row) -> str:
    error: str = row[1].error
    return error.strip().splitlines()[-1] if error.strip() else ""


def _start_tone(row: Row) -> str:
    return {"cold": "accent", "prewarmed": "prewarmed"}.get(row[1].start, "quiet")


class Nodes(TablePage):
    """The agents."""

    NAME, TITLE, KEY, KIND = "nodes", "nodes", "5", "node"
    HELP = "The agents: how many workers they have, what waits, what they use."
    SORT, CLI, EMPTY = "name", "mee6 agent status", "no agent has answered yet"

    def columns(self) -> list[Column[Row]]:
        """What a node is."""
        return [
            Column("name", "NAME", 14, lambda row: row[0][0], grows=True),
            Column("link", "LINK", 14, self._link, tone=self._link_tone),
            Column("workers", "WORKERS", 9, _of_most, lambda row: row[1].workers, right=True),
            Column("busy", "BUSY", 5, lambda row: str(row[1].busy or ""), lambda row: row[1].busy, right=True),
            Column("paused", "PAUSED", 6, lambda row: str(row[1].paused or ""), lambda row: row[1].paused, right=True),
            Column("queued", "QUEUED", 6, lambda row: str(row[1].queued or ""), lambda row: row[1].queued, right=True),
            Column("memory", "MEMORY", 9, lambda row: bytes_(row[1].memory_bytes), right=True, priority=1),
            Column(
                "cpu", "CPU", 4, lambda row: f"{row[1].cpu_percent:.0f}%", lambda row: row[1].cpu_percent, right=True
            ),
            Column("driver", "DRIVER", 8, lambda row: row[1].driver, tone=_quiet, priority=2),
            Column("version", "VERSION", 8, lambda row: row[1].version, tone=_quiet, priority=4),
            Column("up", "UP", 5, lambda row: self.ago(row[0][0], row[1].started_ns), right=True, priority=3),
        ]

    def _link(self, row: Row) -> str:
        if row[1].draining:
            return "draining"
        link = self.store.links.get(row[0][0])
        return self.table.palette.word(look.LINKS[link.state]) if link else ""

    def _link_tone(self, row: Row) -> str:
        link = self.store.links.get(row[0][0])
        return look.LINKS[link.state].tone if link else "quiet"


def _machine_cpu(row: Row) -> str:
    return f"{row[1].cpu_percent:.0f}%"


def _of_most(row: Row) -> str:
    return f"{row[1].workers} of {row[1].max_workers}"


class Events(TablePage):
    """All that happened."""

    NAME, TITLE, KEY, KIND = "events", "events", "0", "event"
    HELP = "All that the agents did, newest first. Of several changes within 25 ms only the last is told."
    SORT, CLI, EMPTY = "-number", "mee6 watch", "nothing has happened yet"

    def __init__(self) -> None:
        self._recent: dict[Key, Happened] = {}
        super().__init__()

    def columns(self) -> list[Column[Row]]:
        """What an event is."""
        return [
            Column(
                "number", "NUMBER", 8, lambda row: f"{row[1].number:,}", lambda row: row[1].number, _quiet, right=True
            ),
            Column("time", "TIME", 12, self._time, lambda row: row[1].event.at_ns, tone=_quiet),
            Column("kind", "KIND", 10, lambda row: kind_of(row[1].event.what)),
            Column("what", "WHAT", 14, lambda row: told(row[1].event.what)[0]),
            Column("state", "STATE", 12, self._state, tone=self._tone),
            Column("detail", "DETAIL", 14, lambda row: told(row[1].event.what)[2], tone=_quiet, grows=True),
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
        sign = _sign_of(row[1].event.what)
        return f"{self.table.palette.glyph(sign)} {state}" if sign else state

    def _tone(self, row: Row) -> str:
        sign = _sign_of(row[1].event.what)
        return sign.tone if sign else "text"


def _sign_of(what: Any) -> Sign | None:
    match what:
        case Worker():
            return look.WORKERS.get(what.state)
        case Invocation() | Step():
            return look.INVOCATIONS.get(what.state)
        case Handover():
            return look.HANDOVERS.get(what.state)
        case _:
            return None


def kind_of(what: Any) -> str:
    """The kind of an event, as `Console.Watch` names it."""
    return "function" if isinstance(what, FunctionChange) else type(what).__name__.lower()


def told(what: Any) -> tuple[str, str, str]:
    """An event in words: what it is about, its state, more."""
    match what:
        case Worker():
            return what.id, what.state, what.reason or " ".join(filter(None, (what.function, what.via)))
        case Invocation():
            return what.id, what.state, f"{what.function} {what.start} {what.error}".strip().replace("\n", " ")
        case Step():
            return what.id, what.state, f"{what.function} in {what.worker}" if what.worker else what.function
        case Log():
            return what.function, what.stream, what.text.rstrip().replace("\n", " / ")
        case Handover():
            return what.worker, what.state, what.reason
        case FunctionChange():
            return what.name, "removed" if what.removed else f"v{what.version}", what.runtime
        case Node():
            return what.id, "draining" if what.draining else "serving", ""
        case _:
            return "", "", ""


@lru_cache(maxsize=20_000)
def numbered(identity: str) -> tuple[int, str]:
    """What sorts `w10` after `w9`; kept, since each ordering asks for it again of every row."""
    digits = "".join(filter(str.isdigit, identity))
    return (int(digits) if digits and len(digits) < 12 else 0, identity)


PAGES: Sequence[type[Page]] = (Workers, Functions, Invocations, Nodes, Events)
PLACES = {page.KIND: Place(page.NAME) for page in (Workers, Functions, Invocations, Nodes, Events)}
"""The page that lists a kind."""
