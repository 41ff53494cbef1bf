"""How long something takes, as a distribution: measured, one after another, side by side.

A distribution is `POINTS` values in ascending order, each as likely as any other: the middle of each of as many equal
shares of the probability. So sums and maxima of unlike things need no common grid, and tails keep their length.

Source: the operations are those of WISEFUSE (SIGMETRICS'22) and ORION (OSDI'22): series = convolution, parallel =
the product of the distribution functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

POINTS: Final = 250
"""Points kept: a convolution takes their square in steps, 10 ms; the 95th percentile stands on the dozen above it."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Durations, in any unit; made by `measured` or by the operations below."""

    values: tuple[float, ...]

    def percentile(self, share: float) -> float:
        """The value that a share (0 to 1) of all are not above."""
        return _between(self.values, share)

    @property
    def mean(self) -> float:
        """Its mean."""
        return sum(self.values) / len(self.values)

    def after(self, other: Distribution) -> Distribution:
        """Both, one after the other, each by chance: the convolution."""
        if other is NOTHING:
            return self
        if self is NOTHING:
            return other
        return Distribution(_thinned(sorted(one + two for one in self.values for two in other.values)))

    def beside(self, other: Distribution) -> Distribution:
        """The later of both, which do not depend on each other: the product of their distribution functions."""
        pairs = [(value, 0) for value in self.values] + [(value, 1) for value in other.values]
        pairs.sort()
        seen, reached, shares, values = [0, 0], 0.0, [], []
        sizes = (len(self.values), len(other.values))
        for value, which in pairs:
            seen[which] += 1
            reached = (seen[0] / sizes[0]) * (seen[1] / sizes[1])
            shares.append(reached)
            values.append(value)
        return Distribution(_at_middles(values, shares))


NOTHING: Final = Distribution((0.0,))
"""What takes no time."""


def measured(samples: Iterable[float]) -> Distribution:
    """Of what was measured.

    Raises:
        ValueError: there are no samples.
    """
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("nothing was measured")
    return Distribution(tuple(_between(ordered, _middle(index)) for index in range(POINTS)))


def _middle(index: int) -> float:
    return (index + 0.5) / POINTS


def _between(ordered: Sequence[float], share: float) -> float:
    """The value at a share of the probability, between two neighbours where it falls between them."""
    place = share * len(ordered) - 0.5
    below = min(len(ordered) - 1, max(0, int(place)))
    above = min(len(ordered) - 1, below + 1)
    part = min(1.0, max(0.0, place - below))
    return ordered[below] + (ordered[above] - ordered[below]) * part


def _thinned(ordered: Sequence[float]) -> tuple[float, ...]:
    return tuple(_between(ordered, _middle(index)) for index in range(POINTS))


def _at_middles(values: Sequence[float], shares: Sequence[float]) -> tuple[float, ...]:
    """The points of a distribution whose function reaches `shares[i]` at `values[i]`, both ascending."""
    found, place = [], 0
    for index in range(POINTS):
        while place < len(shares) - 1 and shares[place] < _middle(index):
            place += 1
        found.append(values[place])
    return tuple(found)
