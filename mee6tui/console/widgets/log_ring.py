"""Log lines in a bounded ring, numbered for good, and views of them: filtered a slice at a time, searched. Pure.

A line's number never changes and is never used again, so that a place in the log, a selection and a hit stay where
they are while lines come at one end and go at the other.
"""

from __future__ import annotations

import operator
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mee6tui.console.widgets.harmless import clean

CAPACITY: Final = 100_000
SEARCHED: Final = 4_000
"""Characters of a line that are looked at by filters and searches."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line."""

    number: int
    at_ns: int
    source: str
    """Who wrote it; sources have a colour each."""
    text: str
    """Harmless, whole."""
    is_stderr: bool = False
    """It was written to standard error."""


class View(Protocol):
    """Lines in order, by place."""

    def __len__(self) -> int: ...

    def number(self, place: int) -> int:
        """The number of the line at a place, `0 <= place < len`."""
        ...

    def place(self, number: int) -> int:
        """The place of the first line with this number or a later one; `len` where there is none."""
        ...


class Ring:
    """The last lines.

    Args:
        capacity: of lines, at least 1.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self._lines: list[Line] = []
        self.first = 0
        """The number of the oldest line that is left."""
        self.next = 0
        """The number that the next line will have."""
        self.dropped = 0
        """Lines that went since there was no more room."""
        self.lost_bytes = 0
        """What the agent says was dropped before it came here."""

    def __len__(self) -> int:
        return self.next - self.first

    def put(self, at_ns: int, source: str, text: str, *, is_stderr: bool = False, lost_bytes: int = 0) -> None:
        """Adds what was written: one line or several.

        Args:
            lost_bytes: dropped on the way, before this.
        """
        self.lost_bytes += lost_bytes
        for part in text.removesuffix("\n").split("\n") if "\n" in text else (text,):
            line = Line(self.next, at_ns, source, clean(part.removesuffix("\r")), is_stderr)
            at = self.next % self.capacity
            if at == len(self._lines):  # it has not been full yet
                self._lines.append(line)
            else:
                self._lines[at] = line
            if len(self) == self.capacity:
                self.first += 1
                self.dropped += 1
            self.next += 1

    def __getitem__(self, number: int) -> Line:
        """The line with this number.

        Raises:
            IndexError: it is not there any more, or not yet.
        """
        if not self.first <= number < self.next:
            raise IndexError(f"no line {number}; there are {self.first} to before {self.next}")
        return self._lines[number % self.capacity]

    def clear(self) -> None:
        """Forgets the lines; their numbers are not used again."""
        self._lines = [Line(0, 0, "", "")] * len(self._lines)
        self.first = self.next
        self.dropped = self.lost_bytes = 0

    # -- the view of all lines

    def number(self, place: int) -> int:
        """The number of the line at a place."""
        return self.first + place

    def place(self, number: int) -> int:
        """The place of a line, or of the first after it."""
        return min(max(number - self.first, 0), len(self))


class Pattern:
    """What a person asks for: `text`, a regular expression, or `!` and one of them for lines without it.

    Case matters where there is a capital letter. What is no regular expression is taken as it stands.
    """

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.inverse = asked.startswith("!") and len(asked) > 1
        wanted = asked[1:] if self.inverse else asked
        self._ignores_case = wanted.lower() == wanted
        self._plain = re.escape(wanted) == wanted or not re.search(r"[.^$*+?{}\[\]\\|()]", wanted)
        self._wanted = wanted
        flags = re.IGNORECASE if self._ignores_case else 0
        try:
            self._regex = re.compile(wanted, flags)
        except re.error:
            self._regex = re.compile(re.escape(wanted), flags)

    def __call__(self, line: Line) -> bool:
        """Whether a line, with its source, is one of those asked for."""
        text = line.text[:SEARCHED] if len(line.text) > SEARCHED else line.text
        if self._plain:
            if self._ignores_case:
                found = self._wanted in text.lower() or self._wanted in line.source.lower()
            else:
                found = self._wanted in text or self._wanted in line.source
        else:
            found = self._regex.search(text) is not None or self._regex.search(line.source) is not None
        return found is not self.inverse

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it stands in a text, for highlighting; nothing for an inverse one."""
        if self.inverse or not self._wanted:
            return []
        return [found.span() for found in self._regex.finditer(text[:SEARCHED]) if found.end() > found.start()]


class Filtered:
    """The lines of a ring that match; looked for from the newest back, a slice at a time."""

    _SLICE: Final = 256

    def __init__(self, ring: Ring, pattern: Pattern) -> None:
        self._ring = ring
        self.pattern = pattern
        self._older: list[int] = []  # newest first
        self._newer: list[int] = []
        self._gone = 0
        """Of `_newer`, how many at its begin have left the ring."""
        self._back = ring.next
        self._ahead = ring.next

    def __len__(self) -> int:
        return len(self._older) + len(self._newer) - self._gone

    @property
    def done(self) -> float:
        """The share of the ring that has been looked at, 0 to 1."""
        total = len(self._ring)
        return 1.0 if not total else min(1.0, (self._ahead - max(self._back, self._ring.first)) / total)

    def number(self, place: int) -> int:
        """The number of the line at a place."""
        older = len(self._older)
        return self._older[older - 1 - place] if place < older else self._newer[self._gone + place - older]

    def place(self, number: int) -> int:
        """The place of a line, or of the first after it that matches."""
        older = self._older
        if older and number <= older[0]:
            return len(older) - bisect_right(older, -number, key=operator.neg)
        return len(self._older) + bisect_left(self._newer, number, self._gone) - self._gone

    def advance(self, budget_ns: int, clock: Callable[[], int]) -> bool:
        """Looks on for as long as it may.

        Args:
            budget_ns: how long; one slice of lines is looked at in any case.
            clock: nanoseconds.

        Returns:
            Whether lines were added or have gone.
        """
        before = (len(self._older), len(self._newer), self._gone)
        until = clock() + budget_ns
        ring, wanted = self._ring, self.pattern
        self._forget()
        while self._ahead < ring.next:
            end = min(ring.next, self._ahead + self._SLICE)
            start = max(self._ahead, ring.first)
            self._newer += [number for number in range(start, end) if wanted(ring[number])]
            self._ahead = end
            if clock() >= until:
                break
        else:
            while self._back > ring.first:
                start = max(ring.first, self._back - self._SLICE)
                self._older += [number for number in range(self._back - 1, start - 1, -1) if wanted(ring[number])]
                self._back = start
                if clock() >= until:
                    break
        return before != (len(self._older), len(self._newer), self._gone)

    def _forget(self) -> None:
        first = self._ring.first
        while self._older and self._older[-1] < first:
            self._older.pop()
        self._gone = bisect_left(self._newer, first, self._gone)
        if self._gone > 10_000:
            del self._newer[: self._gone]
            self._gone = 0


def find(ring: Ring, view: View, pattern: Pattern, start: int, step: int, *, most: int = CAPACITY) -> int | None:
    """The number of the next line of a view that matches, from a place on, in one direction, around the end.

    Args:
        start: the place to begin after.
        step: 1 for later lines, -1 for earlier ones.
        most: how many lines to look at.
    """
    count = len(view)
    for offset in range(1, min(count, most) + 1):
        number = view.number((start + step * offset) % count)
        if pattern(ring[number]):
            return number
    return None
