"""How invocations and workers end other than by an answer."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.scheduler import MAX_ATTEMPTS
from agent.core.settings import Settings
from agent.core.worker import WorkerState
from mee6.lane.messages import Fault
from tests.agent.core.play import LOST, PYTHON, SECOND, Play, of


def stage(play: Play, invocation: str, at: InvocationState) -> None:
    """Brings an invocation to a state, on a node with one worker."""
    if at is InvocationState.QUEUED:
        play.begin("in the way", "z")
    play.submit(invocation)
    if at is InvocationState.STARTING:
        play.tell(ev.WorkerConnected("w1"))
    elif at is InvocationState.RUNNING:
        play.oblige()
    assert play.state(invocation) is at


def test_a_worker_lost_before_the_call_puts_its_invocation_back() -> None:
    play = Play()
    stage(play, "a", InvocationState.STARTING)
    commands = play.tell(ev.WorkerLost("w1", LOST))
    assert [type(one) for one in commands] == [ev.StopWorker, ev.StartWorker]
    assert play.core.invocations["a"].worker == ""
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING


def test_an_invocation_put_back_stands_before_the_others() -> None:
    play = Play(Settings({}, max_workers=1))
    stage(play, "a", InvocationState.STARTING)
    play.submit("b")
    play.tell(ev.WorkerLost("w1", LOST))
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING
    assert play.state("b") is InvocationState.QUEUED


def test_an_invocation_put_back_stands_before_those_of_its_function_accepted_at_the_same_time() -> None:
    play = Play(Settings({}, max_workers=2))
    for name in ("z", "a"):
        play.submit(name)
    play.submit("0")
    play.tell(ev.WorkerConnected("w1"))
    play.tell(ev.WorkerConnected("w2"))
    lost = play.core.invocations["z"].worker
    play.tell(ev.WorkerLost(lost, LOST))
    assert [one.id for one in play.core.line.of_pool(PYTHON)] == ["z", "0"]


def test_a_worker_lost_while_it_is_resumed_puts_its_invocation_back() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    play.oblige()
    play.submit("b")
    play.tell(ev.WorkerLost(worker, LOST))
    assert play.state("b") is InvocationState.QUEUED


def test_a_worker_lost_after_the_call_ends_its_invocation() -> None:
    play = Play()
    stage(play, "a", InvocationState.RUNNING)
    assert play.tell(ev.WorkerLost("w1", LOST)) == [ev.Complete("a", LOST), ev.StopWorker("w1", LOST.message)]
    assert not play.is_alive("a")


def test_an_invocation_that_lost_three_workers_ends_as_lost() -> None:
    play = Play()
    play.submit("a")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert play.outcome("a") is None
        play.tell(ev.WorkerConnected(f"w{attempt}"))
        play.tell(ev.WorkerLost(f"w{attempt}", LOST))
    assert play.outcome("a") == LOST
    assert not play.is_alive("a")


@pytest.mark.parametrize("at", [InvocationState.STARTING, InvocationState.RUNNING])
def test_a_function_that_exits_fails_its_invocation_called_or_not(at: InvocationState) -> None:
    play = Play()
    stage(play, "a", at)
    kept = play.core.invocations["a"]
    exited = Fault("function_exited", "exit status 3")
    play.tell(ev.WorkerLost("w1", exited))
    assert play.outcome("a") == exited
    assert kept.state is InvocationState.FAILED


def test_an_idle_worker_that_is_lost_is_forgotten() -> None:
    play = Play()
    worker = play.run("a")
    assert play.tell(ev.WorkerLost(worker, LOST)) == [ev.StopWorker(worker, LOST.message)]
    assert play.begin("b") != worker


def test_a_function_that_cannot_be_loaded_ends_its_worker_and_tells_the_caller() -> None:
    play = Play()
    stage(play, "a", InvocationState.STARTING)
    fault = Fault("load_failed", "no module named 'x'")
    assert play.tell(ev.FunctionLoaded("w1", "a", fault, handed_over=False)) == [
        ev.Complete("a", fault),
        ev.StopWorker("w1", "load failed"),
    ]


def test_a_load_that_takes_too_long_has_failed() -> None:
    play = Play(Settings({}, load_timeout=30 * SECOND))
    stage(play, "a", InvocationState.STARTING)
    assert play.core.next_wake() == play.now + 30 * SECOND
    play.wait(30 * SECOND)
    fault = play.outcome("a")
    assert fault is not None
    assert (fault.code, fault.message) == ("load_failed", "took longer than 30 s to load")
    assert play.worker("w1") is WorkerState.GONE


def test_a_result_in_pieces_has_no_deadline_and_others_keep_theirs() -> None:
    play = Play()
    play.submit("a", limit=SECOND)
    play.oblige()
    play.submit("b", "g", limit=SECOND)
    play.oblige()
    assert play.tell(ev.DeadlineLifted("a")) == []
    play.wait(SECOND)
    assert play.is_alive("a")
    fault = play.outcome("b")
    assert fault is not None
    assert fault.code == "timed_out"
    play.finish("a")
    assert not play.is_alive("a")
    assert play.tell(ev.DeadlineLifted("a")) == []


def test_a_function_that_raised_leaves_its_worker_warm() -> None:
    play = Play()
    worker = play.begin("a")
    kept = play.core.invocations["a"]
    assert play.finish("a", ok=False) == []
    assert kept.state is InvocationState.FAILED
    assert play.submit("b") == [ev.Call(worker, "b")]


@pytest.mark.parametrize("at", [InvocationState.QUEUED, InvocationState.STARTING, InvocationState.RUNNING])
@pytest.mark.parametrize("how", ["cancelled", "timed_out"])
def test_an_invocation_can_be_ended_at_any_time_and_its_worker_with_it(at: InvocationState, how: str) -> None:
    play = Play(Settings({}, max_workers=1))
    stage(play, "a", at)
    kept = play.core.invocations["a"]
    if how == "cancelled":
        commands = play.tell(ev.CancelAsked("a", "called off"))
    else:
        kept.deadline = play.now + SECOND
        assert play.core.next_wake() <= play.now + SECOND  # type: ignore[operator]
        commands = play.wait(SECOND)
    fault = play.outcome("a")
    assert fault is not None
    assert fault.code == how
    assert str(kept.state).replace(" ", "_") == how
    ended = [one.worker for one in of(commands, ev.StopWorker)]
    assert ended == ([] if at is InvocationState.QUEUED else ["w1"])
    assert all(end for _kind, _begin, end in kept.spans)


def test_an_answer_that_comes_after_its_invocation_was_called_off_is_ignored() -> None:
    play = Play()
    worker = play.begin("a")
    play.tell(ev.CancelAsked("a", "because"))
    assert play.tell(ev.Finished(worker, "a", ok=True)) == []
    assert play.tell(ev.CancelAsked("a", "because")) == []


def family(play: Play) -> list[str]:
    """A caller, two callees, and a callee of each, all running; their workers."""
    names = [("a", 1, ""), ("b", 2, "a"), ("c", 2, "a"), ("d", 3, "b"), ("e", 3, "c")]
    return [play.begin(name, name, depth=depth, caller=caller) for name, depth, caller in names]


@pytest.mark.parametrize("how", ["cancel", "time", "loss", "answer"])
def test_when_a_caller_ends_all_that_it_called_ends_down_to_the_last(how: str) -> None:
    play = Play()
    workers = family(play)
    match how:
        case "cancel":
            play.tell(ev.CancelAsked("a", "because"))
        case "time":
            play.core.invocations["a"].deadline = play.now
            play.wait(0)
        case "loss":
            play.tell(ev.WorkerLost(workers[0], LOST))
        case _:
            play.finish("a")
    assert play.core.invocations == {}
    for name in "bcde":
        fault = play.outcome(name)
        assert fault is not None
        assert (fault.code, fault.message) == ("cancelled", "its caller has ended")
    survivors = [name for name in workers if play.worker(name) is not WorkerState.GONE]
    assert survivors == (workers[:1] if how == "answer" else [])


def test_a_callee_that_ends_leaves_its_caller_and_siblings_alone() -> None:
    play = Play()
    family(play)
    play.tell(ev.CancelAsked("b", "because"))
    assert sorted(play.core.invocations) == ["a", "c", "e"]


def test_waiting_callees_end_with_their_caller_too() -> None:
    play = Play()
    play.begin("a")
    play.submit("b", "g", depth=2, caller="a")
    play.tell(ev.CancelAsked("a", "because"))
    assert play.core.invocations == {}


def test_a_call_that_arrives_after_its_caller_has_ended_is_not_begun() -> None:
    play = Play()
    play.run("a")
    play.submit("b", depth=2, caller="a")
    fault = play.outcome("b")
    assert fault is not None
    assert fault.code == "cancelled"
    assert not play.is_alive("b")


def test_idle_workers_of_a_replaced_function_are_ended() -> None:
    play = Play()
    worker, other = play.run("a", "f1"), play.run("b", "g1")
    assert [one.worker for one in of(play.tell(ev.Retired("f1")), ev.StopWorker)] == [worker]
    assert play.worker(other) is WorkerState.WARM


def test_a_busy_worker_of_a_replaced_function_finishes_first_and_is_ended_then() -> None:
    play = Play()
    worker = play.begin("a", "f1")
    assert play.tell(ev.Retired("f1")) == []
    assert [one.worker for one in of(play.finish("a"), ev.StopWorker)] == [worker]
    assert play.outcome("a") is None


def test_a_worker_that_loads_a_function_while_it_is_replaced_is_ended_at_its_release() -> None:
    play = Play()
    stage(play, "a", InvocationState.STARTING)
    play.tell(ev.Retired("f"))
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING
    play.finish("a")
    assert play.worker("w1") is WorkerState.GONE


def test_those_who_wait_for_a_replaced_function_are_still_served_by_it() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("a", "f1")
    play.submit("b", "f1")
    play.tell(ev.Retired("f1"))
    play.finish("a")
    play.oblige()
    assert play.state("b") is InvocationState.RUNNING
    assert play.core.invocations["b"].start == "cold"


def test_a_plan_that_becomes_current_again_is_kept_warm_again() -> None:
    play = Play()
    play.run("a", "f1")
    play.tell(ev.Retired("f1"))
    worker = play.run("b", "f1")
    assert play.submit("c", "f1") == [ev.Call(worker, "c")]


def test_a_call_on_an_old_plan_does_not_make_it_current_again() -> None:
    play = Play()
    play.begin("a", "f")
    play.tell(ev.Retired("g1"))
    worker = play.begin("b", "g1", depth=2, caller="a")
    play.finish("b")
    assert play.worker(worker) is WorkerState.GONE
