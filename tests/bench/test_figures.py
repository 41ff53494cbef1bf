from __future__ import annotations

from random import Random

import pytest

from mee6tui.bench.figures import Figures, Histogram, Tally, bucket, end, plain

MS = 1_000_000


def of(*values: int) -> Histogram:
    made = Histogram()
    for value in values:
        made.add(value)
    return made


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 257, 511, 512, 1000, 123_456_789, 10**15])
def test_a_bucket_holds_its_value_and_is_narrow(value: int) -> None:
    number = bucket(value)
    assert value < end(number)
    assert bucket(end(number) - 1) == number
    assert bucket(end(number)) == number + 1
    assert end(number) - 1 - value <= value / 128


def test_percentiles_are_those_of_the_values_to_a_bucket() -> None:
    random = Random(1)
    values = sorted(int(random.lognormvariate(14, 1)) for _ in range(20_000))
    made = of(*values)
    for percentile in (50, 90, 99, 99.9):
        exact = values[int(len(values) * percentile / 100) - 1]
        assert made.value(percentile) == pytest.approx(exact, rel=0.01)
    assert (made.value(100), made.most, made.least) == (values[-1], values[-1], values[0])
    assert made.mean == pytest.approx(sum(values) / len(values))


@pytest.mark.parametrize(
    ("count", "percentile", "known"), [(99, 99, False), (100, 99, True), (999, 99.9, False), (1000, 99.9, True)]
)
def test_a_percentile_is_known_where_a_call_lies_beyond_it(count: int, percentile: float, known: bool) -> None:
    assert (of(*range(count)).at(percentile) is not None) == known


def test_histograms_are_put_together() -> None:
    both, empty = of(5, 700), Histogram()
    both.merge(of(1, 9000))
    both.merge(empty)
    empty.merge(both)
    assert both == empty == of(5, 700, 1, 9000)
    assert (empty.least, empty.most, empty.count) == (1, 9000, 4)


def test_none_at_all_is_no_mistake() -> None:
    assert (Histogram().value(50), Histogram().at(50), Histogram().mean) == (0, None, 0.0)


def test_the_spread_counts_each_call_once() -> None:
    assert of(10, 20, 30, 40, 50).spread([15, 35]) == [1, 2, 2]


def test_late_sends_are_counted_and_judged() -> None:
    figures = Figures("poisson", [Tally("echo")], rate=1)
    for _ in range(99):
        figures.sent(50_000)
    figures.sent(2 * MS)
    assert (figures.late_sends, figures.kept_up) == (1, True)
    figures.sent(3 * MS)
    assert (figures.late_sends, figures.kept_up, figures.late.most) == (2, False, 3 * MS)


def test_the_plain_form_has_all_and_its_buckets_add_up() -> None:
    tallies = [Tally("a", of(*[2 * MS] * 60)), Tally("b", of(*[4 * MS] * 40))]
    tallies[1].errors["timed out"] += 2
    found = plain(Figures("uniform", tallies, rate=10, seconds=10))
    assert (found["calls"], found["succeeded"], found["errors"]) == (102, 100, {"timed out": 2})
    assert found["throughput"] == 10
    assert found["latency_ms"]["p50"] == pytest.approx(2, rel=0.01)
    assert found["latency_ms"]["p99.9"] is None
    assert sum(one["calls"] for one in found["buckets"]) == 100
    assert [(one["name"], one["calls"], one["succeeded"]) for one in found["targets"]] == [("a", 60, 60), ("b", 42, 40)]
