"""Distributions: each operation against a simulation of the same, and what must hold whatever they are."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6tui.planning.distribution import NOTHING, measured

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


def test_nothing_adds_nothing_and_nothing_measured_is_refused() -> None:
    some = measured([1.0, 2.0, 3.0])
    assert some.after(NOTHING) is some
    assert NOTHING.after(some) is some
    with pytest.raises(ValueError, match="nothing was measured"):
        measured([])


DURATIONS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@settings(max_examples=30, deadline=None)
@given(DURATIONS, DURATIONS)
def test_order_and_bounds_hold_whatever_was_measured(one: list[float], other: list[float]) -> None:
    a, b = measured(one), measured(other)
    longer, later = a.after(b), a.beside(b)
    for found in (a, longer, later):
        assert list(found.values) == sorted(found.values)
    assert longer.mean == pytest.approx(a.mean + b.mean, rel=0.01, abs=1)
    assert later.mean >= max(a.mean, b.mean) * 0.97 - 1
    assert later.values[-1] == max(a.values[-1], b.values[-1])
    assert longer.values[-1] <= max(one) + max(other) + 1e-6
