"""Times of repeated things and what is said of them: percentiles by nearest rank, and ratios to a floor.

A percentile here is always a value that was measured, never one between two. Samples are in nanoseconds, bytes,
or calls a second; a row holds them in the unit that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec

SCALES: Final = {"us": 1e3, "ms": 1e6, "MB": float(1 << 20), "1/s": 1.0, "%": 0.01, "faults": 1.0, "count": 1.0}
"""Unit -> how much of what is counted (nanoseconds, bytes, calls, shares of 1) makes one."""


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all samples do not exceed.

    Args:
        ordered: ascending, at least one.
        share: 0 to 1.
    """
    rank = math.ceil(round(share * len(ordered), 9))  # 0.95 * 20 is 19.000000000000004 to some, and never rank 20
    return ordered[max(rank, 1) - 1]


class Row(msgspec.Struct, frozen=True):
    """One line of the table."""

    what: str
    unit: str
    n: int
    p50: float
    p95: float
    p99: float
    max: float
    ratio: float | None = None
    """To the floor named by `floor`: the median of what the rounds had, each measured beside its own floor."""
    over: float | None = None
    """More than the floor, in the row's unit; of the rounds' medians likewise."""
    floor: str = ""
    note: str = ""


def row_of(what: str, samples: Sequence[float], unit: str, *, note: str = "") -> Row:
    """A row of samples counted in nanoseconds, bytes or calls."""
    ordered = sorted(samples)
    scale = SCALES[unit]
    p50, p95, p99, most = (percentile(ordered, share) / scale for share in (0.50, 0.95, 0.99, 1.0))
    return Row(what, unit, len(ordered), p50, p95, p99, most, note=note)


Rounds = dict[str, list[list[int]]]
"""Contender -> the samples of each round."""
Contender = Callable[[], Awaitable[list[int]]]


async def interleaved(rounds: int, contenders: Mapping[str, Contender]) -> Rounds:
    """Runs all contenders in each round, every time in another order, so that what the machine does hits all alike.

    Args:
        contenders: name -> takes samples of one round; warms up by itself where that is needed.
    """
    found: Rounds = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(await contenders[name]())
    return found


def rows_of(rounds: Rounds, unit: str, floor: str = "") -> list[Row]:
    """A row for each contender; with the ratio to `floor` where that is one of them."""
    rows = []
    for name, found in rounds.items():
        row = row_of(name, [sample for samples in found for sample in samples], unit)
        if floor and name != floor:
            medians = [(median(a), median(b)) for a, b in zip(found, rounds[floor], strict=True)]
            ratio, over = median(a / b for a, b in medians), median(a - b for a, b in medians)
            row = msgspec.structs.replace(row, ratio=ratio, over=over / SCALES[unit], floor=floor)
        rows.append(row)
    return rows
