"""How many invocations of a function are worth executing at once: Nightcore's rule, with a term for who waits.

tau = lambda x t: invocations that come in a second, times the seconds that one takes, is how many are under way on
average where nobody waits. What one takes counts without the time in which its calls waited for a worker, or a
caller would look busy for standing in its callee's queue.

tau is an average, and so many workers would be used to the full: whoever waits in a burst would wait for ever. So as
many more are worth it as let those that wait be served within the time in which another worker would be ready; a
worker that is in use serves them as soon otherwise. Who has waited for that long is held back no longer, whatever
the estimates say: so the rule costs nobody more than the start that it saves, once over.

Source: Nightcore (ASPLOS 2021) and its `concurrency_limit`. Not taken over: the mean of inverse gaps between arrivals,
which overestimates the rate of what comes in bursts; here arrivals are counted, and the count fades. No clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, exp
from typing import Final

FADE_NS: Final = 2_000_000_000
"""The time in which an arrival's weight falls to 1/e: the rate is an average over about as long."""
MIN_SAMPLES: Final = 8
"""Runs to have seen before anything is held back by what they took."""
EVEN: Final = 32
"""Runs that weigh the same in the average: the first."""
WEIGHT: Final = 1 / EVEN
"""Of the newest run, afterwards."""
_FADE: Final = 1 / FADE_NS
KEPT: Final = 2048
"""Functions of which estimates are kept."""


@dataclass(slots=True, eq=False)
class Estimate:
    """What is known of one plan's invocations. Times are nanoseconds."""

    executing: int = 0
    """Invocations that have a worker now."""
    samples: int = 0
    """Runs that have been measured."""
    time: float = 0.0
    """What one takes from its call to its end, without the time that its calls waited: a moving average."""
    load: float = 0.0
    """What it took to load the function; a moving average; 0 while that is not known."""
    arrived_at: int = 0
    _arrivals: float = 0.0
    """Those so far, each by its weight at `arrived_at`."""

    def arrived(self, now: int) -> None:
        """Counts an arrival."""
        self._arrivals = self._arrivals * exp((self.arrived_at - now) * _FADE) + 1.0
        self.arrived_at = now

    def ran(self, took: int) -> None:
        """Takes note of what a run took."""
        self.samples += 1
        self.time += (took - self.time) * (WEIGHT if self.samples > EVEN else 1 / self.samples)

    def loaded(self, took: int) -> None:
        """Takes note of what a load took."""
        self.load = smoothed(self.load, took)

    def rate(self, now: int) -> float:
        """Arrivals in a second."""
        return self._arrivals * exp((self.arrived_at - now) / FADE_NS) * 1e9 / FADE_NS

    def tau(self, now: int) -> float:
        """How many are under way on average where nobody waits."""
        return self.rate(now) * self.time / 1e9

    def more(self, waiting: int, executing: int, ready_in: float, now: int) -> int:
        """How many of those that wait are worth another place to execute in.

        Args:
            executing: that may end by themselves: those that wait for one of the waiting do not.
            ready_in: nanoseconds until another worker would have the function loaded; 0 = not known.
        """
        if self.samples < MIN_SAMPLES or not ready_in:
            return waiting
        needed = max(1, round(self.tau(now)), ceil(waiting * self.time / ready_in))
        return min(waiting, max(0, needed - executing))


@dataclass(slots=True)
class Estimates:
    """Those of a node's functions, by the plan's digest; of those that came last."""

    _of: dict[str, Estimate] = field(default_factory=dict)

    def of(self, digest: str) -> Estimate:
        """That of a plan, made at its first invocation."""
        found = self._of.get(digest)
        if found is None:
            if len(self._of) >= KEPT:
                unused = (key for key, one in self._of.items() if not one.executing)
                del self._of[min(unused, key=lambda key: self._of[key].arrived_at)]
            found = self._of[digest] = Estimate()
        return found

    def known(self, digest: str) -> Estimate | None:
        """That of a plan, if there is one."""
        return self._of.get(digest)


def smoothed(average: float, value: int) -> float:
    """The next moving average of what is measured seldom; 0 = there was none yet."""
    return average + (value - average) / 4 if average else float(value)
