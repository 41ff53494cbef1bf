"""The bound on invocations under way over HTTP: falls where most take long, rises where they do not."""

from __future__ import annotations

import pytest

from agent.http.bound import ENOUGH, KEPT, LEAST, MOST_KNOWN, STALE_NS, WINDOW_NS, Bound

MS = 1_000_000
GOAL = 5 * MS


class Played:
    """A bound, and the time."""

    def __init__(self, most: int = 256, goal_ns: int = GOAL) -> None:
        self.bound = Bound(most, goal_ns)
        self.at = 10 * STALE_NS
        self.bound.ended("f", 1, 1, self.at)  # begins a window, and is of no function that is asked for below

    def window(self, *took_ns: int, under_way: int = 100, function: str = "g", count: int = ENOUGH) -> int:
        """One that is just over; invocations that took this long, in turns."""
        for number in range(count):
            self.at += WINDOW_NS // count + 1
            self.bound.ended(function, took_ns[number % len(took_ns)], under_way, self.at)
        return self.bound.now


def test_it_is_the_most_at_first_and_while_nothing_takes_long() -> None:
    played = Played()
    assert [played.window(1 * MS) for _ in range(3)] == [256] * 3


def test_it_falls_from_what_was_under_way_where_most_take_long() -> None:
    played = Played()
    played.window(1 * MS)
    first = played.window(50 * MS, under_way=100)
    assert first == int(100 * KEPT)
    assert played.window(50 * MS, under_way=first) == int(first * KEPT)


@pytest.mark.parametrize(
    ("quickest", "took", "falls"),
    [
        (1 * MS, 1 * MS + GOAL, False),
        (1 * MS, 2 * MS + GOAL, True),
        (100 * MS, 350 * MS, False),  # who takes long may take as much longer
        (100 * MS, 450 * MS, True),
    ],
)
def test_what_is_long_is_told_by_the_functions_own_quickest(quickest: int, took: int, falls: bool) -> None:
    played = Played()
    played.window(quickest)
    assert (played.window(took) < 256) is falls


def test_functions_are_measured_each_by_itself() -> None:
    played = Played()
    played.window(1 * MS, function="quick")
    assert played.window(200 * MS, function="slow") == 256


def test_a_function_whose_calls_differ_is_no_load() -> None:
    played = Played()
    played.window(1 * MS)
    assert played.window(1 * MS, 500 * MS) == 256


def test_it_rises_by_one_a_window_once_nothing_takes_long() -> None:
    played = Played()
    played.window(1 * MS)
    low = played.window(50 * MS, under_way=20)
    assert [played.window(2 * MS, under_way=low) for _ in range(3)] == [low + 1, low + 2, low + 3]


def test_it_never_falls_below_what_keeps_the_machine_at_work() -> None:
    played = Played()
    played.window(1 * MS)
    lows = [played.window(50 * MS, under_way=10) for _ in range(10)]
    assert min(lows) == LEAST
    small = Played(most=2)
    small.window(1 * MS)
    assert small.window(50 * MS, under_way=2) == 2


def test_what_takes_long_with_next_to_nothing_under_way_takes_long_by_itself() -> None:
    played = Played()
    played.window(1 * MS)
    while played.bound.now > LEAST:  # its database has become slow, say
        played.window(50 * MS, under_way=played.bound.now)
    played.window(50 * MS, under_way=LEAST)
    assert [played.window(50 * MS, under_way=50) for _ in range(2)] == [LEAST + 2, LEAST + 3]


def test_what_ends_too_rarely_says_nothing() -> None:
    played = Played()
    played.window(1 * MS)
    for _ in range(10):
        played.at += STALE_NS // 10
        played.bound.ended("g", 900 * MS, 100, played.at)
    assert played.bound.now == 256


def test_it_is_the_most_again_after_a_while_of_no_load() -> None:
    played = Played()
    played.window(1 * MS)
    low = played.window(50 * MS, under_way=20)
    assert played.bound.refuses(low, played.at)
    assert not played.bound.refuses(low, played.at + STALE_NS + 1)
    assert played.bound.now == 256
    assert played.bound.refuses(256, played.at + STALE_NS + 2)


def test_without_a_goal_it_stays() -> None:
    played = Played(goal_ns=0)
    played.window(1 * MS)
    assert played.window(500 * MS) == 256


def test_what_it_knows_of_functions_is_bounded() -> None:
    played = Played()
    for number in range(3 * MOST_KNOWN):
        played.bound.ended(number, 1 * MS, 1, played.at)
    assert len(played.bound._quickest) <= MOST_KNOWN
