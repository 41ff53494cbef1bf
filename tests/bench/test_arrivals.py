from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise, takewhile
from random import Random
from statistics import fmean, pstdev, pvariance

import pytest

from mee6tui.bench.arrivals import KINDS, TRIGGERS, popularity


def until(
    kind: str, seconds: float, rate: float = 100.0, weights: tuple[float, ...] = (1.0,)
) -> list[tuple[float, int]]:
    return list(takewhile(lambda arrival: arrival[0] < seconds, KINDS[kind](rate, weights, Random(7))))


@pytest.mark.parametrize(("kind", "tolerance"), [("uniform", 0.0), ("poisson", 0.03), ("azure", 0.12)])
def test_the_rate_is_kept(kind: str, tolerance: float) -> None:
    assert len(until(kind, 200)) == pytest.approx(20_000, rel=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_the_schedule_is_in_order_and_the_same_again(kind: str) -> None:
    times = [at for at, _number in until(kind, 5, weights=(1, 2))]
    assert times == sorted(times)
    assert until(kind, 5, weights=(1, 2)) == until(kind, 5, weights=(1, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_called_by_their_weights(kind: str) -> None:
    numbers = [number for _at, number in until(kind, 300, weights=(3, 1))]
    assert numbers.count(0) / len(numbers) == pytest.approx(0.75, abs=0.05)


def test_calls_come_evenly_at_random_or_in_bursts() -> None:
    """By the variance of the calls in a second over their mean: 1 for those that know nothing of each other."""

    def dispersion(kind: str) -> float:
        counts = Counter(int(at) for at, _number in until(kind, 300))
        return pvariance(counts[second] for second in range(300)) / fmean(counts[second] for second in range(300))

    assert dispersion("uniform") < 0.1
    assert dispersion("poisson") == pytest.approx(1, abs=0.3)
    assert dispersion("azure") > 3


def test_functions_are_as_unequal_as_azures() -> None:
    shares = popularity(50_000)
    assert sum(shares) == pytest.approx(1)
    assert sum(shares[-9_300:]) == pytest.approx(0.996, abs=0.001), "18.6 % of them have 99.6 % of the calls"
    assert sum(trigger.functions for trigger in TRIGGERS) == 100
    assert sum(trigger.invocations for trigger in TRIGGERS) == pytest.approx(1)


@pytest.mark.parametrize(("number", "variation"), [(0, 1.0), (1, 4.0), (2, 0.0)])
def test_each_trigger_has_its_variation_and_its_rate(number: int, variation: float) -> None:
    times = list(islice(TRIGGERS[number].times(10.0, Random(3)), 100_000))
    distances = [after - before for before, after in pairwise(times)]
    assert fmean(distances) == pytest.approx(0.1, rel=0.05)
    assert pstdev(distances) / fmean(distances) == pytest.approx(variation, rel=0.1, abs=1e-6)


def test_a_bursty_function_is_stationary_from_its_first_call_on() -> None:
    """Else a short run would see too many calls, or too few."""
    counts = [len(list(takewhile(lambda at: at < 1.0, TRIGGERS[1].times(1.0, Random(seed))))) for seed in range(4000)]
    assert fmean(counts) == pytest.approx(1.0, rel=0.12)
