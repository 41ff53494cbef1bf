"""The columns of a table: how each reads a record, and which of them have room at a width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

R = TypeVar("R")

GAP: Final = 2
"""Cells from one column to the next."""
GROWN: Final = 48
"""Cells that a column grows to, unless it is the last: what belongs together is not read across a gap."""


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column: its title and how it reads a record."""

    key: str
    """For filters and `:sort`; lower case."""
    title: str
    width: int
    """In cells; of a column that grows, at least."""
    text: Callable[[R], str]
    sort: Callable[[R], Any] | None = None
    """What it is sorted by; None = its text."""
    tone: Callable[[R], str] | None = None
    """The text's tone; None = the text's own, and quiet for columns that may be dropped first."""
    right: bool = False
    priority: int = 0
    """Columns of the highest number are dropped first where there is no room; 0 = never dropped."""
    grows: bool = False
    """Takes the room that is left."""
    flashes: bool = False
    """A change of its text lights the row up for a second."""
    steady: bool = False
    """What it is sorted by stays as it is for as long as there is the row."""


def fitted(columns: Sequence[Column[R]], room: int) -> list[tuple[Column[R], int]]:
    """Those that have room in so many cells, each with its width; the least important are left out first."""
    kept = list(columns)

    def needed() -> int:
        return sum(column.width + GAP for column in kept) - GAP

    while needed() > room and any(column.priority for column in kept):
        last = max(column.priority for column in kept)
        kept.remove([column for column in kept if column.priority == last][-1])
    widths = {column.key: column.width for column in kept}
    growing = [column for column in kept if column.grows]
    for left, column in zip(range(len(growing), 0, -1), growing, strict=True):
        spare = max(0, room + GAP - sum(width + GAP for width in widths.values())) // left
        most = spare if column is kept[-1] else max(0, GROWN - column.width)
        widths[column.key] += min(spare, most)
    return [(column, widths[column.key]) for column in kept]
