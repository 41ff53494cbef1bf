from __future__ import annotations

import asyncio

import pytest

from agent.core.circumstances import Circumstances
from agent.feed import InvocationView, LogLine
from agent.history import STEPS_LIMIT, History, Outcome
from mee6.errors import Conflict, FunctionRaised, InvocationNotFound
from mee6.lane.messages import Span, Step


def a_view(id_: str, state: str = "running", ended_ns: int = 0, user: str = "ann") -> InvocationView:
    return InvocationView(id_, user, "echo", 1, state, ended_ns=ended_ns)


def a_step(id_: str, state: str = "running", start_ns: int = 0) -> Step:
    return Step(id_, id_.rpartition(".")[0], "echo", 1, "w1", "warm", "direct", state, spans=[Span("run", start_ns)])


def a_line(invocation: str, text: str, at_ns: int = 0, function: str = "echo") -> LogLine:
    return LogLine(at_ns, invocation, function, "w1", "out", text)


def with_ended(*ids: str, kept: int = 100, size: int = 1, kept_bytes: int = 1 << 20) -> History:
    history = History(kept, kept_bytes)
    for id_ in ids:
        history.accepted(a_view(id_), 3)
        history.ended(a_view(id_, "succeeded", 1), Outcome(id_, b"x" * size, "text/plain"))
    return history


def known(history: History) -> list[str]:
    return [view.id for view in history.recent(1000)]


def test_the_oldest_that_ended_is_forgotten_first() -> None:
    history = with_ended("i1", "i2", "i3", kept=2)
    assert known(history) == ["i2", "i3"]
    with pytest.raises(InvocationNotFound, match="'i1'"):
        history.find("i1")


def test_what_goes_on_is_never_forgotten() -> None:
    history = History(1, 1)
    history.accepted(a_view("i1"), 0)
    history.accepted(a_view("i2"), 0)
    history.log(a_line("i1", "much more than a byte"))
    assert known(history) == ["i1", "i2"]
    history.ended(a_view("i2", "succeeded", 1), Outcome("i2", b"", "text/plain"))
    assert known(history) == ["i1"]


def test_results_and_output_are_bounded_in_bytes() -> None:
    history = with_ended(*(f"i{number}" for number in range(50)), size=1000, kept_bytes=10_000)
    assert known(history) == [f"i{number}" for number in range(40, 50)]
    history.log(a_line("i49", "x" * 5000))
    assert len(known(history)) < 10
    assert known(history)[-1] == "i49"


def test_an_end_counts_once() -> None:
    history = with_ended("i1")
    history.ended(a_view("i1", "failed", 2), FunctionRaised("no"))
    assert history.find("i1").view.state == "succeeded"


def test_an_id_may_be_shortened_to_what_only_one_has() -> None:
    history = with_ended("abc1", "abd2")
    assert history.find("abc").view.id == "abc1"
    assert history.find("abd2.3.1").view.id == "abd2"
    with pytest.raises(InvocationNotFound, match="2 invocations begin with 'ab'"):
        history.find("ab")
    with pytest.raises(InvocationNotFound, match="no invocation 'x'"):
        history.find("x")


def test_a_whole_id_wins_over_being_the_beginning_of_another() -> None:
    assert with_ended("i1", "i11").find("i1").view.id == "i1"


def test_the_latest_is_the_one_accepted_last() -> None:
    assert with_ended("i1", "i2").latest().view.id == "i2"
    with pytest.raises(InvocationNotFound, match="no invocation yet"):
        History(1, 1).latest()


def test_a_later_record_of_a_step_replaces_the_earlier() -> None:
    history = with_ended("i1")
    assert not history.step(a_step("i1.1", "running", 5))
    assert history.step(a_step("i1.1", "succeeded", 5)), "it ends"
    assert not history.step(a_step("i1.1", "succeeded", 5)), "once"
    history.step(a_step("i1", "running", 9))
    history.step(a_step("i1.2", "running", 3))
    assert [(step.id, step.state) for step in history.find("i1").trace] == [
        ("i1", "running"),
        ("i1.2", "running"),
        ("i1.1", "succeeded"),
    ]


def test_a_loop_of_calls_does_not_fill_the_memory() -> None:
    history = with_ended("i1", kept_bytes=1 << 30)
    for number in range(STEPS_LIMIT + 10):
        history.step(a_step(f"i1.{number}"))
    history.step(a_step("i1.5", "succeeded"))
    assert len(history.find("i1").steps) == STEPS_LIMIT
    assert history.find("i1").steps["i1.5"].state == "succeeded"
    assert history.find("i1").incomplete


def test_what_steps_found_is_bounded_and_counted_with_them() -> None:
    history = with_ended("i1", "i2", kept_bytes=1600)
    for number in range(5):
        history.found(f"i2.{number}", Circumstances())
        history.found(f"i2.{number}", Circumstances(ahead=1))
    history.found("gone", Circumstances())
    assert {found.ahead for found in history.find("i2").circumstances.values()} == {1}
    assert len(history.find("i2").circumstances) == 5
    assert known(history) == ["i1", "i2"]
    history.found("i2.5", Circumstances())
    assert known(history) == [], "six of them are more than is kept"


def test_what_a_record_is_compared_with_is_the_same_users_and_has_ended() -> None:
    history = History(10, 1 << 20)
    for id_, user in (("i1", "ann"), ("i2", "bob"), ("i3", "ann"), ("i4", "ann")):
        history.accepted(a_view(id_, user=user), 0)
        history.step(a_step(id_))
        history.ended(a_view(id_, "succeeded", 1, user), Outcome(id_, b"", "text/plain"))
    history.accepted(a_view("i5"), 0)
    history.step(a_step("i5"))
    assert [[step.id for step in steps] for steps in history.like(history.find("i3"))] == [["i4"], ["i1"]]


def test_steps_and_output_of_what_is_forgotten_are_ignored() -> None:
    history = History(1, 1)
    history.step(a_step("gone"))
    history.log(a_line("gone", ""))
    history.changed(a_view("gone"))
    assert known(history) == []


def test_recent_are_all_that_go_on_and_the_last_that_ended() -> None:
    history = with_ended("i1", "i2", "i3")
    history.accepted(a_view("i4"), 0)
    assert [view.id for view in history.recent(1)] == ["i3", "i4"]


def test_output_is_found_by_user_function_invocation_and_step() -> None:
    history = with_ended("i1", "i2")
    history.accepted(a_view("i3", user="bob"), 0)
    history.log(a_line("i2", "second\n", 2))
    history.log(a_line("i1", "first\n", 1))
    history.log(a_line("i1.1", "callee\n", 3, "other"))
    history.log(a_line("i3", "bob's\n", 4))

    def texts(**wanted: str) -> list[str]:
        return [line.text for line in history.lines("ann", **wanted)]  # type: ignore[arg-type]

    assert texts() == ["first\n", "second\n", "callee\n"]
    assert texts(function="other") == ["callee\n"]
    assert texts(invocation="i1") == ["first\n", "callee\n"]
    assert texts(invocation="i1.1") == ["callee\n"]
    assert [line.text for line in history.lines("ann", tail=2)] == ["second\n", "callee\n"]
    assert [line.text for line in history.lines("ann", tail=1)] == ["callee\n"]
    with pytest.raises(InvocationNotFound, match="'i3' of user 'ann'"):
        texts(invocation="i3")


def test_a_tail_is_so_many_lines_of_text_and_since_leaves_out_the_older() -> None:
    history = with_ended("i1")
    history.log(a_line("i1", "one\ntwo\nthree\n", 1))
    history.log(a_line("i1", "four\nfive", 2))

    def texts(**wanted: int) -> list[str]:
        return [line.text for line in history.lines("ann", **wanted)]  # type: ignore[arg-type]

    assert texts(tail=3) == ["three\n", "four\nfive"]
    assert texts(tail=1) == ["five"]
    assert texts(tail=9) == texts() == ["one\ntwo\nthree\n", "four\nfive"]
    assert texts(since_ns=2) == ["four\nfive"]
    assert texts(since_ns=3) == []


async def test_an_outcome_is_given_again_and_again() -> None:
    history = with_ended("i1")
    assert await history.outcome("i1") == await history.outcome("i1") == Outcome("i1", b"x", "text/plain")


async def test_a_failure_is_raised_again_and_again() -> None:
    history = History(10, 1000)
    history.accepted(a_view("i1"), 0)
    history.ended(a_view("i1", "failed", 1), FunctionRaised("no", traceback="there"))
    for _ in range(2):
        with pytest.raises(FunctionRaised, match="no") as caught:
            await history.outcome("i1", 1)
        assert caught.value.traceback == "there"


async def test_waiting_ends_with_the_invocation() -> None:
    history = History(10, 1000)
    history.accepted(a_view("i1"), 0)
    waiting = [asyncio.ensure_future(history.outcome("i1", 5)) for _ in range(2)]
    await asyncio.sleep(0)
    history.ended(a_view("i1", "succeeded", 1), Outcome("i1", b"late", "text/plain"))
    assert [outcome.result for outcome in await asyncio.gather(*waiting)] == [b"late", b"late"]


async def test_waiting_is_bounded_and_leaves_nothing_behind() -> None:
    history = History(10, 1000)
    history.accepted(a_view("i1"), 0)
    with pytest.raises(Conflict, match="invocation i1 is still running"):
        await history.outcome("i1", 0.01)
    assert history.find("i1").waiters == []
    with pytest.raises(Conflict):
        await history.outcome("i1")


async def test_a_result_too_large_to_keep_still_reaches_who_waits() -> None:
    history = History(10, 100)
    history.accepted(a_view("i1"), 0)
    waiting = asyncio.ensure_future(history.outcome("i1", 5))
    await asyncio.sleep(0)
    history.ended(a_view("i1", "succeeded", 1), Outcome("i1", b"x" * 1000, "text/plain"))
    assert len((await waiting).result) == 1000
    assert known(history) == []
