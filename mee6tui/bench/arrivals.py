"""When calls are to be sent: endless schedules, fixed before anything is sent, whatever becomes of the calls.

Pure; randomness comes in. A schedule yields (seconds from the beginning, number of the target), in order.

`azure` is a synthetic model of what a node sees that serves a hundred functions of the Azure Functions workload of
2019. Source: Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, section 3. Taken from there: the share of each
kind of trigger among functions and among invocations, and how unequal functions are: the 18.6 % of applications that
are called most make 99.6 % of the invocations. A log-normal distribution has that property at sigma = z(0.996) +
z(0.814) = 3.54, with z the normal quantiles. Timers are periodic there, and many other functions burstier than Poisson.
Ours are the coefficient of variation of the bursty ones, and what is left out: days and weeks, which no run of minutes
sees.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from math import exp
from random import Random
from statistics import NormalDist
from typing import Final, NamedTuple

Arrivals = Iterator[tuple[float, int]]
Times = Iterator[float]

SIGMA: Final = 3.54
"""Of the logarithm of functions' rates."""
BURSTY_CV: Final = 4.0
"""Standard deviation over mean of the time between two calls of a bursty function; 1 is Poisson."""


class Trigger(NamedTuple):
    """Functions that are called in the same manner."""

    functions: int
    """Of a hundred."""
    invocations: float
    """Their share of all."""
    times: Callable[[float, Random], Times]


def uniform(rate: float, weights: Sequence[float], random: Random) -> Arrivals:
    """Calls at equal distances, the targets drawn by weight."""
    return _drawn((number / rate for number in itertools.count()), weights, random)


def poisson(rate: float, weights: Sequence[float], random: Random) -> Arrivals:
    """Calls that know nothing of each other."""
    return _drawn(_poisson(rate, random), weights, random)


def azure(rate: float, weights: Sequence[float], random: Random) -> Arrivals:
    """Calls as a hundred functions of Azure's get them, for each target by itself, with its share of the rate."""
    streams = [
        _numbered(times, number)
        for number, weight in enumerate(weights)
        for times in _sources(rate * weight / sum(weights), random)
    ]
    return heapq.merge(*streams)


KINDS: Final[dict[str, Callable[[float, Sequence[float], Random], Arrivals]]] = {
    "poisson": poisson,
    "uniform": uniform,
    "azure": azure,
}


def popularity(functions: int) -> list[float]:
    """The shares of so many functions in their calls, the least called first: the log-normal's quantiles."""
    normal = NormalDist(0, SIGMA)
    rates = [exp(normal.inv_cdf((number + 0.5) / functions)) for number in range(functions)]
    total = sum(rates)
    return [rate / total for rate in rates]


def _sources(rate: float, random: Random) -> Iterator[Times]:
    for trigger in TRIGGERS:
        for share in popularity(trigger.functions):
            yield trigger.times(rate * trigger.invocations * share, random)


def _numbered(times: Times, number: int) -> Arrivals:
    return ((at, number) for at in times)


def _drawn(times: Times, weights: Sequence[float], random: Random) -> Arrivals:
    until = list(itertools.accumulate(weights))
    numbers = range(len(until))
    for at in times:
        yield at, random.choices(numbers, cum_weights=until)[0] if len(until) > 1 else 0


def _poisson(rate: float, random: Random) -> Times:
    at = 0.0
    while True:
        at += random.expovariate(rate)
        yield at


def _periodic(rate: float, random: Random) -> Times:
    """At equal distances, begun anywhere."""
    first = random.random() / rate
    return (first + number / rate for number in itertools.count())


def _bursty(rate: float, random: Random) -> Times:
    """Distances of two kinds, many short ones and few long ones, of one mean all in all; stationary from the start."""
    variance = BURSTY_CV**2
    short = (1 + ((variance - 1) / (variance + 1)) ** 0.5) / 2
    rates = 2 * short * rate, 2 * (1 - short) * rate
    at = random.expovariate(rates[random.random() < 0.5])
    while True:
        yield at
        at += random.expovariate(rates[random.random() >= short])


TRIGGERS: Final = (
    Trigger(55, 0.36, _poisson),  # HTTP
    Trigger(17, 0.59, _bursty),  # queues and events
    Trigger(16, 0.02, _periodic),  # timers
    Trigger(12, 0.03, _bursty),  # orchestration and others
)
"""As the paper has them, rounded; queues go with events, storage and orchestration with others."""
