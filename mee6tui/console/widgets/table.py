"""A table for live data: ten thousand rows at twenty frames a second, painted line by line.

Rows are records by key; a `Column` says how it reads them. Texts are only made of rows that are seen, so that
putting a row costs a dictionary assignment. Cursor, marks and the place in view are kept by key: rows may come, go
and move around them. While the cursor moves the order stays as it is, and rows that ended meanwhile stay, dimmed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from mee6tui.console.filter import Filter
from mee6tui.console.widgets import table_lines
from mee6tui.console.widgets.columns import GAP, Column, fitted
from mee6tui.console.widgets.flashes import Flashes
from mee6tui.console.widgets.line import LineView
from mee6tui.console.widgets.pieces import fit
from mee6tui.console.widgets.rows import Rows
from mee6tui.console.widgets.table_lines import GUTTER

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

REST_S: Final = 1.0
"""How long after the cursor moved the order stays as it is."""
TICK_S: Final = 1.0
STRIPS: Final = 300
"""Painted rows that are kept, a few screens of them: each takes some 8 KiB with what Textual keeps beside it."""


class LiveTable(LineView, Generic[K, R]):
    """Rows of records by key.

    Args:
        columns: from left to right.
        sort: the key of the column it is sorted by at first; with a `-` before it, downwards.
        ticking: paints what is seen anew every second, for columns that tell an age.
        empty: said where there is nothing to be seen.
    """

    DEFAULT_CSS: ClassVar[str] = "LiveTable { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="table.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page_up"),
        Binding("home,g", "edge(0)", "First", show=False, id="table.first"),
        Binding("end,G", "edge(-1)", "Last", show=False, id="table.last"),
        Binding("left", "cell(-1)", "Cell to the left", show=False, id="table.left"),
        Binding("right", "cell(1)", "Cell to the right", show=False, id="table.right"),
        Binding("enter", "open", "Open", show=False, id="table.open"),
        Binding("space", "mark", "Mark", show=False, id="table.mark"),
        Binding("ctrl+@,ctrl+space", "mark_to", "Mark up to here", show=False, id="table.mark_to"),
        Binding("ctrl+backslash", "unmark", "Clear the marks", show=False, id="table.unmark"),
        Binding("less_than_sign", "sort_by(-1)", "Sort by the column before", show=False, id="table.sort_before"),
        Binding("greater_than_sign", "sort_by(1)", "Sort by the next column", show=False, id="table.sort_next"),
        Binding("s", "reverse", "Reverse the order", show=False, id="table.reverse"),
    ]

    class Opened(Message):
        """Enter or a double click on a row."""

        def __init__(self, table: LiveTable[Any, Any], key: Any) -> None:
            super().__init__()
            self.table = table
            self.key = key

    def __init__(
        self,
        columns: Sequence[Column[R]],
        *,
        sort: str = "",
        ticking: bool = False,
        empty: str = "nothing here",
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(id=id)
        self._rows: Rows[K, R] = Rows(columns, sort)
        self.cursor: K | None = None
        self.marks: dict[K, None] = {}
        self.empty = empty
        self.is_old: Callable[[R], bool] = lambda _record: False
        """Whether a row is shown faded, since it is as it was some time ago."""
        self._cell = 0
        self._ticking = ticking
        self._dirty: set[K] = set()
        self._strips: dict[K, Strip] = {}
        self._flashes: Flashes[K, R] = Flashes()
        self._layout: tuple[int, list[tuple[Column[R], int]]] = (-1, [])
        self._ticked_at = float("-inf")
        self._moved_at = float("-inf")
        self._moved = False
        self._led = False
        """Whether the user has moved the cursor off the first row: until then, it stays on the first row."""
        self._wanted: K | None = None
        """Where the cursor goes as soon as there is such a row."""
        self._now = 0.0

    # Data

    def put(self, key: K, record: R) -> None:
        """Adds or changes a row."""
        self.put_all({key: record})

    def put_all(self, rows: Mapping[K, R]) -> None:
        """Adds or changes rows; of thousands at once, at a fraction of what each takes by itself."""
        self._rows.put(rows)
        self._dirty.update(rows)

    def drop(self, key: K) -> None:
        """Removes a row; one that is not there is no error."""
        if self._rows.drop(key):
            self._dirty.add(key)
            self.marks.pop(key, None)

    def point_at(self, key: K) -> None:
        """Puts the cursor on a row, now or as soon as it comes; moving it oneself ends the wait."""
        self._wanted = key
        self._rows.structural = True

    def replace(self, rows: Mapping[K, R]) -> None:
        """Holds these rows and no others; the cursor stays where it can."""
        self._rows.replace(rows)
        self._flashes.clear()
        self.marks = {key: None for key in self.marks if key in self.rows}
        self.reorder()
        self.repaint()

    def set_filter(self, text: str) -> None:
        """Shows only what the filter lets pass; see `filter.parse`.

        Raises:
            InvalidInput: it is none; the one before stays.
        """
        self._rows.set_filter(text)
        self.reorder()
        self.refresh()

    def sort(self, key: str, *, downwards: bool = False) -> None:
        """Sorts by a column.

        Raises:
            KeyError: there is none of that key.
        """
        self._rows.sort(key, downwards=downwards)
        self.reorder()
        self.refresh()

    def set_columns(self, columns: Sequence[Column[R]]) -> None:
        """Shows these columns from now on."""
        self._rows.set_columns(columns)
        self._cell = 0
        self._layout = (-1, [])
        self.repaint()

    # Reading

    @property
    def rows(self) -> Mapping[K, R]:
        """All there are, also those that the filter hides."""
        return self._rows.all

    @property
    def order(self) -> list[K]:
        """What is seen, from the top."""
        return self._rows.order

    @property
    def columns(self) -> Sequence[Column[R]]:
        """All of them, also those that have no room."""
        return self._rows.columns

    @property
    def filter(self) -> Filter:
        """What is seen must pass it."""
        return self._rows.filter

    @property
    def sorted_by(self) -> Column[R]:
        """The column that orders the rows."""
        return self._rows.sorted_by

    @property
    def downwards(self) -> bool:
        """Whether the greatest is first."""
        return self._rows.downwards

    @property
    def selected(self) -> tuple[K, ...]:
        """The marked rows, or else the one under the cursor."""
        if self.marks:
            return tuple(self.marks)
        return () if self.cursor is None else (self.cursor,)

    def record(self, key: K) -> R | None:
        """A row's record, also of one that has just ended."""
        return self._rows.record(key)

    @property
    def cell_text(self) -> str:
        """The text of the cell under the cursor."""
        record = None if self.cursor is None else self.record(self.cursor)
        columns = [column for column, _width in self._columns_in(self.inner.width)]
        return "" if record is None or not columns else columns[min(self._cell, len(columns) - 1)].text(record)

    def text(self) -> str:
        """What is seen, as text."""
        return "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))

    # Painting

    def flush(self, now: float) -> None:
        """Paints the rows in view that changed; orders anew where that is due."""
        self._now = now
        if self._moved:
            self._moved, self._moved_at = False, now
        self._note_flashes(now)
        for key in self._strips.keys() & self._dirty:
            del self._strips[key]
        if now - self._moved_at >= REST_S and self._rows.is_due(now):
            before = self.order
            self.reorder()
            self._rows.ordered(now)
            if self.order != before:
                self.refresh()
        if self._ticking and now - self._ticked_at >= TICK_S:
            self._ticked_at = now
            self._strips.clear()
            self._dirty.update(self._in_view())
        self._paint_dirty()
        self._dirty.clear()

    def _paint_dirty(self) -> None:
        if not self._dirty:
            return
        width = self.size.width
        regions = [Region(0, 1 + y, width, 1) for y, key in enumerate(self._in_view()) if key in self._dirty]
        if regions:
            self.refresh(*regions)

    def _note_flashes(self, now: float) -> None:
        self._dirty.update(self._flashes.ended(now))
        lighting = [column for column in self.columns if column.flashes]
        if lighting:
            seen = self._in_view()
            self._flashes.note(now, (key for key in seen if key in self._dirty), self.rows, lighting)
            self._flashes.keep(seen)

    def reorder(self) -> None:
        """Filters and sorts now, and finds the cursor and the place in view again."""
        anchor, offset = self._anchor()
        before = self._rows.place.get(self.cursor, 0) if self.cursor is not None else 0
        self._rows.reorder()
        ordered, places = self._rows.order, self._rows.place
        if self._wanted in places:
            self.cursor, self._wanted, self._led = self._wanted, None, True
            anchor, offset = self.cursor, self._height // 2
        if not ordered:
            self.cursor = None
        elif not self._led or self.cursor is None:
            self.cursor = ordered[0]
        elif self.cursor not in places:
            self.cursor = ordered[min(before, len(ordered) - 1)]
        self.virtual_size = Size(0, len(ordered) + 1)
        if self._led and anchor in places:
            self._scroll(places[anchor] - offset)

    def _anchor(self) -> tuple[Any, int]:
        """What is to stay where it is: the cursor's row if it is in view, or else the first row in view."""
        top = self.scroll_offset.y
        if self.cursor is not None:
            place = self._rows.place.get(self.cursor, -1)
            if top <= place < top + self._height:
                return self.cursor, place - top
        return (self.order[top], 0) if top < len(self.order) else (None, 0)

    def repaint(self) -> None:
        """Paints all of it again."""
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        """Forgets what was painted in another style."""
        super().notify_style_update()
        self._strips.clear()

    def line_at(self, y: int, width: int) -> Strip:
        """A line of the table: the titles, or a row."""
        if y == 0:
            shown = self._columns_in(width)
            return table_lines.titles(shown, width, self.palette, self.sorted_by, downwards=self.downwards)
        place = self.scroll_offset.y + y - 1
        if place >= len(self.order):
            return self._blank(width, y)
        key = self.order[place]
        if key == self.cursor:
            return self._row(key, width, "cursor" if self.has_focus else "raised")
        strip = self._strips.get(key)
        if strip is None or strip.cell_length != width:
            if len(self._strips) > STRIPS:
                self._strips.clear()
            strip = self._strips[key] = self._row(key, width, "flash" if key in self._flashes else "background")
        return strip

    def _blank(self, width: int, y: int) -> Strip:
        said = ""
        if y == 2 and not self.order:
            said = f"  {self.empty}"
            if self.rows:
                hidden = f"{len(self.rows):,} rows are" if len(self.rows) != 1 else "1 row is"
                said = f"  nothing matches {self.filter.text!r}; {hidden} hidden; esc clears the filter"
        return Strip([Segment(fit(said, width), self.palette.style("quiet", "background"))])

    def _row(self, key: K, width: int, ground: str) -> Strip:
        record = self.rows.get(key)
        faded = "faint" if record is None else "quiet" if self.is_old(record) else ""
        under = key == self.cursor
        return table_lines.row(
            self._columns_in(width),
            self._rows.dead[key] if record is None else record,
            width,
            self.palette,
            ground,
            sign="●" if key in self.marks else "▌" if under else " ",
            faded=faded,
            cell=self._cell if under and self.has_focus else -1,
        )

    def _columns_in(self, width: int) -> list[tuple[Column[R], int]]:
        if self._layout[0] == width:
            return self._layout[1]
        self._layout = (width, fitted(self.columns, width - GUTTER))
        return self._layout[1]

    # Moving

    @property
    def _height(self) -> int:
        return max(1, self.inner.height - 1)

    def _in_view(self) -> list[K]:
        top = self.scroll_offset.y
        return self.order[top : top + self._height]

    def _scroll(self, top: int) -> None:
        top = max(0, min(top, len(self.order) - self._height))
        if top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, immediate=True)

    def point(self, key: K) -> bool:
        """Puts the cursor on a row and the row into view; False where it is not to be seen."""
        if self._rows.structural:
            self.reorder()
        place = self._rows.place.get(key)
        if place is None:
            return False
        self._go(place)
        return True

    def _go(self, place: int) -> None:
        if not self.order:
            return
        place = max(0, min(place, len(self.order) - 1))
        self._wanted = None
        old, self.cursor = self.cursor, self.order[place]
        self._led = place > 0
        self._moved = True
        top = self.scroll_offset.y
        self._scroll(min(max(top, place - self._height + 1), place))
        for key in (old, self.cursor):
            if key is not None:
                self._strips.pop(key, None)
                y = self._rows.place.get(key, -1) - self.scroll_offset.y
                if 0 <= y < self._height:
                    self.refresh(Region(0, 1 + y, self.size.width, 1))

    def action_move(self, by: int) -> None:
        """Moves the cursor by rows."""
        self._go((self._rows.place.get(self.cursor, 0) if self.cursor is not None else 0) + by)

    def action_page(self, by: int) -> None:
        """Moves the cursor by what is in view."""
        self.action_move(by * max(1, self._height - 1))

    def action_edge(self, place: int) -> None:
        """Moves the cursor to the first or the last row; on the first it stays first."""
        self._go(place % len(self.order) if self.order else 0)

    def action_cell(self, by: int) -> None:
        """Moves the cell that `c` copies."""
        shown = len(self._columns_in(self.inner.width))
        self._cell = max(0, min(shown - 1, self._cell + by))
        self._go(self._rows.place.get(self.cursor, 0) if self.cursor is not None else 0)

    def action_mark(self) -> None:
        """Marks the row or takes its mark away, and goes on to the next."""
        if self.cursor is not None:
            if self.cursor in self.marks:
                del self.marks[self.cursor]
            else:
                self.marks[self.cursor] = None
            self.action_move(1)

    def action_mark_to(self) -> None:
        """Marks all rows from the one marked last up to the cursor."""
        if self.cursor is None:
            return
        here = self._rows.place[self.cursor]
        start = self._rows.place.get(next(reversed(self.marks)), here) if self.marks else here
        for key in self.order[min(start, here) : max(start, here) + 1]:
            self.marks[key] = None
        self.repaint()

    def action_unmark(self) -> None:
        """Takes all marks away."""
        self.marks.clear()
        self.repaint()

    def action_open(self) -> None:
        """Opens the row under the cursor."""
        if self.cursor is not None:
            self.post_message(self.Opened(self, self.cursor))

    def action_sort_by(self, by: int) -> None:
        """Sorts by the column to the left or right of the present one, of those that are seen."""
        shown = [column for column, _width in self._columns_in(self.inner.width)]
        keys = [column.key for column in shown]
        place = keys.index(self.sorted_by.key) if self.sorted_by.key in keys else 0
        self.sort(keys[(place + by) % len(keys)])

    def action_reverse(self) -> None:
        """Sorts the other way round."""
        self.sort(self.sorted_by.key, downwards=not self.downwards)

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Titles sort, rows take the cursor; a double click opens."""
        if event.y == 0:
            if (column := self._column_at(event.x)) is not None:
                self.sort(column.key, downwards=column.key == self.sorted_by.key and not self.downwards)
            return
        place = self.scroll_offset.y + event.y - 1
        if place >= len(self.order):
            return
        shown = [column for column, _width in self._columns_in(self.inner.width)]
        if (column := self._column_at(event.x)) is not None:
            self._cell = shown.index(column)
        self._go(place)
        if event.chain == 2:
            self.action_open()

    def _column_at(self, x: int) -> Column[R] | None:
        left = GUTTER
        for column, room in self._columns_in(self.inner.width):
            if x < left + room + GAP:
                return column
            left += room + GAP
        return None

    def on_resize(self) -> None:
        """Lays the columns out anew."""
        self._strips.clear()
        if self.cursor is not None and self._led:
            place = self._rows.place.get(self.cursor, 0)
            top = self.scroll_offset.y
            self._scroll(min(max(top, place - self._height + 1), place))

    def on_focus(self) -> None:
        """Shows the cursor."""
        self.refresh()

    def on_blur(self) -> None:
        """Shows the cursor as one that is elsewhere."""
        self.refresh()
