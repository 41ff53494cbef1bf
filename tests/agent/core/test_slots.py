"""Workers whose runtime takes several invocations at once."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.settings import Order, Settings
from agent.core.worker import WorkerState
from mee6.lane.messages import Fault
from tests.agent.core.play import LOST, PYTHON, SECOND, Play, of

SLOTS = 3


class Shared(Play):
    """A play in which functions take three at once."""

    slots = SLOTS

    def submit(self, invocation: str, digest: str = "f", *args: object, **more: object) -> list[ev.Command]:
        depth, caller = more.get("depth", 1), more.get("caller", "")
        limit = more.get("limit", 3600 * SECOND)
        assert isinstance(depth, int)
        assert isinstance(caller, str)
        assert isinstance(limit, int)
        return self.tell(ev.Submitted(invocation, digest, PYTHON, depth, self.now + limit, caller, SLOTS))

    def answer(self, command: ev.Command) -> ev.Event | None:
        if isinstance(command, ev.Load):
            return ev.FunctionLoaded(command.worker, command.invocation, None, handed_over=False, slots=self.slots)
        if isinstance(command, ev.CallOff):
            return None
        return super().answer(command)


def shared(names: str, settings: Settings | None = None) -> Shared:
    """A play in which these run."""
    play = Shared(settings)
    for name in names:
        play.begin(name)
    return play


def workers(play: Play, names: str) -> list[str]:
    return [play.core.invocations[name].worker for name in names]


def test_others_join_a_busy_worker_until_it_is_full() -> None:
    play = shared("abcd")
    assert workers(play, "abcd") == ["w1", "w1", "w1", "w2"]
    play.finish("b")
    play.begin("e")
    assert workers(play, "acde") == ["w1", "w1", "w2", "w1"], "the one that was left last"


def test_a_busy_worker_is_filled_before_a_paused_one_is_woken() -> None:
    play = shared("abcd")
    for name in "abc":
        play.finish(name)
    play.wait(2 * SECOND)
    play.oblige()
    assert (play.worker("w1"), play.worker("w2")) == (WorkerState.PAUSED, WorkerState.BUSY)
    assert of(play.submit("e"), ev.Call) == [ev.Call("w2", "e")]


def test_those_that_come_while_it_loads_or_wakes_wait_for_it_and_start_no_other() -> None:
    play = Shared(Settings(prewarm={}))
    assert len(of(play.submit("a"), ev.StartWorker)) == 1
    assert not any(of(play.submit(name), ev.StartWorker) for name in "bc")
    play.tell(ev.WorkerConnected("w1"))
    assert len(of(play.submit("d"), ev.StartWorker)) == 1, "a fourth finds no place in it"
    called = play.tell(ev.FunctionLoaded("w1", "a", None, handed_over=False, slots=SLOTS))
    assert [one.invocation for one in of(called, ev.Call)] == ["a", "b", "c"]
    play.oblige()
    for name in "abcd":
        play.finish(name)
    play.tell(ev.EvictAsked("w2"))
    play.wait(2 * SECOND)
    play.oblige()
    for name in "efg":
        play.submit(name)
    resumed = play.tell(ev.ResumeEnded(play.core.invocations["e"].worker))
    assert len(of(resumed, ev.Call)) == SLOTS


def test_a_worker_is_paused_only_when_all_have_ended() -> None:
    play = shared("ab")
    play.finish("a")
    play.wait(10 * SECOND)
    assert play.worker("w1") is WorkerState.BUSY
    play.finish("b")
    assert play.worker("w1") is WorkerState.WARM
    assert of(play.wait(2 * SECOND), ev.Pause) == [ev.Pause("w1")]


def test_a_worker_that_takes_fewer_than_it_should_is_believed() -> None:
    play = shared("")
    play.slots = 1
    play.begin("a")
    for name in "bc":
        play.submit(name)
    assert len(play.every(ev.StartWorker)) == 3, "one for each, now that it is known"


def test_one_that_is_called_off_ends_alone_and_leaves_its_place_when_it_has() -> None:
    play = shared("abc")
    assert play.tell(ev.CancelAsked("b", "because")) == [
        ev.Complete("b", Fault("cancelled", "because")),
        ev.CallOff("w1", "b"),
    ]
    play.begin("d")
    assert workers(play, "acd") == ["w1", "w1", "w2"]
    play.tell(ev.CalledOff("w1", "b"))
    play.finish("d")
    play.tell(ev.EvictAsked("w2"))
    play.begin("e")
    assert workers(play, "ace") == ["w1", "w1", "w1"]


def test_nobody_joins_a_worker_that_may_have_to_end() -> None:
    play = shared("ab")
    play.tell(ev.CancelAsked("a", "because"))
    play.begin("c")
    assert workers(play, "bc") == ["w1", "w2"]


def test_one_that_does_not_end_is_ended_with_its_worker_and_its_neighbours_are_lost() -> None:
    play = shared("ab")
    play.tell(ev.CancelAsked("a", "because"))
    assert play.core.next_wake() == play.now + SECOND
    ended = play.wait(SECOND)
    (told,) = of(ended, ev.Complete)
    assert (told.invocation, told.fault.code) == ("b", "worker_lost")
    assert "a was called off and did not end within 1 s" in told.fault.message
    assert play.worker("w1") is WorkerState.GONE


def test_the_last_that_was_called_off_leaves_a_warm_worker() -> None:
    play = shared("a")
    play.tell(ev.CancelAsked("a", "because"))
    assert play.worker("w1") is WorkerState.BUSY
    play.tell(ev.CalledOff("w1", "a"))
    assert play.worker("w1") is WorkerState.WARM
    assert play.tell(ev.CalledOff("w1", "a")) == []


def test_time_that_is_up_ends_one_alone() -> None:
    play = shared("a")
    play.submit("short", limit=SECOND)
    assert of(play.wait(SECOND), ev.CallOff) == [ev.CallOff("w1", "short")]
    assert play.state("a") is InvocationState.RUNNING


@pytest.mark.parametrize("fault", [LOST, Fault("function_exited", "exited with status 3")])
def test_all_are_told_of_the_loss_of_their_worker(fault: Fault) -> None:
    play = shared("abc")
    lost = of(play.tell(ev.WorkerLost("w1", fault)), ev.Complete)
    assert sorted(one.invocation for one in lost) == ["a", "b", "c"]
    assert {one.fault.code for one in lost} == {"worker_lost"}


def test_an_evicted_worker_s_invocations_are_lost_and_so_is_what_they_called() -> None:
    play = shared("ab")
    play.begin("inner", "g", depth=2, caller="a")
    ended = of(play.tell(ev.EvictAsked("w1")), ev.Complete)
    assert {one.invocation: one.fault.code for one in ended} == {
        "a": "worker_lost",
        "b": "worker_lost",
        "inner": "cancelled",
    }


def test_a_worker_s_invocations_are_of_one_depth() -> None:
    play = shared("a")
    play.begin("deep", depth=2, caller="a")
    play.begin("b")
    assert workers(play, "ab") == ["w1", "w1"]
    assert play.core.invocations["deep"].worker == "w2"


def test_a_replaced_function_s_worker_ends_when_its_last_invocation_has() -> None:
    play = shared("ab")
    play.tell(ev.Retired("f"))
    play.finish("a")
    assert play.worker("w1") is WorkerState.BUSY
    play.finish("b")
    assert play.worker("w1") is WorkerState.GONE


def test_a_function_that_never_rests_does_not_keep_another_one_out() -> None:
    play = shared("ab", Settings(prewarm={}, max_workers=1))
    play.submit("other", "g")
    play.now += 2 * SECOND
    for number in range(5):  # there is always somebody who comes
        play.submit(f"x{number}")
        running = [one for one in play.core.invocations.values() if one.state is InvocationState.RUNNING]
        if play.state("other") is InvocationState.RUNNING:
            return
        play.finish(running[0].id)
        play.oblige()
    raise AssertionError("the other waits for ever")


def test_those_whose_time_runs_out_first_are_served_first_if_so_told() -> None:
    for order, served in ((Order.ARRIVAL, "bcd"), (Order.DEADLINE, "dbc")):
        play = Play(Settings(prewarm={}, max_workers=1, order=order))
        play.begin("a")
        for name, limit in (("b", 30), ("c", 60), ("d", 10)):
            play.submit(name, limit=limit * SECOND)
        for before, name in zip("a" + served, served, strict=False):
            play.finish(before)
            assert play.state(name) is InvocationState.RUNNING


def test_the_order_holds_between_functions_too() -> None:
    play = Play(Settings(prewarm={}, max_workers=1, order=Order.DEADLINE))
    play.begin("a")
    play.submit("b", "g", limit=60 * SECOND)
    play.submit("c", "h", limit=10 * SECOND)
    play.now += 2 * SECOND
    play.finish("a")
    play.oblige()
    assert play.state("c") is InvocationState.RUNNING
