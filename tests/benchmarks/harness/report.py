"""The table that a person reads, and the JSON that the next run is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from tests.benchmarks.harness.samples import Row


class Answer(msgspec.Struct):
    """What came of a question."""

    question: str
    rows: list[Row]
    notes: list[str]
    took_s: float
    load: list[tuple[float, float, float]]
    """Load averages before and after."""
    error: str = ""
    """Why it has no complete answer."""


def show(console: Console, name: str, answer: Answer) -> None:
    """Prints one question's table."""
    table = Table(title=f"{name}: {answer.question}", title_justify="left", title_style="bold")
    table.add_column("what", no_wrap=True)
    table.add_column("unit")
    for column in ("n", "p50", "p95", "p99", "max", "x floor", "+ floor"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("note", overflow="fold")
    for row in answer.rows:
        figures = (_figure(value) for value in (row.p50, row.p95, row.p99, row.max))
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        over = "" if row.over is None else _figure(row.over)
        table.add_row(row.what, row.unit, str(row.n), *figures, ratio, over, row.note)
    console.print(table)
    floors = dict.fromkeys(row.floor for row in answer.rows if row.floor)
    beside = [f"x, + floor: medians of the rounds' ratios to '{floor}', and of what they took more" for floor in floors]
    for note in [*beside, *answer.notes]:
        console.print(f"  {note}", style="dim")
    if answer.error:
        console.print(f"  not complete: {answer.error}", style="red")


def _figure(value: float) -> str:
    size = abs(value)
    return f"{value:.0f}" if size >= 1000 else f"{value:.3g}" if size < 10 else f"{value:.1f}"


def write(folder: Path, stamp: str, facts: Mapping[str, Any], answers: Mapping[str, Answer]) -> None:
    """Writes all of a run to `folder/<stamp>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"time": stamp, "machine": facts, "answers": answers}
    (folder / f"{stamp}.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
