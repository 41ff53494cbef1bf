"""Who gets which worker, and what is done to it before and after."""

from __future__ import annotations

from itertools import pairwise

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.settings import PausePolicy, Settings
from agent.core.worker import WorkerState
from mee6.lane.messages import Fault
from tests.agent.core.play import NODE, PYTHON, SECOND, Play, of


def kinds(commands: list[ev.Command]) -> list[str]:
    return [type(one).__name__ for one in commands]


def test_a_warm_worker_is_reused() -> None:
    play = Play()
    worker = play.run("a")
    assert play.submit("b") == [ev.Call(worker, "b")]
    assert play.core.invocations["b"].start == "warm"
    assert play.finish("b") == []
    assert play.worker(worker) is WorkerState.WARM


def test_the_warm_worker_that_was_used_last_is_used_first() -> None:
    play = Play()
    first, second = play.begin("a"), play.begin("b")
    play.finish("b")
    play.finish("a")
    assert play.begin("c") == first
    assert play.begin("d") == second


def test_a_warm_worker_serves_its_own_function_only() -> None:
    play = Play()
    assert play.run("a", "f") != play.begin("b", "g")


def test_a_warm_worker_comes_before_a_prewarmed_one() -> None:
    play = Play(Settings({PYTHON: 1}))
    play.wait(0)
    play.oblige()
    assert play.run("a") == play.begin("b")


def test_a_prewarmed_worker_comes_before_a_cold_one() -> None:
    play = Play(Settings({PYTHON: 1}))
    play.wait(0)
    play.oblige()
    play.now += SECOND
    commands = play.submit("a")
    assert commands[0] == ev.Load("w1", "a")
    assert play.core.invocations["a"].start == "prewarmed"


def test_a_worker_started_for_an_invocation_is_a_cold_start() -> None:
    play = Play()
    play.begin("a")
    assert play.core.invocations["a"].start == "cold"
    assert [kind for kind, _begin, _end in play.core.invocations["a"].spans] == ["queued", "start", "load", "run"]


def test_the_spans_of_an_invocation_follow_one_another() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("a")
    play.now += SECOND
    play.submit("b", "g")
    play.now += SECOND
    play.tell(ev.WorkerLost("w1", Fault("function_exited", "")))
    play.now += SECOND
    play.oblige()
    spans = play.core.invocations["b"].spans
    assert all(begin <= end for _kind, begin, end in spans[:-1])
    assert all(earlier[2] == later[1] for earlier, later in pairwise(spans))


def test_a_worker_of_another_pool_is_never_taken() -> None:
    play = Play(Settings({NODE: 1}))
    play.wait(0)
    play.oblige()
    worker = play.begin("a", "f", PYTHON)
    assert play.core.fleet.workers[worker].pool == PYTHON


def test_an_awake_worker_comes_before_a_paused_one() -> None:
    play = Play(Settings({}, linger=SECOND))
    asleep, awake = play.begin("a"), play.begin("b")
    play.finish("a")
    play.wait(SECOND)
    play.oblige()
    assert play.worker(asleep) is WorkerState.PAUSED
    play.finish("b")
    # Used last is `awake` as it is; make `asleep` the later one of the list, to see that waking decides.
    play.core.fleet.holding["f"].reverse()
    assert play.submit("c") == [ev.Call(awake, "c")]


def test_an_awake_prewarmed_worker_comes_before_a_paused_one() -> None:
    play = Play(Settings({PYTHON: 2}, linger=SECOND, parallel_starts=1))
    play.wait(0)
    play.tell(ev.WorkerConnected("w1"))
    play.wait(SECOND)
    play.tell(ev.PauseEnded("w1"))
    play.tell(ev.WorkerConnected("w2"))
    play.core.fleet.pool(PYTHON).ready.reverse()
    assert play.submit("a")[0] == ev.Load("w2", "a")


def test_a_paused_worker_is_resumed_before_its_call() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    play.oblige()
    assert play.submit("b") == [ev.Resume(worker)]
    assert play.worker(worker) is WorkerState.RESUMING
    assert play.tell(ev.ResumeEnded(worker)) == [ev.Call(worker, "b")]


def test_a_paused_prewarmed_worker_is_resumed_before_its_load() -> None:
    play = Play(Settings({PYTHON: 1}))
    play.wait(0)
    play.oblige()
    play.wait(SECOND)
    play.oblige()
    assert play.submit("a")[0] == ev.Resume("w1")
    assert play.tell(ev.ResumeEnded("w1")) == [ev.Load("w1", "a")]


def test_a_worker_that_is_being_paused_can_be_leased_and_is_resumed_after() -> None:
    play = Play()
    worker = play.run("a")
    assert play.wait(SECOND) == [ev.Pause(worker)]
    assert play.submit("b") == [ev.Resume(worker)]
    assert play.tell(ev.PauseEnded(worker)) == []
    assert play.tell(ev.ResumeEnded(worker)) == [ev.Call(worker, "b")]


def test_a_pause_that_fails_under_a_lease_does_no_harm() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    play.submit("b")
    assert play.tell(ev.PauseEnded(worker, "no freezer")) == []
    assert play.tell(ev.ResumeEnded(worker)) == [ev.Call(worker, "b")]


def test_an_idle_worker_that_cannot_be_paused_is_ended() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    assert of(play.tell(ev.PauseEnded(worker, "no freezer")), ev.StopWorker)[0].worker == worker
    assert play.worker(worker) is WorkerState.GONE


def test_a_worker_that_cannot_be_resumed_is_ended_and_its_invocation_gets_another() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    play.oblige()
    play.submit("b")
    assert kinds(play.tell(ev.ResumeEnded(worker, "no freezer"))) == ["StopWorker", "StartWorker"]
    play.oblige()
    assert play.state("b") is InvocationState.RUNNING


def test_pausing_is_asked_after_the_linger_and_never_with_the_result() -> None:
    play = Play(Settings({}, linger=SECOND))
    worker = play.begin("a")
    play.now += 100 * SECOND
    assert play.finish("a") == []
    assert play.core.next_wake() == play.now + SECOND
    assert play.wait(SECOND - 1) == []
    assert play.wait(1) == [ev.Pause(worker)]


def test_a_worker_that_is_used_is_never_paused() -> None:
    play = Play()
    play.begin("a")
    play.wait(1000 * SECOND)
    assert play.every(ev.Pause) == []


def test_nothing_is_paused_where_pausing_is_off() -> None:
    play = Play(Settings({PYTHON: 1}, pause=PausePolicy.NEVER))
    play.run("a")
    play.wait(100 * SECOND)
    assert play.every(ev.Pause) == []


def test_a_worker_is_ended_after_its_keep_alive_paused_or_not() -> None:
    for pause in PausePolicy:
        play = Play(Settings({}, pause=pause, keep_alive=60 * SECOND))
        worker = play.run("a")
        play.wait(2 * SECOND)
        play.oblige()
        assert play.core.next_wake() is not None
        play.wait(57 * SECOND)
        assert play.worker(worker) is not WorkerState.GONE
        play.wait(SECOND)
        assert play.worker(worker) is WorkerState.GONE
        assert play.core.next_wake() is None


def test_a_prewarmed_worker_that_the_pool_keeps_has_no_end() -> None:
    play = Play(Settings({PYTHON: 1}, keep_alive=60 * SECOND))
    play.wait(0)
    play.oblige()
    play.wait(1000 * SECOND)
    play.oblige()
    play.wait(1000 * SECOND)
    assert play.worker("w1") is WorkerState.PAUSED
    assert play.core.next_wake() is None


def test_a_prewarmed_worker_more_than_the_pool_keeps_ends_after_its_keep_alive() -> None:
    play = Play(Settings({PYTHON: 1}, keep_alive=60 * SECOND))
    play.submit("a")
    play.tell(ev.CancelAsked("a", "because"))
    play.oblige()
    assert len(play.core.fleet.workers) == 2
    play.wait(2 * SECOND)
    play.oblige()
    play.wait(60 * SECOND)
    assert len(play.core.fleet.workers) == 1
    play.wait(1000 * SECOND)
    assert len(play.core.fleet.workers) == 1


def test_the_pool_gets_another_worker_behind_each_lease() -> None:
    play = Play(Settings({PYTHON: 2}))
    play.wait(0)
    play.oblige()
    assert kinds(play.submit("a")) == ["Load", "StartWorker"]
    assert kinds(play.submit("b")) == ["Load", "StartWorker"]
    play.oblige()
    assert len(play.core.fleet.pool(PYTHON).ready) == 2


def test_the_pool_is_filled_again_when_a_full_node_gets_room() -> None:
    play = Play(Settings({PYTHON: 1}, max_workers=1, keep_alive=60 * SECOND))
    worker = play.run("a")
    assert play.core.fleet.pool(PYTHON).ready == []
    play.wait(2 * SECOND)
    play.oblige()
    assert kinds(play.wait(60 * SECOND)) == ["StopWorker", "StartWorker"]
    assert play.worker(worker) is WorkerState.GONE


def test_a_full_node_ends_the_function_idle_for_longest_for_another_one() -> None:
    play = Play(Settings({}, max_workers=2))
    old, young = play.begin("a", "f"), play.begin("b", "g")
    play.finish("a")
    play.wait(1)
    play.finish("b")
    assert kinds(play.submit("c", "h")) == ["StopWorker", "StartWorker"]
    assert play.worker(old) is WorkerState.GONE
    assert play.worker(young) is WorkerState.WARM


def test_a_full_node_keeps_its_idle_workers_while_starts_wait_after_a_failure() -> None:
    play = Play(Settings({}, max_workers=1))
    worker = play.run("a", "f", PYTHON)
    play.submit("b", "h", NODE)
    play.tell(ev.WorkerStartFailed("w2", "no room"))
    assert play.worker(worker) is WorkerState.GONE
    play.tell(ev.CancelAsked("b", "because"))
    worker = play.run("c", "f", PYTHON)
    assert play.submit("d", "h", NODE) == []
    assert play.worker(worker) is WorkerState.WARM


def test_workers_kept_ready_for_one_language_make_room_for_another() -> None:
    play = Play(Settings({PYTHON: 2}, max_workers=2))
    play.wait(0)
    play.oblige()
    assert kinds(play.submit("a", "h", NODE)) == ["StopWorker", "StartWorker"]
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING


def test_nothing_is_ended_for_an_invocation_that_may_not_have_a_worker_yet() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("caller", "f")
    callee = play.begin("callee", "g", depth=2, caller="caller")
    play.finish("callee")
    assert play.submit("waits", "h") == []
    assert play.worker(callee) is WorkerState.WARM


def running_one(play: Play) -> str:
    return next(name for name in play.core.invocations if play.state(name) is InvocationState.RUNNING)


def served(play: Play, *, how_long: int) -> list[str]:
    """The order in which the one worker of a full node serves all that wait."""
    order = []
    while len(play.core.invocations) > 1:
        play.now += how_long
        play.finish(running_one(play))
        play.oblige()
        order.append(running_one(play))
    return order


def test_on_a_full_node_those_who_find_their_function_loaded_go_first() -> None:
    play = Play(Settings({}, max_workers=1, patience=SECOND))
    play.begin("a0", "a")
    for name, digest in (("b1", "b"), ("a1", "a"), ("a2", "a")):
        play.submit(name, digest)
        play.now += 1
    assert served(play, how_long=SECOND // 10) == ["a1", "a2", "b1"]


def test_a_busy_function_does_not_keep_another_out_for_longer_than_its_patience() -> None:
    play = Play(Settings({}, max_workers=1, patience=SECOND))
    play.begin("a0", "a")
    play.submit("b1", "b")
    for n in range(1, 20):
        play.now += SECOND // 4
        play.submit(f"a{n}", "a")
        play.finish(running_one(play))
        play.oblige()
        if running_one(play) == "b1":
            break
    assert n == 4


def test_ready_workers_go_to_those_who_came_first_whatever_their_function() -> None:
    play = Play(Settings({}, max_workers=4, parallel_starts=4))
    play.now += 1
    for name, digest in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        play.submit(name, digest)
        play.now += 1
    for worker in ("w1", "w2"):
        play.tell(ev.WorkerConnected(worker))
    assert [play.state(name) for name in ("a1", "b1", "a2")] == ["starting", "starting", "queued"]


def test_the_queue_has_a_limit_and_says_so() -> None:
    play = Play(Settings({}, max_workers=1, queue_limit=2))
    play.begin("a")
    play.submit("b")
    play.submit("c")
    play.submit("d")
    fault = play.outcome("d")
    assert fault is not None
    assert fault.code == "exhausted"
    assert "2 invocations wait" in fault.message
    assert not play.is_alive("d")
    assert play.outcome("b") is None


def test_a_full_queue_does_not_refuse_callees() -> None:
    play = Play(Settings({}, max_workers=1, queue_limit=1))
    play.begin("caller", "f")
    play.submit("waits", "f")
    for name in ("b", "c"):
        play.submit(name, "g", depth=2, caller="caller")
        assert play.is_alive(name)


def test_a_warm_function_is_served_while_others_wait_for_a_broken_language() -> None:
    play = Play(Settings({}, max_workers=8, queue_limit=1))
    worker = play.run("warm", "g")
    play.submit("waits", "h", NODE)
    assert play.submit("b", "g") == [ev.Call(worker, "b")]
