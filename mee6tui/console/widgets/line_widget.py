"""What the line widgets share: pieces become strips in a palette's styles, and a scroll bar is one more cell.

They scroll by rows of their own and not by Textual's virtual size: setting that lays out the whole screen again, and
a place in a log is a line's number and not an offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.line import Painted, segments_of
from mee6tui.console.widgets.pieces import Piece


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
        self.box = Size(0, 0)
        """Its size as of this frame; Textual's own is found anew each time it is asked for, which is dear."""
        self._painted: dict[int, Strip] = {}
        self._blank: Strip | None = None

    @property
    def is_plain(self) -> bool:
        """Whether colours are not to be relied on."""
        return self.palette.ascii or self.app.no_color

    def strip(self, pieces: Iterable[Piece], width: int) -> Strip:
        """The pieces in exactly `width` cells."""
        return Strip(segments_of(pieces, width, self.palette), width)

    def line(self, y: int) -> Strip:
        """The line at `y` from the top, as wide as the widget; to be given by the widget."""
        raise NotImplementedError

    def render_lines(self, crop: Region) -> list[Strip]:
        """Textual asks for lines: what was painted last, or the line now.

        They go out as they are. It has no border, padding or tint, and its colours are true ones already, so that
        what Textual does to lines would change nothing and cost several times what the lines do. Only without
        colours is there something to be done.
        """
        self._measure()
        if self.app.no_color:
            return super().render_lines(crop)
        strips = [self._line_at(y) for y in crop.line_range]
        if crop.column_span != (0, self.box.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """One line, with what is needed to select text; asked for where the pointer is, and without colours."""
        self._measure()
        return self._line_at(y)

    def _line_at(self, y: int) -> Strip:
        found = self._painted.get(y)
        if found is None:
            found = self._painted[y] = self.line(y)
        return found

    def _measure(self) -> None:
        """Notes its size; what was painted for another is forgotten."""
        if (box := self.size) != self.box:
            self.box = box
            self._painted.clear()
            self.resized()

    @property
    def blank(self) -> Strip:
        """A line with nothing on it, always the same one."""
        if self._blank is None or self._blank.cell_length != self.box.width:
            self._blank = self.strip((), self.box.width)
        return self._blank

    def resized(self) -> None:
        """Its size is another, `box`."""

    def repaint(self) -> None:
        """All lines are to be drawn again."""
        self._painted.clear()
        self._blank = None
        self.refresh()

    def flush(self, now: float) -> None:
        """Draws what has changed; the frame clock calls it.

        Args:
            now: seconds, monotonic.
        """
        raise NotImplementedError

    def repaint_lines(self, lines: Iterable[int]) -> None:
        """Draws these again, and tells Textual only of those that are different."""
        changed: list[Region] = []
        width = self.box.width
        for y in lines:
            before = self._painted.get(y)
            after = self.line(y)
            if before is not after and before != after:
                self._painted[y] = after
                if changed and changed[-1].bottom == y:
                    changed[-1] = changed[-1].grow((0, 0, 1, 0))
                else:
                    changed.append(Region(0, y, width, 1))
        if changed:
            self.refresh(*changed)

    def on_resize(self) -> None:
        """Its lines have another width."""
        self._measure()
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
