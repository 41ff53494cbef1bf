"""What the line widgets share: pieces become strips in a palette's styles, and a scroll bar is one more cell.

They scroll by rows of their own and not by Textual's virtual size: setting that lays out the whole screen again, and
a place in a log is a line's number and not an offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.line import Painted
from mee6tui.console.widgets.pieces import Piece, filled


class LineWidget(Painted, Widget, can_focus=True):
    """A widget that draws its lines itself.

    `flush(now)` is called by the frame clock and is the only thing that repaints; `put` and its like only note.

    Args:
        palette: gives colours and says whether only ASCII may be shown.
    """

    DEFAULT_CSS: ClassVar[str] = "LineWidget { width: 1fr; height: 1fr; }"
    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, palette: Palette = DARK, **widget: Any) -> None:
        super().__init__(**widget)
        self.palette = palette
        self._painted: dict[int, Strip] = {}

    @property
    def is_plain(self) -> bool:
        """Whether colours are not to be relied on."""
        return self.palette.ascii or self.app.no_color

    def strip(self, pieces: Iterable[Piece], width: int) -> Strip:
        """The pieces in exactly `width` cells."""
        style = self.palette.style
        return Strip(
            [
                Segment(piece.text, style(piece.tone, piece.on or "background", bold=piece.strong))
                for piece in filled(pieces, width)
            ],
            width,
        )

    def line(self, y: int) -> Strip:
        """The line at `y` from the top, as wide as the widget; to be given by the widget."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Textual asks for a line: what was painted last, or the line now."""
        found = self._painted.get(y)
        if found is None or found.cell_length != self.size.width:
            found = self._painted[y] = self.line(y)
        return found

    def repaint(self) -> None:
        """All lines are to be drawn again."""
        self._painted.clear()
        self.refresh()

    def repaint_lines(self, lines: Iterable[int]) -> None:
        """Draws these again, and tells Textual only of those that are different."""
        changed: list[Region] = []
        width = self.size.width
        for y in lines:
            before = self._painted.get(y)
            after = self.line(y)
            if before is None or before != after:
                self._painted[y] = after
                changed.append(Region(0, y, width, 1))
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        """Its lines have another width."""
        self.repaint()

    def scroll_bar(self, y: int, top: int, shown: int, total: int) -> Piece:
        """The cell of the scroll bar at a row of those it stands beside."""
        if total <= shown or shown <= 0:
            return Piece(" ")
        length = max(1, shown * shown // total)
        start = round(top * (shown - length) / max(1, total - shown))
        if self.palette.ascii:
            return Piece("#" if start <= y < start + length else "|", "quiet")
        return Piece("┃" if start <= y < start + length else "│", "quiet" if start <= y < start + length else "raised")
