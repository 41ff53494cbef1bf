"""Why an invocation took as long as it did (`w`): the words of `mee6 explain`, over the page."""

from __future__ import annotations

from typing import Final

from mee6tui.console.commands import Command, Context
from mee6tui.console.screens.leads import invocation_of, root_of
from mee6tui.console.screens.menus import Words


def _asked(context: Context) -> tuple[str, str] | None:
    """The source and the id of the invocation that is meant."""
    about = context.app.behind(context.selection) if context.selection else None
    found = invocation_of(context.app.shown, about) if about else None
    return (found[0], root_of(found[1])) if found else None


def _no_reasons(context: Context) -> str | None:
    found = _asked(context)
    if found is None:
        return "no invocation of this is known"
    return None if found[0] in context.app.clients else "this is a recording: there is no agent to ask"


async def _explain(context: Context) -> None:
    from mee6tui import reasons  # few ask

    found = _asked(context)
    if found is None:
        return
    source, identity = found
    known = context.app.shown.invocations.get(found)
    told = await reasons.fetch(context.app.clients[source], identity, user=known.username if known else None)
    context.app.push_screen(Words(context, f"Why {identity} took as long as it did", "\n".join(reasons.lines(told))))


EXPLAIN: Final = Command(
    "explain",
    "Why it took that long",
    "Holds each part of an invocation against what it usually takes, and says what would have avoided it.",
    _explain,
    keys=("w",),
    names=("explain",),
    on=frozenset({"invocation", "worker", "function", "handover"}),
    when=_no_reasons,
)
