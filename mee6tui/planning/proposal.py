"""How many workers each fan-out of a workflow should spread over: the fewest that keep its 95th percentile in a bound.

ORION's search (OSDI '22): from one worker each, the step up that lowers the percentile most, until the bound is met;
without a bound, until no step lowers it by as much as it is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Widths = Mapping[str, int]
PERCENTILE: Final = 0.95
WORTH: Final = 0.03
"""Of the percentile: what a step up has to save, where there is no bound. Source: ORION's margin for costs."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Items at once, for each fan-out."""

    widths: dict[str, int]
    p95: float
    """As predicted."""
    is_met: bool
    """Whether that is within the bound; always, where there is none."""


def propose(widest: Widths, p95_of: Callable[[Widths], float], bound: float | None = None) -> Proposal:
    """The greedy choice.

    Args:
        widest: of each fan-out, the most items at once that make sense.
        p95_of: predicts.
        bound: of the 95th percentile; None = as low as is worth it.
    """
    widths = dict.fromkeys(widest, 1)
    p95 = p95_of(widths)
    while bound is None or p95 > bound:
        steps = [
            (p95_of({**widths, name: width}), width, name)
            for name, most in widest.items()
            for width in candidates(most)
            if width > widths[name]
        ]
        if not steps:
            break
        # Of steps that save the same, the shortest.
        found, width, name = min(steps)
        if found >= p95 or (bound is None and found > p95 * (1 - WORTH)):
            break
        if bound is not None:
            enough = [step for step in steps if step[0] <= bound]
            found, width, name = min(enough, key=lambda step: step[1] - widths[step[2]], default=(found, width, name))
        widths[name], p95 = width, found
    return Proposal(widths, p95, bound is None or p95 <= bound)


def candidates(most: int) -> Sequence[int]:
    """Numbers of workers that are tried: all up to 4, then half as many again each time."""
    found = list(range(1, min(most, 4) + 1))
    while found[-1] < most:
        found.append(min(found[-1] * 3 // 2, most))
    return found
