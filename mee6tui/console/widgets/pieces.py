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


def fit(text: str, width: int, *, more: str = "…") -> str:
    """The text in exactly `width` cells: filled up with blanks, or cut with `more` at its end."""
    if width <= 0:
        return ""
    if text.isascii():
        return text.ljust(width) if len(text) <= width else text[: max(0, width - len(more))] + more[:width]
    cells = cell_len(text)
    return set_cell_size(text, width) if cells <= width else set_cell_size(text, width - 1) + more[:width]


def width_of(pieces: Iterable[Piece]) -> int:
    """Cells."""
    return sum(len(piece.text) if piece.text.isascii() else cell_len(piece.text) for piece in pieces)


def filled(pieces: Iterable[Piece], width: int) -> list[Piece]:
    """The pieces in exactly `width` cells."""
    made: list[Piece] = []
    left = width
    for piece in pieces:
        cells = len(piece.text) if piece.text.isascii() else cell_len(piece.text)
        if cells > left:
            if left > 0:
                made.append(piece._replace(text=fit(piece.text, left)))
            return made
        made.append(piece)
        left -= cells
    if left:
        made.append(Piece(" " * left))
    return made


def text_of(pieces: Iterable[Piece]) -> str:
    """What they say."""
    return "".join(piece.text for piece in pieces)
