"""What opens over a page and goes away: help, the actions menu, the log of what was done."""

from __future__ import annotations

import textwrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from mee6tui.console.commands import Command, Context, Done, key_name
from mee6tui.console.look import clock_time
from mee6tui.console.widgets.line import set_bars

_BOX = """
{name} { align: center middle; background: $background 60%; }
{name} > #box { width: 76; max-width: 96%; height: auto; max-height: 90%; background: $panel; padding: 1 2; }
{name} #title { text-style: bold; color: $accent; height: 1; margin-bottom: 1; }
{name} #foot { color: $text-muted; height: 1; margin-top: 1; }
"""


class Menu(ModalScreen[None]):
    """A box over the page; esc and q close it."""

    DEFAULT_CSS: ClassVar[str] = _BOX.replace("{name}", "Menu")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "Close", show=False, id="menu.close"),
    ]
    FOOT: ClassVar[str] = "esc closes"

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.foot = Static(self.FOOT, id="foot", markup=False)

    def heading(self) -> str:
        """Its first line."""
        raise NotImplementedError

    @property
    def room(self) -> int:
        """Columns that its text has, in a box as wide as most."""
        return min(76, int(self.app.size.width * 0.96)) - 6

    def body(self) -> Widget:
        """What stands between first and last line."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Title, body, foot."""
        with Vertical(id="box"):
            yield Static(self.heading(), id="title", markup=False)
            yield self.body()
            yield self.foot

    def on_mount(self) -> None:
        """Its scrollbars are of what the terminal can show."""
        for widget in self.query("*"):
            if widget.is_scrollable:
                set_bars(widget, self.context.app.palette)

    def action_close(self) -> None:
        """Goes away."""
        self.dismiss()


def key_names(command: Command) -> str:
    """Its keys as people write them."""
    return " ".join(key_name(key) for key in command.keys)


def hanging(first: str, words: str, wide: int, width: int) -> str:
    """Words after a first one in its column of so many cells, and below each other."""
    return textwrap.fill(
        words,
        max(width, wide + 20),
        initial_indent=first.ljust(wide),
        subsequent_indent=" " * wide,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        drop_whitespace=True,
    )


class HelpScreen(Menu):
    """The keys that do something here."""

    DEFAULT_CSS: ClassVar[str] = """
    HelpScreen #scroll { height: auto; max-height: 60vh; scrollbar-size-vertical: 1; }
    """
    FOOT = "arrows scroll   esc closes"

    def heading(self) -> str:
        """Which page's."""
        page = self.context.app.page
        return f"Keys on {page.TITLE or page.NAME}"

    @property
    def room(self) -> int:
        """Less than others have, by a blank and the bar."""
        return super().room - 2

    def text(self) -> str:
        """All of it."""
        app, context = self.context.app, self.context
        lines = [hanging("", app.page.HELP, 0, self.room), ""] if app.page.HELP else []
        rows = list(app.page.KEYS)
        here = [command for command in app.registry.here(context.page, context.selection) if command.menu]
        for command in here:
            if command.keys and not command.id.startswith("go."):
                reason = command.when(context)
                rows.append((key_names(command), command.title + (f" ({reason})" if reason else "")))
        wide = max((len(keys) for keys, _words in rows), default=0) + 2
        for place, (keys, words) in enumerate(rows):
            lines += [""] * (place == len(app.page.KEYS) > 0)
            lines.append(hanging(keys, words, wide, self.room))
        pages = [command for command in here if command.id.startswith("go.")]
        said = "   ".join(f"{key_names(command)} {command.names[0]}" for command in pages)
        lines += ["", hanging("Pages", said, 7, self.room)]
        return "\n".join(lines)

    def body(self) -> Widget:
        """The keys, scrolled where there are many."""
        return VerticalScroll(Static(self.text(), id="lines", markup=False), id="scroll")


class ActionsMenu(Menu):
    """All that can be done with what is selected; what cannot says why."""

    DEFAULT_CSS: ClassVar[str] = """
    ActionsMenu OptionList { height: auto; max-height: 60vh; border: none; background: $panel; padding: 0; }
    """
    FOOT = "enter does it   esc closes"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        registry = context.app.registry
        # Going elsewhere is what `:` and the digits are for; stepping through time means nothing yet where it is live.
        left_out = ("go.",) if context.app.frozen else ("go.", "time.")
        here = [c for c in registry.here(context.page, context.selection) if c.menu and not c.id.startswith(left_out)]
        special = [command for command in here if command.on]
        self.commands = [*special, *(command for command in here if not command.on and command.id != "actions")]

    def heading(self) -> str:
        """On what."""
        selection = self.context.selection
        if selection is None:
            return "Actions"
        if len(selection.keys) > 1:
            return f"Actions on {len(selection.keys)} {selection.kind}s"
        return f"Actions on {selection.kind} {selection.key[1]}"

    def body(self) -> Widget:
        """The list."""
        options = []
        for command in self.commands:
            reason = command.when(self.context)
            keys = key_names(command).split(" ", maxsplit=1)[0]
            text = hanging(keys, command.title + (f"  ({reason})" if reason else ""), 9, self.room)
            options.append(Option(text, id=command.id.replace(".", "__"), disabled=bool(reason)))
        return OptionList(*options, markup=False, compact=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Does it, with what was selected when the menu opened."""
        event.stop()
        if not self.is_current:  # enter, twice
            return
        self.dismiss()
        command = self.commands[event.option_index]
        self.context.app.run_command(command, self.context)


class Words(Menu):
    """A text that is too long for the page, whole."""

    DEFAULT_CSS: ClassVar[str] = """
    Words > #box { width: 96%; }
    Words #scroll { height: auto; max-height: 70vh; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "copy", "Copy", show=False, id="words.copy")]
    FOOT = "arrows scroll   c copies   esc closes"

    def __init__(self, context: Context, title: str, text: str) -> None:
        super().__init__(context)
        self._title = title
        self.text = text

    def heading(self) -> str:
        """What it is."""
        return self._title

    def body(self) -> Widget:
        """All of it."""
        lines = map(self.context.app.palette.plain, self.text.split("\n"))
        return VerticalScroll(Static("\n".join(lines), markup=False), id="scroll")

    def action_copy(self) -> None:
        """Copies all of it."""
        self.context.app.copy(self.text)


class CommandLog(Menu):
    """The command lines of what was done from here, and how it went."""

    DEFAULT_CSS: ClassVar[str] = """
    CommandLog > #box { width: 110; }
    CommandLog OptionList { height: auto; max-height: 55vh; border: none; background: $panel; padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("Y,c", "copy", "Copy the line", show=False, id="log.copy")]
    FOOT = "enter or Y copies the line   esc closes"

    def heading(self) -> str:
        """What it is."""
        return "What has been done from here, newest first"

    def body(self) -> Widget:
        """One a line."""
        self.done = list(reversed(self.context.app.command_log))
        if not self.done:
            return Static("nothing yet: whatever is done from here will stand here as a command line", markup=False)
        return OptionList(*(Option(self._line(done)) for done in self.done), markup=False, compact=True)

    def _line(self, done: Done) -> str:
        sign = ("x" if done.error else "v") if self.context.app.palette.ascii else ("✗" if done.error else "✓")
        failed = f"\n{' ' * 11}{' '.join(done.error.split())}" if done.error else ""
        return f"{clock_time(done.at_ns)} {sign} {done.line}{failed}"

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Copies it."""
        event.stop()
        self.context.app.copy(self.done[event.option_index].line)

    def action_copy(self) -> None:
        """Copies the one under the cursor."""
        for options in self.query(OptionList):
            if options.highlighted is not None:
                self.context.app.copy(self.done[options.highlighted].line)
