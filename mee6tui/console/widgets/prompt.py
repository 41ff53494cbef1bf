"""The line at the bottom that is typed into: `:` for commands, `/` for filters; tab completes, enter runs.

What is obeyed is obeyed before the next key is looked at: `entered`, `typed` and `left` are called, not sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from mee6tui.console.look import Palette
from mee6tui.console.widgets.line import Line, Lines, Painted

HISTORY: Final = 100
MOST_CHARS: Final = 4096
"""That may stand in the line: each key looks at all of it."""
ROWS: Final = 8
"""Lines of offers, at most."""


class _Field(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave", show=False, id="prompt.leave"),
        Binding("ctrl+c", "copy_or_leave", "Copy, or leave", show=False, id="prompt.copy_or_leave"),
        Binding("tab", "complete(1)", "Complete", show=False, id="prompt.complete"),
        Binding("shift+tab", "complete(-1)", "The offer before", show=False, id="prompt.complete_back"),
        Binding("up", "recall(1)", "Earlier", show=False, id="prompt.earlier"),
        Binding("down", "recall(-1)", "Later", show=False, id="prompt.later"),
    ]

    def __init__(self, prompt: Prompt) -> None:
        super().__init__(select_on_focus=False, compact=True, max_length=MOST_CHARS)
        self.prompt = prompt
        self.cursor_blink = False

    async def action_submit(self) -> None:
        self.prompt.enter()

    def action_leave(self) -> None:
        self.prompt.leave()

    def action_copy_or_leave(self) -> None:
        if self.selected_text:
            self.action_copy()
        else:
            self.prompt.leave()

    def action_complete(self, by: int) -> None:
        self.prompt.complete(by)

    def action_recall(self, by: int) -> None:
        self.prompt.recall(by)


class Prompt(Painted, Vertical):
    """What is typed, with a sign before it and what could follow after it."""

    DEFAULT_CSS: ClassVar[str] = """
    Prompt { height: auto; display: none; }
    Prompt.-open { display: block; }
    Prompt > #all { display: none; }
    Prompt.-offering > #all { display: block; }
    Prompt > Horizontal { height: 1; }
    Prompt #sign { width: 3; height: 1; }
    Prompt Input { width: 1fr; min-width: 20; background: transparent; }
    Prompt #offers { width: 2fr; height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.sign = ":"
        self.field = _Field(self)
        self._all = Lines(ground="raised", id="all")
        self._sign = Lines(ground="raised", id="sign")
        self._offers = Lines(ground="raised", id="offers")
        self._offered: Sequence[str] = ()
        """What tab goes through."""
        self._taken: int | None = None
        """Which of them stands there."""
        self._histories: dict[str, list[str]] = {}
        self._recalled = -1
        self._draft = ""
        self._before = ""

    # For subclasses

    def offers(self, sign: str, text: str) -> Sequence[str]:
        """What the text may be completed to."""
        raise NotImplementedError

    def about(self, sign: str, text: str) -> str:
        """What it would do, in a few words; empty where that is not known."""
        raise NotImplementedError

    def typed(self, sign: str, text: str) -> None:
        """What is there has changed."""
        raise NotImplementedError

    def entered(self, sign: str, text: str) -> None:
        """Enter was pressed."""
        raise NotImplementedError

    def left(self, sign: str, before: str) -> None:
        """Esc was pressed."""
        raise NotImplementedError

    # The widget

    def compose(self) -> ComposeResult:
        """All offers, where they are asked for; sign, field, offers."""
        yield self._all
        yield Horizontal(self._sign, self.field, self._offers)

    def set_palette(self, palette: Palette) -> None:
        """For its parts."""
        self.palette = palette
        for part in (self._all, self._sign, self._offers):
            part.set_palette(palette)

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
        self._offer_none()
        self.add_class("-open")
        self._set(text)
        self.screen.set_focus(self.field)  # at once: what is typed next is meant for it
        self._hint()

    def close(self) -> None:
        """Ends being typed into."""
        self._offer_none()
        self.remove_class("-open")

    def leave(self) -> None:
        """Esc."""
        self.close()
        self.left(self.sign, self._before)

    def enter(self) -> None:
        """Enter."""
        text = self.field.value
        lines = self._histories.setdefault(self.sign, [])
        if text and (not lines or lines[-1] != text):
            lines.append(text)
            del lines[:-HISTORY]
        self.close()
        self.entered(self.sign, text)

    def complete(self, by: int = 1) -> None:
        """Takes what all offers begin with; where they have no more in common, shows them all, then one by one."""
        if self._offered:
            first = 0 if by > 0 else -1
            self._taken = (first if self._taken is None else self._taken + by) % len(self._offered)
            self._set(self._offered[self._taken])
            self._show_all()
            return
        offers = self.offers(self.sign, self.field.value)
        if not offers:
            return
        common = common_start(offers)
        if len(offers) == 1 or len(common) > len(self.field.value):
            self._set(common)
        else:
            self._offered = offers
            self._show_all()

    def recall(self, by: int) -> None:
        """Takes an earlier or later line."""
        lines = self._histories.get(self.sign, [])
        if self._recalled == -1:
            self._draft = self.field.value
        self._recalled = max(-1, min(len(lines) - 1, self._recalled + by))
        self._set(self._draft if self._recalled < 0 else lines[-1 - self._recalled])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tells what is typed."""
        event.stop()
        if self.is_open:
            if self._taken is None or event.value != self._offered[self._taken]:
                self._offer_none()
            self._hint()
            self.typed(self.sign, event.value)

    def _set(self, text: str) -> None:
        self.field.value = text
        self.field.cursor_position = len(text)

    def _hint(self) -> None:
        """What could follow, or what the whole would do."""
        text = self.field.value
        offers = [] if self._offered else self.offers(self.sign, text)
        words = "  ".join(offer.split(" ")[-1] for offer in offers[:12] if offer != text)
        said = self.about(self.sign, text)
        self._offers.show([[(said, "text"), ("  " if said and words else "", "text"), (words, "quiet")]])

    def _offer_none(self) -> None:
        self._offered, self._taken = (), None
        self.remove_class("-offering")

    def _show_all(self) -> None:
        width = self.screen.size.width
        lines = _columns([offer.split(" ")[-1] for offer in self._offered], self._taken, width)
        self._all.styles.height = len(lines)
        self._all.show(lines)
        self.add_class("-offering")
        self._hint()


def _columns(words: Sequence[str], chosen: int | None, width: int) -> list[Line]:
    """The words in columns, downwards; what has no room is counted."""
    wide = max(map(len, words)) + 2
    across = max(1, (width - 3) // wide)
    rows = -(-len(words) // across)
    first = 0
    if rows > ROWS:
        per_page = ROWS * across
        first = (chosen or 0) // per_page * per_page
        rows = ROWS
    shown = words[first : first + rows * across]
    lines: list[Line] = []
    for row in range(rows):
        line: list[tuple[str, str] | tuple[str, str, str]] = [("   ", "text")]
        for place in range(row, len(shown), rows):
            if first + place == chosen:
                line += [(shown[place], "*background", "accent"), (" " * (wide - len(shown[place])), "text")]
            else:
                line.append((shown[place].ljust(wide), "text"))
        lines.append(line)
    if more := len(words) - len(shown):
        lines.append([(f"   {more} more", "quiet")])
    return lines


def common_start(offers: Sequence[str]) -> str:
    """What all of them begin with."""
    first, last = min(offers), max(offers)
    place = next((place for place, letter in enumerate(first) if last[place : place + 1] != letter), len(first))
    return first[:place]
