"""Which rows of a table are lit up, for a second, since a text of theirs has changed. No Textual."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from mee6tui.console.widgets.columns import Column

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

FLASH_S: Final = 1.0
_KEPT: Final = 1_000


class Flashes(Generic[K, R]):
    """The rows that are lit, by key."""

    def __init__(self) -> None:
        self._until: dict[K, float] = {}
        self._texts: dict[K, tuple[str, ...]] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._until

    def clear(self) -> None:
        """None is lit, and what was seen is forgotten."""
        self._until.clear()
        self._texts.clear()

    def ended(self, now: float) -> list[K]:
        """Those whose time is over."""
        over = [key for key, until in self._until.items() if until <= now]
        for key in over:
            del self._until[key]
        return over

    def note(self, now: float, changed: Iterable[K], rows: Mapping[K, R], columns: Sequence[Column[R]]) -> None:
        """Lights those up whose text in one of the columns has changed."""
        for key in changed:
            if (record := rows.get(key)) is not None:
                texts = tuple(column.text(record) for column in columns)
                if self._texts.get(key, texts) != texts:
                    self._until[key] = now + FLASH_S
                self._texts[key] = texts

    def keep(self, seen: Iterable[K]) -> None:
        """Forgets what others said, once that is much."""
        if len(self._texts) > _KEPT:
            self._texts = {key: self._texts[key] for key in seen if key in self._texts}
