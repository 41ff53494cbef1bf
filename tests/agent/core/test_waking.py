"""Which paused workers are thawed for calls that are expected."""

from __future__ import annotations

from agent.core import events as ev
from agent.core.settings import PausePolicy, Settings
from agent.core.waking import MOST, asleep
from agent.core.worker import WorkerState
from tests.agent.core.play import NODE, PYTHON, SECOND, Play


def paused(prewarm: int, *digests: str) -> Play:
    """A node whose workers are all paused: one for each digest, and those kept ready."""
    play = Play(Settings({PYTHON: prewarm}, pause=PausePolicy.ALWAYS))
    play.wait(0)
    play.oblige()
    for digest in digests:
        play.run(f"of {digest}", digest)
    play.oblige()
    play.wait(2 * SECOND)
    play.oblige()
    play.wait(2 * SECOND)
    play.oblige()
    assert {worker.state for worker in play.core.fleet.workers.values()} == {WorkerState.PAUSED}
    return play


def test_a_worker_that_holds_the_function_comes_before_those_without_one() -> None:
    play = paused(2, "a")
    holder = next(worker.id for worker in play.core.fleet.workers.values() if worker.digest)
    found = asleep(play.core.fleet, "a", PYTHON, 2)
    assert found[0] == holder
    assert len(set(found)) == 2


def test_as_many_are_thawed_as_are_expected_and_no_more_than_there_are() -> None:
    play = paused(3)
    assert [len(asleep(play.core.fleet, "a", PYTHON, width)) for width in (0.2, 1, 2.4, 9)] == [1, 1, 2, 3]
    assert asleep(play.core.fleet, "a", NODE, 2) == []


def test_however_many_are_expected_the_number_is_bounded() -> None:
    play = paused(MOST + 2)
    assert len(asleep(play.core.fleet, "a", PYTHON, 1000)) == MOST


def test_those_that_are_awake_or_waking_count() -> None:
    play = paused(3)
    (first,) = asleep(play.core.fleet, "a", PYTHON, 1)
    assert play.tell(ev.ResumeAsked(first)) == [ev.Resume(first)]
    assert asleep(play.core.fleet, "a", PYTHON, 1) == []
    play.oblige()
    assert play.worker(first) is WorkerState.PREWARMED
    assert asleep(play.core.fleet, "a", PYTHON, 1) == []
    assert len(asleep(play.core.fleet, "a", PYTHON, 2)) == 1


def test_one_that_is_thawed_and_not_used_is_paused_again() -> None:
    play = paused(1)
    (first,) = asleep(play.core.fleet, "a", PYTHON, 1)
    play.tell(ev.ResumeAsked(first))
    play.oblige()
    play.wait(2 * SECOND)
    play.oblige()
    assert play.worker(first) is WorkerState.PAUSED
