"""Hand-made records for the widgets, and what a widget says on its lines."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widget import Widget

from mee6.records import Handover, Invocation, Span, Step, Worker
from mee6.records import Stage as HandoverStage

MS = 1_000_000


def step(identity: str, *spans: tuple[str, float, float], function: str = "work", **fields: object) -> Step:
    """Times in milliseconds; an end of 0 is one that is still to come."""
    known: dict[str, object] = {
        "id": identity, "parent": identity.rpartition(".")[0], "function": function, "version": 1, "worker": "w1",
        "start": "warm", "via": "direct", "state": "succeeded", "pid": 7, "error": "", "invocation": "i7",
        "spans": tuple(Span(kind, int(start * MS), int(end * MS)) for kind, start, end in spans), **fields,
    }  # fmt: skip
    return Step(**known)  # type: ignore[arg-type]


def by_id(*steps: Step) -> dict[str, Step]:
    return {one.id: one for one in steps}


def invocation(*, ended: float = 0, identity: str = "i7") -> Invocation:
    state = "succeeded" if ended else "running"
    return Invocation(identity, "default", "pipeline", 3, state, "w1", "warm", 0, int(ended * MS), "")


def worker(state: str, invocations: int = 0, *, via: str = "proxy", function: str = "pipeline") -> Worker:
    return Worker("w3", "python", state, "default", function, 1, via, "", 0, invocations, "", 42, 0)


def handover(state: str, reason: str = "", *, stages: tuple[HandoverStage, ...] = ()) -> Handover:
    return Handover("w3", state, reason, 42, stages=stages)


class Stage(App[None]):
    """An app with one widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget
        self.copied = ""

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_mount(self) -> None:
        self.widget.focus()

    def copy_to_clipboard(self, text: str) -> None:
        self.copied = text

    @property
    def lines(self) -> list[str]:
        return [self.widget.render_line(y).text.rstrip() for y in range(self.widget.size.height)]
