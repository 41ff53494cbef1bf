"""What a log view shows: where it stands in the ring, what is filtered, found and chosen; rows as pieces. Pure."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from rich.cells import cell_len

from mee6tui.console.look import DARK, Palette, clock_time
from mee6tui.console.widgets.log_line import LEVELS, SHOWN, body, facts, marked, wrapped
from mee6tui.console.widgets.log_ring import Filtered, Line, Pattern, Ring, View, find
from mee6tui.console.widgets.pieces import Piece, fit, text_of, width_of

_SOURCE_TONES: Final = ("accent", "warm", "queued", "paused", "good", "loading", "prewarmed")
_PLAIN: Final = str.maketrans("│▸»", "|>>")
STDERR: Final = "»"
"""Before a line of standard error, which is where logs go too: no sign that something failed."""


class Row(NamedTuple):
    """A row on the screen."""

    number: int
    """Its line's."""
    start: int
    """How many characters of what is shown of the line stand in rows before."""
    head: tuple[Piece, ...]
    """Time, source and level; not part of what is copied."""
    body: tuple[Piece, ...]


class LogPage:
    """A place in a ring, and how it looks there.

    Args:
        wall_offset_ns: what makes a line's time one since 1970.
    """

    def __init__(self, ring: Ring, palette: Palette = DARK, *, wall_offset_ns: int = 0) -> None:
        self.ring = ring
        self.palette = palette
        self.wall_offset_ns = wall_offset_ns
        self.follows = True
        """It shows the end as it comes."""
        self.top = 0
        """The number of the first line that is shown, while it does not follow."""
        self.wraps = False
        self.shows_times = True
        self.filtered: Filtered | None = None
        self.pattern: Pattern | None = None
        self.hit: int | None = None
        """The line of the hit that was gone to."""
        self.chosen: int | None = None
        """The number of the line under the cursor, which there is only while it does not follow."""
        self.shift = 0
        """Cells by which lines are moved to the left."""
        self._source_width = 0
        self._laid_out: dict[int, Row] = {}

    @property
    def view(self) -> View:
        """The lines that are to be seen."""
        return self.filtered or self.ring

    # -- moving about

    def rows(self, height: int, width: int) -> list[Row]:
        """What stands on the screen, from the top; fewer where there is not more."""
        view = self.view
        count = len(view)
        if not count or height <= 0:
            return []
        if self.follows:
            return self._up(count, height, width)
        first = min(view.place(self.top), count - 1)
        made: list[Row] = []
        for place in range(first, count):
            made += self.row(view.number(place), width)
            if len(made) >= height:
                return made[:height]
        return self._up(count, height, width)  # the end is above the bottom: fill the screen

    def _up(self, end: int, height: int, width: int) -> list[Row]:
        made: list[list[Row]] = []
        total = 0
        for place in range(end - 1, -1, -1):
            made.append(self.row(self.view.number(place), width))
            total += len(made[-1])
            if total >= height:
                break
        return [row for rows in reversed(made) for row in rows][-height:]

    def scroll(self, by: int, height: int, width: int) -> None:
        """Moves by lines; at the end it follows again, elsewhere it holds still."""
        view, shown = self.view, self.rows(height, width)
        if not shown:
            return
        place = view.place(shown[0].number) + by
        if by < 0 and shown[0].start:
            place += 1  # its line begins above: the first step shows that
        last = self._up(len(view), height, width)[0]
        at_end = place > view.place(last.number) or (place == view.place(last.number) and not last.start)
        self.follows = by > 0 and at_end
        self.top = view.number(min(max(place, 0), len(view) - 1))

    def move(self, by: int, height: int, width: int) -> None:
        """Moves the cursor by lines; at first it comes to the last line that is shown. Past the end it follows."""
        view, shown = self.view, self.rows(height, width)
        if not shown:
            return
        if self.chosen is None or self.chosen < self.ring.first:
            place = view.place(shown[-1].number)
        else:
            place = max(0, view.place(self.chosen) + by)
        if place >= len(view):
            self.follow()
            return
        if self.follows:
            self.hold(height, width)
        self.chosen = view.number(place)
        if self.chosen < shown[0].number:
            self.go(place)
        elif self.chosen > shown[-1].number:
            self.go(view.place(self._up(place + 1, height, width)[0].number))

    def follow(self) -> None:
        """Shows the end as it comes."""
        self.follows, self.chosen = True, None

    def go(self, place: int) -> None:
        """Holds still with a line of the view at the top."""
        if len(self.view):
            self.follows = False
            self.top = self.view.number(min(max(place, 0), len(self.view) - 1))

    def hold(self, height: int, width: int) -> None:
        """Stays where it is, also when more lines come."""
        shown = self.rows(height, width)
        if shown:
            self.follows, self.top = False, shown[0].number

    # -- filter and search

    def filter(self, asked: str) -> None:
        """Shows only the lines that match; all where nothing is asked for."""
        self.filtered = Filtered(self.ring, Pattern(asked)) if asked else None

    def search(self, asked: str) -> None:
        """Marks what matches; `step` goes there."""
        self.pattern = Pattern(asked) if asked else None
        self.hit = None

    def step(self, by: int, height: int, width: int) -> bool:
        """Goes to the next hit, 1 for later ones and -1 for earlier ones.

        Returns:
            Whether there is one.
        """
        shown = self.rows(height, width)
        if self.pattern is None or not shown:
            return False
        view = self.view
        start = self.hit if self.hit is not None and self.hit >= self.ring.first else shown[-1].number + (by < 0)
        found = find(self.ring, view, self.pattern, view.place(start), by)
        if found is None:
            return False
        self.hit = found
        if not any(row.number == found for row in shown):
            self.go(view.place(found) - height // 3)
        elif self.follows:
            self.hold(height, width)
        return True

    def advance(self, budget_ns: int, clock: Callable[[], int]) -> bool:
        """Lets the filter look on; see `Filtered.advance`."""
        return self.filtered is not None and self.filtered.advance(budget_ns, clock)

    # -- rows

    def row(self, number: int, width: int) -> list[Row]:
        """A line's rows: one, or several where it wraps."""
        line = self.ring[number]
        known = facts(line.text)
        head = self._head(line, known.level, width)
        spans: list[tuple[int, int]] = []
        pieces = body(known)
        if self.palette.ascii:
            pieces = [piece._replace(text=self.palette.plain(piece.text)) for piece in pieces]
        if self.pattern is not None:
            spans = self.pattern.spans(text_of(pieces))
            pieces = marked(pieces, spans, "background", "warm" if number == self.hit else "loading")
        room = max(8, width - width_of(head))
        if not self.wraps:
            return [Row(number, self.shift, head, tuple(_dropped(pieces, self.shift)))]
        made: list[Row] = []
        at = 0
        blank = (Piece(" " * width_of(head)),)
        for part in wrapped(pieces, room):
            made.append(Row(number, at, blank if made else head, tuple(part)))
            at += sum(len(piece.text) for piece in part)
        return made

    def note_source(self, source: str) -> bool:
        """Makes room for a source's name.

        Returns:
            Whether rows look different now.
        """
        wider = max(self._source_width, min(cell_len(source), 18))
        changed, self._source_width = wider != self._source_width, wider
        return changed

    def _head(self, line: Line, level: str, width: int) -> tuple[Piece, ...]:
        pieces = []
        if self.shows_times and width >= 50:
            pieces.append(Piece(f"{time_of_day(line.at_ns + self.wall_offset_ns)} ", "faint"))
        if self._source_width and width >= 36:
            name = fit(line.source, min(self._source_width, width // 5))
            pieces.append(Piece(self.palette.plain(name) + " ", tone_of(line.source)))
        rule = STDERR if line.is_stderr else "│"
        pieces.append(Piece(self._plain(rule) + " ", "accent" if line.is_stderr else "faint"))
        if width >= 60:
            pieces.append(Piece(f"{level:<5} ", LEVELS.get(level, "quiet")))
        return tuple(pieces)

    def _plain(self, text: str) -> str:
        return self.palette.plain(text.translate(_PLAIN)) if self.palette.ascii else text

    # -- words about it

    def status(self) -> list[Piece]:
        """The line that says what is shown and what is not."""
        ring, count = self.ring, len(self.view)
        state = Piece(self._plain(" ▸ follows "), "good") if self.follows else Piece(" holds ", "warning")
        pieces = [state, Piece(f" {count:,} line{'s' * (count != 1)}", "text")]
        if self.filtered is not None:
            done = "" if self.filtered.done >= 1 else f", {self.filtered.done:.0%} looked at"
            asked = self._plain(self.filtered.pattern.asked)
            pieces.append(Piece(f" of {len(ring):,} with {asked!r}{done} (esc shows all)", "accent"))
        if not self.follows and count:
            below = ring.next - 1 - self.top
            pieces.append(Piece(f"  {below:,} below the top", "quiet"))
        if self.pattern is not None:
            pieces.append(Piece(f"  search {self._plain(self.pattern.asked)!r} n/N", "loading"))
        if ring.dropped:
            pieces.append(Piece(f"  {ring.dropped:,} older dropped", "warning"))
        if ring.lost_bytes:
            pieces.append(Piece(f"  {ring.lost_bytes:,} bytes lost at the agent", "warning"))
        return pieces

    def copied(self, start: tuple[int, int] | None, end: tuple[int, int] | None) -> str:
        """The text from a character of a line to before one of another: whole lines as they came.

        Args:
            start: number and character of what is shown; `None` is the beginning.
            end: the same; `None` is the end, and a character at or after what is shown is the line's end.
        """
        view = self.view
        first = view.place(start[0]) if start else 0
        last = view.place(end[0] + 1) if end else len(view)
        made = []
        for place in range(first, last):
            line = self.ring[view.number(place)]
            known = facts(line.text)
            shown = text_of(body(known)) if known.fields or known.message != line.text else line.text
            begin = start[1] if start and line.number == start[0] else 0
            stop = end[1] if end and line.number == end[0] else None
            if begin == 0 and (stop is None or stop >= min(len(shown), SHOWN)):
                made.append(line.text)  # a JSON line that is chosen whole is copied as JSON
            else:
                made.append(shown[begin : None if stop is not None and stop >= SHOWN else stop])
        return "\n".join(made)


def tone_of(source: str) -> str:
    """A source's tone: the same one every time."""
    return _SOURCE_TONES[sum(source.encode(errors="replace")) % len(_SOURCE_TONES)]


@lru_cache(maxsize=4096)
def time_of_day(wall_ns: int) -> str:
    """The time here, to the millisecond."""
    return clock_time(wall_ns, millis=True)


def _dropped(pieces: list[Piece], characters: int) -> list[Piece]:
    if not characters:
        return pieces
    made = []
    for piece in pieces:
        if characters < len(piece.text):
            made.append(piece._replace(text=piece.text[characters:]))
        characters = max(0, characters - len(piece.text))
    return made
