"""The line at the bottom that is typed into: `:` for commands, `/` for filters; tab completes, enter runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from mee6tui.console.look import Palette
from mee6tui.console.widgets.line import Lines, Painted

HISTORY = 100


class _Field(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False, id="prompt.leave"),
        Binding("tab", "complete", "Complete", show=False, id="prompt.complete"),
        Binding("up", "recall(1)", "Earlier", show=False, id="prompt.earlier"),
        Binding("down", "recall(-1)", "Later", show=False, id="prompt.later"),
    ]

    @property
    def prompt(self) -> Prompt:
        assert isinstance(self.parent, Prompt)
        return self.parent

    def action_leave(self) -> None:
        self.prompt.leave()

    def action_complete(self) -> None:
        self.prompt.complete()

    def action_recall(self, by: int) -> None:
        self.prompt.recall(by)


class Prompt(Painted, Horizontal):
    """What is typed, with a sign before it and what could follow after it."""

    DEFAULT_CSS: ClassVar[str] = """
    Prompt { height: 1; display: none; }
    Prompt.-open { display: block; }
    Prompt > #sign { width: 3; height: 1; }
    Prompt > Input { width: 1fr; min-width: 20; background: transparent; }
    Prompt > #offers { width: 2fr; height: 1; }
    """

    class Entered(Message):
        """Enter was pressed."""

        def __init__(self, sign: str, text: str) -> None:
            super().__init__()
            self.sign, self.text = sign, text

    class Typed(Message):
        """What is there has changed."""

        def __init__(self, sign: str, text: str) -> None:
            super().__init__()
            self.sign, self.text = sign, text

    class Left(Message):
        """Esc was pressed."""

        def __init__(self, sign: str, before: str) -> None:
            super().__init__()
            self.sign, self.before = sign, before

    def __init__(self, complete: Callable[[str, str], Sequence[str]]) -> None:
        super().__init__()
        self.sign = ":"
        self.field = _Field(select_on_focus=False, compact=True)
        self.field.cursor_blink = False
        self._sign = Lines(ground="raised", id="sign")
        self._offers = Lines(ground="raised", id="offers")
        self._complete = complete
        self._histories: dict[str, list[str]] = {}
        self._recalled = -1
        self._draft = ""
        self._before = ""

    def compose(self) -> ComposeResult:
        """Sign, field, offers."""
        yield self._sign
        yield self.field
        yield self._offers

    def set_palette(self, palette: Palette) -> None:
        """For its parts."""
        self.palette = palette
        self._sign.set_palette(palette)
        self._offers.set_palette(palette)

    def repaint(self) -> None:
        """Its parts do."""

    @property
    def is_open(self) -> bool:
        """Whether it is being typed into."""
        return self.has_class("-open")

    def ask(self, sign: str, text: str = "") -> None:
        """Opens with this text."""
        self.sign, self._before, self._recalled = sign, text, -1
        self._sign.show([[(f" {sign} ", "*accent")]])
        self.add_class("-open")
        self.field.value = text
        self.field.cursor_position = len(text)
        self.screen.set_focus(self.field)  # at once: what is typed next is meant for it
        self._offer()

    def close(self) -> None:
        """Ends being typed into."""
        self.remove_class("-open")

    def leave(self) -> None:
        """Esc."""
        self.close()
        self.post_message(self.Left(self.sign, self._before))

    def complete(self) -> None:
        """Takes what all offers begin with, or else the first of them."""
        offers = self._complete(self.sign, self.field.value)
        if offers:
            common = common_start(offers)
            self.field.value = common if len(common) > len(self.field.value) else offers[0]
            self.field.cursor_position = len(self.field.value)

    def recall(self, by: int) -> None:
        """Takes an earlier or later line."""
        lines = self._histories.get(self.sign, [])
        if self._recalled == -1:
            self._draft = self.field.value
        self._recalled = max(-1, min(len(lines) - 1, self._recalled + by))
        self.field.value = self._draft if self._recalled < 0 else lines[-1 - self._recalled]
        self.field.cursor_position = len(self.field.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tells what is typed."""
        event.stop()
        if self.is_open:
            self._offer()
            self.post_message(self.Typed(self.sign, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Tells that it is done."""
        event.stop()
        lines = self._histories.setdefault(self.sign, [])
        if event.value and (not lines or lines[-1] != event.value):
            lines.append(event.value)
            del lines[:-HISTORY]
        self.close()
        self.post_message(self.Entered(self.sign, event.value))

    def _offer(self) -> None:
        offers = self._complete(self.sign, self.field.value)
        words = "  ".join(offer.split(" ")[-1] for offer in offers[:12])
        self._offers.show([[(words, "quiet")]])


def common_start(offers: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(offers), max(offers)
    place = next((place for place, letter in enumerate(first) if last[place : place + 1] != letter), len(first))
    return first[:place]
