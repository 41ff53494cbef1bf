"""The commands of the whole console: going places, looking, copying, time, themes. What acts on agents is elsewhere."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final

from mee6.errors import InvalidInput
from mee6tui.console.commands import Command, Context, Run
from mee6tui.console.look import PALETTES
from mee6tui.console.screens.menus import ActionsMenu, CommandLog, HelpScreen
from mee6tui.console.screens.page import Page, Place

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

STEP_S: Final = 1.0


def going(pages: Sequence[type[Page]]) -> list[Command]:
    """A command for each page that can be gone to without saying what it is about."""
    return [
        Command(
            f"go.{page.NAME}",
            f"Show {page.TITLE or page.NAME}",
            page.HELP,
            _goes_to(page.NAME),
            keys=(page.KEY,) if page.KEY else (),
            names=(page.NAME,),
        )
        for page in pages
        if page.KEY
    ]


def _goes_to(name: str) -> Run:
    def go(context: Context) -> None:
        context.app.go(Place(name))
        if context.arg:
            context.app.filter(context.arg)

    return go


def _nothing_to_filter(context: Context) -> str | None:
    return None if context.app.page.can_filter else f"there is nothing to filter on {context.page}"


def _nothing_to_copy(context: Context) -> str | None:
    return None if context.app.page.copy_text() else "there is nothing under the cursor"


def _no_command(context: Context) -> str | None:
    return None if context.app.equivalent() else "no command shows the same"


def _not_frozen(context: Context) -> str | None:
    return None if context.app.frozen else "only while the view is frozen; F freezes it"


def _no_way_back(context: Context) -> str | None:
    return None if context.app.trail.can_go_back else "this is where it began"


def _no_way_forward(context: Context) -> str | None:
    return None if context.app.trail.can_go_forward else "there is nothing further on"


def _theme(context: Context) -> None:
    app = context.app
    if context.arg not in app.available_themes:
        raise InvalidInput(f"no theme {context.arg!r}; tab after ':theme ' offers those there are")
    app.theme = context.arg


def _sort(context: Context) -> None:
    from mee6tui.console.screens.table_page import TablePage

    page = context.app.page
    if not isinstance(page, TablePage):
        raise InvalidInput(f"{context.page} has no columns to sort by")
    name, _, way = context.arg.partition(" ")
    keys = [column.key for column in page.table.columns]
    found = [key for key in keys if key.startswith(name)] if name else []
    if not found or way not in {"", "asc", "desc"}:
        raise InvalidInput(f"say :sort COLUMN [desc]; columns are: {', '.join(keys)}")
    page.table.sort(found[0], downwards=way == "desc")


def _sortable(app: ConsoleApp) -> Sequence[str]:
    from mee6tui.console.screens.table_page import TablePage

    page = app.page
    return [column.key for column in page.table.columns] if isinstance(page, TablePage) else []


def _no_recording(context: Context) -> str | None:
    return None if context.app.tape is not None else "only while a recording is played: mee6 console --replay FILE"


def _at(context: Context) -> Awaitable[None] | None:
    found = re.fullmatch(r"([+-]?)(\d+(?:\.\d+)?) ?(s|m|)", context.arg)
    if found is None or not (found[1] or context.app.tape):
        raise InvalidInput("say :at -90s or :at -5m for so long ago; of a recording also :at 12.5, since it began")
    app, seconds = context.app, float(found[2]) * (60 if found[3] == "m" else 1)
    if not app.frozen:
        app.freeze()
    by_s = seconds - app.moment if not found[1] else -seconds if found[1] == "-" else seconds
    return app.scrub(by_s)


def _speed(context: Context) -> None:
    tape = context.app.tape
    try:
        times = float(context.arg)
    except ValueError:
        times = -1.0
    if tape is None or not 0 <= times < float("inf"):
        raise InvalidInput("say :speed TIMES, as in :speed 4; 0 plays all that is left at once")
    tape.speed = times


def _themes(app: ConsoleApp) -> Sequence[str]:
    return [*PALETTES, *sorted(name for name in app.available_themes if name not in PALETTES)]


VERBS: Final = (
    Command(
        "open",
        "Open it",
        "Goes to what is under the cursor: an invocation's trace, a worker's life.",
        lambda context: context.app.open_thing(context.selection) if context.selection else None,
        keys=("enter",),
        on=frozenset({"worker", "invocation", "function", "node", "handover", "event"}),
        hint=1,
        short="open",
    ),
    Command(
        "filter",
        "Filter the rows",
        "Shows only what matches: a pattern, !pattern, -f letters, column=pattern; all words must hold.",
        lambda context: context.app.ask("/", context.app.page.filter_text),
        keys=("slash",),
        when=_nothing_to_filter,
        hint=3,
        short="filter",
    ),
    Command(
        "prompt",
        "Type a command",
        "Goes to a page or does what has a name; tab completes, the arrows recall.",
        lambda context: context.app.ask(":"),
        keys=("colon",),
        hint=4,
        short="command",
    ),
    Command(
        "help",
        "Help for this page",
        "Shows the keys that do something here and now.",
        lambda context: _push(context, HelpScreen),
        keys=("question_mark", "f1"),
        names=("help",),
        hint=6,
        short="help",
    ),
    Command(
        "actions",
        "What can be done here",
        "Lists all that can be done with what is selected; what cannot says why.",
        lambda context: _push(context, ActionsMenu),
        keys=("x",),
        names=("actions",),
        hint=2,
        short="actions",
    ),
    Command(
        "describe",
        "Describe it",
        "Shows all that is known of what is under the cursor, live.",
        lambda context: context.app.describe(context.selection) if context.selection else None,
        keys=("d",),
        on=frozenset({"worker", "invocation", "function", "node", "handover"}),
    ),
    Command(
        "raw",
        "Copy it as JSON",
        "Copies the whole record under the cursor as JSON.",
        lambda context: context.app.copy_raw(context.selection) if context.selection else None,
        keys=("y",),
        on=frozenset({"worker", "invocation", "function", "node", "handover"}),
    ),
    Command(
        "copy",
        "Copy the cell",
        "Copies what is under the cursor; the arrows left and right choose the cell of a row.",
        lambda context: context.app.copy(context.app.page.copy_text()),
        keys=("c",),
        when=_nothing_to_copy,
    ),
    Command(
        "copy.command",
        "Copy the command line",
        "Copies the mee6 command line that shows the same.",
        lambda context: context.app.copy(context.app.equivalent()),
        keys=("Y",),
        when=_no_command,
    ),
    Command(
        "freeze",
        "Freeze the view, or go on",
        "Keeps what is shown as it is while the console goes on listening; , and . step through the past.",
        lambda context: context.app.freeze(),
        keys=("F",),
        names=("freeze",),
        hint=5,
        short="freeze",
    ),
    Command(
        "time.back",
        "A second back",
        "Shows how things stood a second earlier.",
        lambda context: context.app.scrub(-STEP_S),
        keys=("comma",),
        when=_not_frozen,
    ),
    Command(
        "time.forward",
        "A second forward",
        "Shows how things stood a second later.",
        lambda context: context.app.scrub(STEP_S),
        keys=("full_stop",),
        when=_not_frozen,
    ),
    Command(
        "time.event_back",
        "Back to the event before",
        "Shows how things stood before the event before.",
        lambda context: context.app.scrub_event(back=True),
        keys=("left_curly_bracket",),
        when=_not_frozen,
    ),
    Command(
        "time.event_forward",
        "On to the next event",
        "Shows how things stood after the next event.",
        lambda context: context.app.scrub_event(back=False),
        keys=("right_curly_bracket",),
        when=_not_frozen,
    ),
    Command(
        "time.at",
        "Go to a moment",
        "Freezes the view as it was so long ago, as in :at -90s; of a recording also :at 12.5, since it began.",
        _at,
        names=("at",),
        menu=False,
    ),
    Command(
        "time.speed",
        "Play faster or slower",
        "Plays a recording so many times as fast as it was, as in :speed 4; 0 is all at once.",
        _speed,
        names=("speed",),
        when=_no_recording,
        menu=False,
    ),
    Command(
        "back",
        "Back",
        "Clears the filter, or else goes back to where one came from.",
        lambda context: context.app.back(),
        keys=("escape",),
        names=("back",),
    ),
    Command(
        "quit.or_back",
        "Back, or leave at the beginning",
        "Goes back; where there is no way back, leaves.",
        lambda context: context.app.back_or_quit(),
        keys=("q",),
    ),
    Command(
        "history.back",
        "Back in history",
        "Goes back to the page before.",
        lambda context: context.app.travel(-1),
        keys=("left_square_bracket",),
        when=_no_way_back,
    ),
    Command(
        "history.forward",
        "Forward in history",
        "Goes forward again after going back.",
        lambda context: context.app.travel(1),
        keys=("right_square_bracket",),
        when=_no_way_forward,
    ),
    Command(
        "history.last",
        "The page before, and back",
        "Changes between the two pages seen last.",
        lambda context: context.app.swap(),
        keys=("minus",),
        menu=False,
    ),
    Command(
        "sort",
        "Sort by a column",
        "Sorts by a column, as in :sort memory desc; < and > change the column, s the direction.",
        _sort,
        names=("sort",),
        complete=_sortable,
        menu=False,
    ),
    Command(
        "theme",
        "Choose a theme",
        "Changes the colours; mee6-dark and mee6-light keep to hues that everybody tells apart.",
        _theme,
        names=("theme",),
        complete=_themes,
        menu=False,
    ),
    Command(
        "reconnect",
        "Connect again now",
        "Does not wait for the next attempt to reach agents that did not answer.",
        lambda context: context.app.retry_now(),
        keys=("ctrl+r",),
        names=("reconnect",),
    ),
    Command(
        "log",
        "What has been done",
        "Lists the command lines of all that was done from here.",
        lambda context: _push(context, CommandLog),
        names=("log",),
    ),
    Command(
        "header",
        "Hide or show the header",
        "Gives the first line to the page.",
        lambda context: context.app.toggle_header(),
        keys=("ctrl+e",),
    ),
    Command(
        "internals",
        "How the console itself is doing",
        "Shows frames, time for a frame, lag, events and what the past takes.",
        lambda context: context.app.toggle_internals(),
        keys=("f12",),
        names=("internals",),
    ),
    Command(
        "quit",
        "Leave",
        "Ends the console; nothing else ends with it.",
        lambda context: context.app.exit(),
        keys=("ctrl+q",),
        names=("quit", "q"),
    ),
)


def _push(context: Context, screen: type[HelpScreen | ActionsMenu | CommandLog]) -> None:
    context.app.push_screen(screen(context))
