"""What came of the calls: latencies in a histogram, failures by kind, how late the generator itself was.

Pure. A `Histogram` has a bucket for every 1/128 of a power of two, as HdrHistogram has: at most 0.8 % off, in a few
kilobytes, however many are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_BITS: Final = 7
PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
LATE_NS: Final = 1_000_000
"""A send later than this after its time is late."""
LATE_SHARE: Final = 0.01
"""With more late sends than this the generator did not keep up."""


@dataclass(slots=True)
class Histogram:
    """Counts of nanoseconds."""

    counts: Counter[int] = field(default_factory=Counter)
    """Bucket -> how many."""
    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, value: int) -> None:
        """Counts one; what is below zero as zero."""
        value = max(0, value)
        self.counts[bucket(value)] += 1
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value)
        self.count += 1
        self.total += value

    def merge(self, other: Histogram) -> None:
        """Counts all of another one's."""
        if other.count:
            self.least = min(self.least, other.least) if self.count else other.least
            self.most = max(self.most, other.most)
            self.counts.update(other.counts)
            self.count += other.count
            self.total += other.total

    def at(self, percentile: float) -> int | None:
        """The value that so many percent are not above; None where fewer than one is above it, by count."""
        if self.count * (100 - percentile) < 100 * (1 - 1e-9):
            return None
        return self.value(percentile)

    def value(self, percentile: float) -> int:
        """The same, however few there are; 0 for none."""
        wanted, seen = self.count * percentile / 100, 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            if seen >= wanted - 1e-9:
                return min(end(number) - 1, self.most)
        return self.most

    @property
    def mean(self) -> float:
        """Nanoseconds; 0 for none."""
        return self.total / self.count if self.count else 0.0

    def spread(self, edges: Sequence[int]) -> list[int]:
        """How many lie below the first edge, between each two, and from the last one on, to a bucket's width."""
        found = [0] * (len(edges) + 1)
        for number, count in self.counts.items():
            found[sum(edge < end(number) for edge in edges)] += count
        return found

    def points(self) -> Iterator[tuple[int, int]]:
        """(value, how many are not above it), rising."""
        seen = 0
        for number in sorted(self.counts):
            seen += self.counts[number]
            yield min(end(number) - 1, self.most), seen


def bucket(value: int) -> int:
    """The number of the bucket that a value is counted in; rises with the value."""
    shift = max(0, value.bit_length() - _BITS - 1)
    return (shift << _BITS) + (value >> shift)


def end(number: int) -> int:
    """The first value that is beyond a bucket."""
    shift = max(0, (number >> _BITS) - 1)
    return ((number - (shift << _BITS)) + 1) << shift


@dataclass(slots=True)
class Tally:
    """What came of the calls of one target."""

    name: str
    latency: Histogram = field(default_factory=Histogram)
    """Of those that succeeded, from when they were to be sent."""
    errors: Counter[str] = field(default_factory=Counter)
    """Kind -> how many."""

    @property
    def calls(self) -> int:
        """All that have ended."""
        return self.latency.count + self.errors.total()


@dataclass(slots=True)
class Figures:
    """What came of a run."""

    how: str
    """`poisson`, `uniform`, `azure`, or `closed`."""
    tallies: Sequence[Tally]
    rate: float = 0.0
    """Calls a second that were wanted; 0 for a closed loop."""
    callers: int = 0
    """Of a closed loop."""
    seconds: float = 0.0
    """From the end of the warm-up to the last answer, and no less than the duration."""
    late: Histogram = field(default_factory=Histogram)
    """How long after its time each call was sent."""
    late_sends: int = 0

    def sent(self, late_ns: int) -> None:
        """Counts a call as it is sent."""
        self.late.add(late_ns)
        self.late_sends += late_ns > LATE_NS

    @property
    def latency(self) -> Histogram:
        """Of all targets."""
        found = Histogram()
        for tally in self.tallies:
            found.merge(tally.latency)
        return found

    @property
    def errors(self) -> Counter[str]:
        """Of all targets."""
        return sum((tally.errors for tally in self.tallies), Counter[str]())

    @property
    def kept_up(self) -> bool:
        """Whether the generator sent nearly all calls at their time."""
        return self.late_sends <= LATE_SHARE * self.late.count

    @property
    def throughput(self) -> float:
        """Calls that succeeded, a second."""
        return self.latency.count / self.seconds if self.seconds else 0.0


def plain(figures: Figures) -> dict[str, Any]:
    """For `-o json`: milliseconds, the buckets included, so that runs can be put together."""
    late = figures.late
    return {
        "how": figures.how,
        "rate": figures.rate or None,
        "callers": figures.callers or None,
        "seconds": round(figures.seconds, 6),
        "calls": sum(tally.calls for tally in figures.tallies),
        "throughput": round(figures.throughput, 3),
        **_outcome(figures.latency, figures.errors),
        "generator": {
            "kept_up": figures.kept_up,
            "late": figures.late_sends,
            "late_after_ms": LATE_NS / 1e6,
            "p99_ms": _ms(late.value(99)),
            "max_ms": _ms(late.most),
        },
        "targets": [
            {"name": one.name, "calls": one.calls, **_outcome(one.latency, one.errors)} for one in figures.tallies
        ],
        "buckets": [{"to_ms": _ms(value), "calls": count} for value, count in _each(figures.latency.points())],
    }


def _each(points: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    before = 0
    for value, seen in points:
        yield value, seen - before
        before = seen


def _outcome(latency: Histogram, errors: Mapping[str, int]) -> dict[str, Any]:
    percentiles = {f"p{percentile:g}": latency.at(percentile) for percentile in PERCENTILES}
    return {
        "succeeded": latency.count,
        "errors": dict(sorted(errors.items())),
        "latency_ms": {
            "min": _ms(latency.least),
            "mean": _ms(latency.mean),
            **{name: None if value is None else _ms(value) for name, value in percentiles.items()},
            "max": _ms(latency.most),
        },
    }


def _ms(ns: float) -> float:
    return round(ns / 1e6, 6)
