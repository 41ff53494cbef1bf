"""An event: which thing it is about, its kind, and in words. No Textual."""

from __future__ import annotations

from typing import Any

from mee6.records import FunctionChange, Handover, Invocation, Log, Node, Step, Worker
from mee6tui.console import look
from mee6tui.console.commands import Key, Selection
from mee6tui.console.look import Sign


def thing_of(source: str, what: Any) -> Selection | None:
    """The thing that an event is about."""
    found: tuple[str, str] | None = None
    match what:
        case Worker():
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


def sign_of(what: Any) -> Sign | None:
    """How its state looks; None where it has none."""
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
