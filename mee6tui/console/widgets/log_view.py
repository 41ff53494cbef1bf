"""Merged logs: the widget around a `LogPage`, which holds what is shown, and a `Ring`, which holds the lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from rich.segment import Segment
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.selection import Selection
from textual.strip import Strip

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.line import segments_of
from mee6tui.console.widgets.line_widget import LineWidget
from mee6tui.console.widgets.log_line import SHOWN, marked, pretty, wrapped
from mee6tui.console.widgets.log_page import LogPage, Row
from mee6tui.console.widgets.log_ring import CAPACITY, Ring
from mee6tui.console.widgets.pieces import Piece, text_of, width_of

FILTER_NS: Final = 4_000_000
"""How long a filter may look at lines in one frame."""
KEPT: Final = 1_000
"""Rows that are kept drawn, seen or not."""


class LogView(LineWidget):
    """The last lines of many sources. It follows the end until it is scrolled up.

    Args:
        capacity: of lines.
        wall_offset_ns: what makes a line's time one since 1970.
        clock: nanoseconds, to bound what a filter takes of a frame.
        copy: takes what is copied; the terminal's clipboard if not given.
    """

    ALLOW_SELECT: ClassVar[bool] = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_lines(-1)", "up", show=False, id="logs.up"),
        Binding("down,j", "scroll_lines(1)", "down", show=False, id="logs.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="logs.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="logs.page_down"),
        Binding("home,g", "first", "first", show=False, id="logs.first"),
        Binding("end,G", "follow", "follow", show=False, id="logs.last"),
        Binding("left", "shift(-16)", "left", show=False, id="logs.left"),
        Binding("right", "shift(16)", "right", show=False, id="logs.right"),
        Binding("slash", "ask('/')", "search", key_display="/", id="logs.search"),
        Binding("ampersand", "ask('&')", "filter", key_display="&", id="logs.filter"),
        Binding("n", "hit(1)", "next", show=False, id="logs.next"),
        Binding("N", "hit(-1)", "previous", show=False, id="logs.previous"),
        Binding("enter", "open", "whole line", id="logs.open"),
        Binding("T", "times", "times", id="logs.times"),
        Binding("W,w", "wrap", "wrap", id="logs.wrap"),
        Binding("S", "autoscroll", "follow/hold", id="logs.autoscroll"),
        Binding("C", "clear", "clear", show=False, id="logs.clear"),
        Binding("c", "copy", "copy line", show=False, id="logs.copy"),
        Binding("escape", "leave", "back", show=False, id="logs.leave"),
    ]

    def __init__(
        self,
        palette: Palette = DARK,
        *,
        capacity: int = CAPACITY,
        wall_offset_ns: int = 0,
        clock: Callable[[], int] = time.monotonic_ns,
        copy: Callable[[str], None] | None = None,
        **widget: Any,
    ) -> None:
        super().__init__(palette, **widget)
        self.ring = Ring(capacity)
        self.page = LogPage(self.ring, palette, wall_offset_ns=wall_offset_ns)
        self._clock = clock
        self._copy = copy
        self._rows: list[Row] = []
        self._segments: dict[tuple[int, int], list[Segment]] = {}
        """Of the rows that are seen: most only move when lines come."""
        self._seen: object = None
        self._asking = ""
        """`/` or `&` while a pattern is typed."""
        self._typed = ""
        self._opened: list[list[Piece]] | None = None
        self._opened_top = 0

    def put(self, at_ns: int, source: str, text: str, *, is_stderr: bool = False, lost_bytes: int = 0) -> None:
        """Takes what was written; it costs a microsecond or two and paints nothing."""
        self.ring.put(at_ns, source, text, is_stderr=is_stderr, lost_bytes=lost_bytes)
        if self.page.note_source(source):
            self._segments.clear()

    def forget(self) -> None:
        """Forgets all lines, to be filled anew."""
        self.ring.clear()
        self.page.follow()
        self._seen = None
        self._segments.clear()

    def set_palette(self, palette: Palette) -> None:
        """Looks different from now on."""
        self.page.palette = palette
        self._seen = None
        self._segments.clear()
        super().set_palette(palette)

    @property
    def _height(self) -> int:
        """Rows for lines: the last is the status."""
        return max(0, self.box.height - 1)

    @property
    def _width(self) -> int:
        return max(0, self.box.width - 1)

    def flush(self, now: float) -> None:  # noqa: ARG002 - the frame clock gives it to every widget
        """Draws what has changed, and lets a filter look on for a few milliseconds."""
        self.page.advance(FILTER_NS, self._clock)
        self._measure()
        ring, page = self.ring, self.page
        seen = (ring.first, ring.next, len(page.view), page.follows, page.top, self.box)
        if seen == self._seen:
            return
        self._seen = seen
        self._rows = page.rows(self._height, self._width)
        self.repaint_lines(range(self.box.height))

    def _turn(self) -> None:
        """Draws at once, after a key."""
        self._seen = None
        self._segments.clear()
        self.flush(0)

    def resized(self) -> None:
        """Its rows are others."""
        self._seen = None
        self._segments.clear()
        self._rows = self.page.rows(self._height, self._width)

    # -- lines

    def line(self, y: int) -> Strip:
        """The line at `y` from the top."""
        width = self.box.width
        if y >= self._height:
            return self.strip(self._status(), width)
        bar = segments_of([self._bar(y)], 1, self.palette)
        if self._opened is not None:
            place = self._opened_top + y
            body = self._opened[place] if place < len(self._opened) else []
            return Strip([*self._selected(body, place, 0, width - 1, ""), *bar], width)
        if y >= len(self._rows):
            said = [Piece(self._empty() if y == 0 else "", "quiet")]
            return Strip([*segments_of(said, width - 1, self.palette), *bar], width)
        row = self._rows[y]
        found = self._segments.get((row.number, row.start))
        if found is None:
            if len(self._segments) > KEPT:
                self._segments.clear()
            found = self._segments[row.number, row.start] = self._row(row, width - 1)
        return Strip([*found, *bar], width)

    def _row(self, row: Row, width: int) -> list[Segment]:
        ground = "cursor" if row.number == self.page.chosen else "background"
        head = width_of(row.head)
        return [
            *segments_of(row.head, head, self.palette, ground),
            *self._selected(row.body, row.number, row.start, width - head, ground),
        ]

    def _selected(self, pieces: Sequence[Piece], number: int, start: int, width: int, ground: str) -> list[Segment]:
        """The text of a line from a place in it, marked where it is selected."""
        selection = self.text_selection
        span = selection.get_span(number) if selection is not None else None
        if span is not None:
            stop = max(0, span[1] - start) if span[1] >= 0 else SHOWN * 2
            pieces = marked(pieces, [(max(0, span[0] - start), stop)], "text", "cursor")
        return segments_of(pieces, max(0, width), self.palette, ground or "background")

    def render_line(self, y: int) -> Strip:
        """Where the pointer is: each character knows its line's number and its place there, for selecting."""
        painted = super().render_line(y)
        if self._opened is not None:
            return painted.apply_offsets(0, self._opened_top + y)
        if y >= min(len(self._rows), self._height):
            return painted
        row = self._rows[y]
        return painted.apply_offsets(row.start - sum(len(piece.text) for piece in row.head), row.number)

    def _empty(self) -> str:
        if len(self.ring) and self.page.filtered is not None:
            return " no line matches; esc shows all" if self.page.filtered.done >= 1 else " looking..."
        return " nothing has been written yet"

    def _bar(self, y: int) -> Piece:
        if self._opened is not None:
            return self.scroll_bar(y, self._opened_top, self._height, len(self._opened))
        view = self.page.view
        count = len(view)
        if not self._rows or not count:
            return Piece(" ")
        shown = 1 + self._rows[-1].number - self._rows[0].number if not self.page.filtered else len(self._rows)
        top = view.place(self._rows[0].number)
        return self.scroll_bar(y, min(top, max(0, count - shown)), min(shown, self._height), count)

    def _status(self) -> list[Piece]:
        if self._asking:
            what = "search: " if self._asking == "/" else "filter: "
            return [
                Piece(f" {what}", "accent", strong=True),
                Piece(self.palette.plain(self._typed)),
                Piece(" ", "text", "accent"),
                Piece("  enter, esc; !text = without; capitals count", "quiet"),
            ]
        if self._opened is not None:
            return [Piece(f" {len(self._opened)} rows of one line; c copies it, esc goes back", "quiet")]
        return self.page.status()

    # -- selection

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, whole lines also where less of them is shown."""
        if self._opened is not None:
            return selection.extract("\n".join(text_of(pieces) for pieces in self._opened)), "\n"
        start, end = ((place.y, max(0, place.x)) if place is not None else None for place in selection)
        return self.page.copied(start, end), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Shows what is selected, and holds still for it."""
        if self.page.follows and selection is not None:
            self.page.hold(self._height, self._width)
        self._turn()

    # -- keys

    def on_key(self, event: events.Key) -> None:
        """While a pattern is asked for, keys are its text."""
        if not self._asking:
            return
        event.stop()
        event.prevent_default()
        match event.key:
            case "enter":
                self._answer()
            case "escape":
                self._asking = ""
            case "backspace":
                self._typed = self._typed[:-1]
            case "ctrl+u":
                self._typed = ""
            case _ if event.is_printable and event.character:
                self._typed += event.character
        self._turn()

    def on_paste(self, event: events.Paste) -> None:
        """Pasted text is a part of what is asked for."""
        if self._asking:
            event.stop()
            self._typed += clean(event.text.partition("\n")[0])
            self._turn()

    def check_consume_key(self, key: str, character: str | None) -> bool:  # noqa: ARG002
        """While a pattern is asked for, no key is anybody else's."""
        return bool(self._asking)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """While a pattern is asked for, keys are its text."""
        return not self._asking

    def _answer(self) -> None:
        asking, self._asking = self._asking, ""
        if asking == "&":
            self.filter(self._typed)
        else:
            self.search(self._typed)

    def search(self, asked: str) -> bool:
        """Marks what matches and goes to the nearest; nothing for an empty one.

        Returns:
            Whether there is one.
        """
        self.page.search(asked)
        found = self.page.step(-1, self._height, self._width)
        self._turn()
        return found

    def filter(self, asked: str) -> None:
        """Shows only lines that match; all of them for an empty one. The lines are looked at as frames go by."""
        self.page.filter(asked)
        self._turn()

    def action_ask(self, kind: str) -> None:
        """Asks for a pattern, at the bottom."""
        self._asking, self._typed = kind, ""
        self._turn()

    def action_hit(self, by: int) -> None:
        """Goes to another hit."""
        self.page.step(by, self._height, self._width)
        self._turn()

    def action_scroll_lines(self, by: int) -> None:
        """Chooses another line."""
        if self._opened is not None:
            self._opened_top = max(0, min(self._opened_top + by, len(self._opened) - self._height))
        else:
            self.page.move(by, self._height, self._width)
        self._turn()

    def action_page(self, by: int) -> None:
        """Moves by what is seen."""
        self._scroll(by * max(1, self._height - 1))

    def _scroll(self, by: int) -> None:
        if self._opened is not None:
            self.action_scroll_lines(by)
            return
        self.page.scroll(by, self._height, self._width)
        self._turn()

    def action_first(self) -> None:
        """Goes to the oldest line."""
        self.page.go(0)
        self._turn()

    def action_follow(self) -> None:
        """Goes to the end and stays there."""
        self.page.follow()
        self._turn()

    def action_autoscroll(self) -> None:
        """Holds still, or follows the end."""
        if self.page.follows:
            self.page.hold(self._height, self._width)
        else:
            self.page.follow()
        self._turn()

    def action_shift(self, by: int) -> None:
        """Moves lines that are too long to the left or back."""
        self.page.shift = 0 if self.page.wraps else max(0, min(self.page.shift + by, SHOWN))
        self._turn()

    def action_times(self) -> None:
        """Shows or hides the times."""
        self.page.shows_times = not self.page.shows_times
        self._turn()

    def action_wrap(self) -> None:
        """Breaks long lines, or cuts them."""
        self.page.wraps = not self.page.wraps
        self.page.shift = 0
        self._turn()

    def action_clear(self) -> None:
        """Forgets the lines."""
        self.forget()
        self._turn()

    @property
    def chosen_number(self) -> int | None:
        """The number of the line that is meant."""
        return self._one()

    @property
    def chosen_text(self) -> str:
        """The line that is meant, whole; empty where there is none."""
        number = self._one()
        return self.ring[number].text if number is not None else ""

    def _one(self) -> int | None:
        """The number of the line that is meant: chosen, found, or the last that is seen."""
        for number in (self.page.chosen, self.page.hit):
            if number is not None and self.ring.first <= number < self.ring.next:
                return number
        return self._rows[-1].number if self._rows and self._rows[-1].number >= self.ring.first else None

    def action_open(self) -> None:
        """Shows one line at full length, JSON laid out."""
        number = self._one()
        if number is not None and self._opened is None:
            self.page.hold(self._height, self._width)
            lines = pretty(self.ring[number].text)
            self._opened = [part for line in lines for part in wrapped(line, max(8, self._width - 1))]
            self._opened_top = 0
            self._turn()

    def action_copy(self) -> None:
        """Copies one line, whole."""
        number = self._one()
        if number is not None:
            (self._copy or self.app.copy_to_clipboard)(self.ring[number].text)

    def action_leave(self) -> None:
        """Goes back by one: from the opened line, the chosen one, the search, the filter; else it is another's key."""
        page = self.page
        if self._opened is not None:
            self._opened = None
        elif page.chosen is not None:
            page.follow()
        elif page.pattern is not None:
            page.search("")
        elif page.filtered is not None:
            page.filter("")
        else:
            raise SkipAction
        self._turn()

    def on_click(self, event: events.Click) -> None:
        """Chooses a line; twice, opens it; on the scroll bar, goes there."""
        if self._opened is None and event.x >= self.size.width - 1 and self._height:
            self.page.go(event.y * len(self.page.view) // self._height)
        elif self._opened is None and event.y < len(self._rows) and self.text_selection is None:
            self.page.hold(self._height, self._width)
            self.page.chosen = self._rows[event.y].number
            if event.chain == 2:
                self.action_open()
        self._turn()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Later lines."""
        event.stop()
        self._scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Earlier lines."""
        event.stop()
        self._scroll(-3)
