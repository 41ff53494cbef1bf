"""The rows of a table as they are seen: filtered and in order, without a word about painting. No Textual.

A row that ended stays in `order`, as one of `dead`, until the next `reorder`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from mee6tui.console.filter import Filter, parse
from mee6tui.console.widgets.columns import Column

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

RESORT_S: Final = 0.5
"""At least so long from one ordering to the next; of few rows, a tenth."""
FEW: Final = 1_000


class Rows(Generic[K, R]):
    """Records by key, in the order of one column.

    Args:
        sort: the key of the column it is sorted by at first; with a `-` before it, downwards.
    """

    def __init__(self, columns: Sequence[Column[R]], sort: str = "") -> None:
        self.columns = list(columns)
        self.all: dict[K, R] = {}
        self.dead: dict[K, R] = {}
        """Ended since the rows were put in order, and still seen."""
        self.order: list[K] = []
        """What is seen, from the top."""
        self.place: dict[K, int] = {}
        """Where in the order each is."""
        self.filter = Filter("")
        wanted = sort.lstrip("-") or self.columns[0].key
        self.sorted_by = next(column for column in self.columns if column.key == wanted)
        self.downwards = sort.startswith("-")
        self.structural = True
        """Whether rows have come or gone since they were put in order."""
        self._stale = False
        self._ordered_at = float("-inf")

    def put(self, rows: Mapping[K, R]) -> None:
        """Adds or changes rows."""
        before = len(self.all)
        self.all.update(rows)
        if len(self.all) != before:
            self.structural = True
        if self.dead:
            for key in rows:
                self.dead.pop(key, None)
        self._stale = True

    def drop(self, key: K) -> bool:
        """Removes a row; False where it is none."""
        if key not in self.all:
            return False
        record = self.all.pop(key)
        if key in self.place:
            self.dead[key] = record
        self.structural = True
        return True

    def replace(self, rows: Mapping[K, R]) -> None:
        """Holds these rows and no others."""
        self.all = dict(rows)
        self.dead.clear()

    def record(self, key: K) -> R | None:
        """A row's record, also of one that has just ended."""
        return self.all.get(key, self.dead.get(key))

    def set_columns(self, columns: Sequence[Column[R]]) -> None:
        """Reads the records so from now on; what it is sorted by stays, where it can."""
        self.columns = list(columns)
        known = {column.key: column for column in self.columns}
        self.sorted_by = known.get(self.sorted_by.key, self.columns[0])

    def set_filter(self, text: str) -> None:
        """Lets only those pass from the next ordering on.

        Raises:
            InvalidInput: it is none; the one before stays.
        """
        self.filter = parse(text, [column.key for column in self.columns])

    def sort(self, key: str, *, downwards: bool) -> None:
        """Sorts by a column from the next ordering on.

        Raises:
            KeyError: there is none of that key.
        """
        self.sorted_by = {column.key: column for column in self.columns}[key]
        self.downwards = downwards

    def fields(self, record: R) -> dict[str, str]:
        """A row's texts by column."""
        return {column.key: column.text(record) for column in self.columns}

    def is_due(self, now: float) -> bool:
        """Whether the order is to be made anew."""
        if not self.structural and not (self._stale and (self.filter or not self.sorted_by.steady)):
            return False
        pause_s = RESORT_S / 5 if self.structural and len(self.all) < FEW else RESORT_S
        return now - self._ordered_at >= pause_s or not self.order

    def ordered(self, now: float) -> None:
        """They have been put in order at that time."""
        self._ordered_at = now

    def reorder(self) -> None:
        """Filters and sorts now."""
        self.dead.clear()
        rows = self.all
        keys: Iterable[K] = rows
        if self.filter:
            keys = [key for key in rows if self.filter(self.fields(rows[key]))]
        by = self.sorted_by.sort or self.sorted_by.text
        # Keys break ties, so that equal rows do not dance; downwards they do so too, upwards.
        ordered = sorted(keys, key=str) if len(rows) < FEW else list(keys)
        ordered.sort(key=lambda key: by(rows[key]), reverse=self.downwards)
        self.order = ordered
        self.place = {key: place for place, key in enumerate(ordered)}
        self.structural = self._stale = False
