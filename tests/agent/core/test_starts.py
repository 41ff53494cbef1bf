"""How workers come into being: ahead, on demand, and after failures."""

from __future__ import annotations

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.pool import FIRST_RETRY_NS, GIVE_UP_AFTER, LAST_RETRY_NS, Pool
from agent.core.settings import Settings
from agent.core.worker import WorkerState
from tests.agent.core.play import LOST, NODE, PYTHON, SECOND, Play, of


def test_prewarmed_workers_are_made_at_once() -> None:
    play = Play(Settings({PYTHON: 2, NODE: 1}))
    assert play.wait(0) == [ev.StartWorker("w1", PYTHON), ev.StartWorker("w2", PYTHON), ev.StartWorker("w3", NODE)]


def test_a_pool_is_filled_up_only_after_its_grace_but_who_waits_is_served_at_once() -> None:
    play = Play(Settings({PYTHON: 1}, refill_grace=30))
    assert play.wait(0) == []
    assert play.core.next_wake() == play.now + 30
    assert of(play.submit("a"), ev.StartWorker) == [ev.StartWorker("w1", PYTHON)]
    assert of(play.wait(30), ev.StartWorker) == [ev.StartWorker("w2", PYTHON)]
    assert of(play.wait(1000), ev.StartWorker) == []


def test_no_more_than_parallel_starts_are_under_way_at_once() -> None:
    play = Play(Settings({PYTHON: 3, NODE: 3}, parallel_starts=2))
    play.wait(0)
    for _ in range(5):
        play.submit(f"i{len(play.asked)}")
    while starting := [one for one in play.core.fleet.workers.values() if one.state is WorkerState.STARTING]:
        assert len(starting) <= 2
        play.tell(ev.WorkerConnected(starting[0].id))
    assert len(play.core.fleet.pool(PYTHON).ready) == 3
    assert len(play.core.fleet.pool(NODE).ready) == 3


def test_workers_for_those_who_wait_are_made_before_workers_for_later() -> None:
    play = Play(Settings({PYTHON: 5}, parallel_starts=1))
    play.wait(0)
    play.submit("a", "h", NODE)
    assert of(play.tell(ev.WorkerConnected("w1")), ev.StartWorker) == [ev.StartWorker("w2", NODE)]


def test_no_more_workers_are_made_than_the_node_may_have() -> None:
    play = Play(Settings({PYTHON: 5}, max_workers=3, parallel_starts=100))
    for n in range(10):
        play.submit(f"i{n}", f"f{n}")
    play.oblige()
    assert len(play.core.fleet.workers) == 3


def test_an_invocation_called_off_while_its_worker_starts_leaves_the_worker_for_the_next() -> None:
    play = Play()
    play.submit("a")
    play.tell(ev.CancelAsked("a", "because"))
    play.oblige()
    assert play.submit("b") == [ev.Load("w1", "b")]


def test_a_failed_start_is_tried_again_later_and_later() -> None:
    play = Play()
    play.submit("a")
    for failure in range(2):
        worker = of(play.asked, ev.StartWorker)[-1].worker
        started = len(play.every(ev.StartWorker))
        play.tell(ev.WorkerStartFailed(worker, "no room"))
        pause = FIRST_RETRY_NS << failure
        assert play.core.next_wake() == play.now + pause
        play.wait(pause - 1)
        assert len(play.every(ev.StartWorker)) == started
        play.wait(1)
        assert len(play.every(ev.StartWorker)) == started + 1
    assert play.state("a") is InvocationState.QUEUED


def test_the_wait_after_failures_has_a_bound() -> None:
    pool = Pool(PYTHON, 0)
    for _ in range(100):
        pool.failed("no room", 0)
    assert pool.retry_at == LAST_RETRY_NS


def test_after_three_failed_starts_those_who_wait_are_told_why() -> None:
    play = Play(Settings({}, parallel_starts=1))
    play.submit("a")
    play.submit("b", "g")
    play.submit("other", "h", NODE)
    for _ in range(GIVE_UP_AFTER):
        assert play.outcome("a") is None
        worker = next(one.id for one in play.core.fleet.workers.values() if one.pool == PYTHON)
        play.tell(ev.WorkerStartFailed(worker, "cannot fork"))
        play.wait(SECOND)
        for one in list(play.core.fleet.workers.values()):
            if one.pool == NODE:
                play.tell(ev.WorkerConnected(one.id)) if one.state is WorkerState.STARTING else None
    for name in ("a", "b"):
        fault = play.outcome(name)
        assert fault is not None
        assert fault.code == "exhausted"
        assert fault.message == "no python worker could be started: cannot fork"
    assert play.outcome("other") is None


def test_a_start_that_succeeds_wipes_the_failures_out() -> None:
    play = Play()
    play.submit("a")
    for _ in range(3):
        play.tell(ev.WorkerStartFailed(play.every(ev.StartWorker)[-1].worker, "no room"))
        play.wait(SECOND)
        play.oblige()
        play.tell(ev.WorkerLost(play.every(ev.Call)[-1].worker, LOST))
        play.submit(f"a{len(play.asked)}")
    assert all(one.fault.code == "worker_lost" for one in play.every(ev.Complete))


def test_a_start_that_takes_too_long_has_failed_and_is_ended() -> None:
    play = Play(Settings({}, start_timeout=15 * SECOND))
    play.submit("a")
    assert play.core.next_wake() == play.now + 15 * SECOND
    commands = play.wait(15 * SECOND)
    assert commands == [ev.StopWorker("w1", "did not connect within 15 s")]
    play.wait(FIRST_RETRY_NS)
    assert play.every(ev.StartWorker)[-1].worker == "w2"
    assert play.tell(ev.WorkerConnected("w1")) == []


def test_a_worker_lost_while_it_starts_is_a_failed_start() -> None:
    play = Play()
    play.submit("a")
    play.tell(ev.WorkerLost("w1", LOST))
    assert play.core.fleet.pool(PYTHON).failures == 1
    assert play.state("a") is InvocationState.QUEUED


def test_a_start_that_fails_after_its_worker_connected_is_a_lost_worker() -> None:
    play = Play()
    play.submit("a")
    play.tell(ev.WorkerConnected("w1"))
    assert play.state("a") is InvocationState.STARTING
    play.tell(ev.WorkerStartFailed("w1", "no freezer"))
    assert play.state("a") is InvocationState.QUEUED
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING


def test_a_draining_agent_makes_no_workers_for_later_but_serves_who_waits() -> None:
    play = Play(Settings({PYTHON: 2}))
    play.wait(0)
    play.oblige()
    play.tell(ev.DrainBegan())
    for name in ("a", "b", "c"):
        play.begin(name)
    assert len(play.every(ev.StartWorker)) == 3
