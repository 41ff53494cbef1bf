"""Which parts of a store are taken: first fit over one stretch of bytes, whoever keeps them. Without I/O.

First fit keeps to the beginning, where the pages have been written before: a recycled page costs a copy, a fresh one
a fault and its zeroing as well. Blocks begin and end at pages, so that no two share one.
"""

from __future__ import annotations

from typing import Final

PAGE: Final = 4096


def pages(size: int) -> int:
    """The bytes of the whole pages that so many bytes take."""
    return -(-size // PAGE) * PAGE


class Arena:
    """One stretch, from 0 on.

    Args:
        size: bytes; what is over whole pages is left out.
    """

    def __init__(self, size: int) -> None:
        self.size = size // PAGE * PAGE
        self._free: list[tuple[int, int]] = [(0, self.size)] if self.size else []
        """(offset, size) of what is free, by offset; no two touch each other."""
        self._taken: dict[int, int] = {}

    @property
    def taken(self) -> int:
        """Bytes of all blocks."""
        return sum(self._taken.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest block that there is room for."""
        return max((size for _offset, size in self._free), default=0)

    def take(self, size: int) -> int | None:
        """Takes a block of at least so many bytes; its offset, or None where there is no room.

        Args:
            size: bytes, more than none.
        """
        wanted = pages(size)
        for index, (offset, free) in enumerate(self._free):
            if free < wanted:
                continue
            if free == wanted:
                del self._free[index]
            else:
                self._free[index] = offset + wanted, free - wanted
            self._taken[offset] = wanted
            return offset
        return None

    def cut(self, offset: int, size: int) -> None:
        """Keeps the first so many bytes of a block, at least one page, and frees the rest."""
        kept, taken = pages(max(size, 1)), self._taken[offset]
        if kept < taken:
            self._taken[offset] = kept
            self._put(offset + kept, taken - kept)

    def give(self, offset: int) -> None:
        """Frees a block.

        Raises:
            KeyError: there is none.
        """
        self._put(offset, self._taken.pop(offset))

    def _put(self, offset: int, size: int) -> None:
        """Adds a free part, and joins it with its neighbours."""
        free = self._free
        index = next((at for at, (other, _size) in enumerate(free) if other > offset), len(free))
        if index < len(free) and offset + size == free[index][0]:
            size += free.pop(index)[1]
        if index and sum(free[index - 1]) == offset:
            offset, before = free[index - 1]
            size += before
            free[index - 1] = offset, size
        else:
            free.insert(index, (offset, size))

    def check(self) -> None:
        """Asserts what must always hold; for tests."""
        parts = sorted([*self._free, *self._taken.items()])
        assert sum(size for _offset, size in parts) == self.size, "every byte is free or taken, and once"
        end = 0
        for offset, size in parts:
            assert offset == end, "parts lie beside each other"
            assert size > 0
            assert offset % PAGE == size % PAGE == 0
            end = offset + size
        assert all(sum(one) < other[0] for one, other in zip(self._free, self._free[1:], strict=False)), "joined"
