"""What an invocation is told to have found: why it was cold, and what kept it waiting."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.core.circumstances import KEPT_ENDS, Circumstances, Ends, Hindrance
from agent.core.invocation import Invocation
from agent.core.settings import PausePolicy, Settings
from mee6.lane.messages import Fault
from tests.agent.core.play import LOST, NODE, PYTHON, SECOND, Play, of


def ready(settings: Settings) -> Play:
    play = Play(settings)
    play.wait(0)
    play.oblige()
    return play


def submitted(play: Play, name: str, digest: str = "f") -> Invocation:
    play.submit(name, digest)
    return play.core.invocations[name]


def found(play: Play, name: str, digest: str = "f") -> Circumstances:
    circumstances = submitted(play, name, digest).circumstances
    assert circumstances is not None
    return circumstances


def test_a_warm_start_has_none() -> None:
    play = Play()
    play.run("a")
    assert submitted(play, "b").circumstances is None


def test_a_cold_start_finds_no_pool_or_an_empty_one() -> None:
    assert found(Play(), "a") == Circumstances(limit=64)
    play = Play(Settings({PYTHON: 2}, parallel_starts=8))
    play.wait(0)
    assert found(play, "a") == Circumstances(starting=2, floor=2, limit=64)


def test_a_prewarmed_start_finds_what_is_ready_and_who_holds_its_function() -> None:
    play = ready(Settings({PYTHON: 2}))
    play.begin("a")
    play.oblige()
    assert found(play, "b") == Circumstances(holding=1, ready=2, floor=2, leased=1, limit=64)
    assert found(play, "c", "g").holding == 0


def test_it_finds_why_the_last_worker_that_held_its_function_was_ended() -> None:
    play = Play(Settings({}, keep_alive=5 * SECOND, pause=PausePolicy.NEVER))
    play.run("a")
    play.wait(5 * SECOND)
    play.now += SECOND
    circumstances = found(play, "b")
    assert (circumstances.ended, circumstances.ended_ago) == ("idle for longer than its keep-alive", SECOND)


@pytest.mark.parametrize(
    ("settings", "hindered"),
    [
        (Settings({}, max_workers=1), Hindrance.WORKERS),
        (Settings({}, ceiling={"python": 1}), Hindrance.CEILING),
        (Settings({}, memory_budget=100), Hindrance.MEMORY),
    ],
)
def test_who_waits_is_told_what_for(settings: Settings, hindered: Hindrance) -> None:
    play = Play(settings)
    play.begin("a")
    play.tell(ev.Measured({"w1": 101}))
    assert found(play, "b").hindered is hindered
    later = found(play, "c")
    assert (later.ahead, later.leased) == (1, 1)
    assert later.hindered is hindered


def test_who_waits_for_a_start_is_told_that_others_are_made_or_that_they_fail() -> None:
    play = Play(Settings({}, parallel_starts=1))
    first = found(play, "a")
    assert found(play, "b", "g").hindered is Hindrance.STARTS
    assert first.hindered is None, "its worker is on its way, whoever comes after it"
    play = Play()
    play.submit("a")
    play.tell(ev.WorkerStartFailed("w1", "no image"))
    assert found(play, "b", "g").hindered is Hindrance.FAILING


def test_what_hindered_it_first_stays() -> None:
    play = Play(Settings({}, parallel_starts=1, ceiling={"python": 1}))
    play.submit("a", "g", NODE)
    circumstances = found(play, "b")
    play.oblige()
    assert circumstances.hindered is Hindrance.STARTS


def test_one_whose_worker_was_lost_is_told_so_though_it_had_been_warm() -> None:
    play = Play(Settings({}, linger=SECOND))
    play.run("a")
    play.wait(SECOND)
    play.oblige()
    warm = submitted(play, "b")
    assert of(play.asked, ev.Resume)
    assert warm.circumstances is None
    play.tell(ev.WorkerLost("w1", LOST))
    assert warm.circumstances is not None
    assert warm.circumstances.lost == 1


def test_a_worker_that_ends_with_its_call_is_remembered_too() -> None:
    play = Play()
    play.begin("a")
    play.tell(ev.CancelAsked("a", "because"))
    assert found(play, "b").ended == "cancelled: a"
    assert play.outcome("a") == Fault("cancelled", "because")


def test_only_the_latest_ends_are_remembered() -> None:
    ends = Ends()
    for number in range(KEPT_ENDS + 1):
        ends.note(f"f{number}", "why", number)
    assert ends.of("f0", 1000) == ("", 0)
    assert ends.of("f1", 1000) == ("why", 999)
