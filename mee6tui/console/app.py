"""The console itself: wires store, history, sources, clock and pages; owns where one is and which moment is shown.

What is shown is `shown`: the live store, or while frozen the store of a moment. The sources go on filling the live
one all the while. Nothing here knows what a page shows.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.widget import Widget
from textual.worker import Worker, WorkerState

from mee6.errors import InvalidInput, Mee6Error
from mee6.records import Batch, Figures, Node
from mee6tui.console import look
from mee6tui.console.clock import FPS, FrameClock
from mee6tui.console.commands import Command, Context, Key, Registry, Selection
from mee6tui.console.event import thing_of
from mee6tui.console.finder import CommandFinder, Finder
from mee6tui.console.frame import Frame
from mee6tui.console.history import History
from mee6tui.console.leaving import end_with_signals
from mee6tui.console.look import PALETTES, Palette
from mee6tui.console.moment import Moment
from mee6tui.console.payload import Payload
from mee6tui.console.recall import Recall
from mee6tui.console.screens.command_line import CommandLine
from mee6tui.console.screens.dialogs import Dialog
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.screens.registry import PAGES, registry
from mee6tui.console.source import AgentSource, Item, LinkState, Sink, Source
from mee6tui.console.store import Store
from mee6tui.console.telling import TellingApp
from mee6tui.console.terminal import TerminalDriver
from mee6tui.console.themes import palette_of, theme_of
from mee6tui.console.trail import Trail
from mee6tui.console.widgets.line import Painted

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.console.recording import Recorder
    from mee6tui.console.replay import Tape

FRAME_S: Final = 0.25
"""How often header, banner and hints are looked at; at once after whatever the user did."""
TYPED_S: Final = 1.0
"""How long a field may take to take in what was typed, and a box to open, before the next key is looked at."""
_COMMANDS: Final = registry()
_MEASURED: Final = frozenset({Node, Figures})
"""Events of which nothing fades, and nothing waits for a further frame."""


class ConsoleApp(TellingApp):
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
    CommandLine { background: $surface; }
    #hints.-off { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            key,
            f"command('{command.id}')",
            command.title,
            show=False,
            id=command.id,
            priority=command.id == "quit",  # whatever is open
        )
        for command in _COMMANDS.commands
        for key in [",".join(command.keys)]
        if key
    ]
    COMMANDS: ClassVar[set[Any]] = {Finder}
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
        super().__init__(wall_ns if tape is None else tape.wall_ns)
        self.tape = tape
        self.recorder = recorder
        if tape is not None:
            now = tape.now
        self.sources = list(sources)
        self.clients: Mapping[str, Client] = clients or {}
        self.flags = dict(flags or {})
        self.read_only = dict(read_only or {})
        self.recall = Recall()
        self.invoked: dict[Key, Payload] = {}
        """What was invoked from here, with what."""
        self.under_way: dict[str, str] = {}
        """Functions that are being added from here, and how far that is."""
        self.now = now
        self.store = self.shown = Store()
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
        self.page: Page
        self._opening = False
        """Whether a page is being opened; keys that come meanwhile are held, since they may be meant for it."""
        self._held: deque[events.Key] = deque()
        self._opened = asyncio.Event()
        """The first page has been painted."""
        self._pages: dict[str, Page] = {}
        self.trail = Trail()
        self._moment = Moment(self.store, self.history, tape, now, self._show)
        self._ticked_at = self._framed_at = float("-inf")
        self._frame_due = self._was_old = False
        self._frame = Frame(self)
        self._prompt = CommandLine()
        for palette in PALETTES.values():
            self.register_theme(theme_of(palette))
        self._first_theme = theme
        if (first := self.get_theme(theme)) is not None and first.dark:  # as Textual begins
            self.set_reactive(ConsoleApp.theme, theme)  # now, or all styles would be made twice
            self.stylesheet.set_variables(self.get_css_variables())

    # Life

    def get_driver_class(self) -> type[Driver]:
        """Textual's own, which ends with its terminal."""
        usual = super().get_driver_class()
        return TerminalDriver if usual is LinuxDriver else usual

    def compose(self) -> ComposeResult:
        """Header, banner, the pages, the prompt and the hints."""
        yield self._frame.header
        yield self._frame.banner
        yield Container(id="pages")
        yield self._prompt
        yield self._frame.hints

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
            end_with_signals(self)
            self.call_later(_settle)
        self.run_worker(self.clock.run(), name="clock", group="clock", exit_on_error=True)

    async def _listen(self, source: Source) -> None:
        if self.tape is None:
            await self._opened.wait()  # nothing comes before the first page is painted, and connecting takes a while
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
        self.clock.stir(measured=isinstance(item, Batch) and all(type(e.what) in _MEASURED for e in item.events))
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
        if over and isinstance(over[0], Dialog) and over[0].is_mounted:
            over[0].flush(now)
        if now - self._framed_at >= FRAME_S or self._frame_due or self._links.take():
            self._framed_at, self._frame_due = now, False
            self._frame.show(now, asking=self._prompt.is_open)
            if self._was_old != self.page.is_old:
                self._was_old = self.page.is_old
                self._shade(self.page)

    def hurry(self) -> None:
        """Paints at once: the user did something."""
        self._frame_due = True
        self.clock.hurry()

    async def on_event(self, event: events.Event) -> None:
        """A key that is not typed is obeyed before the next is looked at: that may be meant for what this one opens.

        Textual sends a burst of keys to whatever had the focus before the first of them was obeyed. What was typed
        before such a key must be there when it is obeyed. While a page is being opened keys are held, also those from
        before the console was drawn.
        """
        if isinstance(event, events.Key) and not event.is_forwarded and self._opening:
            self._held.append(event)
            return
        if isinstance(event, events.Key) and not event.is_forwarded and self.app_focus:
            focused = self.focused
            if focused is None or not focused.check_consume_key(event.key, event.character):
                before = self.screen
                if focused is not None and focused.check_consume_key("a", "a"):
                    await _taken_in(focused)
                obeyed = await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)
                if obeyed:
                    self.hurry()
                    if self.screen_stack and self.screen is not before and not self.screen.is_mounted:
                        await _taken_in(self.screen)
                    return
        await super().on_event(event)

    def on_key(self) -> None:
        """What is pointed at may have changed, and with it the hints."""
        self.hurry()

    def _take_palette(self) -> None:
        base = PALETTES.get(self.theme)
        if base is None:
            base = palette_of(self.current_theme)
        self.palette = replace(base, ascii=self.palette.ascii)
        for screen in self.screen_stack:
            for widget in screen.query("*"):
                if isinstance(widget, Painted):
                    widget.set_palette(self.palette)
        if self._pages:
            self._shade(self.page)

    def _shade(self, page: Page) -> None:
        """Gives the page its colours, faded where what it shows is old."""
        palette = self.palette.faded if page.is_old else self.palette
        for widget in [page, *page.query("*")]:
            if isinstance(widget, Painted) and widget.palette != palette:
                widget.set_palette(palette)

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
        if self.trail.here != place:
            self.trail.go(place)
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
        self._opening = True
        self.call_after_refresh(self._entered, page)

    async def _entered(self, page: Page) -> None:
        if page.main is not None and not page.main.is_mounted:
            self.call_after_refresh(self._entered, page)  # it is on its way
            return
        self._shade(page)
        self.hurry()
        self._opened.set()
        if page is not self.page:
            return
        self.attend()
        self._opening = False
        if self._held:
            page.flush(self.now())  # what the keys may point at
        while self._held and not self._opening:
            await self.on_event(self._held.popleft())

    def attend(self) -> None:
        """Gives the keys to the page, unless something is being typed."""
        main = self.page.main
        if main is not None and main.is_mounted and not self._prompt.is_open:
            main.screen.set_focus(main)  # at once: what is pressed next is meant for it

    def travel(self, by: int) -> None:
        """Goes back or forward in history."""
        place = self.trail.travel(by)
        if place is not None:
            self._enter(place)

    def swap(self) -> None:
        """Goes to where one was before."""
        if self.trail.before is not None:
            self.go(self.trail.before)

    def back(self) -> None:
        """Clears the filter, or else goes back."""
        if self.page.filter_text:
            self.page.set_filter("")
        else:
            self.travel(-1)

    def back_or_quit(self) -> None:
        """Goes back; at the beginning, leaves."""
        if self.trail.can_go_back:
            self.travel(-1)
        else:
            self.exit()

    def replace_place(self, place: Place) -> None:
        """Goes to a place in the place of this one: the way back stays as it is."""
        self.trail.replace(place)
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
        return self._moment.frozen

    @property
    def moment(self) -> float:
        """The moment that is shown, in seconds of the monotonic clock."""
        return self._moment.at

    @property
    def new(self) -> int:
        """How many events came since the view was frozen."""
        return self._moment.new

    def freeze(self) -> None:
        """Freezes the view, or goes on; a recording stands still meanwhile."""
        self._moment.freeze()

    def scrub(self, by_s: float) -> Awaitable[None] | None:
        """Shows how things stood so much later or earlier; a recording is played on to there."""
        return self._moment.scrub(by_s)

    def scrub_event(self, *, back: bool) -> Awaitable[None] | None:
        """Shows how things stood at the next event, or the one before."""
        found = self._moment.scrub_event(back=back)
        if isinstance(found, str):
            self.notify(found)
            return None
        return found

    def _show(self, store: Store) -> None:
        self.shown = store
        self.page.show_store(store)
        self.hurry()

    # Commands

    def context(self, arg: str = "") -> Context:
        """Where a command would be run now."""
        return Context(self, self.page.NAME, self.page.selection(), arg)

    def action_command_palette(self) -> None:
        """Finds a command by some of its title."""
        if not CommandFinder.is_open(cast("Any", self)):
            self.push_screen(CommandFinder(id="--command-palette"))

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
        if not self.screen_stack or not self.screen_stack[0].is_attached:
            return  # the console ends
        if not command.known_on(self.page.NAME):  # it was chosen on another page, from a list that was still open
            self.notify(f"{command.title}: not on this page", severity="warning", markup=False)
            return
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

    def filter(self, text: str) -> None:
        """Filters the page; says what is wrong with a filter that is none."""
        try:
            self.page.set_filter(text)
        except InvalidInput as error:
            self.notify(error.message, severity="error", markup=False)

    # Small things that commands do

    def retry_now(self) -> None:
        """Ends all waits for the next attempt to connect."""
        for source in self.sources:
            if isinstance(source, AgentSource):
                source.retry_now()

    def toggle_header(self) -> None:
        """Hides or shows the header."""
        self._frame.header.toggle_class("-off")

    def toggle_internals(self) -> None:
        """Shows or hides how the console itself is doing."""
        self._frame.internals = not self._frame.internals

    def text(self) -> str:
        """All that is on the page, as text: for tests and for saving."""
        strips = self.screen._compositor.render_strips()  # noqa: SLF001 - there is no public way
        return "\n".join(strip.text.rstrip() for strip in strips)


async def _taken_in(widget: Widget) -> None:
    """Waits until it is there, and has seen all keys it was sent."""
    seen = asyncio.Event()
    if widget.call_later(seen.set):
        with suppress(TimeoutError):
            async with asyncio.timeout(TYPED_S):
                await seen.wait()


def _settle() -> None:
    """What is there by now stays: the collector need not look at it, neither now nor again."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
