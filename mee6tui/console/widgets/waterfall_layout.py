"""A waterfall in numbers: which time stands in which column, and what a bar shows in each cell. Pure.

Two scales: nanoseconds of the agent's clock, and drawn nanoseconds, in which stretches where nothing begins or
ends may be squeezed. A `Window` is a part of the drawn ones; columns are its share of the room.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from mee6tui.cli.units import duration
from mee6tui.console.widgets.pieces import EIGHTHS, Piece

if TYPE_CHECKING:
    from mee6tui.steps import Placed, Times

LETTERS: Final[Mapping[str, str]] = {
    "queued": "Q",
    "start": "S",
    "resume": "U",
    "load": "L",
    "handover": "H",
    "run": "R",
}
"""One letter for each kind of span, and for the handover beside them; `U` is for unpausing, as `R` runs."""
TONES: Final[Mapping[str, str]] = {
    "queued": "queued",
    "start": "starting",
    "resume": "paused",
    "load": "loading",
    "handover": "accent",
    "run": "busy",
}
_TEXTURES: Final[Mapping[str, str]] = {"run": "█", "load": "▓", "start": "▒"}
_MIN_TICK: Final = 11
_NARROWEST_NS: Final = 1_000.0


class Bar(NamedTuple):
    """A span as it is drawn: columns from the left, not whole ones."""

    start: float
    end: float
    kind: str
    tone: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Real time to drawn time and back; `gaps` are in order, do not touch, and each is drawn as `gap_ns`."""

    begin_ns: int
    gaps: tuple[tuple[int, int], ...] = ()
    gap_ns: float = 0.0

    def drawn(self, at: int) -> float:
        """Where a time is drawn, nanoseconds from the beginning."""
        place = float(at - self.begin_ns)
        for start, end in self.gaps:
            if at <= start:
                break
            squeeze = self.gap_ns / (end - start)
            place -= (min(at, end) - start) * (1 - squeeze)
        return place

    def real(self, drawn: float) -> int:
        """The time that is drawn there."""
        at = self.begin_ns + drawn
        for start, end in self.gaps:
            if at <= start:
                break
            if at < start + self.gap_ns:
                return int(start + (at - start) * (end - start) / self.gap_ns)
            at += end - start - self.gap_ns
        return int(at)


@dataclass(frozen=True, slots=True)
class Window:
    """The part that is seen, in drawn nanoseconds."""

    low: float
    high: float

    def column(self, drawn: float, room: int) -> float:
        """The column of a drawn time; outside of `0..room` it is not seen."""
        return (drawn - self.low) * room / (self.high - self.low)

    def zoomed(self, factor: float, around: float, whole: Window) -> Window:
        """`factor` times as much time, with what is drawn at `around` where it is."""
        length = min(max((self.high - self.low) * factor, _NARROWEST_NS), whole.high - whole.low)
        share = min(1.0, max(0.0, (around - self.low) / (self.high - self.low)))
        return Window(around - share * length, around + (1 - share) * length).within(whole)

    def panned(self, part: float, whole: Window) -> Window:
        """Moved by a part of its length."""
        by = (self.high - self.low) * part
        return Window(self.low + by, self.high + by).within(whole)

    def within(self, whole: Window) -> Window:
        """The same length, moved into the whole."""
        length = min(self.high - self.low, whole.high - whole.low)
        low = min(max(self.low, whole.low), whole.high - length)
        return Window(low, low + length)


def quiet(edges: Iterable[int], *, share: float = 1 / 6) -> tuple[tuple[int, int], ...]:
    """The stretches in which nothing begins or ends, each longer than a share of all the time."""
    places = sorted(set(edges))
    if len(places) < 3:
        return ()
    least = (places[-1] - places[0]) * share
    return tuple((a, b) for a, b in pairwise(places) if b - a > least)


def axis_of(edges: Sequence[int], begin_ns: int, *, squeezed: bool) -> Axis:
    """The axis for spans that begin and end there; `squeezed` draws each quiet stretch as a twentieth."""
    gaps = quiet(edges) if squeezed else ()
    if not gaps:
        return Axis(begin_ns)
    rest = max(edges) - begin_ns - sum(end - start for start, end in gaps)
    shortest = min(end - start for start, end in gaps)
    return Axis(begin_ns, gaps, min(float(shortest), max(rest, 1) * 0.08))


def roomy(length: float) -> float:
    """A length in which a growing one has room, so that the scale changes seldom."""
    step = 1_000.0
    while step * 1.25 < length:
        step *= 1.25
    return step * 1.25


def ticks(axis: Axis, window: Window, room: int) -> list[tuple[int, str]]:
    """Columns of the ruler with the time there, counted from the beginning; far enough apart to be read."""
    step = _nice((window.high - window.low) * _MIN_TICK / max(1, room))
    made: list[tuple[int, str]] = []
    column = 0
    while column < room:
        at = axis.real(window.low + (window.high - window.low) * column / room) - axis.begin_ns
        at = max(0, -(-at // step) * step)
        place = window.column(axis.drawn(axis.begin_ns + at), room)
        gap = next((end for start, end in axis.gaps if start < axis.begin_ns + at < end), 0)
        if gap:  # no tick in a squeezed stretch: its times would all say the same
            column = max(column + 1, int(window.column(axis.drawn(gap), room)) + 1)
            continue
        if int(place) >= room:
            break
        made.append((max(0, int(place)), duration(at)))
        column = int(place) + max(_MIN_TICK, len(made[-1][1]) + 2)
    return made


def _nice(least: float) -> int:
    """The least of 1, 2, 5, 10, ... that is not below."""
    power = 1
    while power * 10 < least:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least or factor == 10)


def laid_over(bars: Sequence[Bar], over: Bar) -> list[Bar]:
    """The bars with another on top of them: what it covers of them is not seen."""
    made = [over]
    for bar in bars:
        before, after = bar._replace(end=min(bar.end, over.start)), bar._replace(start=max(bar.start, over.end))
        made += [part for part in (before, after) if part.end > part.start]
    return sorted(made, key=lambda bar: bar.start)


def cells(bars: Sequence[Bar], room: int, *, textured: bool, ascii_only: bool = False) -> list[Piece]:
    """The pieces of exactly `room` columns that show the bars, which are in order and do not overlap.

    Args:
        textured: tell kinds by letters and textures, for where colours are not seen.
    """
    if textured:
        return _textured(bars, room, ascii_only=ascii_only)
    parts: dict[int, list[tuple[int, int, str]]] = {}
    whole: list[tuple[int, int, Bar]] = []
    for bar in bars:
        start, end = (round(min(max(place, 0.0), room) * 8) for place in (bar.start, bar.end))
        first, last = start // 8, end // 8
        if first == last:
            if end > start:
                parts.setdefault(first, []).append((start % 8, end % 8, bar.tone))
            continue
        if start % 8:
            parts.setdefault(first, []).append((start % 8, 8, bar.tone))
            first += 1
        if last > first:
            whole.append((first, last, bar))
        if end % 8:
            parts.setdefault(last, []).append((0, end % 8, bar.tone))
    made: list[tuple[int, int, list[Piece]]] = [(at, at + 1, [_split(found)]) for at, found in parts.items()]
    made += [(first, last, _labelled(bar, last - first)) for first, last, bar in whole]
    made.sort()
    pieces: list[Piece] = []
    column = 0
    for first, last, drawn in made:
        if first < column:
            continue
        if first > column:
            pieces.append(Piece(" " * (first - column)))
        pieces += drawn
        column = last
    if column < room:
        pieces.append(Piece(" " * (room - column)))
    return pieces


def _labelled(bar: Bar, width: int) -> list[Piece]:
    """A bar's whole cells, with its letter where there is room for it."""
    if width < 3 or bar.kind == "run":
        return [Piece("█" * width, bar.tone)]
    return [Piece(LETTERS.get(bar.kind, bar.kind[:1].upper()).ljust(width), "background", bar.tone)]


def _split(found: list[tuple[int, int, str]]) -> Piece:
    """One cell of parts of bars: the first and the greatest other of them, met at an eighth."""
    first = found[0]
    other = max(found[1:], key=lambda part: part[1] - part[0], default=None)
    if other is not None:
        edge = min(7, max(1, other[0]))
        return Piece(EIGHTHS[edge], first[2], other[2])
    start, end, tone = first
    if start == 0:
        return Piece(EIGHTHS[end], tone)
    if end == 8:
        return Piece(EIGHTHS[start], "background", tone)
    return Piece(EIGHTHS[end - start], tone)


def _textured(bars: Sequence[Bar], room: int, *, ascii_only: bool) -> list[Piece]:
    drawn: list[tuple[str, str]] = [(" ", "text")] * room
    for bar in bars:
        start, end = (min(max(place, 0.0), room) for place in (bar.start, bar.end))
        if end <= start:
            continue
        first = min(room - 1, int(start + 0.5))
        last = max(first + 1, int(end + 0.5))
        fill = ("=" if bar.kind == "run" else "-") if ascii_only else _TEXTURES.get(bar.kind, "░")
        for column in range(first, min(last, room)):
            drawn[column] = (fill, bar.tone)
        if last - first >= 2 and (bar.kind != "run" or ascii_only):
            drawn[first] = (LETTERS.get(bar.kind, bar.kind[:1].upper()), bar.tone)
        elif last - first == 1 and bar.kind != "run":
            drawn[first] = (LETTERS.get(bar.kind, "?"), bar.tone)
    pieces: list[Piece] = []
    for text, tone in drawn:
        if pieces and pieces[-1].tone == tone:
            pieces[-1] = Piece(pieces[-1].text + text, tone)
        else:
            pieces.append(Piece(text, tone))
    return pieces


def critical(placed: Sequence[Placed], known: Mapping[str, Times]) -> frozenset[str]:
    """The ids of the steps that the end had to wait for.

    From a step's end backwards: of its calls, the one that ended last before that; from where that began, again.

    Args:
        placed: all steps, in call order.
    """
    below: dict[str, list[tuple[int, int, str]]] = {}
    path: list[str] = []  # the callers of the present row
    top: list[tuple[int, str]] = []
    for one in placed:
        del path[one.depth :]
        found = known[one.step.id]
        if path:
            below.setdefault(path[-1], []).append((found.end_ns, -found.start_ns, one.step.id))
        else:
            top.append((found.end_ns, one.step.id))
        path.append(one.step.id)
    marked: set[str] = set()
    waiting = [max(top)[1]] if top else []
    while waiting:
        identity = waiting.pop()
        marked.add(identity)
        called = sorted(below.get(identity, ()))
        ends = [end for end, _, _ in called]
        at = known[identity].end_ns
        upto = len(called)
        while (upto := bisect_right(ends, at, 0, upto)) > 0:
            _, start, child = called[upto - 1]
            waiting.append(child)
            upto -= 1
            at = -start
    return frozenset(marked)
