"""The console itself: wires store, history, sources, clock and pages; owns where one is and which moment is shown.

What is shown is `shown`: the live store, or while frozen the store of a moment. The sources go on filling the live
one all the while. Nothing here knows what a page shows.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Container
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from mee6.errors import InvalidInput, Mee6Error
from mee6.records import FunctionChange, Handover, Invocation, Log, Node, Step
from mee6.records import Worker as WorkerRecord
from mee6tui.console import (
    clipboard,
    look,
    terminal,  # noqa: F401 - how a terminal is read from then on
)
from mee6tui.console.clock import FPS, FrameClock
from mee6tui.console.commands import Command, Context, Done, Key, Registry, Selection, key_name
from mee6tui.console.history import History
from mee6tui.console.look import PALETTES, Palette, bytes_, clock_time, count
from mee6tui.console.payload import Payload
from mee6tui.console.recall import Recall
from mee6tui.console.screens.dialogs import Dialog
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.screens.registry import PAGES, registry
from mee6tui.console.source import AgentSource, Item, LinkState, Sink, Source
from mee6tui.console.store import Store
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import Line, Lines, Painted, Span
from mee6tui.console.widgets.prompt import Prompt

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.console.recording import Recorder
    from mee6tui.console.replay import Tape

HINTS_NARROW: Final = 6
LEAVE_S: Final = 3.0
"""How long the terminal has to be given back after a signal."""
FRAME_S: Final = 0.25
"""How often header, banner and hints are looked at; at once after whatever the user did."""
LOGGED: Final = 1_000
"""Command lines that are kept of what was done."""
TOAST: Final = 300
"""Characters."""
Severity = Literal["information", "warning", "error"]
_COMMANDS: Final = registry()


class Everything(Provider):
    """The palette: every command that can be done here."""

    async def discover(self) -> Hits:
        """All of them."""
        for command, context in self._here():
            yield DiscoveryHit(command.title, self._runner(command, context), help=_palette_help(command))

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for command, context in self._here():
            if (score := matcher.match(command.title)) > 0:
                yield Hit(score, matcher.highlight(command.title), self._runner(command, context), help=command.help)

    def _here(self) -> list[tuple[Command, Context]]:
        console = self.app
        assert isinstance(console, ConsoleApp)
        context = console.context()
        found = console.registry.here(context.page, context.selection)
        return [(command, context) for command in found if command.menu]

    def _runner(self, command: Command, context: Context) -> Callable[[], None]:
        return lambda: context.app.run_command(command, context)


def _palette_help(command: Command) -> str:
    keys = f"{key_name(command.keys[0])}: " if command.keys else ""
    return keys + command.help


class ConsoleApp(App[int]):
    """The console.

    Args:
        sources: what fills it; agents, or a recording.
        clients: by the source's name, for what acts on an agent; a recording has none.
        flags: by the source's name: what makes `mee6` talk to it, as ` --context edge`.
        read_only: by the source's name: why nothing may be done to it, as `context 'edge' is read-only`.
        now: seconds, monotonic.
        wall_ns: nanoseconds since 1970, UTC.
        tape: what is played, where that is a recording; the console's time is its time.
        recorder: writes what comes to a file.
    """

    TITLE = "mee6"
    CSS: ClassVar[str] = """
    Screen { layers: base; background: $background; }
    #header, #banner, #hints { height: 1; }
    #banner { display: none; }
    #banner.-on { display: block; }
    #header.-off { display: none; }
    #pages { height: 1fr; }
    Prompt { background: $surface; }
    #hints.-off { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"command('{command.id}')", command.title, show=False, id=command.id)
        for command in _COMMANDS.commands
        for key in [",".join(command.keys)]
        if key
    ]
    COMMANDS: ClassVar[set[Any]] = {Everything}
    ENABLE_COMMAND_PALETTE = True

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        clients: Mapping[str, Client] | None = None,
        flags: Mapping[str, str] | None = None,
        read_only: Mapping[str, str] | None = None,
        ascii_only: bool = False,
        theme: str = look.DARK.name,
        fps: float = FPS,
        now: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
        tape: Tape | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__()
        self.tape = tape
        self.recorder = recorder
        if tape is not None:
            now, wall_ns = tape.now, tape.wall_ns
        self.sources = list(sources)
        self.clients = dict(clients or {})
        self.flags = dict(flags or {})
        self.read_only = dict(read_only or {})
        self.recall = Recall()
        self.invoked: dict[Key, Payload] = {}
        """What was invoked from here, with what."""
        self.now = now
        self.wall_ns = wall_ns
        self.store = Store()
        self.shown = self.store
        self.history = History()
        self.sink = Sink(self.store, now, self._note)
        self.listeners: list[Callable[[str, Item, float], None]] = []
        """Told of every item as it comes: a recording."""
        if recorder is not None:
            self.listeners.append(recorder.note)
        self._links = self.store.changes("link")
        self.registry: Registry = _COMMANDS
        self.clock = FrameClock(self.flush, self._backlog, lambda: self.page.moves, now=now, fps=fps)
        self.palette: Palette = replace(look.DARK, ascii=ascii_only)
        self.command_log: deque[Done] = deque(maxlen=LOGGED)
        self.page: Page
        self._pages: dict[str, Page] = {}
        self._trail: list[Place] = []
        self._here = -1
        self._before: Place | None = None
        self._moment: float | None = None
        """The moment shown while frozen."""
        self._frozen_number = 0
        self._internals = False
        self._ticked_at = self._framed_at = float("-inf")
        self._frame_due = False
        self._header = Lines(ground="panel", id="header")
        self._banner = Lines(ground="raised", id="banner")
        self._hints = Lines(ground="panel", id="hints")
        self._prompt = Prompt(self._offers)
        for palette in PALETTES.values():
            self.register_theme(_theme_of(palette))
        self._first_theme = theme

    # Life

    def compose(self) -> ComposeResult:
        """Header, banner, the pages, the prompt and the hints."""
        yield self._header
        yield self._banner
        yield Container(id="pages")
        yield self._prompt
        yield self._hints

    def on_mount(self) -> None:
        """Begins to listen and to paint."""
        if self._first_theme not in self.available_themes:
            self.notify(f"no theme {self._first_theme!r}; using {look.DARK.name}", severity="warning")
            self._first_theme = look.DARK.name
        self.theme = self._first_theme
        self._take_palette()
        self.theme_changed_signal.subscribe(self, lambda _theme: self._take_palette())
        self.go(Place(PAGES[0].NAME))
        for source in self.sources:
            self.run_worker(self._listen(source), name=source.name, group="source", exit_on_error=False)
        if not self.is_headless:
            self._end_with_signals()
            self.call_later(_settle)
        self.run_worker(self.clock.run(), name="clock", group="clock", exit_on_error=True)

    def _end_with_signals(self) -> None:
        """Leaves in order, or in the end anyway: a terminal that nobody reads any more would be waited for forever."""
        loop = asyncio.get_running_loop()

        def leave(number: int, _frame: object) -> None:  # runs even while the loop is held by a write
            with suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self.exit, None, 128 + number)
            _end_anyway(128 + number)

        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, leave)

    async def _listen(self, source: Source) -> None:
        try:
            await source.run(self.sink)
        except Exception as error:  # a console that shows two agents does not end with one of them
            self.sink.link(source.name, LinkState.ENDED, error=f"{type(error).__name__}: {error}")
            raise

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Says what went wrong in the background."""
        if event.state is WorkerState.ERROR and event.worker.group != "clock":
            self.notify(f"{event.worker.name}: {event.worker.error}", severity="error", markup=False)

    def _note(self, source: str, item: Item, at: float) -> None:
        self.history.note(source, item, at, self.store)
        self.clock.stir()
        for listener in self.listeners:
            listener(source, item, at)

    def _backlog(self) -> int:
        """How many frames wait to be written; 0 where that cannot be known."""
        writer = getattr(self._driver, "_writer_thread", None)
        queue = getattr(writer, "_queue", None)
        return int(queue.qsize()) if queue is not None else 0

    # Painting

    def flush(self, now: float) -> None:
        """Paints what has changed; the frame clock calls it."""
        if now - self._ticked_at >= 1.0:
            self._ticked_at = now
            self.store.tick(now)
        self.page.flush(now)
        over = self.screen_stack[-1:]  # none while the console ends
        if over and isinstance(over[0], Dialog):
            over[0].flush(now)
        if now - self._framed_at >= FRAME_S or self._frame_due or self._links.take():
            self._framed_at, self._frame_due = now, False
            self._header.show([self._head()])
            self._show_banner(now)
            self._hints.set_class(self._prompt.is_open, "-off")
            self._hints.show([self._hint_line()])

    def hurry(self) -> None:
        """Paints at once: the user did something."""
        self._frame_due = True
        self.clock.hurry()

    async def on_event(self, event: events.Event) -> None:
        """A key that is not typed is obeyed before the next is looked at: that may be meant for what this one opens.

        Textual sends a burst of keys to whatever had the focus before the first of them was obeyed.
        """
        if isinstance(event, events.Key) and not event.is_forwarded and self.app_focus and not self._types:
            obeyed = await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)
            if obeyed:
                self.hurry()
                return
        await super().on_event(event)

    @property
    def _types(self) -> bool:
        """Whether letters are text for what has the focus."""
        return self.focused is not None and self.focused.check_consume_key("a", "a")

    def on_key(self) -> None:
        """What is pointed at may have changed, and with it the hints."""
        self.hurry()

    def _head(self) -> Line:
        width = self.size.width
        left: list[Span] = [(" mee6 ", "*background", "accent"), (f" {self.page.heading()}", "*text")]
        links = [*self._mode_spans(), *self._link_spans(width)]
        time_ = clock_time(self.wall_ns())
        used = sum(len(span[0]) for span in left) + sum(len(span[0]) for span in links) + len(time_) + 2
        gap = max(1, width - used)
        return [*left, (" " * gap, "text"), *links, (f" {time_} ", "quiet")]

    def _mode_spans(self) -> list[tuple[str, str]]:
        """What is out of the ordinary: nothing can be done, or all is written to a file."""
        spans = [(" read-only ", "warning")] if self.clients and self.clients.keys() <= self.read_only.keys() else []
        if self.recorder is not None:
            stopped = self.recorder.stopped
            said = f" rec stopped: {stopped} " if stopped else f" rec {bytes_(self.recorder.bytes)} "
            spans.append((said, "error" if stopped else "accent"))
        return spans

    def _link_spans(self, width: int) -> list[tuple[str, str]]:
        links = self.store.links
        spans: list[tuple[str, str]] = []
        if len(links) <= (2 if width < 100 else 4):
            for name, link in links.items():
                sign = look.LINKS[link.state]
                spans += [(f" {self.palette.glyph(sign)} ", sign.tone), (look.short(name), "text")]
                if link.state != LinkState.LIVE:
                    spans.append((f" {link.state}", sign.tone))
                spans.append((" ", "text"))
            return spans
        states = [link.state for link in links.values()]
        for sign in look.LINKS.values():
            if number := states.count(sign.word):
                spans.append((f" {self.palette.glyph(sign)} {number} {sign.word} ", sign.tone))
        return spans

    def _show_banner(self, now: float) -> None:
        line = self._banner_line(now)
        self._banner.set_class(bool(line), "-on")
        self._banner.show([line])

    def _banner_line(self, now: float) -> Line:
        if self._moment is not None:
            behind = max(0.0, now - self._moment)
            new = self.store.numbered - self._frozen_number
            return [
                ("  replay stands still" if self.tape else "  frozen", "*warning"),
                (f" at {self._moment_text(now)}, {behind:,.0f} s ago", "text"),
                (f"  {count(new)} new since", "quiet"),
                ("  , . a second  { } an event  F goes on", "quiet"),
            ]
        if self._internals:
            return self._internal_line()
        if self.tape is not None:
            return _tape_line(self.tape)
        for name, link in self.store.links.items():
            if link.state == LinkState.LIVE:
                continue
            if not link.error:
                continue
            wait = f" again in {max(0.0, link.retry_at - now):.0f} s," if link.retry_at > now else ""
            tries = f" attempt {link.attempt}:" if link.attempt else ":" if not wait else ""
            return [
                (f"  {look.short(name)} {link.state}", f"*{look.LINKS[link.state].tone}"),
                (f"{wait}{tries} {' '.join(link.error.split())}", "text"),
            ]
        return []

    def _internal_line(self) -> Line:
        figures = self.clock.figures
        oldest = self.history.oldest
        past = f"{self.now() - oldest:.0f} s in {bytes_(self.history.bytes)}" if oldest is not None else "none"
        said = (
            f"  {figures.fps:.0f} fps  {figures.frame_ms:.1f} ms a frame  {figures.skipped} left out"
            f"  loop late {figures.lag_ms:.1f} ms  {count(self.store.numbered)} events  past {past}"
        )
        return [(said, "accent")]

    def _moment_text(self, now: float) -> str:
        ago_ns = int((now - (self._moment if self._moment is not None else now)) * 1e9)
        return clock_time(self.wall_ns() - ago_ns)

    def _hint_line(self) -> Line:
        context = self.context()
        hints = sorted(
            (c for c in self.registry.here(context.page, context.selection) if c.hint and c.when(context) is None),
            key=lambda command: command.hint,
        )
        line: list[tuple[str, str]] = [(" ", "text")]
        room = self.size.width - 2
        for place, command in enumerate(hints):
            keys, words = key_name(command.keys[0]), command.short or command.title.lower()
            room -= len(keys) + len(words) + 4
            if room < 0 or (place >= HINTS_NARROW and self.size.width < 100):
                break
            line += [(f" {keys} ", "*accent"), (f"{words} ", "quiet")]
        return line

    def _take_palette(self) -> None:
        base = PALETTES.get(self.theme)
        if base is None:
            base = _palette_of(self.current_theme)
        self.palette = replace(base, ascii=self.palette.ascii)
        for screen in self.screen_stack:
            for widget in screen.query("*"):
                if isinstance(widget, Painted):
                    widget.set_palette(self.palette)

    def on_app_blur(self) -> None:
        """Paints seldom while nobody looks."""
        self.clock.focused = False

    def on_app_focus(self) -> None:
        """Paints at once."""
        self.clock.focused = True
        self.hurry()

    def on_resize(self, _event: events.Resize) -> None:
        """Lays itself out anew at once."""
        self.hurry()

    # Where one is

    def go(self, place: Place) -> None:
        """Goes to a place; what was ahead in history is forgotten."""
        if self._here >= 0 and self._trail[self._here] == place:
            return
        self._before = self._trail[self._here] if self._here >= 0 else None
        self._trail = [*self._trail[: self._here + 1], place][-100:]
        self._here = len(self._trail) - 1
        self._enter(place)

    def _enter(self, place: Place) -> None:
        page = self._pages.get(place.page)
        if page is None:
            page = next(kind for kind in PAGES if place.page == kind.NAME)()
            self._pages[place.page] = page
            self.screen_stack[0].query_one("#pages").mount(page)
        for other in self._pages.values():
            if other.display and other is not page:
                other.leave()
            other.display = other is page
        self.page = page
        page.open(place)
        page.show_store(self.shown)
        self.call_after_refresh(self._entered, page)

    def _entered(self, page: Page) -> None:
        for widget in [page, *page.query("*")]:
            if isinstance(widget, Painted) and widget.palette != self.palette:
                widget.set_palette(self.palette)
        if page is self.page and page.main is not None and not self._prompt.is_open:
            page.main.focus()
        self.hurry()

    @property
    def can_go_back(self) -> bool:
        """Whether one came from somewhere."""
        return self._here > 0

    @property
    def can_go_forward(self) -> bool:
        """Whether one has gone back."""
        return self._here < len(self._trail) - 1

    def travel(self, by: int) -> None:
        """Goes back or forward in history."""
        there = self._here + by
        if 0 <= there < len(self._trail):
            self._before = self._trail[self._here]
            self._here = there
            self._enter(self._trail[there])

    def swap(self) -> None:
        """Goes to where one was before."""
        if self._before is not None:
            self.go(self._before)

    def back(self) -> None:
        """Clears the filter, or else goes back."""
        if self.page.filter_text:
            self.page.set_filter("")
        else:
            self.travel(-1)

    def back_or_quit(self) -> None:
        """Goes back; at the beginning, leaves."""
        if self.can_go_back:
            self.travel(-1)
        else:
            self.exit()

    def replace_place(self, place: Place) -> None:
        """Goes to a place in the place of this one: the way back stays as it is."""
        self._trail[self._here] = place
        self._enter(place)

    def open_thing(self, selection: Selection) -> None:
        """Goes to the page that shows such a thing best."""
        selection = self.behind(selection)
        page = next((kind for kind in PAGES if selection.kind in kind.OPENS), None)
        self.go(Place(page.NAME if page else "detail", selection.key, selection.kind))

    def describe(self, selection: Selection) -> None:
        """Goes to all that is known of it."""
        selection = self.behind(selection)
        self.go(Place("detail", selection.key, selection.kind))

    def behind(self, selection: Selection) -> Selection:
        """What an event is about; any other thing as it is."""
        if selection.kind != "event":
            return selection
        source, number = selection.key
        found = next((h for h in reversed(self.shown.events) if str(h.number) == number), None)
        about = thing_of(source, found.event.what) if found else None
        return about or selection

    # Which moment is shown

    @property
    def frozen(self) -> bool:
        """Whether a moment is shown, and not what is now."""
        return self._moment is not None

    @property
    def moment(self) -> float:
        """The moment that is shown, in seconds of the monotonic clock."""
        return self.now() if self._moment is None else self._moment

    def freeze(self) -> None:
        """Freezes the view, or goes on; a recording stands still meanwhile."""
        if self._moment is None:
            self._moment = self.now()
            self._frozen_number = self.store.numbered
            self._show(self.store.copy())
        else:
            self._moment = None
            self._show(self.store)
        if self.tape is not None:
            self.tape.paused = self.frozen

    def scrub(self, by_s: float) -> Awaitable[None] | None:
        """Shows how things stood so much later or earlier; a recording is played on to there."""
        if self._moment is None:
            return None
        wanted = self._moment + by_s
        if self.tape is not None and wanted > self.now():
            return self._play_to(self.tape, wanted)
        oldest = self.history.oldest
        self._moment = max(oldest if oldest is not None else wanted, min(self.now(), wanted))
        self._show(self.history.at(self._moment, self.store))
        return None

    async def _play_to(self, tape: Tape, wanted: float) -> None:
        await tape.play_to(wanted)
        self._moment = tape.now()
        self._show(self.history.at(self._moment, self.store))

    def scrub_event(self, *, back: bool) -> Awaitable[None] | None:
        """Shows how things stood at the next event, or the one before."""
        if self._moment is None:
            return None
        at = self.history.next_event(self._moment, back=back)
        if at is None and self.tape is not None and not back and not self.tape.ended:
            return self.scrub(self.tape.next_s - self._moment)
        if at is None:
            self.notify("nothing happened before that is remembered" if back else "that is the latest event")
            return None
        self._moment = at
        self._show(self.history.at(at, self.store))
        return None

    def _show(self, store: Store) -> None:
        self.shown = store
        self.page.show_store(store)
        self.hurry()

    # Commands

    def context(self, arg: str = "") -> Context:
        """Where a command would be run now."""
        return Context(self, self.page.NAME, self.page.selection(), arg)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key's command must make sense here; another one of the same key may."""
        if action == "command_palette" and len(self.screen_stack) > 1:
            return False
        if action == "command" and hasattr(self, "page"):
            return self.registry[str(parameters[0])].applies(self.page.NAME, self.page.selection())
        return super().check_action(action, parameters)

    def action_command(self, identity: str) -> None:
        """Runs a command by its id."""
        self.run_command(self.registry[identity], self.context())

    def run_command(self, command: Command, context: Context) -> None:
        """Runs a command; says why where it cannot be done."""
        reason = command.when(context)
        if reason is not None:
            self.notify(reason[0].upper() + reason[1:], severity="warning", markup=False)
            return
        try:
            doing = command.run(context)
        except Mee6Error as error:
            self.notify(error.message, severity="error", markup=False)
            return
        if doing is not None:
            self.run_worker(self._finish(command, doing), name=command.id, group="command", exit_on_error=False)
        self.hurry()

    async def _finish(self, command: Command, doing: Awaitable[None]) -> None:
        await self._told(command.title, doing)

    async def _told(self, title: str, doing: Awaitable[None]) -> None:
        try:
            await doing
        except Mee6Error as error:
            self.say(error.message, title=title, severity="error")

    def do(self, title: str, doing: Awaitable[None]) -> None:
        """Does it in the background; what it raises of `mee6.errors` is said under the title."""
        self.run_worker(self._told(title, doing), name=title, group="command", exit_on_error=False)

    def did(self, line: str, said: str = "", error: str = "") -> None:
        """Notes the command line of something that was done, or failed, and says so.

        Args:
            said: what was done, past tense.
            error: how it failed.
        """
        self.note(line, error)
        if error:
            self.say(error, title=said or "it failed", severity="error")
        else:
            self.say(f"$ {line}", title=said or "the same as")

    def note(self, line: str, error: str = "") -> None:
        """Notes it in the command log, without a word."""
        self.command_log.append(Done(self.wall_ns(), line, error))

    def notify(self, message: str, *, title: str = "", **how: Any) -> None:
        """Says something in a corner; see `App.notify`. What a function said gives no orders there either."""
        super().notify("\n".join(map(clean, message.split("\n"))), title=clean(title), **how)

    def say(self, text: str, *, title: str = "", severity: Severity = "information") -> None:
        """Says it in a corner, as it is; what is long is cut, since a toast must leave room for the page."""
        short = text if len(text) <= TOAST else text[: TOAST - 1] + "…"
        self.notify(short, title=title, severity=severity, markup=False)

    def equivalent(self) -> str:
        """The command line that shows about what the page does."""
        line = self.page.cli()
        if not line:
            return ""
        selection = self.page.selection()
        source = selection.key[0] if selection else next(iter(self.store.links), "")
        return line + self.flags.get(source, "")

    # The prompt

    def ask(self, sign: str, text: str = "") -> None:
        """Opens the prompt."""
        self._prompt.ask(sign, text)

    def _offers(self, sign: str, text: str) -> list[str]:
        if sign != ":":
            return []
        name, space, rest = text.lstrip().partition(" ")
        if not space:
            return [found for found in self.registry.names() if found.startswith(name)]
        command = self.registry.by_name(name)
        if command is None or command.complete is None:
            return []
        return [f"{name} {offer}" for offer in command.complete(self) if offer.startswith(rest)]

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        """A filter is tried while it is typed; one that is not finished is left alone."""
        if event.sign == "/":
            with suppress(InvalidInput):
                self.page.set_filter(event.text)

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        """Does what was typed."""
        self._entered(self.page)
        if event.sign == "/":
            self.filter(event.text)
            return
        name, _, arg = event.text.strip().partition(" ")
        if not name:
            return
        command = self.registry.by_name(name)
        if command is None:
            self.notify(f"no command {name!r}; tab offers those there are", severity="error", markup=False)
            return
        self.run_command(command, self.context(arg.strip()))

    def on_prompt_left(self, event: Prompt.Left) -> None:
        """The filter is again what it was."""
        if event.sign == "/":
            self.filter(event.before)
        self._entered(self.page)

    def filter(self, text: str) -> None:
        """Filters the page; says what is wrong with a filter that is none."""
        try:
            self.page.set_filter(text)
        except InvalidInput as error:
            self.notify(error.message, severity="error", markup=False)

    # Small things that commands do

    def copy(self, text: str) -> None:
        """Copies to the terminal's clipboard, as far as terminals allow, and says what was sent where."""
        size = len(text.encode("utf-8", "replace"))
        if size > clipboard.LIMIT_BYTES:
            self.say(f"too much to copy: {bytes_(size)}; terminals take 72 KiB", severity="warning")
        elif text:
            self._send_to_clipboard(text)

    def copy_to_clipboard(self, text: str) -> None:
        """Copies a selection of text: what Textual's own widgets call."""
        self.copy(text)

    def _send_to_clipboard(self, text: str) -> None:
        self._clipboard = text
        if self._driver is not None:
            self._driver.write(clipboard.sequence(text, os.environ))
        self.say(clipboard.told(text, os.environ))

    def copy_raw(self, selection: Selection) -> None:
        """Copies the records as JSON."""
        table = self.shown.table(selection.kind)
        records = [msgspec.to_builtins(table[key]) for key in selection.keys if key in table]
        self.copy(json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False))

    def retry_now(self) -> None:
        """Ends all waits for the next attempt to connect."""
        for source in self.sources:
            if isinstance(source, AgentSource):
                source.retry_now()

    def toggle_header(self) -> None:
        """Hides or shows the header."""
        self._header.toggle_class("-off")

    def toggle_internals(self) -> None:
        """Shows or hides how the console itself is doing."""
        self._internals = not self._internals

    def text(self) -> str:
        """All that is on the page, as text: for tests and for saving."""
        strips = self.screen._compositor.render_strips()  # noqa: SLF001 - there is no public way
        return "\n".join(strip.text.rstrip() for strip in strips)


def thing_of(source: str, what: Any) -> Selection | None:
    """The thing that an event is about."""
    found: tuple[str, str] | None = None
    match what:
        case WorkerRecord():
            found = ("worker", what.id)
        case Handover():
            found = ("worker", what.worker)
        case Invocation():
            found = ("invocation", what.id)
        case Step() | Log():
            found = ("invocation", what.invocation.partition(".")[0])
        case FunctionChange():
            found = ("function", f"{what.username}/{what.name}")
        case Node():
            found = ("node", what.id)
        case _:
            pass
    if found is None:
        return None
    key: Key = (source, found[1])
    return Selection(found[0], (key,))


def _end_anyway(code: int) -> None:
    timer = threading.Timer(LEAVE_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


def _tape_line(tape: Tape) -> Line:
    how = "ended" if tape.ended else "all at once" if tape.speed == 0 else f"{tape.speed:g} times as fast"
    return [
        (f"  replay of {look.short(tape.name)}", "*accent"),
        (f"  {tape.now():.1f} s of {tape.length_s:.1f} s, {how}", "text"),
        ("   F stands still   :at SECONDS   :speed TIMES", "quiet"),
    ]


def _settle() -> None:
    """What is there by now stays: the collector need not look at it, neither now nor again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _theme_of(palette: Palette) -> Theme:
    colors = palette.colors
    return Theme(
        name=palette.name,
        primary=colors["accent"],
        secondary=colors["paused"],
        accent=colors["accent"],
        foreground=colors["text"],
        background=colors["background"],
        surface=colors["raised"],
        panel=colors["panel"],
        success=colors["good"],
        warning=colors["warning"],
        error=colors["error"],
        dark=palette.dark,
        variables={
            "scrollbar": colors["faint"],
            "scrollbar-hover": colors["quiet"],
            "scrollbar-active": colors["accent"],
            "scrollbar-background": colors["background"],
            "scrollbar-background-hover": colors["background"],
            "scrollbar-background-active": colors["background"],
            "scrollbar-corner-color": colors["background"],
            "text-muted": colors["quiet"],
        },
    )


def _palette_of(theme: Theme) -> Palette:
    """Ours for another theme: its grounds and its text, our tones for states."""
    base = look.DARK if theme.dark else look.LIGHT
    made = theme.to_color_system().generate()
    named = {
        "background": "background",
        "panel": "panel",
        "raised": "surface",
        "text": "foreground",
        "accent": "accent",
    }
    taken = {tone: made[name][:7] for tone, name in named.items() if made.get(name, "").startswith("#")}
    return replace(base, name=theme.name, colors={**base.colors, **taken})
