"""What leads from a thing to its trace, its logs and its handover: `t`, `l`, `L` and `h`, wherever it is pointed at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mee6tui.console.commands import Command, Context, Key, Selection
from mee6tui.console.screens.page import Place
from mee6tui.console.store import Store

THINGS: Final = frozenset({"worker", "invocation", "function", "node", "handover", "event"})


def root_of(identity: str) -> str:
    """The invocation that a step, `ID.3`, belongs to."""
    return identity.partition(".")[0]


def invocation_of(store: Store, selection: Selection) -> Key | None:
    """The invocation or step that a thing is about: its own, the one it runs, else its latest."""
    source, identity = selection.key
    match selection.kind:
        case "invocation":
            return selection.key
        case "worker":
            worker = store.workers.get(selection.key)
            if worker is not None and worker.invocation:
                return (source, worker.invocation)
            steps = ((key, step) for key, step in reversed(store.steps.items()) if key[0] == source)
            return next((key for key, step in steps if step.worker == identity), None)
        case "function":
            user, _, name = identity.partition("/")
            calls = ((key, call) for key, call in reversed(store.invocations.items()) if key[0] == source)
            return next((key for key, call in calls if (call.username, call.function) == (user, name)), None)
        case "handover":
            handover = store.handovers.get(selection.key)
            return (source, handover.invocation) if handover is not None and handover.invocation else None
        case _:
            return None


def worker_of(store: Store, selection: Selection) -> Key | None:
    """The worker that a thing is about."""
    source, identity = selection.key
    match selection.kind:
        case "worker" | "handover":
            return selection.key
        case "invocation":
            known = store.steps.get(selection.key) or store.invocations.get(selection.key)
            return (source, known.worker) if known is not None and known.worker else None
        case "function":
            user, _, name = identity.partition("/")
            workers = ((key, worker) for key, worker in store.workers.items() if key[0] == source)
            return next((key for key, worker in workers if (worker.username, worker.function) == (user, name)), None)
        case _:
            return None


def _about(context: Context) -> Selection | None:
    return context.app.behind(context.selection) if context.selection else None


def _trace(context: Context) -> None:
    about = _about(context)
    found = invocation_of(context.app.shown, about) if about else None
    if found is not None:
        context.app.go(Place("trace", found, "invocation"))


def _no_trace(context: Context) -> str | None:
    about = _about(context)
    if context.page == "trace":
        return "this is its trace"
    if about is not None and invocation_of(context.app.shown, about) is not None:
        return None
    return f"no invocation of this {about.kind if about else 'thing'} is known"


def _theatre(context: Context) -> None:
    about = _about(context)
    found = worker_of(context.app.shown, about) if about else None
    if found is not None:
        context.app.go(Place("theatre", found, "worker"))


def _no_theatre(context: Context) -> str | None:
    about = _about(context)
    if context.page == "theatre":
        return "this is its handover"
    if about is not None and worker_of(context.app.shown, about) is not None:
        return None
    return f"no worker of this {about.kind if about else 'thing'} is known"


def _logs(*, wider: bool) -> Callable[[Context], None]:
    def go(context: Context) -> None:
        about = _about(context)
        if about is None:
            return
        kind, key = about.kind, about.key
        if kind == "handover":
            kind = "worker"
        if wider:
            kind, key = _wider(context.app.shown, kind, key)
        context.app.go(Place("logs", key, kind))

    return go


def _wider(store: Store, kind: str, key: Key) -> tuple[str, Key]:
    """Of what the logs are merged: all of an invocation's or a worker's function; else of the node."""
    record = store.table(kind).get(key) if kind in {"invocation", "worker"} else None
    if record is not None and record.function:
        return "function", (key[0], f"{record.username}/{record.function}")
    return "node", (key[0], "")


LEADS: Final = (
    Command(
        "trace",
        "Its trace",
        "Shows what an invocation did, as a waterfall, live: of a worker or a function the latest.",
        _trace,
        keys=("t",),
        on=THINGS - {"node"},
        when=_no_trace,
        hint=7,
        short="trace",
    ),
    Command(
        "logs.of",
        "Its logs",
        "Shows what was written by it or within it, live.",
        _logs(wider=False),
        keys=("l",),
        on=THINGS,
        hint=8,
        short="logs",
    ),
    Command(
        "logs.wider",
        "Logs of all that is around it",
        "Shows what all invocations of its function wrote, merged; of a function, all of its node's.",
        _logs(wider=True),
        keys=("L",),
        on=THINGS,
    ),
    Command(
        "theatre.of",
        "Its handover",
        "Shows how the worker's proxy left the path between agent and runtime, and what goes there now.",
        _theatre,
        keys=("h",),
        on=THINGS - {"node"},
        when=_no_theatre,
    ),
)
