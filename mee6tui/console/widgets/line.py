"""What all line-API widgets share: a palette, and lines that are only painted again where they changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBarRender
from textual.strip import Strip
from textual.widget import Widget

from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.pieces import Piece, filled

Span = tuple[str, str] | tuple[str, str, str]
"""Text, its tone, and on the ground of which tone; a tone that begins with `*` is bold."""
Line = Sequence[Span]


def segments_of(pieces: Iterable[Piece], width: int, palette: Palette, ground: str = "background") -> list[Segment]:
    """The pieces in exactly `width` cells, in the palette's styles."""
    style = palette.style
    # Of whatever page: a function's words must never be the terminal's orders.
    drawn = filled((one if one.text.isprintable() else one._replace(text=clean(one.text)) for one in pieces), width)
    if palette.ascii:
        drawn = [piece._replace(text=palette.plain(piece.text)) for piece in drawn]
    return [Segment(text, style(tone, on or ground, bold=strong)) for text, tone, on, strong in drawn]


def strip_of(line: Line, width: int, palette: Palette, ground: str = "background") -> Strip:
    """A line of spans as a strip of that width."""
    pieces = [
        Piece(palette.plain(span[0]), span[1].lstrip("*"), span[2] if len(span) == 3 else "", span[1].startswith("*"))
        for span in line
    ]
    return Strip(segments_of(pieces, width, palette, ground), width)


class Painted:
    """A widget that is given its palette by the app; `repaint` forgets what was painted with another."""

    palette: Palette = DARK

    def set_palette(self, palette: Palette) -> None:
        """Shows everything in these colours from now on."""
        self.palette = palette
        self.repaint()

    def repaint(self) -> None:
        """Paints all of it again."""
        raise NotImplementedError


class _PlainBar(ScrollBarRender):
    """A scrollbar of coloured blanks, without the block characters at its ends."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


def set_bars(widget: Widget, palette: Palette) -> None:
    """Has a widget's scrollbars show nothing but ASCII, where that is asked for."""
    renderer = _PlainBar if palette.ascii else ScrollBarRender
    widget.vertical_scrollbar.renderer = renderer  # type: ignore[misc]  # of this bar, not of all
    widget.horizontal_scrollbar.renderer = renderer  # type: ignore[misc]


class Bare(Widget):
    """A widget that gives Textual its lines as they are.

    It has no border, padding or tint, and its colours are true ones already, so that what Textual does to lines would
    change nothing and cost several times what the lines do. Only without colours is there something to be done.
    """

    ALLOW_SELECT: ClassVar[bool] = False

    @property
    def inner(self) -> Size:
        """The cells that are its own, without scrollbars; found anew each time, which is dear."""
        return self.scrollable_content_region.size

    def line_at(self, y: int, width: int) -> Strip:
        """The line at `y` from the top of what is seen, in exactly `width` cells; to be given by the widget."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """One line; asked for without colours."""
        return self.line_at(y, self.inner.width)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines that Textual asks for."""
        if self.app.no_color:
            return super().render_lines(crop)
        width = self.inner.width
        strips = [self.line_at(y, width) for y in crop.line_range]
        if crop.x > 0 or crop.right < width:
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips


class LineView(Painted, ScrollView, Bare, can_focus=True):
    """A scrolled widget that paints line by line; it is painted by `flush`, which the frame clock calls."""

    DEFAULT_CSS: ClassVar[str] = "LineView { scrollbar-size-vertical: 1; scrollbar-gutter: auto; }"
    ALLOW_SELECT: ClassVar[bool] = False

    def flush(self, now: float) -> None:
        """Paints what has changed.

        Args:
            now: seconds, monotonic.
        """
        raise NotImplementedError

    def set_palette(self, palette: Palette) -> None:
        """Also for its scrollbar."""
        set_bars(self, palette)
        super().set_palette(palette)

    def repaint(self) -> None:
        """Paints all of it again."""
        self.refresh()


class Lines(Painted, Bare):
    """A few lines of text; only those that differ from before are painted.

    Args:
        ground: the tone behind them.
        clicked: told of a click's column and line.
    """

    def __init__(
        self,
        *,
        ground: str = "background",
        clicked: Callable[[int, int], None] | None = None,
        id: str | None = None,  # noqa: A002 - Textual's own word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.ground = ground
        self.lines: list[Line] = []
        self._strips: dict[int, Strip] = {}
        self._clicked = clicked

    def show(self, lines: Sequence[Line]) -> None:
        """Shows these lines from now on."""
        old, self.lines = self.lines, [list(line) for line in lines]
        if len(old) != len(self.lines):
            self.repaint()
            return
        changed = [y for y, (before, line) in enumerate(zip(old, self.lines, strict=True)) if before != line]
        if changed:
            width = self.size.width
            for y in changed:
                self._strips.pop(y, None)
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def repaint(self) -> None:
        """Paints all of it again."""
        self._strips.clear()
        self.refresh()

    def line_at(self, y: int, width: int) -> Strip:
        """One line of it."""
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            line = self.lines[y] if y < len(self.lines) else ()
            strip = self._strips[y] = strip_of(line, width, self.palette, self.ground)
        return strip

    def on_click(self, event: object) -> None:
        """Tells whoever wants to know where it was clicked."""
        if self._clicked is not None:
            self._clicked(getattr(event, "x", 0), getattr(event, "y", 0))

    @property
    def text(self) -> str:
        """What it says."""
        return "\n".join("".join(span[0] for span in line).rstrip() for line in self.lines)


WIDE: Final = 110
"""Columns from which on there is room for more than one thing side by side."""
TALL: Final = 36
