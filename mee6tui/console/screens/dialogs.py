"""Boxes over a page that ask: a confirmation, a form. What they act on was captured when they were opened.

A dialog names the thing it acts on and shows the command line that does the same. Calm by default: nothing happens
without the button, Cancel is focused where the act is dangerous, and esc leaves everything as it was.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from mee6.errors import Mee6Error
from mee6tui.console.commands import Context
from mee6tui.console.payload import Fault
from mee6tui.console.screens.menus import Menu
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import Line, Painted, set_bars

PARTS = """
{name} .label { color: $text-muted; width: 18; height: 1; }
{name} .row { height: 1; }
{name} .row > Input { width: 1fr; background: $surface; }
{name} .said { height: auto; color: $text; }
{name} .command { height: auto; max-height: 4; color: $text-muted; margin-top: 1; }
{name} .fault { height: auto; max-height: 6; color: $error; display: none; }
{name} .fault.-on { display: block; }
{name} .buttons { height: 1; margin-top: 1; }
{name} Button { min-width: 12; margin-right: 2; background: $surface; color: $text; text-style: none; }
{name} Button.-error { color: $error; }
{name} Button:focus { background: $accent; color: $background; text-style: bold; }
{name} Button.-error:focus { background: $error; }
"""


class Dialog(Menu):
    """A box that asks; `flush` is called by the frame clock while it is on top."""

    DEFAULT_CSS: ClassVar[str] = PARTS.replace("{name}", "Dialog")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("Y,ctrl+y", "copy_line", "Copy the command line", show=False, id="dialog.copy_line"),
        Binding("right", "app.focus_next", "Next", show=False, id="dialog.next"),
        Binding("left", "app.focus_previous", "Before", show=False, id="dialog.before"),
    ]

    def on_mount(self) -> None:
        """Takes the palette; what was said before is no longer in the way."""
        self.app.clear_notifications()
        palette = self.context.app.palette
        for widget in self.query("*"):
            if isinstance(widget, Painted):
                widget.set_palette(palette)
            elif widget.is_scrollable:
                set_bars(widget, palette)

    def flush(self, now: float) -> None:
        """Paints what has changed.

        Args:
            now: seconds, monotonic.
        """

    def lines(self) -> Sequence[str]:
        """The command lines that do the same."""
        return ()

    def action_copy_line(self) -> None:
        """Copies them."""
        if lines := self.lines():
            self.context.app.copy("\n".join(lines))

    def show_lines(self) -> None:
        """Shows the command lines as they are now."""
        text = "\n".join(f"$ {line}" for line in self.lines())
        self.query_one(".command", Static).update(text)

    def complain(self, message: str) -> None:
        """Says in place what is wrong; nothing for an empty message."""
        place = self.query_one(".fault", Static)
        place.set_class(bool(message), "-on")
        place.update(message)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be confirmed."""

    title: str
    """A question that names the thing."""
    items: Sequence[str]
    """Exactly what is acted on, with what becomes of it."""
    verb: str
    """The button's, imperative."""
    lines: Sequence[str]
    warning: str = ""


class Confirm(Dialog):
    """Asks before something that cannot be taken back; Cancel is the default."""

    DEFAULT_CSS: ClassVar[str] = """
    Confirm #items { height: auto; max-height: 30vh; }
    Confirm #warning { color: $warning; height: auto; margin-top: 1; }
    """
    FOOT = "tab the other button  enter presses it  Y copies the line  esc cancels"

    def __init__(self, context: Context, question: Question, act: Callable[[], Awaitable[None]]) -> None:
        super().__init__(context)
        self.question = question
        self._act = act

    def heading(self) -> str:
        """The question."""
        return self.question.title

    def lines(self) -> Sequence[str]:
        """What does the same."""
        return self.question.lines

    def body(self) -> Widget:
        """What is acted on, and the two buttons."""
        question = self.question
        parts: list[Widget] = [Static("\n".join(question.items), markup=False, classes="said")]
        if question.warning:
            parts.append(Static(question.warning, id="warning", markup=False))
        command = Static("\n".join(f"$ {line}" for line in question.lines), markup=False, classes="command")
        buttons = Horizontal(
            Button("Cancel", id="cancel", compact=True),
            Button(question.verb, id="act", variant="error", compact=True),
            classes="buttons",
        )
        return Stack(VerticalScroll(*parts, id="items", can_focus=False), command, buttons)

    def on_mount(self) -> None:
        """Cancel has the focus."""
        super().on_mount()
        self.set_focus(self.query_one("#cancel", Button))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Does it, or does nothing."""
        event.stop()
        self.dismiss()
        if event.button.id == "act":
            self.context.app.do(self.question.verb, self._act())


class Stack(VerticalScroll, can_focus=False):
    """Widgets one below the other, as high as they are."""

    DEFAULT_CSS: ClassVar[str] = "Stack { height: auto; max-height: 100%; }"


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a form."""

    name: str
    label: str
    value: str = ""
    example: str = ""


Values = Mapping[str, str]


class Form(Dialog):
    """A few lines to fill in; what is wrong with them is said in place, and it stays open until all is well.

    Args:
        submit: does it; what it raises of `mee6.errors` is shown. Returns once it is done.
        shown: the command line for the values; may raise `mee6.errors`, as when they are not finished.
    """

    FOOT = "enter does it   tab goes on   ctrl+y copies the line   esc cancels"

    def __init__(
        self,
        context: Context,
        title: str,
        fields: Sequence[Field],
        verb: str,
        submit: Callable[[Values], Awaitable[None]],
        shown: Callable[[Values], str] | None = None,
        note: str = "",
    ) -> None:
        super().__init__(context)
        self._title = title
        self._fields = fields
        self._verb = verb
        self._submit = submit
        self._shown = shown
        self._note = note
        self._busy = False

    def heading(self) -> str:
        """On what."""
        return self._title

    @property
    def values(self) -> Values:
        """What has been filled in."""
        return {field.name: self.query_one(f"#{field.name}", Input).value.strip() for field in self._fields}

    def lines(self) -> Sequence[str]:
        """What does the same, where the values are whole."""
        if self._shown is None:
            return ()
        try:
            return [self._shown(self.values)]
        except Mee6Error:
            return ()

    def body(self) -> Widget:
        """The lines and the buttons."""
        rows = []
        for field in self._fields:
            entry = Input(field.value, placeholder=field.example, id=field.name, compact=True)
            entry.cursor_blink = False
            rows.append(Horizontal(Static(field.label, classes="label", markup=False), entry, classes="row"))
        buttons = Horizontal(
            Button(self._verb, id="act", variant="primary", compact=True),
            Button("Cancel", id="cancel", compact=True),
            classes="buttons",
        )
        note = [Static(self._note, classes="command", id="note", markup=False)] if self._note else []
        command = Static("", classes="command", markup=False)
        return Stack(*rows, Static("", classes="fault", markup=False), command, *note, buttons)

    def on_mount(self) -> None:
        """The first line is typed into."""
        super().on_mount()
        self.set_focus(self.query_one(Input))
        self.show_lines()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The command line follows."""
        event.stop()
        self.show_lines()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter does it."""
        event.stop()
        self._begin()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Does it, or nothing."""
        event.stop()
        if event.button.id == "act":
            self._begin()
        else:
            self.dismiss()

    def _begin(self) -> None:
        if not self._busy:
            self._busy = True
            self.context.app.run_worker(self._finish(), group="command", exit_on_error=False)

    async def _finish(self) -> None:
        try:
            await self._submit(self.values)
        except Mee6Error as error:
            if self.is_current:
                self.complain(error.message)
            else:
                self.context.app.say(error.message, title=self._title, severity="error")
        else:
            if self.is_current:
                self.dismiss()
        finally:
            self._busy = False


def choice(width: int, options: Sequence[str], chosen: str) -> tuple[Line, dict[range, str]]:
    """A line of words of which one is chosen, and which columns are which.

    Args:
        width: of the label before them.
    """
    line: list[tuple[str, str] | tuple[str, str, str]] = []
    places: dict[range, str] = {}
    at = width
    for option in options:
        text = f" {option} "
        line.append((text, "*background", "accent") if option == chosen else (text, "text", "raised"))
        places[range(at, at + len(text))] = option
        at += len(text) + 1
        line.append((" ", "text"))
    return line, places


def fault_lines(fault: Fault, what: str = "", *, ascii_only: bool = False) -> list[Line]:
    """What is wrong with a text, and below it the place, marked.

    Args:
        what: the text's name.
    """
    sign, begin = "x" if ascii_only else "✗", max(0, fault.column - 41)
    near, place = clean(fault.excerpt[begin : begin + 72]), fault.column - 1 - begin
    after: Line = [
        ("  " + near[:place], "quiet"),
        (near[place : place + 1] or " ", "*background", "error"),
        (near[place + 1 :], "quiet"),
    ]
    return [[(f"{sign} {what}{fault}", "error")], after]
