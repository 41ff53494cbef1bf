"""Pieces of a line, by tone: what the pure models make and the widgets turn into strips. No Textual."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

EIGHTHS: Final = " ▏▎▍▌▋▊▉"


class Piece(NamedTuple):
    """Text in one tone; tones are `look.Palette`'s, `on` is the ground's and empty for the widget's own."""

    text: str
    tone: str = "text"
    on: str = ""
    strong: bool = False


def cells_of(text: str) -> int:
    """How many cells it takes."""
    return len(text) if text.isascii() else cell_len(text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly so many cells; what is too long ends in `…`."""
    if width <= 0:
        return ""
    if text.isascii() and len(text) <= width:
        return text.rjust(width) if right else text.ljust(width)
    cells = cells_of(text)
    if cells > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - cells) + text if right else set_cell_size(text, width)


def width_of(pieces: Iterable[Piece]) -> int:
    """Cells."""
    return sum(cells_of(piece.text) for piece in pieces)


def filled(pieces: Iterable[Piece], width: int) -> list[Piece]:
    """The pieces in exactly `width` cells."""
    made: list[Piece] = []
    left = width
    for piece in pieces:
        text = piece[0]
        cells = len(text) if text.isascii() else cell_len(text)  # not `cells_of`: it is asked for each piece of a frame
        if cells > left:
            if left > 0:
                made.append(piece._replace(text=fit(text, left)))
            return made
        made.append(piece)
        left -= cells
    if left:
        made.append(Piece(" " * left))
    return made


def text_of(pieces: Iterable[Piece]) -> str:
    """What they say."""
    return "".join(piece.text for piece in pieces)
