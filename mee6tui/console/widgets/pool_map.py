"""Thousands of workers at one glance: a cell each, in groups, the state told by letter and colour.

Cells are tiles where there is room, letters with a gap where there is less, and bare letters where there is little.
A cell keeps its place while others come and go: who leaves makes a hole, which the next to come fills. Painting
costs the lines that changed, and of those no more than a frame has time for: the rest follows in the next.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, ClassVar, Final, Generic, TypeVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from mee6tui.console.look import Sign
from mee6tui.console.widgets.line import Line, LineView, strip_of

K = TypeVar("K", bound=Hashable)

LAYOUT_S: Final = 0.1
"""At least so long from one layout to the next."""
LINES_A_FRAME: Final = 12
"""At most so many lines of cells are painted in one; at 0.3 ms each, in a wide terminal where all cells differ."""
_MARGIN: Final = 2
_TILE, _LOOSE, _DENSE = 4, 2, 1
"""Cells of the terminal that a worker takes."""


@dataclass(slots=True)
class _Group(Generic[K]):
    name: Hashable
    title: Line
    slots: list[_Cell[K] | None] = field(default_factory=list)
    holes: list[int] = field(default_factory=list)
    first_line: int = 0


@dataclass(slots=True, eq=False)
class _Cell(Generic[K]):
    key: K
    group: _Group[K]
    slot: int
    sign: Sign


def natural(key: object) -> list[tuple[int, str]]:
    """Sorts `w2` before `w10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(key)) if part]


class PoolMap(LineView, Generic[K]):
    """Cells by key, in groups."""

    DEFAULT_CSS: ClassVar[str] = "PoolMap { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Left", show=False, id="map.left"),
        Binding("right", "move(1)", "Right", show=False, id="map.right"),
        Binding("down,j", "line(1)", "Down", show=False, id="map.down"),
        Binding("up,k", "line(-1)", "Up", show=False, id="map.up"),
        Binding("home,g", "edge(0)", "First", show=False, id="map.first"),
        Binding("end,G", "edge(-1)", "Last", show=False, id="map.last"),
        Binding("enter", "open", "Open", show=False, id="map.open"),
    ]

    class Opened(Message):
        """Enter or a double click on a cell."""

        def __init__(self, key: Any) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, empty: str = "no workers yet", id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.empty = empty
        self.cursor: K | None = None
        self.hovered: K | None = None
        self._groups: dict[Hashable, _Group[K]] = {}
        self._cells: dict[K, _Cell[K]] = {}
        self._lines: list[tuple[_Group[K], int]] = []
        """Group and first slot; -1 for its title, -2 for the blank line before it."""
        self._strips: dict[int, Strip] = {}
        self._painted: dict[tuple[str, bool], list[Segment]] = {}
        self._dirty_lines: dict[int, None] = {}
        """In the order in which they became so: none waits longer than the others."""
        self._structural = True
        self._laid_out_at = float("-inf")
        self._cell = _TILE
        self._across = 1

    # Data

    def group(self, name: Hashable, title: Line) -> None:
        """Makes a group, or changes the line above it; groups are shown in the order of their making."""
        found = self._groups.get(name)
        if found is None:
            self._groups[name] = _Group(name, title)
            self._structural = True
        elif found.title != title:
            found.title = title
            self._dirty_lines[found.first_line] = None

    def ungroup(self, name: Hashable) -> None:
        """Removes a group with its cells; one that is not there is no error."""
        found = self._groups.pop(name, None)
        if found is not None:
            for cell in found.slots:
                if cell is not None:
                    del self._cells[cell.key]
            self._structural = True

    def change(self, key: K, group: Hashable, sign: Sign) -> bool:
        """Changes the state of a cell that there is in that group; False where there is none."""
        cell = self._cells.get(key)
        if cell is None or cell.group.name != group:
            return False
        if cell.sign is not sign:
            cell.sign = sign
            self._dirty_lines[cell.group.first_line + 1 + cell.slot // self._across] = None
        return True

    def put(self, key: K, group: Hashable, sign: Sign) -> None:
        """Adds a cell or changes its state; the group must have been made."""
        if self.change(key, group, sign):
            return
        self.drop(key)
        wanted = self._groups[group]
        cell = self._cells[key] = _Cell(key, wanted, len(wanted.slots), sign)
        if wanted.holes:
            cell.slot = heapq.heappop(wanted.holes)
            wanted.slots[cell.slot] = cell
        else:
            wanted.slots.append(cell)
            self._structural = True
        self._dirty_lines[self._line_of(cell)] = None

    def drop(self, key: K) -> None:
        """Removes a cell; one that is not there is no error."""
        cell = self._cells.pop(key, None)
        if cell is None:
            return
        group = cell.group
        self._dirty_lines[self._line_of(cell)] = None
        group.slots[cell.slot] = None
        heapq.heappush(group.holes, cell.slot)
        if len(group.holes) > 16 and len(group.holes) > len(group.slots) // 2:
            self._close_up(group)

    def clear(self) -> None:
        """Removes everything."""
        self._cells.clear()
        self._groups.clear()
        self._dirty_lines.clear()
        self._lines.clear()
        self._strips.clear()
        self._structural = True
        self._laid_out_at = float("-inf")  # at once, also where time stands still

    @property
    def pointed(self) -> K | None:
        """The cell under the mouse, or else under the cursor."""
        return self.hovered if self.hovered in self._cells else self.cursor

    def text(self) -> str:
        """What is seen, as text."""
        return "\n".join(self.render_line(y).text.rstrip() for y in range(self.size.height))

    # Painting

    def flush(self, now: float) -> None:
        """Paints the lines in view that changed, those first that have waited longest."""
        if self._structural and now - self._laid_out_at >= LAYOUT_S:
            self._laid_out_at = now
            self._lay_out()
        if not self._dirty_lines:
            return
        top, size = self.scroll_offset.y, self.size
        regions, waiting = list[Region](), dict[int, None]()
        for line in self._dirty_lines:
            if len(regions) == LINES_A_FRAME and top <= line < top + size.height:
                waiting[line] = None
                continue
            self._strips.pop(line, None)
            if top <= line < top + size.height:
                regions.append(Region(0, line - top, size.width, 1))
        self._dirty_lines = waiting
        if regions:
            self.refresh(*regions)

    def repaint(self) -> None:
        """Paints all of it again."""
        self._strips.clear()
        self._painted.clear()
        self.refresh()

    def on_resize(self) -> None:
        """Chooses the cells' size anew."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = max(1, self.inner.width - 2 * _MARGIN)
        cell, across = _DENSE, width
        for cell in (_TILE, _LOOSE, _DENSE):
            across = max(1, (width + (1 if cell > 1 else 0)) // cell)
            lines = sum(2 + -(-len(group.slots) // across) for group in self._groups.values())
            if lines <= self.size.height:
                break
        self._cell, self._across, self._lines = cell, across, []
        for group in self._groups.values():
            if self._lines:
                self._lines.append((group, -2))
            group.first_line = len(self._lines)
            self._lines.append((group, -1))
            self._lines += [(group, start) for start in range(0, len(group.slots), across)]
        self.virtual_size = Size(0, len(self._lines))
        self._structural = False
        self._dirty_lines.clear()
        if self.cursor not in self._cells:
            self.cursor = next((cell.key for cell in self._in_order()), None)
        self.repaint()

    def _in_order(self) -> Iterator[_Cell[K]]:
        return (cell for group in self._groups.values() for cell in group.slots if cell is not None)

    def _close_up(self, group: _Group[K]) -> None:
        left = [cell for cell in group.slots if cell is not None]
        group.slots = [*left]
        group.holes.clear()
        for slot, cell in enumerate(left):
            cell.slot = slot
        self._structural = True

    def _line_of(self, cell: _Cell[K]) -> int:
        return cell.group.first_line + 1 + cell.slot // self._across

    def line_at(self, y: int, width: int) -> Strip:
        """A line of cells, or the title of a group."""
        line = self.scroll_offset.y + y
        if line >= len(self._lines):
            said: Line = [("  " + self.empty, "quiet")] if y == 1 and not self._lines else []
            return strip_of(said, width, self.palette)
        strip = self._strips.get(line)
        if strip is None or strip.cell_length != width:
            strip = self._strips[line] = self._paint(line, width)
        return strip

    def _paint(self, line: int, width: int) -> Strip:
        group, start = self._lines[line]
        end = start + self._across
        if start < 0:
            title = [(" " * _MARGIN, "text"), *group.title] if start == -1 else []
            return strip_of(title, width, self.palette)
        blank = self.palette.style("text", "background")
        segments = [Segment(" " * _MARGIN, blank)]
        under = self._under if self.has_focus else None
        row = [
            (None if cell is None else cell.sign, cell is not None and cell is under) for cell in group.slots[start:end]
        ]
        for (sign, pointed), run in groupby(row):
            number = len(list(run))
            if sign is None:
                segments.append(Segment(" " * (number * self._cell), blank))
                continue
            made = self._painted.get((sign.word, pointed)) or self._paint_cell(sign, pointed=pointed)
            if self._cell == _DENSE:  # a run is one segment: what Textual does with each costs more than all of this
                segments.append(Segment(made[0].text * number, made[0].style))
            else:
                segments += made * number
        return Strip(segments).adjust_cell_length(width, blank)

    def _paint_cell(self, sign: Sign, *, pointed: bool) -> list[Segment]:
        """A cell's segments; kept, since there are thousands of the same."""
        palette, tile = self.palette, self._cell == _TILE
        text = f" {sign.letter} " if tile else sign.letter
        if pointed:
            style = palette.style("background", "text", bold=True)
            text = f"[{sign.letter}]" if tile else sign.letter
        elif sign.word in _QUIET:
            style = palette.style(sign.tone, "panel")
        else:
            style = palette.style("background", sign.tone, bold=True)
        made = [Segment(text, style), Segment(" ", palette.style("text", "background"))]
        self._painted[sign.word, pointed] = made
        return made

    # Moving

    def _go(self, key: K | None) -> None:
        for changed in (self.cursor, key):
            if changed is not None and (cell := self._cells.get(changed)):
                line = self._line_of(cell)
                self._strips.pop(line, None)
                self.refresh(Region(0, line - self.scroll_offset.y, self.size.width, 1))
        self.cursor = key
        if key is not None and (cell := self._cells.get(key)):
            line = self._line_of(cell)
            top, height = self.scroll_offset.y, self.size.height
            wanted = min(max(top, line - height + 1), max(0, line - 1))
            if wanted != top:
                self.scroll_to(y=wanted, animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        """Moves the cursor along the cells."""
        cells = list(self._in_order())
        if cells:
            under = self._under
            place = cells.index(under) if under else 0
            self._go(cells[max(0, min(len(cells) - 1, place + by))].key)

    def action_line(self, by: int) -> None:
        """Moves the cursor up or down a line of cells."""
        under = self._under
        if under is None:
            self.action_move(0)
            return
        line, column = self._line_of(under) + by, under.slot % self._across
        while 0 <= line < len(self._lines):
            beside, start = self._lines[line]
            found = (
                [cell for cell in beside.slots[start : start + column + 1] if cell is not None] if start >= 0 else []
            )
            if found:
                self._go(found[-1].key)
                return
            line += by

    def action_edge(self, place: int) -> None:
        """Moves the cursor to the first or the last cell."""
        cells = list(self._in_order())
        if cells:
            self._go(cells[place].key)

    def action_open(self) -> None:
        """Opens the cell under the cursor."""
        if self._under is not None:
            self.post_message(self.Opened(self._under.key))

    @property
    def _under(self) -> _Cell[K] | None:
        """The cell under the cursor."""
        return None if self.cursor is None else self._cells.get(self.cursor)

    def at(self, x: int, y: int) -> K | None:
        """The cell at a place of the widget."""
        line, column = self.scroll_offset.y + y, (x - _MARGIN) // self._cell
        if not (0 <= line < len(self._lines) and 0 <= column < self._across):
            return None
        group, start = self._lines[line]
        cell = group.slots[start + column] if start >= 0 and start + column < len(group.slots) else None
        return None if cell is None else cell.key

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Notes what is under the mouse."""
        self.hovered = self.at(event.x, event.y)

    def on_leave(self) -> None:
        """Notes that the mouse is elsewhere."""
        self.hovered = None

    def on_click(self, event: events.Click) -> None:
        """Takes the cursor to the cell; a double click opens it."""
        if (key := self.at(event.x, event.y)) is not None:
            self._go(key)
            if event.chain == 2:
                self.action_open()

    def on_focus(self) -> None:
        """Shows the cursor."""
        self.repaint()

    def on_blur(self) -> None:
        """Hides the cursor."""
        self.repaint()


_QUIET: Final = frozenset({"starting", "prewarmed", "gone"})
"""Who does nothing for anybody is not to catch the eye: letters on a dark ground."""
