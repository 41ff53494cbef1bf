"""The page of one worker's handover: live as it happens, or again from what is remembered of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.records import Handover, Worker
from mee6tui.cli.units import duration
from mee6tui.console import look
from mee6tui.console.commands import Command, Context, Selection
from mee6tui.console.look import numbered
from mee6tui.console.screens.handovers import took_ns
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.store import Happened, Store
from mee6tui.console.widgets.line import Line, Lines

if TYPE_CHECKING:
    from mee6tui.console.widgets.theatre_story import Told

_HERE: Final = frozenset({"theatre"})


def _page(context: Context) -> TheatrePage:
    page = context.app.page
    assert isinstance(page, TheatrePage)
    return page


def _no_other(context: Context) -> str | None:
    return None if len(_page(context).peers()) > 1 else "there is no other worker"


class TheatrePage(Page):
    """A worker's agent, proxy and runtime, and the lanes between them."""

    NAME, TITLE, OPENS = "theatre", "handover", frozenset({"handover"})
    HELP = (
        "How the worker's proxy gave its runtime to the agent and left. It is shown beat by beat, since all of it "
        "takes milliseconds; the times are the agent's own. What comes is shown as it comes."
    )
    KEYS = (
        ("space", "stop, go on, play again"),
        ("left right", "a beat back, a beat on"),
        ("0 G", "from the beginning; to the end"),
        ("+ -", "faster, slower"),
    )
    VERBS = (
        Command(
            "theatre.next",
            "The next worker",
            "Shows the handover of the next worker of this agent.",
            lambda context: _page(context).turn(1),
            keys=("j", "down"),
            pages=_HERE,
            when=_no_other,
            hint=3,
            short="next worker",
        ),
        Command(
            "theatre.previous",
            "The worker before",
            "Shows the handover of the worker before.",
            lambda context: _page(context).turn(-1),
            keys=("k", "up"),
            pages=_HERE,
            when=_no_other,
        ),
        Command(
            "theatre.worker",
            "Go to the worker",
            "Shows all that is known of the worker.",
            lambda context: context.app.describe(context.selection) if context.selection else None,
            keys=("enter",),
            pages=_HERE,
            on=frozenset({"worker"}),
            hint=1,
            short="worker",
        ),
    )
    DEFAULT_CSS: ClassVar[str] = "TheatrePage > #facts { height: 1; }"

    def __init__(self) -> None:
        from mee6tui.console.widgets.theatre import Theatre  # the console opens on another page

        super().__init__()
        self.facts = Lines(ground="panel", id="facts")
        self.theatre = Theatre()
        self._seen = 0
        """The number of the last event that was looked at."""

    def compose(self) -> ComposeResult:
        """Facts, and the picture below."""
        yield self.facts
        yield self.theatre

    @property
    def main(self) -> Widget | None:
        """The picture."""
        return self.theatre

    @property
    def moves(self) -> bool:
        """While it is played."""
        return self.theatre.player.playing

    @property
    def worker(self) -> str:
        """Its id."""
        return self.place.key[1] if self.place.key else ""

    def show_store(self, store: Store) -> None:
        """Tells the worker's story as this store knows it: played once from the beginning, then as things come."""
        self.theatre.set_story(self.worker, self._story(store), play=not self.console.frozen)
        self._seen = store.numbered

    def _story(self, store: Store) -> list[Told]:
        """What events tell; what was before them, by the times in the records."""
        key = self.place.key
        if key is None:
            return []
        told: list[Told] = [
            (happened.event.at_ns, happened.event.what)
            for happened in store.events
            if _concerns(happened, key) and isinstance(happened.event.what, Handover | Worker)
        ]
        worker, handover = store.workers.get(key), store.handovers.get(key)
        if handover is not None and not any(isinstance(what, Handover) for _at, what in told):
            at = handover.stages[-1].at_ns if handover.stages else worker.since_ns if worker else 0
            told.append((at, handover))
        if worker is not None and not any(isinstance(what, Worker) for _at, what in told):
            told.append((worker.since_ns, worker))
        return told

    def flush(self, now: float) -> None:
        """Hands over what has happened to it."""
        store, key = self.store, self.place.key
        fresh: list[Happened] = []
        for happened in reversed(store.events):
            if happened.number <= self._seen:
                break
            if key is not None and _concerns(happened, key):
                fresh.append(happened)
        self._seen = store.numbered
        for happened in reversed(fresh):
            what = happened.event.what
            if isinstance(what, Handover | Worker):
                self.theatre.put(happened.event.at_ns, what)
        self.theatre.flush(now)
        self.facts.show([self._line()])

    def _line(self) -> Line:
        key = self.place.key
        worker = self.store.workers.get(key) if key else None
        worker = worker or self.theatre.player.story.last
        handover = self.store.handovers.get(key) if key else None
        if worker is None and handover is None:
            return [("  nothing is known of this worker any more; esc goes back", "quiet")]
        line: list[tuple[str, str]] = []
        if worker is not None:
            sign = look.WORKERS.get(worker.state, look.UNKNOWN)
            line += [(f" {self.facts.palette.word(sign)} ", f"*{sign.tone}")]
            line += [(f" {worker.function}", "text"), ("  of ", "quiet"), (worker.username, "text")] * bool(
                worker.function
            )
            line += [("  proxy ", "quiet"), (f"pid {worker.proxy_pid}", "text")] * bool(worker.proxy_pid)
        if handover is not None:
            sign = look.HANDOVERS.get(handover.state, look.UNKNOWN)
            line += [("  handover ", "quiet"), (handover.state, sign.tone)]
            line += [(" in ", "quiet"), (duration(took_ns(handover)), "text")] * (len(handover.stages) > 1)
            line += [(f"  {handover.reason}", "warning")] * bool(handover.reason)
        return line

    # What is done from here

    def peers(self) -> list[str]:
        """Of the same agent, in order."""
        source = self.place.key[0] if self.place.key else ""
        return sorted((key[1] for key in self.store.workers if key[0] == source), key=numbered)

    def turn(self, by: int) -> None:
        """Shows the worker so much further on, round and round."""
        workers = self.peers()
        if self.place.key is None or not workers:
            return
        at = workers.index(self.worker) if self.worker in workers else -1
        place = Place(self.NAME, (self.place.key[0], workers[(at + by) % len(workers)]), "worker")
        self.console.replace_place(place)

    def selection(self) -> Selection | None:
        """The worker."""
        return Selection("worker", (self.place.key,)) if self.place.key else None

    def heading(self) -> str:
        """Whose."""
        return f"handover of {self.worker}"

    def cli(self) -> str:
        """The list of workers says how far handovers have come."""
        return "mee6 worker ls"


def _concerns(happened: Happened, key: tuple[str, str]) -> bool:
    if happened.source != key[0]:
        return False
    what = happened.event.what
    return what.worker == key[1] if isinstance(what, Handover) else isinstance(what, Worker) and what.id == key[1]
