"""What a waterfall shows of an invocation: rows, cursor, folds, zoom; and each of its lines as pieces. Pure.

Rows are found by index, steps by id: the cursor and the folds stay with their steps as others come. Only lines
that are asked for are made, so what a frame costs depends on the height of the screen and not on the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from mee6tui.cli.units import duration
from mee6tui.console.look import DARK, STEPS, UNKNOWN, Palette
from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.pieces import Piece, fit, width_of
from mee6tui.console.widgets.waterfall_layout import (
    LETTERS,
    TONES,
    Axis,
    Bar,
    Window,
    axis_of,
    cells,
    critical,
    laid_over,
    roomy,
    ticks,
)
from mee6tui.steps import KINDS, Placed, Times, in_call_order, times

if TYPE_CHECKING:
    from mee6.records import Handover, Invocation, Step

_BEFORE: Final = frozenset(KINDS) - {"run"}
DRAWN: Final = 500
"""Rows that are kept, seen or not."""
_OVER: Final = frozenset({"gone", "failed"})
"""Stages after which a handover does not go on."""
_LEGEND: Final = (*KINDS[:-1], "handover", "run")
_PLAIN: Final = str.maketrans("◆▾▸┊▶▏≈✗→", "*-+:>|~!>")


class Sheet:
    """One invocation as a waterfall.

    Args:
        palette: says which characters may be used.
        textured: kinds are told by letters and textures, too, for where colours are not seen.
    """

    def __init__(self, palette: Palette = DARK, *, textured: bool = False) -> None:
        self.palette = palette
        self.textured = textured
        self.invocation: Invocation | None = None
        self.steps: dict[str, Step] = {}
        self.handovers: dict[str, Handover] = {}
        """By the id of the step during which they happened."""
        self.rows: list[Placed] = []
        self.cursor = ""
        self.squeezed = False
        self.window: Window | None = None
        """What is looked at; `None` is all of it, as it grows."""
        self.folded: set[str] = set()
        self.critical: frozenset[str] = frozenset()
        self._index: dict[str, int] = {}
        self._drawn: dict[str, tuple[tuple[object, ...], list[Piece]]] = {}
        """Rows by step, with all that they depend on."""
        self._ended: dict[str, Times] = {}
        self._axis = Axis(0)
        self._end_ns = 0
        self._stale = True
        self._arranged_ns: int | None = None
        self._name_width = self._worker_width = 0

    # -- what it shows

    def show(
        self, invocation: Invocation, steps: Mapping[str, Step], handovers: Mapping[str, Handover] | None = None
    ) -> set[str]:
        """Takes what is known by now of the one invocation.

        Args:
            handovers: by the id of the step during which they happened.

        Returns:
            The ids of the steps that have changed.
        """
        self._stale = self._stale or invocation is not self.invocation
        self.invocation = invocation
        changed = {identity for identity, step in steps.items() if self.steps.get(identity) is not step}
        if changed or len(steps) != len(self.steps):
            self.steps = dict(steps)
            self._stale = True
        for identity in changed:
            self._ended.pop(identity, None)
        told = handovers or {}
        changed |= {identity for identity, found in told.items() if self.handovers.get(identity) is not found}
        self.handovers = dict(told)
        return changed

    @property
    def is_live(self) -> bool:
        """Whether it still goes on."""
        return self.invocation is not None and not self.invocation.ended_ns

    def arrange(self, now: int) -> bool:
        """Puts the steps in order where they have changed; for many steps only now and then, as it takes time.

        Returns:
            Whether all lines may have changed.
        """
        if not self._stale or self.invocation is None:
            return False
        if self._arranged_ns is not None and 0 <= now - self._arranged_ns < len(self.steps) * 200_000:
            return False
        self._stale, self._arranged_ns = False, now
        every = in_call_order(self.steps.values())
        known = {one.step.id: self.times(one.step.id, now) for one in every}
        self.critical = critical(every, known)
        self.rows = in_call_order(self.steps.values(), self.folded) if self.folded else every
        self._index = {one.step.id: place for place, one in enumerate(self.rows)}
        begin = min((found.start_ns for found in known.values()), default=self.invocation.accepted_ns)
        begin = min(begin, self.invocation.accepted_ns or begin)
        self._end_ns = max((found.end_ns for found in known.values() if not found.running), default=begin)
        self._end_ns = max(self._end_ns, self.invocation.ended_ns)
        edges = [begin, *(edge for found in known.values() for edge in (found.start_ns, found.run_ns, found.end_ns))]
        self._axis = axis_of(edges, begin, squeezed=self.squeezed)
        self._name_width = max((2 * one.depth + len(one.step.title) for one in self.rows), default=0) + 2
        self._worker_width = max((len(one.step.worker) for one in self.rows), default=0)
        if self.cursor not in self._index:
            self.cursor = self._nearest_shown(self.cursor)
        return True

    def _nearest_shown(self, identity: str) -> str:
        while identity in self.steps and identity not in self._index:
            parent = self.steps[identity].parent
            identity = parent if parent != identity else ""
        return identity if identity in self._index else (self.rows[0].step.id if self.rows else "")

    def times(self, identity: str, now: int) -> Times:
        """A step's times; those of an ended one are found once."""
        found = self._ended.get(identity)
        if found is None:
            found = times(self.steps[identity], now)
            if not found.running:
                self._ended[identity] = found
        return found

    def whole(self, now: int) -> Window:
        """All there is to see; with some room to grow while it is live."""
        end = self._axis.drawn(max(self._end_ns, now) if self.is_live else self._end_ns)
        return Window(0.0, roomy(end) if self.is_live else max(end, 1_000.0))

    def seen(self, now: int) -> Window:
        """What is looked at."""
        return self.window or self.whole(now)

    # -- moving about

    @property
    def place(self) -> int:
        """The cursor's row."""
        return self._index.get(self.cursor, 0)

    def move(self, by: int) -> None:
        """Moves the cursor by rows."""
        self.move_to(self.place + by)

    def move_to(self, row: int) -> None:
        """Puts the cursor on a row, or on the nearest there is."""
        if self.rows:
            self.cursor = self.rows[min(max(row, 0), len(self.rows) - 1)].step.id

    def fold(self) -> None:
        """Hides or shows what the cursor's step called."""
        if self.rows and self.rows[self.place].calls:
            self.folded ^= {self.cursor}
            self._again()

    def fold_all(self) -> None:
        """Hides all but the first steps and their calls, or shows everything again."""
        callers = {one.step.id for one in self.rows if one.calls and one.depth}
        self.folded = set() if self.folded else callers
        self._again()

    def squeeze(self) -> None:
        """Squeezes stretches in which nothing begins or ends, or draws them to scale again."""
        self.squeezed = not self.squeezed
        self.window = None
        self._again()

    def zoom(self, factor: float, now: int) -> None:
        """Shows `factor` times as much time, around the middle of the cursor's bar where that is seen."""
        seen, whole = self.seen(now), self.whole(now)
        around = (seen.low + seen.high) / 2
        if self.cursor in self.steps:
            found = self.times(self.cursor, now)
            middle = (self._axis.drawn(found.start_ns) + self._axis.drawn(found.end_ns)) / 2
            around = middle if seen.low <= middle <= seen.high else around
        window = seen.zoomed(factor, around, whole)
        self.window = None if window.high - window.low >= whole.high - whole.low else window

    def pan(self, part: float, now: int) -> None:
        """Moves by a part of what is seen."""
        if self.window:
            self.window = self.window.panned(part, self.whole(now))

    def focus(self, now: int) -> None:
        """Shows the cursor's step as large as it goes, with a little before and after."""
        if self.cursor in self.steps:
            found = self.times(self.cursor, now)
            start, end = self._axis.drawn(found.start_ns), self._axis.drawn(found.end_ns)
            margin = max((end - start) * 0.06, 500.0)
            self.window = Window(start - margin, end + margin).within(self.whole(now))

    def reset(self) -> None:
        """Shows all of it."""
        self.window = None

    def _again(self) -> None:
        self._stale, self._arranged_ns = True, None

    # -- its lines

    def _columns(self, width: int) -> tuple[int, int, int]:
        """Cells of the name, of the worker and of the bars."""
        worker = min(self._worker_width, 10)
        name = min(self._name_width, max(12, (width - worker) * 3 // 10))
        return name, worker, max(8, width - name - worker - 15)

    def row(self, place: int, now: int, width: int) -> list[Piece]:
        """A step's line; that of a step that has ended is kept for as long as nothing around it changes."""
        one = self.rows[place]
        step = self.steps[one.step.id]
        found = self.times(step.id, now)
        beside = self._handover_times(step.id, now)
        around = (
            *(step.spans, step.state, step.worker, step.error, beside, one.depth, bool(one.calls), self.palette),
            *(self._columns(width), self.seen(now), self._axis, self.textured),
            *(step.id in self.folded, step.id in self.critical, step.id == self.cursor),
        )
        known = self._drawn.get(step.id)
        if known is not None and known[0] == around and not found.running:
            return known[1]
        made = self._row(one, step, found, now, width)
        if not found.running:
            if len(self._drawn) > DRAWN:
                self._drawn.clear()
            self._drawn[step.id] = around, made
        return made

    def _row(self, one: Placed, step: Step, found: Times, now: int, width: int) -> list[Piece]:
        name, worker, room = self._columns(width)
        sign = STEPS.get(step.state, UNKNOWN)
        fold = ("▸" if step.id in self.folded else "▾") if one.calls else " "
        on_path = step.id in self.critical
        took = duration(found.end_ns - found.start_ns) + ("…" if found.running else "")
        pieces = [
            Piece(f" {self.palette.glyph(sign)} ", sign.tone),
            Piece(self._plain(fit(f"{'  ' * one.depth}{fold} {step.title}", name)), "text", strong=on_path),
            Piece(f" {fit(step.worker or '-', worker)} ", "quiet"),
            Piece(self._plain("◆") if on_path else " ", "accent"),
            *self._bars(step, found, now, room),
            Piece(f"{took:>9}", "busy" if found.running else "quiet"),
        ]
        if self.palette.ascii:
            pieces = self._in_ascii(pieces)
        if step.id != self.cursor:
            return pieces
        return [
            piece._replace(on=piece.on or "cursor", tone="cursor" if piece.tone == "background" else piece.tone)
            for piece in pieces
        ]

    def _bars(self, step: Step, found: Times, now: int, room: int) -> list[Piece]:
        window = self.seen(now)
        bars: list[Bar] = []
        for span in sorted(step.spans, key=lambda span: span.start_ns):
            start = window.column(self._axis.drawn(span.start_ns), room)
            end = window.column(self._axis.drawn(span.end_ns or max(now, span.start_ns)), room)
            start = max(start, bars[-1].end if bars else start)
            if end > start:
                bars.append(Bar(start, end, span.kind, TONES.get(span.kind, "quiet")))
        if (shown := self._handover_times(step.id, now)) is not None:
            start, end = (window.column(self._axis.drawn(at), room) for at in shown)
            bars = laid_over(bars, Bar(start, end, "handover", TONES["handover"]))
        if step.error and bars:
            bars[-1] = bars[-1]._replace(tone="error")
        first = window.column(self._axis.drawn(found.start_ns), room)
        last = window.column(self._axis.drawn(found.end_ns), room)
        if bars and last - first < 1 / 8 and 0 <= first < room:  # too short to be seen: a sliver where it was
            bars = [bars[-1]._replace(start=min(first, room - 1 / 8), end=min(first, room - 1 / 8) + 1 / 8)]
        if step.error:
            return self._with_words(bars, first, last, step.error, room, window)
        drawn = self._cells(bars, room, window)
        if found.running and 0 <= last < room:
            at = int(last)
            marker = Piece(self._plain("▶"), bars[-1].tone if bars else "busy")
            drawn = [*_cut(drawn, 0, at), marker, *_cut(drawn, at + 1, room)]
        return drawn

    def _handover_times(self, identity: str, now: int) -> tuple[int, int] | None:
        """From when to when the worker's proxy was leaving, as far as it is told."""
        found = self.handovers.get(identity)
        if found is None or not found.stages:
            return None
        last = found.stages[-1]
        return found.stages[0].at_ns, last.at_ns if last.name in _OVER else max(now, last.at_ns)

    def _cells(self, bars: list[Bar], room: int, window: Window) -> list[Piece]:
        drawn = cells(bars, room, textured=self.textured, ascii_only=self.palette.ascii)
        for at in self._gap_columns(window, room):  # a thin line through what is empty says that time was left out
            if not "".join(piece.text for piece in _cut(drawn, at, at + 1)).strip():
                drawn = [*_cut(drawn, 0, at), Piece(self._plain("┊"), "faint"), *_cut(drawn, at + 1, room)]
        return drawn

    def _gap_columns(self, window: Window, room: int) -> list[int]:
        middles = [(self._axis.drawn(start) + self._axis.drawn(end)) / 2 for start, end in self._axis.gaps]
        return [at for middle in middles if 0 <= (at := int(window.column(middle, room))) < room]

    def _with_words(
        self, bars: list[Bar], first: float, last: float, error: str, room: int, window: Window
    ) -> list[Piece]:
        """The bar and, where there is more room beside it, why the step failed."""
        words = self._plain("✗ ") + self._clean(error)
        drawn = self._cells(bars, room, window)
        before, after = int(min(max(first, 0), room)), int(min(max(last, 0), room)) + 1
        if before > room - after - 1 and before > room // 3:
            text = fit(words, min(before - 1, width_of([Piece(words)])))
            start = before - 1 - width_of([Piece(text)])
            return [*_cut(drawn, 0, start), Piece(text + " ", "error"), *_cut(drawn, before, room)]
        start = min(after, room // 2)
        text = fit(words, min(room - start - 1, width_of([Piece(words)])))
        end = start + 1 + width_of([Piece(text)])
        return [*_cut(drawn, 0, start), Piece(" " + text, "error"), *_cut(drawn, end, room)]

    def ruler(self, now: int, width: int) -> list[Piece]:
        """The line above the rows: how many steps, and the times."""
        name, worker, room = self._columns(width)
        window, whole = self.seen(now), self.whole(now)
        zoom = (whole.high - whole.low) / (window.high - window.low)
        words = "step" if len(self.steps) == 1 else "steps"
        left = f" {len(self.rows)} of {len(self.steps)} {words}" if self.folded else f" {len(self.steps)} {words}"
        left += f", {zoom:.3g}x" if self.window else ""
        text = [" "] * room
        gaps = self._gap_columns(window, room)
        for column, label in ticks(self._axis, window, room):
            end = column + len(label)
            fits = end < room and not any(column <= at <= end for at in gaps)
            for place, char in enumerate(f"▏{label}" if fits else "▏"):
                text[column + place] = char
        for at in gaps:
            text[at] = "≈"
        right = "until now" if self.is_live and not self.window else ""
        return [
            Piece(fit(left, name + worker + 6), "quiet"),
            Piece(self._plain("".join(text)), "quiet"),
            Piece(f"{right:>9}", "busy"),
        ]

    def detail(self, now: int, width: int) -> list[list[Piece]]:
        """Three lines about the cursor's step: what it is, where its time went, why it failed or whom it waited for."""
        step = self.steps.get(self.cursor)
        if step is None:
            return [[Piece(" no steps: it has not started, or they have been forgotten", "quiet")], [], []]
        found = self.times(step.id, now)
        sign = STEPS.get(step.state, UNKNOWN)
        facts = [step.id, f"{step.function} v{step.version}"]
        facts += [f"in {step.worker}" if step.worker else "in no worker yet"]
        facts += [f"{step.start} start"] if step.start else []
        facts += [f"via {step.via}"] if step.via else []
        facts += [f"pid {step.pid}"] if step.pid else []
        what = [
            Piece(f" {self.palette.word(sign)}", sign.tone, strong=True),
            Piece(f"  {duration(found.end_ns - found.start_ns)}{' so far' if found.running else ''}  ", strong=True),
            Piece("  ".join(facts)),
        ]
        lines = [what, [*self._parts(found), *self._beside(step.id, now)], self._last(step, found, now, width)]
        return [self._in_ascii(line) for line in lines] if self.palette.ascii else lines

    def _parts(self, found: Times) -> list[Piece]:
        pieces: list[Piece] = [Piece(" ")]
        for kind in [*KINDS, *(kind for kind in found.parts if kind not in KINDS)]:
            if kind in found.parts:
                pieces += [
                    Piece(self._plain(" → ") if len(pieces) > 1 else "", "quiet"),
                    Piece(f"{kind} ", TONES.get(kind, "quiet")),
                    Piece(duration(found.parts[kind])),
                ]
        before = sum(found.parts.get(kind, 0) for kind in _BEFORE)
        if before and "run" in found.parts:
            pieces.append(Piece(f"   ran after {duration(before)}", "quiet"))
        return pieces

    def _beside(self, identity: str, now: int) -> list[Piece]:
        """What the handover took, which goes on while the function is loaded and run."""
        shown = self._handover_times(identity, now)
        if shown is None:
            return []
        found = self.handovers[identity]
        parts = [f"{stage.name} {duration(stage.at_ns - before.at_ns)}" for before, stage in pairwise(found.stages)]
        pieces = [Piece("   beside it ", "quiet"), Piece("handover ", TONES["handover"])]
        pieces += [Piece(duration(shown[1] - shown[0])), Piece(": " + ", ".join(parts) if parts else "", "quiet")]
        return pieces

    def _last(self, step: Step, found: Times, now: int, width: int) -> list[Piece]:
        if step.error:
            return [Piece(fit(" " + self._plain("✗ ") + self._clean(step.error), width), "error")]
        called = [self.times(one.id, now) for one in self._called(step.id)]
        words = f" {self._plain('◆')} on the critical path" if step.id in self.critical else " not on the critical path"
        if called:
            inside = covered([(one.start_ns, one.end_ns) for one in called])
            own = max(0, found.parts.get("run", 0) - inside)
            words += f"; {len(called)} call{'s' * (len(called) != 1)} took {duration(inside)}, itself {duration(own)}"
        return [Piece(words, "quiet")]

    def _called(self, identity: str) -> list[Step]:
        """The steps it called; folded ones are looked for among all."""
        if identity in self.folded:
            return [step for step in self.steps.values() if step.parent == identity and step.id != identity]
        place = self._index.get(identity)
        if place is None or not self.rows[place].calls:
            return []
        depth, found = self.rows[place].depth, []
        for one in self.rows[place + 1 :]:
            if one.depth <= depth:
                break
            if one.depth == depth + 1:
                found.append(self.steps[one.step.id])
        return found

    def legend(self) -> list[Piece]:
        """The line that says what letters and marks are."""
        pieces = [Piece(" ")]
        for kind in _LEGEND:
            pieces += [Piece(f"{LETTERS[kind]} ", TONES[kind], strong=True), Piece(f"{kind}  ", "quiet")]
        pieces += [Piece(self._plain("◆ "), "accent"), Piece("critical  ", "quiet")]
        if self.squeezed:
            pieces += [Piece(self._plain("┊ "), "faint"), Piece("time left out", "quiet")]
        return pieces

    def _in_ascii(self, pieces: Sequence[Piece]) -> list[Piece]:
        return [piece._replace(text=self._plain(piece.text)) for piece in pieces]

    def _plain(self, text: str) -> str:
        return self.palette.plain(text.translate(_PLAIN)) if self.palette.ascii else text

    def _clean(self, error: str) -> str:
        return self._plain(clean(error.strip().partition("\n")[0]))


def covered(spans: Sequence[tuple[int, int]]) -> int:
    """The nanoseconds in which at least one of them went on."""
    total, upto = 0, -1
    for start, end in sorted(spans):
        total += max(0, end - max(start, upto))
        upto = max(upto, end)
    return total


def _cut(pieces: Sequence[Piece], start: int, end: int) -> list[Piece]:
    """The pieces of the cells from `start` to before `end`; each character is one cell wide."""
    made, at = [], 0
    for piece in pieces:
        text = piece.text[max(0, start - at) : max(0, end - at)]
        if text:
            made.append(piece._replace(text=text))
        at += len(piece.text)
    return made
