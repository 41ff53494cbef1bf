"""Rates and figures of functions, on a clock of the test's own."""

from __future__ import annotations

from agent.stats import RATE_S, Rate, Stats
from mee6.lane.messages import Span, Step

SECOND = 1_000_000_000


def test_a_rate_counts_whole_seconds_and_leaves_out_the_one_that_goes_on() -> None:
    rate = Rate()
    for _ in range(10):
        rate.add(100 * SECOND)
    assert rate.at(100 * SECOND + 1) == 0.0
    assert rate.at(101 * SECOND) == 10 / RATE_S


def test_a_rate_falls_to_nothing_once_nothing_comes() -> None:
    rate = Rate()
    for second in range(100, 110):
        for _ in range(5):
            rate.add(second * SECOND)
    assert rate.at(110 * SECOND) == 5.0
    assert rate.at((110 + RATE_S) * SECOND) == 0.0
    assert rate.at(10_000 * SECOND) == 0.0


def test_a_long_silence_leaves_no_old_counts() -> None:
    rate = Rate()
    rate.add(1 * SECOND)
    rate.add(1_000 * SECOND)
    assert rate.at(1_001 * SECOND) == 1 / RATE_S


def test_a_step_inside_its_callers_worker_is_counted_as_its_functions_run_and_not_as_an_invocation() -> None:
    stats = Stats()
    for state, start in (("succeeded", "warm"), ("timed out", "cold")):
        spans = [Span("load", 1_000_000, 2_000_000), Span("run", 2_000_000, 6_000_000)]
        stats.add_step("root", Step("a.1", "a", "clean", 1, "w1", start, "proxy", state, spans=spans))
    found = stats.of("root", "clean")
    assert (found.invocations, found.failures, found.warm, found.cold, found.p50_ms) == (2, 1, 1, 1, 5.0)
    assert stats.invocations == 0
