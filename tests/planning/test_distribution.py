"""Distributions: each operation against a simulation of the same, and what must hold whatever they are."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6tui.planning.distribution import NOTHING, likeness, measured

SHARES = (0.5, 0.9, 0.95)
MANY = 40_000


def draws(kind: str, seed: int) -> Callable[[], float]:
    source = random.Random(seed)
    return {
        "even": lambda: source.uniform(5, 15),
        "skewed": lambda: source.lognormvariate(2, 0.6),
        "two humps": lambda: source.gauss(10, 1) if source.random() < 0.8 else source.gauss(30, 2),
    }[kind]


KINDS = ("even", "skewed", "two humps")


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_series_and_parallel_are_within_two_percent_of_a_simulation(one: str, other: str) -> None:
    first, second = draws(one, 1), draws(other, 2)
    pairs = [(first(), second()) for _ in range(MANY)]
    a, b = (measured(side) for side in zip(*pairs, strict=True))
    for told, simulated in (
        (a.after(b), measured(x + y for x, y in pairs)),
        (a.beside(b), measured(max(pair) for pair in pairs)),
    ):
        for share in SHARES:
            assert told.percentile(share) == pytest.approx(simulated.percentile(share), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [2, 8])
def test_the_slowest_of_several_is_within_three_percent_of_a_simulation(kind: str, number: int) -> None:
    draw = draws(kind, 3)
    told = measured(draw() for _ in range(MANY)).slowest_of(number)
    simulated = measured(max(draw() for _ in range(number)) for _ in range(MANY // 4))
    for share in SHARES:
        assert told.percentile(share) == pytest.approx(simulated.percentile(share), rel=0.03)


def test_steps_that_are_slow_together_need_the_model_that_knows_it() -> None:
    source = random.Random(4)
    runs = []
    for _ in range(4_000):
        common = source.lognormvariate(2, 0.6)
        runs.append([common * source.uniform(0.98, 1.02) for _ in range(8)])
    each = measured(value for run in runs for value in run)
    simulated = measured(map(max, runs)).percentile(0.5)
    same = likeness([(run[0], run[1]) for run in runs])
    assert same > 0.9
    assert each.slowest_alike(8, same).percentile(0.5) == pytest.approx(simulated, rel=0.12)
    assert each.slowest_of(8).percentile(0.5) > simulated * 1.5


def test_steps_that_have_nothing_to_do_with_each_other_are_not_alike() -> None:
    source = random.Random(5)
    assert likeness([(source.random(), source.random()) for _ in range(2_000)]) < 0.05
    assert likeness([]) == 0.0


def test_nothing_adds_nothing_and_nothing_measured_is_refused() -> None:
    some = measured([1.0, 2.0, 3.0])
    assert some.after(NOTHING) is some
    assert NOTHING.after(some) is some
    assert some.times(2).mean == pytest.approx(some.mean * 2)
    with pytest.raises(ValueError, match="nothing was measured"):
        measured([])


DURATIONS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@settings(max_examples=30, deadline=None)
@given(DURATIONS, DURATIONS)
def test_order_and_bounds_hold_whatever_was_measured(one: list[float], other: list[float]) -> None:
    a, b = measured(one), measured(other)
    longer, later = a.after(b), a.beside(b)
    for found in (a, longer, later, a.slowest_of(3), a.slowest_alike(3, 0.5)):
        assert list(found.values) == sorted(found.values)
    assert longer.mean == pytest.approx(a.mean + b.mean, rel=0.01, abs=1)
    assert later.mean >= max(a.mean, b.mean) * 0.97 - 1
    assert later.values[-1] == max(a.values[-1], b.values[-1])
    assert longer.values[-1] <= max(one) + max(other) + 1e-6
