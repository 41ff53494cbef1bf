"""The lines of a table as strips: its titles, and a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from rich.segment import Segment
from textual.strip import Strip

from mee6tui.console.look import Palette
from mee6tui.console.widgets.columns import GAP, Column
from mee6tui.console.widgets.pieces import fit

R = TypeVar("R")

GUTTER: Final = 2
"""Cells before the first column, for marks and the cursor."""
Layout = Sequence[tuple[Column[R], int]]
"""The columns that have room, each with its width."""


def titles(layout: Layout[R], width: int, palette: Palette, sorted_by: Column[R], *, downwards: bool) -> Strip:
    """The line of the titles, with an arrow at the one that orders the rows."""
    quiet = palette.style("quiet", "panel")
    segments = [Segment(" " * GUTTER, quiet)]
    arrow = palette.plain("▼" if downwards else "▲")
    for column, room in layout:
        by = column.key == sorted_by.key
        title = (column.title + arrow) if by else column.title
        style = palette.style("accent" if by else "quiet", "panel", bold=by)
        segments.append(Segment(fit(title, room, right=column.right) + " " * GAP, style))
    return Strip(segments).adjust_cell_length(width, quiet)


def row(
    layout: Layout[R], record: R, width: int, palette: Palette, ground: str, *, sign: str, faded: str, cell: int
) -> Strip:
    """The line of a row.

    Args:
        sign: one character before it.
        faded: the tone of all of it, where it has ended or is old; empty for each column's own.
        cell: the place of the one that is pointed at; -1 for none.
    """
    segments = [Segment(fit(palette.plain(sign), GUTTER), palette.style("accent", ground))]
    for place, (column, room) in enumerate(layout):
        tone = faded or (column.tone(record) if column.tone else "text")
        style = palette.style(tone, ground, bold=place == cell)
        segments.append(Segment(fit(palette.plain(column.text(record)), room, right=column.right), style))
        segments.append(Segment(" " * GAP, palette.style("text", ground)))
    return Strip(segments).adjust_cell_length(width, palette.style("text", ground))
