"""What an act is on, and why it cannot be done: keys captured from a context, or named after `:`. No Textual."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mee6tui.console.commands import Context, Key, Reason
from mee6tui.console.source import LinkState

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

Fits = Callable[[Any], str | None]
"""Why an act is nothing for a record; None = it is."""


def barred(app: ConsoleApp, source: str) -> str | None:
    """Why nothing can be done to an agent just now."""
    if source not in app.clients:
        return "this is a recording: nothing can be done to it"
    if reason := app.read_only.get(source):
        return reason
    link = app.store.links.get(source)
    if link is None or link.state not in {LinkState.LIVE, LinkState.LAGGING, LinkState.RESTARTED}:
        state = link.state if link else LinkState.CONNECTING
        return f"not connected to {source} ({state}); ctrl+r tries again at once"
    return None


def targets(context: Context, kind: str) -> tuple[Key, ...]:
    """The things of a kind that are meant: those named, or else those selected; of a worker also its function."""
    app = context.app
    if context.arg:
        return tuple(key for word in context.arg.split() for key in _named(app, kind, word))
    selection = app.behind(context.selection) if context.selection else None
    if selection is None:
        return (next(iter(app.store.table("node"))),) if kind == "node" and len(app.store.nodes) == 1 else ()
    if selection.kind == kind:
        return selection.keys
    if kind == "node":
        return tuple(dict.fromkeys((source, app.store.nodes[source].id) for source, _id in selection.keys))
    if kind == "function" and selection.kind in {"worker", "invocation"}:
        records = ((key[0], app.shown.table(selection.kind).get(key)) for key in selection.keys)
        found = ((source, f"{it.username}/{it.function}") for source, it in records if it and it.function)
        return tuple(dict.fromkeys(found))
    return ()


def needs(kind: str, fits: Fits = lambda _record: None, *, one: bool = False) -> Reason:
    """A `Command.when`: there must be such things, of agents to which something can be done.

    Args:
        one: of several it is refused.
    """

    def when(context: Context) -> str | None:
        keys = targets(context, kind)
        if not keys:
            return f"no {kind} {context.arg!r} is known" if context.arg else _nothing(context, kind)
        if one and len(keys) > 1:
            return f"{len(keys)} are marked and it is for one; ctrl+\\ clears the marks"
        for source in dict.fromkeys(source for source, _id in keys):
            if reason := barred(context.app, source):
                return reason
        reasons = [fits(context.app.shown.table(kind).get(key)) for key in keys]
        return reasons[0] if all(reasons) else None

    return when


def fitting(context: Context, kind: str, fits: Fits) -> tuple[Key, ...]:
    """Of the things meant, those that the act is for."""
    table = context.app.shown.table(kind)
    return tuple(key for key in targets(context, kind) if fits(table.get(key)) is None)


def completes(kind: str) -> Callable[[ConsoleApp], list[str]]:
    """A `Command.complete`: the names of all things of a kind."""

    def complete(app: ConsoleApp) -> list[str]:
        if kind == "node":
            return sorted(app.store.nodes)
        names = [identity.rpartition("/")[2] for _source, identity in app.store.table(kind)]
        return sorted(dict.fromkeys(names))

    return complete


def _nothing(context: Context, kind: str) -> str:
    if kind == "node" and len(context.app.store.nodes) > 1:
        return "there are several agents; name one, or select it on page nodes"
    if kind == "function" and context.selection is not None:
        return f"no function is loaded into {context.selection.kind} {context.selection.key[1]}"
    return f"no {kind} is selected"


def _named(app: ConsoleApp, kind: str, word: str) -> list[Key]:
    found = []
    for source, identity in app.store.table(kind):
        own = source if kind == "node" else identity.rpartition("/")[2]
        if word in {own, identity, f"{source}:{identity}"}:
            found.append((source, identity))
    return found


def other_user(app: ConsoleApp, source: str, user: str) -> str:
    """The user, where it is another than the one the client speaks for."""
    client = app.clients.get(source)
    return "" if client is None or client.user == user else user
