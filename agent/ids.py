"""Names of invocations: 48 random bits each, asked of the kernel for many at a time, since one costs a system call."""

from __future__ import annotations

import os
from typing import Final

BITS: Final = 48
_DRAWN: Final = 256


class Ids:
    """Gives names that nobody can guess, and no two of which are alike as long as an agent remembers them."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def take(self) -> str:
        """A new one: twelve hexadecimal digits."""
        if not self._drawn:
            digits = BITS // 4
            text = os.urandom(_DRAWN * BITS // 8).hex()
            self._drawn = [text[at : at + digits] for at in range(0, len(text), digits)]
        return self._drawn.pop()
