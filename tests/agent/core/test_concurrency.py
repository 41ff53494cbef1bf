"""The rule that holds invocations back for a worker in use: its estimates, its bounds, and what it does to a burst."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import concurrency
from agent.core import events as ev
from agent.core.concurrency import MIN_SAMPLES, Estimate, Estimates
from agent.core.settings import Settings
from tests.agent.core.play import SECOND, Play

MILLISECOND = SECOND // 1000
START, LOAD = 40 * MILLISECOND, 10 * MILLISECOND


def estimate(took: int, *, rate: float = 0.0, seconds: int = 20) -> tuple[Estimate, int]:
    """One of a function that takes so long, called so often a second for a while; and the time then."""
    found, now = Estimate(), SECOND
    for _ in range(int(rate * seconds)):
        now += int(SECOND / rate)
        found.arrived(now)
    for _ in range(MIN_SAMPLES):
        found.ran(took)
    return found, now


@pytest.mark.parametrize(
    ("rate", "took_ms", "tau"),
    [(200, 10, 2), (1000, 3, 3), (50, 200, 10), (10, 20, 0.2)],  # Little's law
)
def test_tau_is_the_rate_times_the_time(rate: float, took_ms: int, tau: float) -> None:
    found, now = estimate(took_ms * MILLISECOND, rate=rate)
    assert found.rate(now) == pytest.approx(rate, rel=0.06)
    assert found.tau(now) == pytest.approx(tau, rel=0.06)


def test_the_rate_of_bursts_is_that_of_their_average() -> None:
    found, now = Estimate(), SECOND
    rates = []
    for _ in range(200):  # ten at once, ten times a second: their gaps would say thousands
        now += SECOND // 10
        for _ in range(10):
            found.arrived(now)
        rates.append(found.rate(now + SECOND // 20))
    assert rates[-1] == pytest.approx(100, rel=0.06)
    assert max(rates) < 106


def test_a_rate_fades() -> None:
    found, now = estimate(MILLISECOND, rate=100)
    assert found.rate(now + 10 * concurrency.FADE_NS) < 0.01


def test_the_time_is_the_mean_at_first_and_then_follows() -> None:
    found = Estimate()
    for took in (1, 2, 6):
        found.ran(took)
    assert found.time == pytest.approx(3)
    for _ in range(400):
        found.ran(100)
    assert found.time == pytest.approx(100, rel=0.01)


def test_nothing_is_held_back_before_enough_is_known() -> None:
    found = Estimate()
    for _ in range(MIN_SAMPLES - 1):
        found.ran(MILLISECOND)
    assert found.more(12, 1, START, SECOND) == 12
    found.ran(MILLISECOND)
    assert found.more(12, 1, START, SECOND) == 0
    assert found.more(12, 1, 0, SECOND) == 12, "nor while nobody knows what another worker costs"


@pytest.mark.parametrize(
    ("took_ms", "waiting", "executing", "more"),
    [
        (1, 12, 1, 0),  # twelve milliseconds' work, done before another worker is there
        (10, 12, 1, 2),  # three do 120 ms in 40
        (10, 12, 3, 0),
        (1000, 12, 0, 12),
        (1000, 12, 5, 12),
        (1, 1, 0, 1),  # somebody has to
    ],
)
def test_as_many_more_as_serve_those_that_wait_within_a_start(
    took_ms: int, waiting: int, executing: int, more: int
) -> None:
    found, now = estimate(took_ms * MILLISECOND)
    assert found.more(waiting, executing, START, now) == more


def test_up_to_tau_may_execute_whoever_waits() -> None:
    found, now = estimate(10 * MILLISECOND, rate=500)  # tau is 5
    assert [found.more(9, executing, START, now) for executing in range(6)] == [5, 4, 3, 2, 1, 0]


@given(
    took=st.integers(1, 10 * SECOND),
    waiting=st.integers(0, 1000),
    executing=st.integers(0, 1000),
    ready_in=st.integers(1, SECOND),
    rate=st.sampled_from([0, 1, 50]),
)
def test_the_rule_keeps_its_bounds(took: int, waiting: int, executing: int, ready_in: int, rate: int) -> None:
    found, now = estimate(took, rate=rate, seconds=2)
    more = found.more(waiting, executing, ready_in, now)
    assert 0 <= more <= waiting
    assert more >= min(waiting, 1 - executing), "one executes, or may"
    assert more <= found.more(waiting + 1, executing, ready_in, now)
    assert found.more(waiting, executing + 1, ready_in, now) <= more
    # Who is left waits for no longer than a start takes, if the runs take what they took.
    places = executing + more
    if more < waiting:
        assert ceil(waiting * took / ready_in) <= max(places, 1) or places >= waiting


def test_estimates_of_functions_that_nobody_uses_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "KEPT", 3)
    kept = Estimates()
    for number, name in enumerate("abc"):
        kept.of(name).arrived(number)
    kept.of("a").executing = 1
    kept.of("d").arrived(9)
    assert [name for name in "abcd" if kept.known(name)] == ["a", "c", "d"]
    assert kept.of("c") is kept.known("c")


# -- in the scheduler


def known(settings: Settings, took: int) -> Play:
    """A node with one warm worker of `f`, which is known to take so long."""
    play = Play(settings)
    play.submit("first")
    play.now += START
    play.tell(ev.WorkerConnected("w1"))
    play.now += LOAD
    play.tell(ev.FunctionLoaded("w1", "first", None, handed_over=False))
    play.now += took
    play.finish("first")
    for number in range(MIN_SAMPLES):
        play.submit(f"k{number}")
        play.now += took
        play.finish(f"k{number}")
    play.todo.clear()
    return play


def burst(play: Play, size: int, took: int) -> int:
    """Has so many come at once; each takes its time in whatever worker it gets. The workers started."""
    before = len(play.every(ev.StartWorker))
    due: list[tuple[int, ev.Event]] = []
    for number in range(size):
        follow(play, play.submit(f"b{number}"), due, took)
    while due:
        due.sort(key=lambda one: one[0])
        play.now, event = due.pop(0)
        follow(play, play.tell(event), due, took)
    assert not play.core.line
    return len(play.every(ev.StartWorker)) - before


def follow(play: Play, commands: list[ev.Command], due: list[tuple[int, ev.Event]], took: int) -> None:
    for command in commands:
        match command:
            case ev.StartWorker(worker):
                due.append((play.now + START, ev.WorkerConnected(worker)))
            case ev.Load(worker, invocation):
                due.append((play.now + LOAD, ev.FunctionLoaded(worker, invocation, None, handed_over=False)))
            case ev.Call(worker, invocation):
                due.append((play.now + took, ev.Finished(worker, invocation, ok=True)))
            case _:
                pass


def settings(*, wait_for_busy: bool = True) -> Settings:
    return Settings(prewarm={}, parallel_starts=64, wait_for_busy=wait_for_busy, linger=60 * SECOND)


def test_a_burst_of_short_runs_is_served_by_the_worker_that_is_there() -> None:
    assert burst(known(settings(), MILLISECOND), 12, MILLISECOND) == 0
    assert burst(known(settings(wait_for_busy=False), MILLISECOND), 12, MILLISECOND) == 11


def test_a_burst_of_long_runs_gets_a_worker_each() -> None:
    assert burst(known(settings(), SECOND), 12, SECOND) == 11


def test_a_burst_is_over_as_soon_as_with_a_worker_each() -> None:
    took = 10 * MILLISECOND
    spans = []
    for wait_for_busy in (True, False):
        play = known(settings(wait_for_busy=wait_for_busy), took)
        began = play.now
        started = burst(play, 12, took)
        spans.append((started, play.now - began))
    (few, within), (many, at_least) = spans
    assert few < many
    assert within <= at_least + START + LOAD


def test_who_was_held_back_for_as_long_as_a_start_takes_gets_one() -> None:
    play = known(settings(), MILLISECOND)
    play.submit("stuck")  # takes for ever, this time
    play.submit("held")
    found = play.core.invocations["held"].circumstances
    assert found is not None
    assert found.hindered == "busy"
    wake = play.core.next_wake()
    assert wake == play.now + START + LOAD
    assert not play.wait(START + LOAD - 1)
    assert [type(one) for one in play.wait(1)] == [ev.StartWorker]


def test_all_that_were_held_back_are_let_go_together() -> None:
    play = known(settings(), MILLISECOND)
    play.submit("stuck")
    for name in "abc":
        play.submit(name)
    assert len(play.wait(START + LOAD)) == 3


def test_a_ready_worker_is_left_for_others_where_one_in_use_is_free_as_soon() -> None:
    play = known(settings(), MILLISECOND)
    play.submit("other", "g")
    play.oblige()
    play.finish("other")
    play.submit("busy")
    play.tell(ev.Configured(Settings(prewarm={play.core.fleet.workers["w1"].pool: 1}, parallel_starts=64)))
    play.oblige()
    assert play.submit("held") == []
    called = play.finish("busy")
    assert [one.invocation for one in called if isinstance(one, ev.Call)] == ["held"]


def test_a_call_of_what_waits_for_it_is_not_held_back_for_its_caller() -> None:
    play = known(settings(), MILLISECOND)
    play.submit("a")
    play.begin("b", "g", depth=2, caller="a")
    assert any(isinstance(one, ev.StartWorker) for one in play.submit("again", depth=3, caller="b"))


def test_the_time_in_which_calls_wait_for_a_worker_does_not_count() -> None:
    play = known(settings(), MILLISECOND)
    before = play.core.estimates.of("f").time
    play.submit("caller")
    play.submit("one", "g", depth=2, caller="caller")
    play.submit("two", "g", depth=2, caller="caller")
    play.now += 5 * SECOND  # a slow start
    play.oblige()
    for name in ("one", "two"):
        play.finish(name)
    play.now += MILLISECOND
    play.finish("caller")
    assert play.core.estimates.of("f").time == pytest.approx(before, rel=0.01)


def test_it_can_be_turned_off_while_it_serves() -> None:
    play = known(settings(), MILLISECOND)
    play.submit("busy")
    assert play.submit("held") == []
    started = play.tell(ev.Configured(settings(wait_for_busy=False)))
    assert [type(one) for one in started] == [ev.StartWorker]
