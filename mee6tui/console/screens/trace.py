"""The page of one invocation: what it is, its waterfall, live, and what is to be said of the step under the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.widget import Widget

from mee6.errors import Mee6Error
from mee6.records import Handover, Invocation, Step, Trace
from mee6tui.cli.units import duration
from mee6tui.console import look
from mee6tui.console.commands import Command, Context, Selection
from mee6tui.console.look import bytes_, clock_time
from mee6tui.console.screens.leads import root_of
from mee6tui.console.screens.menus import Words
from mee6tui.console.screens.page import Page, Place
from mee6tui.console.store import Changes, Store
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import Line, Lines

if TYPE_CHECKING:
    from mee6tui.console.widgets.waterfall import Waterfall

ERROR_LINES = 6
"""Of a step's error, below the waterfall; `e` shows all."""


def page_of(context: Context) -> TracePage:
    """The page; only for commands that are of no other."""
    page = context.app.page
    assert isinstance(page, TracePage)
    return page


def _no_worker(context: Context) -> str | None:
    step = page_of(context).step
    return None if step is not None and step.worker else "the step has no worker yet"


def _no_error(context: Context) -> str | None:
    return None if page_of(context).error else "it has not failed"


class TracePage(Page):
    """An invocation's trace."""

    NAME, TITLE, OPENS = "trace", "trace", frozenset({"invocation"})
    HELP = "What an invocation did, live: which step ran where and when, cold or warm, and where the time went."
    KEYS = (
        ("j k g G", "move; first, last"),
        ("+ - 0", "zoom in, out, all of it"),
        ("left right", "earlier, later"),
        ("f", "fit the step"),
        ("space *", "fold its calls; all calls"),
        ("~", "leave out idle time, or show it again"),
    )
    VERBS = (
        Command(
            "trace.worker",
            "Go to the step's worker",
            "Shows all that is known of the worker that ran the step under the cursor.",
            lambda context: page_of(context).go_to("detail"),
            keys=("enter",),
            pages=frozenset({"trace"}),
            when=_no_worker,
            hint=1,
            short="worker",
        ),
        Command(
            "trace.logs",
            "Logs of the step",
            "Shows what the step under the cursor wrote.",
            lambda context: page_of(context).show_logs(),
            keys=("l",),
            pages=frozenset({"trace"}),
            hint=3,
            short="logs",
        ),
        Command(
            "trace.logs.all",
            "Logs of the invocation",
            "Shows what all of the invocation's steps wrote, merged.",
            lambda context: page_of(context).show_logs(whole=True),
            keys=("L",),
            pages=frozenset({"trace"}),
        ),
        Command(
            "trace.theatre",
            "Handover of the step's worker",
            "Shows how the worker's proxy left the path between agent and runtime.",
            lambda context: page_of(context).go_to("theatre"),
            keys=("h",),
            pages=frozenset({"trace"}),
            when=_no_worker,
            hint=4,
            short="handover",
        ),
        Command(
            "trace.error",
            "The whole error",
            "Shows all that the step failed with.",
            lambda context: page_of(context).show_error(),
            keys=("e",),
            pages=frozenset({"trace"}),
            when=_no_error,
            hint=2,
            short="error",
        ),
    )
    DEFAULT_CSS: ClassVar[str] = """
    TracePage > #facts { height: 2; }
    TracePage > #error { height: 0; }
    """

    def __init__(self) -> None:
        from mee6tui.console.widgets.waterfall import Waterfall  # the console opens on another page

        super().__init__()
        self.facts = Lines(ground="panel", id="facts")
        self.waterfall = Waterfall()
        self.failure = Lines(ground="panel", id="error")
        self.fetched: Trace | None = None
        self._trouble = ""
        """Why the agent could not tell the trace."""
        self._asking = False
        self._asked_at_end = False
        self._steps: Changes | None = None
        self._calls: Changes | None = None
        self._handovers: Changes | None = None
        self._stale = True
        self._known: dict[str, Step] = {}

    def compose(self) -> ComposeResult:
        """Facts, waterfall, error."""
        yield self.facts
        yield self.waterfall
        yield self.failure

    @property
    def moves(self) -> bool:
        """While something in it goes on."""
        return self.waterfall.sheet.is_live

    @property
    def main(self) -> Widget | None:
        """The waterfall."""
        return self.waterfall

    # What it is about

    @property
    def source(self) -> str:
        """The agent that ran it."""
        return self.place.key[0] if self.place.key else ""

    @property
    def root(self) -> str:
        """The invocation's id."""
        return root_of(self.place.key[1]) if self.place.key else ""

    @property
    def step(self) -> Step | None:
        """The one under the cursor."""
        return self._known.get(self.waterfall.selected)

    @property
    def invocation(self) -> Invocation | None:
        """As far as it is known: the store's, else what the agent told."""
        known: Invocation | None = self.store.invocations.get((self.source, self.root))
        if known is None and self.fetched is not None:
            known = self.fetched.invocation
        return known

    @property
    def error(self) -> str:
        """What the step under the cursor failed with; of an invocation without steps, what that did."""
        step, call = self.step, self.invocation
        return step.error if step is not None else call.error if call is not None else ""

    def open(self, place: Place) -> None:
        """Another invocation, or another of its steps; asks the agent for what is not in the store."""
        before = self.root
        super().open(place)
        if self.root != before:
            self.fetched, self._trouble, self._asked_at_end = None, "", False
            self._known = {}
        if place.key is not None and place.key[1] != self.root:
            self.waterfall.select(place.key[1])
        self._ask()

    def show_store(self, store: Store) -> None:
        """Shows the steps of this store."""
        self._steps, self._calls = store.changes("step"), store.changes("invocation")
        self._handovers = store.changes("handover")
        self._stale = True

    def _ask(self) -> None:
        client = self.console.clients.get(self.source)
        if client is None or self._asking or not self.root or self.console.frozen:
            return
        self._asking = True
        self.console.run_worker(self._fetch(self.root), name="trace", group="trace", exit_on_error=False)

    async def _fetch(self, root: str) -> None:
        known = self.store.invocations.get((self.source, root))
        try:
            found = await self.console.clients[self.source].trace(root, user=known.username if known else None)
            if root == self.root:
                self.fetched, self._stale = found, True
        except Mee6Error as error:
            if root == self.root:
                self._trouble = error.message
        finally:
            self._asking = False
        if root != self.root:  # it was gone on from here meanwhile
            self._ask()

    # Painting

    def flush(self, now: float) -> None:
        """Hands over what has changed of it."""
        if self._has_changed():
            self._stale = False
            call = self.invocation
            if call is not None:
                self._known = self._all_steps()
                self.waterfall.set_model(call, self._known, self._its_handovers(self._known))
                if call.ended_ns and not self._asked_at_end:  # its result is known by now
                    self._asked_at_end = True
                    self._ask()
        moment = self.console.moment
        self.waterfall.clock_offset_ns = self.store.offsets_ns.get(self.source, 0)
        self.waterfall.flush(moment)
        self.facts.show(self._facts(self.store.agent_now(self.source, moment)))
        self._show_failure(now)

    def _has_changed(self) -> bool:
        for changes in (self._steps, self._calls, self._handovers):
            if changes:
                mine = changes is self._handovers or any(
                    source == self.source and root_of(identity) == self.root for source, identity in changes
                )
                changes.clear()
                self._stale = self._stale or mine
        return self._stale

    def _all_steps(self) -> dict[str, Step]:
        store, source = self.store, self.source
        steps = {step.id: step for step in self.fetched.steps} if self.fetched and not self.console.frozen else {}
        for identity in store.steps_of.get((source, self.root), ()):
            step: Step | None = store.steps.get((source, identity))
            if step is not None and not (identity in steps and _has_ended(steps[identity]) and not _has_ended(step)):
                steps[identity] = step
        if not steps and self.fetched is not None:  # a moment of which the store has forgotten it
            steps = {step.id: step for step in self.fetched.steps}
        return steps

    def _its_handovers(self, steps: Mapping[str, Step]) -> dict[str, Handover]:
        """By the step during which it happened."""
        found = (self.store.handovers.get((self.source, worker)) for worker in {step.worker for step in steps.values()})
        return {handover.invocation: handover for handover in found if handover and handover.invocation in steps}

    def _show_failure(self, _now: float) -> None:
        lines = [clean(line) for line in self.error.strip().splitlines()]
        room = min(ERROR_LINES, max(1, self.size.height // 4))
        shown: list[Line] = []
        if len(lines) > 1 or (lines and len(lines[0]) > self.size.width - 4):  # one short line stands below the step
            kept = lines[-room:] if len(lines) > room else lines
            more = len(lines) - len(kept)
            title = f" {more} more lines above; e shows all" if more else " e shows and copies all"
            shown = [[(" failed with", "*error"), (title, "quiet")]]
            shown += [[(f"   {line}", "text")] for line in kept]
        if self.failure.styles.height is None or self.failure.styles.height.value != len(shown):
            self.failure.styles.height = len(shown)
        self.failure.show(shown)

    def _facts(self, now: int) -> list[Line]:
        call = self.invocation
        if call is None:
            why = "asking the agent" if self._asking else self._trouble or "no more is known of it"
            return [[(f"  {self.root}", "*text")], [(f"  {why}; esc goes back", "error" if self._trouble else "quiet")]]
        sign = look.INVOCATIONS.get(call.state, look.UNKNOWN)
        took = max(0, (call.ended_ns or now) - call.accepted_ns)
        wall = clock_time(self.store.wall_ns(self.source, call.accepted_ns), millis=True)
        first: Line = [
            (f" {self.facts.palette.word(sign)} ", f"*{sign.tone}"),
            (f" {call.function} v{call.version}", "*text"),
            ("  of ", "quiet"),
            (call.username, "text"),
            ("  took ", "quiet"),
            (duration(took) + ("" if call.ended_ns else " so far"), "text" if call.ended_ns else "busy"),
            ("  at ", "quiet"),
            (wall, "text"),
            (f"  {call.start} start" if call.start else "", "quiet"),
            (f"  on {look.short(self.source)}" if len(self.store.links) > 1 else "", "quiet"),
        ]
        return [first, self._second()]

    def _second(self) -> Line:
        steps = self._known.values()
        workers = dict.fromkeys(step.worker for step in steps if step.worker)
        states = [step.state for step in steps]
        failed = sum(states.count(state) for state in ("failed", "timed out", "lost"))
        running = sum(not _has_ended(step) for step in steps)
        names = " ".join(list(workers)[:6]) + (f" and {len(workers) - 6} more" if len(workers) > 6 else "")
        line: list[tuple[str, str]] = [(f"   {len(states):,} step{'s' * (len(states) != 1)}", "text")]
        line += [(f", {running} going on", "busy")] if running else []
        line += [(f", {failed} failed", "error")] if failed else []
        line += [("  in ", "quiet"), (names, "text")] if workers else []
        if self.fetched is not None and not self.console.frozen:
            line += [("  argument ", "quiet"), (bytes_(self.fetched.arg_bytes), "text")]
            ended = self.fetched.invocation.state == "succeeded"
            line += [("  result ", "quiet"), (bytes_(self.fetched.result_bytes), "text")] if ended else []
        elif self._trouble:
            line += [(f"  not all may be known: {self._trouble}", "warning")]
        return line

    # What is done from here

    def selection(self) -> Selection | None:
        """The invocation."""
        return Selection("invocation", ((self.source, self.root),)) if self.place.key else None

    def heading(self) -> str:
        """With the id."""
        return f"trace {self.root}"

    def cli(self) -> str:
        """The same as text."""
        return f"mee6 trace {self.root}"

    def copy_text(self) -> str:
        """The id of the step under the cursor; the first one's is the invocation's."""
        return self.waterfall.selected or self.root

    def on_waterfall_picked(self, event: Waterfall.Picked) -> None:
        """A step was chosen with the mouse or enter: its worker."""
        event.stop()
        self.console.run_command(self.console.registry["trace.worker"], self.console.context())

    def go_to(self, page: str) -> None:
        """Goes to the worker of the step under the cursor."""
        if self.step is not None:
            self.console.go(Place(page, (self.source, self.step.worker), "worker"))

    def show_logs(self, *, whole: bool = False) -> None:
        """Goes to the logs of the step, or of all of it."""
        step = self.step
        if whole or step is None:
            self.console.go(Place("logs", (self.source, self.root), "invocation"))
        else:
            self.console.go(Place("logs", (self.source, step.id), "step"))

    def show_error(self) -> None:
        """Opens the whole error over the page."""
        what = self.step.id if self.step is not None else self.root
        text = "\n".join(clean(line) for line in self.error.strip().splitlines())
        self.console.push_screen(Words(self.console.context(), f"What {what} failed with", text))


def _has_ended(step: Step) -> bool:
    return bool(step.spans) and all(span.end_ns for span in step.spans)
