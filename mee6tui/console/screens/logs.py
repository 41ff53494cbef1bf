"""The page of logs: of a step, an invocation, a function, a worker, a node or all, merged by the time of day.

What comes is the store's; what was written before the console listened is asked of the agents once, and merged in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.errors import Mee6Error
from mee6.records import LogLine
from mee6tui.console import look
from mee6tui.console.commands import Command, Context, Selection
from mee6tui.console.screens.leads import root_of
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.store import Store
from mee6tui.console.widgets.line import Line, Lines

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.console.widgets.log_view import LogView

TAIL: Final = 1_000
"""Remembered lines that are asked of each agent; `a` asks for all."""
_HERE: Final = frozenset({"logs"})
_Told = tuple[str, int, str, str, str]


def _page(context: Context) -> Logs:
    page = context.app.page
    assert isinstance(page, Logs)
    return page


def _nobody(context: Context) -> str | None:
    page = _page(context)
    if page.is_whole:
        return "all that the agent remembers is shown"
    return None if page.asked_of() else "a recording holds no more than it shows"


class Logs(Page):
    """What functions wrote."""

    NAME, TITLE, KEY = "logs", "logs", "8"
    HELP = (
        "What functions wrote, live, of all nodes in the order of time; » is standard error. "
        "It follows the end until it is moved up."
    )
    KEYS = (
        ("j k g G", "choose a line; oldest; follow"),
        ("/ n N", "search; next, previous; !text = without"),
        ("&", "show only what matches; esc shows all"),
        ("enter c", "one line whole, JSON laid out; copy it"),
        ("T W S C", "times, wrap, follow or hold, clear"),
        ("left right", "move long lines"),
    )
    VERBS = (
        Command(
            "logs.line",
            "The whole line",
            "Shows the line under the cursor at full length, JSON laid out.",
            lambda context: _page(context).view.action_open(),
            keys=("enter",),
            pages=_HERE,
            hint=1,
            short="whole line",
        ),
        Command(
            "logs.all",
            "All that is remembered",
            f"Asks the agent for all that it remembers, and not for the last {TAIL:,} lines only.",
            lambda context: _page(context).ask_all(),
            keys=("a",),
            pages=_HERE,
            when=_nobody,
            hint=4,
            short="all",
        ),
        Command(
            "logs.trace",
            "Trace of the line's invocation",
            "Shows the invocation that wrote the line under the cursor, as a waterfall.",
            lambda context: _page(context).show_trace(),
            keys=("t",),
            pages=_HERE,
            when=lambda context: None if _page(context).line_invocation() else "the line is of no invocation",
            hint=3,
            short="trace",
        ),
        Command(
            "logs.wider_here",
            "Logs of all that is around it",
            "From a step's to its invocation's, its function's, its node's, and to all.",
            lambda context: _page(context).widen(),
            keys=("L",),
            pages=_HERE,
            when=lambda context: None if _page(context).place.kind else "these are all logs",
            hint=5,
            short="wider",
        ),
    )
    DEFAULT_CSS: ClassVar[str] = "Logs > #facts { height: 1; }"

    def __init__(self) -> None:
        from mee6tui.console.widgets.log_view import LogView  # the console opens on another page

        super().__init__()
        self.facts = Lines(ground="panel", id="facts")
        self.view: LogView = LogView(copy=self._copy)
        self._seen = 0
        """The number of the store's last line that was looked at."""
        self._older: dict[str, list[LogLine]] = {}
        """What agents told they remember, by source."""
        self._origins: list[tuple[int, str, str]] = []
        """From which line's number on which source and invocation wrote, for those that can still be chosen."""
        self._unfinished: set[tuple[str, str, str]] = set()
        """Who wrote last without an end of line."""
        self._filled: tuple[Store, Place] | None = None
        self._asking = 0
        self._trouble = ""
        self.is_whole = False

    def compose(self) -> ComposeResult:
        """Of what, and the lines."""
        yield self.facts
        yield self.view

    @property
    def main(self) -> Widget | None:
        """The lines."""
        return self.view

    # Of what

    def open(self, place: Place) -> None:
        """Of something else: asks the agents what they remember of it."""
        if place != self.place or (not self._older and not self._asking):
            super().open(place)
            self._older, self._trouble, self.is_whole = {}, "", False
            self.view.search("")
            self.view.filter("")
            self._ask(TAIL)

    def takes(self, source: str, line: LogLine) -> bool:
        """Whether a line is of what is shown."""
        key, log = self.place.key, line.log
        if key is None:
            return True
        if source != key[0]:
            return False
        match self.place.kind:
            case "step":
                return log.invocation == key[1]
            case "invocation":
                return root_of(log.invocation) == root_of(key[1])
            case "function":
                return log.function == key[1].partition("/")[2]
            case "worker":
                return log.worker == key[1]
            case _:
                return True

    def asked_of(self) -> dict[str, Client]:
        """The agents that may remember more."""
        clients = self.console.clients
        key = self.place.key
        return dict(clients) if key is None else {key[0]: clients[key[0]]} if key[0] in clients else {}

    def _ask(self, tail: int) -> None:
        for source, client in self.asked_of().items():
            self._asking += 1
            self.console.run_worker(
                self._fetch(self.place, source, client, tail), name="logs", group="logs", exit_on_error=False
            )

    def _remembered(self, place: Place, client: Client, tail: int) -> AsyncGenerator[LogLine, None]:
        match place.kind, place.key:
            case "function", (_, name):
                user, _, function = name.partition("/")
                return client.logs(function, user=user, tail=tail)
            case (("invocation" | "step"), (source, identity)):
                known = self.store.invocations.get((source, root_of(identity)))
                user_ = known.username if known is not None else None
                return client.logs(invocation=root_of(identity), user=user_, tail=tail)
            case _:
                return client.logs(tail=tail)

    async def _fetch(self, place: Place, source: str, client: Client, tail: int) -> None:
        found: list[LogLine] = []
        trouble = ""
        try:
            async with aclosing(self._remembered(place, client, tail)) as lines:
                found += [line async for line in lines]
        except Mee6Error as error:
            trouble = error.message
        finally:
            self._asking -= 1
        if place == self.place:
            self._trouble = trouble
            self._older[source] = [line for line in found if self.takes(source, line)]
            self._fill(self.store)

    def ask_all(self) -> None:
        """Asks for all that is remembered."""
        self.is_whole = True
        self._ask(0)

    # Painting

    def show_store(self, store: Store) -> None:
        """Fills the view anew; where it is what was shown before, it is as it was left."""
        if self._filled is None or self._filled[0] is not store or self._filled[1] != self.place:
            self._fill(store)

    def _fill(self, store: Store) -> None:
        """Puts what was remembered and what came in the order of time."""
        view, moment = self.view, self.console.moment
        self._filled = store, self.place
        view.forget()
        self._origins.clear()
        self._unfinished.clear()
        lines = {_told(said.source, said.line): said.line for said in store.logs if self.takes(said.source, said.line)}
        for source, older in self._older.items():
            until = store.agent_now(source, moment) if self.console.frozen else 0
            lines |= {_told(source, line): line for line in older if not until or line.at_ns <= until}
        merged = sorted(lines.items(), key=lambda one: store.wall_ns(one[0][0], one[0][1]))
        for told, line in merged:
            self._put(store, told[0], line)
        self._seen = store.logged

    def _put(self, store: Store, source: str, line: LogLine) -> None:
        log = line.log
        writer = (source, log.invocation, log.stream)
        if log.text == "\n" and writer in self._unfinished:  # only the end of the line before
            self._unfinished.discard(writer)
            return
        if log.text.endswith("\n"):
            self._unfinished.discard(writer)
        else:
            self._unfinished.add(writer)
        first = self.view.ring.next
        self.view.put(
            store.wall_ns(source, line.at_ns),
            self._label(store, source, line),
            log.text,
            is_stderr=log.stream == "err",
            lost_bytes=log.dropped_bytes,
        )
        if not self._origins or self._origins[-1][1:] != (source, log.invocation):
            self._origins.append((first, source, log.invocation))
            if len(self._origins) > 2 * self.view.ring.capacity:
                del self._origins[: self.view.ring.capacity]

    def _label(self, store: Store, source: str, line: LogLine) -> str:
        node = f"{look.short(source, 8)}/" if self.place.key is None and len(store.links) > 1 else ""
        if self.place.kind in {"function", "step"}:
            return node + line.log.worker
        return node + f"{line.log.function}/{line.log.worker}"

    def flush(self, now: float) -> None:
        """Hands over what has been written."""
        store = self.store
        fresh = []
        for said in reversed(store.logs):
            if said.number <= self._seen:
                break
            if self.takes(said.source, said.line):
                fresh.append(said)
        self._seen = store.logged
        for said in reversed(fresh):
            self._put(store, said.source, said.line)
        self.view.flush(now)
        line = self._line()
        self.facts.display = bool(line)
        self.facts.show([line])

    def _line(self) -> Line:
        line: list[tuple[str, str]] = []
        if self._asking:
            line.append(("  asking the agent for what was before", "busy"))
        elif self._trouble:
            line.append((f"  older lines are not known: {self._trouble}", "warning"))
        elif self.asked_of() and not self.is_whole and any(len(older) >= TAIL for older in self._older.values()):
            line.append((f"  from the last {TAIL:,} lines on; a asks for all", "quiet"))
        return line

    def _subject(self) -> str:
        key, kind = self.place.key, self.place.kind
        if key is None:
            return "all functions" + (f" on {len(self.store.links)} agents" if len(self.store.links) > 1 else "")
        return f"all functions on {look.short(key[0])}" if kind == "node" else f"{kind} {key[1]}"

    # What is done from here

    def _copy(self, text: str) -> None:
        self.console.copy(text)

    def line_invocation(self) -> tuple[str, str] | None:
        """Source and id of the invocation that wrote the line under the cursor."""
        number = self.view.chosen_number
        if number is None:
            return None
        found = next((origin for origin in reversed(self._origins) if origin[0] <= number), None)
        return (found[1], found[2]) if found is not None and found[2] else None

    def show_trace(self) -> None:
        """Goes to the trace of the line's invocation."""
        if (found := self.line_invocation()) is not None:
            self.console.go(Place("trace", found, "invocation"))

    def widen(self) -> None:
        """Shows the logs of what is around it."""
        key, kind = self.place.key, self.place.kind
        if key is None:
            return
        store = self.store
        place = Place(self.NAME)
        if kind == "step" and root_of(key[1]) != key[1]:
            place = Place(self.NAME, (key[0], root_of(key[1])), "invocation")
        elif kind not in {"node", "function"}:
            known = store.invocations.get((key[0], root_of(key[1]))) or store.workers.get(key)
            if known is not None and known.function:
                place = Place(self.NAME, (key[0], f"{known.username}/{known.function}"), "function")
        elif kind == "function" and len(store.links) > 1:
            place = Place(self.NAME, (key[0], ""), "node")
        self.console.go(place)

    def selection(self) -> Selection | None:
        """What the logs are of."""
        key, kind = self.place.key, self.place.kind
        if key is None or kind == "node":
            return None
        return Selection("invocation", ((key[0], root_of(key[1])),)) if kind == "step" else Selection(kind, (key,))

    def heading(self) -> str:
        """Of what."""
        return f"logs of {self._subject()}"

    def cli(self) -> str:
        """The same as text."""
        key = self.place.key
        match self.place.kind:
            case "function" if key:
                return f"mee6 act logs {key[1].partition('/')[2]} --follow"
            case "invocation" | "step" if key:
                return f"mee6 act logs --id {root_of(key[1])}"
            case "worker" if key:
                return f"mee6 watch --kind log --worker {key[1]}"
            case _:
                return "mee6 watch --kind log"

    def copy_text(self) -> str:
        """The line under the cursor, whole."""
        return self.view.chosen_text


def _told(source: str, line: LogLine) -> _Told:
    return source, line.at_ns, line.log.invocation, line.log.stream, line.log.text
