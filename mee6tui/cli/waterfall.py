"""A trace as text: a row a step, indented under its caller, with a bar to scale and where its time went.

Pure: a `Trace` in, lines out. What a bar shows, left to right: light while it waited (queued, started,
resumed, loaded, handed over), full while it ran. A step's times are its spans'; its total is from its first
span's begin to its last one's end. Time that a step spent in the steps it called is part of its run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from mee6.records import asdict
from mee6.visible import visible
from mee6tui.cli.units import duration
from mee6tui.steps import KINDS, Times, in_call_order, times

if TYPE_CHECKING:
    from mee6.records import Step, Trace

_TITLES: Final = {
    "queued": "QUEUE",
    "start": "START",
    "resume": "RESUME",
    "load": "LOAD",
    "run": "RUN",
}
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_FULL, _LIGHT = "█", "░"
_MIN_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One step, ready to be drawn."""

    step: Step
    depth: int
    times: Times


def rows(trace: Trace) -> list[Row]:
    """The steps in the order of their calls, each under its caller; what goes on ends at the last time known."""
    now = max((max(span.start_ns, span.end_ns) for step in trace.steps for span in step.spans), default=0)
    now = max(now, trace.invocation.ended_ns)
    return [Row(one.step, one.depth, times(one.step, now)) for one in in_call_order(trace.steps)]


def lines(trace: Trace, *, width: int = 100, ascii_only: bool = False, color: bool = False) -> list[str]:
    """The drawing.

    Args:
        width: columns; the bars take what the words leave, and at least a dozen. Where that is not left, all parts
            before the run are one column.
        ascii_only: `#` and `-` in place of block characters.
        color: with ANSI colours.
    """
    drawn = rows(trace)
    head = _heading(trace, drawn)
    if not drawn:
        return [head, "no steps: it has not started, or they have been forgotten"]
    kinds = [kind for kind in KINDS if any(row.times.parts.get(kind) for row in drawn)]
    left = _aligned([("STEP", "WORKER", "START", "VIA"), *(_words(row) for row in drawn)], "<<<<")
    right = _numbers(drawn, [(_TITLES[kind], (kind,)) for kind in kinds])
    before = tuple(kind for kind in kinds if kind != "run")
    if len(left[0]) + len(right[0]) + 4 + _MIN_BAR > width and len(before) > 1:
        right = _numbers(drawn, [("BEFORE", before), *((_TITLES[kind], (kind,)) for kind in kinds if kind == "run")])
    room = max(_MIN_BAR, width - len(left[0]) - len(right[0]) - 4)
    begin = min(row.times.start_ns for row in drawn)
    scale = room / max(1, max(row.times.end_ns for row in drawn) - begin)
    out = [head, "", f"{left[0]}  {'TIME'.ljust(room)}  {right[0]}".rstrip()]
    for row, words, numbers in zip(drawn, left[1:], right[1:], strict=True):
        bar = _bar(row, begin, scale, room, ascii_only=ascii_only)
        if color:
            bar = f"\x1b[{'31' if _failed(row.step) else '36'}m{bar}\x1b[0m"
        out.append(f"{words}  {bar}  {numbers}".rstrip())
        if row.step.error and row.step.error != trace.invocation.error:
            out.append(
                f"{'  ' * (row.depth + 1)}{'!' if ascii_only else '✗'} {visible(row.step.error.splitlines()[0])}"
            )
    if trace.invocation.error:
        out.append(f"{'!' if ascii_only else '✗'} {visible(trace.invocation.error.splitlines()[0])}")
    return out


def draw(trace: Trace, to: TextIO, *, color: bool = False) -> None:
    """Draws as wide as the terminal allows, with what characters the stream can carry."""
    import shutil

    width = shutil.get_terminal_size((110, 24)).columns
    try:
        (_EIGHTHS + _FULL + _LIGHT + "✗└").encode(to.encoding or "ascii")
        ascii_only = False
    except UnicodeEncodeError:
        ascii_only = True
    to.writelines(line + "\n" for line in lines(trace, width=width, ascii_only=ascii_only, color=color))


def record(trace: Trace) -> dict[str, Any]:
    """The trace for `-o json`: the keys of the records, and for each step what is computed of its spans."""
    plain: dict[str, Any] = asdict(trace)
    plain["steps"] = [
        {
            **asdict(row.step),
            "depth": row.depth,
            "start_ns": row.times.start_ns,
            "end_ns": row.times.end_ns,
            "parts_ns": row.times.parts,
        }
        for row in rows(trace)
    ]
    return plain


def _heading(trace: Trace, drawn: Sequence[Row]) -> str:
    call = trace.invocation
    workers = len({row.step.worker for row in drawn if row.step.worker})
    took = duration(call.ended_ns - call.accepted_ns) if call.ended_ns else "still going on"
    steps = f"{len(drawn)} step{'s' if len(drawn) != 1 else ''} in {workers} worker{'s' if workers != 1 else ''}"
    return f"{call.id}  {call.function} v{call.version}  {call.state}  {took}  {steps}"


def _words(row: Row) -> tuple[str, str, str, str]:
    step = row.step
    return ("  " * row.depth + step.title, step.worker or "-", step.start or "-", step.via or "-")


def _numbers(drawn: Sequence[Row], columns: Sequence[tuple[str, tuple[str, ...]]]) -> list[str]:
    """A title line, then a row's times: those of the kinds of a column together, and of all of it."""
    cells = [(*(title for title, _kinds in columns), "TOTAL")]
    for row in drawn:
        parts = [sum(row.times.parts.get(kind, 0) for kind in kinds) for _title, kinds in columns]
        total = duration(row.times.end_ns - row.times.start_ns)
        cells.append((*(duration(part) if part else "" for part in parts), total))
    return _aligned(cells, ">" * (len(columns) + 1))


def _failed(step: Step) -> bool:
    return bool(step.error)


def _aligned(cells: Sequence[Sequence[str]], sides: str) -> list[str]:
    widths = [max(len(line[place]) for line in cells) for place in range(len(sides))]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True))
        for line in cells
    ]


def _bar(row: Row, begin: int, scale: float, room: int, *, ascii_only: bool) -> str:
    """The bar in `room` characters: a light part until it ran, a full part while it did."""
    start, run, end = ((at - begin) * scale for at in (row.times.start_ns, row.times.run_ns, row.times.end_ns))
    if ascii_only:
        cells = [_ascii_cell(place, start, run, end) for place in range(room)]
    else:
        cells = [_cell(place, start, run, end) for place in range(room)]
    if not any(cell != " " for cell in cells):  # too short to see: a mark where it was
        cells[min(room - 1, int(start))] = "|" if ascii_only else "▏"
    return "".join(cells)


def _cell(place: int, start: float, run: float, end: float) -> str:
    """One character: eighths of it where the running part ends in it."""
    filled = min(place + 1.0, end) - max(float(place), run)
    if filled >= 1 - 1 / 16:
        return _FULL
    if filled > 0:
        ends_here = end < place + 1
        if ends_here and run <= place:
            return _EIGHTHS[max(1, round(filled * 8))] if round(filled * 8) < 8 else _FULL
        return (
            _FULL
            if filled >= 0.5
            else _LIGHT
            if start < place + 0.5 and start < run
            else _EIGHTHS[max(1, round(filled * 8))]
        )
    return _LIGHT if min(place + 1.0, run) - max(float(place), start) >= 0.5 else " "


def _ascii_cell(place: int, start: float, run: float, end: float) -> str:
    middle = place + 0.5
    if run <= middle < end:
        return "#"
    return "-" if start <= middle < run else " "
