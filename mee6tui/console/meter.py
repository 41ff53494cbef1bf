"""Rates and times of the last two minutes, second by second, in bounded memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

SECONDS: Final = 120
TIMES_PER_SECOND: Final = 256
"""Durations kept of one second; of more, every second one, then every fourth, and so on."""


@dataclass(slots=True)
class Second:
    """What ended in one second."""

    at_s: int
    ended: int = 0
    failed: int = 0
    cold: int = 0
    times_ms: list[float] = field(default_factory=list)
    stride: int = 1

    def take(self, took_ms: float) -> None:
        """Keeps a duration, or leaves it out where there are too many."""
        if self.ended % self.stride == 0:
            self.times_ms.append(took_ms)
        if len(self.times_ms) >= TIMES_PER_SECOND:
            del self.times_ms[1::2]
            self.stride *= 2


@dataclass(slots=True)
class Gauge:
    """A value measured now and then; one a second is kept."""

    values: list[tuple[int, float]] = field(default_factory=list)

    def put(self, at_s: float, value: float) -> None:
        """Notes a value; the last of a second counts."""
        second = int(at_s)
        if self.values and self.values[-1][0] == second:
            self.values[-1] = (second, value)
            return
        self.values.append((second, value))
        if len(self.values) > 2 * SECONDS:
            del self.values[:-SECONDS]

    def series(self, now_s: float, seconds: int) -> list[float]:
        """The last seconds, oldest first; a second without a value has the one before it."""
        first, known, out, place = int(now_s) - seconds + 1, 0.0, [], 0
        for second in range(first, int(now_s) + 1):
            while place < len(self.values) and self.values[place][0] <= second:
                known = self.values[place][1]
                place += 1
            out.append(known)
        return out


class Meter:
    """How many invocations ended, how, and how long they took. Times are the agent's, in nanoseconds."""

    def __init__(self) -> None:
        self.seconds: dict[int, Second] = {}

    def ended(self, at_ns: int, took_ns: int, *, failed: bool, cold: bool) -> None:
        """Notes the end of an invocation."""
        at_s = at_ns // 1_000_000_000
        second = self.seconds.get(at_s)
        if second is None:
            second = self.seconds[at_s] = Second(at_s)
            if len(self.seconds) > 2 * SECONDS:
                for old in sorted(self.seconds)[:-SECONDS]:
                    del self.seconds[old]
        second.take(took_ns / 1e6)
        second.ended += 1
        second.failed += failed
        second.cold += cold

    def copy(self) -> Meter:
        """The same now."""
        made = Meter()
        made.seconds = {at: replace(second, times_ms=list(second.times_ms)) for at, second in self.seconds.items()}
        return made

    def series(self, now_ns: int, seconds: int, what: str = "ended") -> list[float]:
        """Of each of the last whole seconds, oldest first.

        Args:
            what: `ended`, `failed` or `cold`.
        """
        last = now_ns // 1_000_000_000
        return [
            float(getattr(self.seconds[at], what)) if at in self.seconds else 0.0 for at in range(last - seconds, last)
        ]

    def rate(self, now_ns: int, seconds: int = 5, what: str = "ended") -> float:
        """A second, over the last whole seconds."""
        return sum(self.series(now_ns, seconds, what)) / seconds

    def quantiles(self, now_ns: int, seconds: int = 60) -> tuple[float, float, int]:
        """The median and the 99th percentile in milliseconds, and of how many; 0 where there are none.

        A second that kept only a part of its durations counts for as many as it had.
        """
        return quantiles([self], [now_ns], seconds)


def quantiles(meters: list[Meter], nows_ns: list[int], seconds: int = 60) -> tuple[float, float, int]:
    """As `Meter.quantiles`, of several agents together."""
    weighed: list[tuple[float, int]] = []
    total = 0
    for meter, now_ns in zip(meters, nows_ns, strict=True):
        last = now_ns // 1_000_000_000
        for at in range(last - seconds, last + 1):
            if (second := meter.seconds.get(at)) is not None:
                weighed += [(took, second.stride) for took in second.times_ms]
                total += second.ended
    weighed.sort()
    weight = sum(stride for _took, stride in weighed)
    return _at(weighed, weight, 0.5), _at(weighed, weight, 0.99), total


def _at(weighed: list[tuple[float, int]], weight: int, part: float) -> float:
    passed = 0
    for took, stride in weighed:
        passed += stride
        if passed >= part * weight:
            return took
    return 0.0
