"""Results of a gather go to its caller together; what is large or alone goes at once."""

from __future__ import annotations

from agent.together import KEPT_BYTES, Together
from mee6.lane.messages import Result


def results(count: int, size: int = 1) -> list[Result]:
    return [Result(f"i.{number}", b"x" * size) for number in range(1, count + 1)]


def test_a_call_alone_is_answered_at_once() -> None:
    together = Together()
    (one,) = results(1)
    together.asked("")
    assert together.ended("", one) == [one]


def test_the_results_of_a_gather_go_out_with_the_last_in_the_order_of_their_ends() -> None:
    together = Together()
    first, second, third = results(3)
    for _ in range(3):
        together.asked("i.1")
    assert together.ended("i.1", third) == []
    assert together.ended("i.1", first) == []
    assert together.ended("i.1", second) == [third, first, second]


def test_two_gathers_do_not_wait_for_each_other() -> None:
    together = Together()
    first, second, other = results(3)
    together.asked("i.1")
    together.asked("i.1")
    together.asked("j.1")
    assert together.ended("i.1", first) == []
    assert together.ended("j.1", other) == [other]
    assert together.ended("i.1", second) == [first, second]


def test_what_comes_to_much_is_sent_before_the_last_has_ended() -> None:
    together = Together()
    first, second, third = results(3, KEPT_BYTES // 2)
    for _ in range(3):
        together.asked("i.1")
    assert together.ended("i.1", first) == []
    assert together.ended("i.1", second) == [first, second]
    assert together.ended("i.1", third) == [third]
