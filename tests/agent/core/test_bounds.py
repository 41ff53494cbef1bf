"""What bounds the workers: pause policy, ceiling, memory budget, pace; and what is ended to keep them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.pace import Pace
from agent.core.placement import MEBIBYTE, MILLISECOND, value
from agent.core.settings import PausePolicy, Settings
from agent.core.worker import WorkerState
from agent.drivers.base import PoolKey
from tests.agent.core.play import NODE, PYTHON, SECOND, Play, of

MIB = MEBIBYTE


@pytest.mark.parametrize(
    ("policy", "kept_ready", "used"),
    [
        (PausePolicy.ALWAYS, WorkerState.PAUSED, WorkerState.PAUSED),
        (PausePolicy.AFTER_USE, WorkerState.PREWARMED, WorkerState.PAUSED),
        (PausePolicy.NEVER, WorkerState.PREWARMED, WorkerState.WARM),
    ],
)
def test_the_policy_says_which_idle_workers_are_paused(
    policy: PausePolicy, kept_ready: WorkerState, used: WorkerState
) -> None:
    play = Play(Settings({PYTHON: 1}, pause=policy))
    play.wait(0)
    play.oblige()
    worker = play.run("a")
    play.wait(2 * SECOND)
    play.oblige()
    assert play.worker("w2") is kept_ready
    assert play.worker(worker) is used


def test_a_changed_policy_holds_for_those_who_are_idle_already() -> None:
    play = Play(Settings({PYTHON: 1}, pause=PausePolicy.NEVER))
    play.wait(0)
    play.oblige()
    play.wait(100 * SECOND)
    assert play.core.next_wake() is None
    play.tell(ev.Configured(replace(play.core.settings, pause=PausePolicy.ALWAYS)))
    assert play.wait(0) == [ev.Pause("w1")]


def test_a_worker_paused_under_an_earlier_policy_is_resumed_when_it_is_used() -> None:
    play = Play()
    worker = play.run("a")
    play.wait(SECOND)
    play.oblige()
    play.tell(ev.Configured(replace(play.core.settings, pause=PausePolicy.NEVER)))
    assert play.submit("b") == [ev.Resume(worker)]


def test_a_pool_follows_its_changed_floor() -> None:
    play = Play(Settings({PYTHON: 1}, keep_alive=60 * SECOND))
    play.wait(0)
    play.oblige()
    play.tell(ev.Configured(replace(play.core.settings, prewarm={PYTHON: 3})))
    play.oblige()
    assert len(play.core.fleet.pool(PYTHON).ready) == 3
    play.tell(ev.Configured(replace(play.core.settings, prewarm={})))
    play.wait(2 * SECOND)
    play.oblige()
    play.wait(60 * SECOND)
    assert not play.core.fleet.workers


def test_a_draining_agent_makes_no_workers_for_later_whatever_it_is_told() -> None:
    play = Play(Settings({}))
    play.tell(ev.DrainBegan())
    assert play.tell(ev.Configured(replace(play.core.settings, prewarm={PYTHON: 3}))) == []


@pytest.mark.parametrize(
    ("dearer", "cheaper"),
    [
        ((SECOND, 100 * MILLISECOND, 10 * MIB), (60 * SECOND, 100 * MILLISECOND, 10 * MIB)),  # used lately
        ((SECOND, 200 * MILLISECOND, 10 * MIB), (SECOND, 20 * MILLISECOND, 10 * MIB)),  # dear to make again
        ((SECOND, 100 * MILLISECOND, 10 * MIB), (SECOND, 100 * MILLISECOND, 100 * MIB)),  # small
        ((60 * SECOND, SECOND, 10 * MIB), (SECOND, MILLISECOND, 10 * MIB)),  # old, but thirty times dearer
        ((0, 0, 0), (SECOND, 0, 0)),  # nothing measured: the last used
        ((0, 50 * MILLISECOND, 0), (0, 50 * MILLISECOND, 2 * MIB)),  # not measured is not huge
    ],
)
def test_what_is_kept_is_recent_dear_to_make_and_small(
    dearer: tuple[int, int, int], cheaper: tuple[int, int, int]
) -> None:
    assert value(*dearer) > value(*cheaper)


def test_a_full_node_keeps_the_function_that_is_dear_to_load() -> None:
    play = Play(Settings({}, max_workers=2))
    play.submit("a", "dear")
    play.now += SECOND
    play.oblige()
    dear = play.core.invocations["a"].worker
    play.finish("a")
    play.now += MILLISECOND
    cheap = play.run("b", "cheap")
    assert of(play.submit("c", "other"), ev.StopWorker) == [ev.StopWorker(cheap, "room was needed")]
    assert play.worker(dear) is WorkerState.WARM


def test_no_more_workers_of_a_runtime_than_its_ceiling() -> None:
    play = Play(Settings({PYTHON: 5}, ceiling={"python": 2}))
    play.wait(0)
    for n in range(6):
        play.submit(f"i{n}", f"f{n}")
    play.submit("other", "h", NODE)
    play.oblige()
    kinds = [worker.pool for worker in play.core.fleet.workers.values()]
    assert kinds.count(PYTHON) == 2
    assert play.state("other") is InvocationState.RUNNING


def test_below_a_ceiling_an_idle_worker_makes_room_for_another_function() -> None:
    play = Play(Settings({}, ceiling={"python": 1}))
    idle = play.run("a", "f")
    play.begin("b", "g")
    assert play.worker(idle) is WorkerState.GONE


def test_another_network_of_the_runtime_makes_room_below_the_ceiling() -> None:
    bridged = PoolKey("python", "bridge")
    play = Play(Settings({PYTHON: 1}, ceiling={"python": 1}))
    play.wait(0)
    play.oblige()
    play.begin("a", "f", bridged)
    assert [worker.pool for worker in play.core.fleet.workers.values()] == [bridged]


def test_calls_of_running_functions_go_beyond_ceiling_and_budget() -> None:
    play = Play(Settings({}, ceiling={"python": 1}, memory_budget=10 * MIB))
    caller = play.begin("caller", "f")
    play.tell(ev.Measured({caller: 100 * MIB}))
    play.begin("callee", "g", depth=2, caller="caller")
    play.submit("outside", "h")
    play.oblige()
    assert play.state("outside") is InvocationState.QUEUED
    play.finish("callee")
    play.finish("caller")
    play.oblige()
    assert play.state("outside") is InvocationState.RUNNING


def test_idle_workers_over_the_memory_budget_are_ended_the_largest_first() -> None:
    play = Play(Settings({}, memory_budget=100 * MIB))
    play.begin("a", "f")
    play.begin("b", "g")
    play.finish("a")
    play.finish("b")
    commands = play.tell(ev.Measured({"w1": 20 * MIB, "w2": 90 * MIB}))
    assert [one.worker for one in of(commands, ev.StopWorker)] == ["w2"]


def test_a_budget_below_one_worker_serves_one_after_the_other() -> None:
    play = Play(Settings({}, memory_budget=MIB))
    play.submit("a", "f")
    play.submit("b", "g")
    play.tell(ev.WorkerConnected("w1"))
    play.oblige()
    play.tell(ev.Measured({"w1": 50 * MIB}))
    for _ in range(2):
        (running,) = [name for name in play.core.invocations if play.state(name) is InvocationState.RUNNING][:1]
        play.finish(running)
        play.tell(ev.Measured(dict.fromkeys(play.core.fleet.workers, 50 * MIB)))
        play.oblige()
    assert not play.core.invocations


def test_the_pool_is_not_filled_up_beyond_the_budget() -> None:
    play = Play(Settings({PYTHON: 1}, memory_budget=30 * MIB))
    play.wait(0)
    play.oblige()
    play.tell(ev.Measured({"w1": 20 * MIB}))
    play.begin("a")
    assert list(play.core.fleet.workers) == ["w1"]


def test_a_burst_begins_some_workers_at_once_and_then_one_in_each_interval() -> None:
    interval = SECOND // 5
    play = Play(Settings({}, max_workers=100, parallel_starts=4, start_interval=interval))
    for n in range(50):
        play.submit(f"i{n}", f"f{n}")
    begun = [(play.now, len(play.every(ev.StartWorker)))]
    while play.now < 5 * SECOND:
        play.oblige()
        wake = play.core.next_wake()
        assert wake is not None
        play.now = max(wake, play.now)
        play.tell(ev.Tick())
        begun.append((play.now, len(play.every(ev.StartWorker))))
    assert begun[0][1] == 4
    assert all(count <= 4 + (at - begun[0][0]) // interval for at, count in begun)
    assert begun[-1][1] >= 4 + (5 * SECOND - begun[0][0]) // interval - 1


def test_a_burst_is_answered_by_the_workers_that_become_free_not_by_one_each() -> None:
    play = Play(Settings({}, parallel_starts=4, start_interval=SECOND // 5))
    for n in range(100):
        play.submit(f"i{n}")
    play.oblige()
    while running := [name for name in play.core.invocations if play.state(name) is InvocationState.RUNNING]:
        play.finish(running[0])
        play.oblige()
    assert not play.core.invocations
    assert len(play.every(ev.StartWorker)) == 4


def test_a_pace_pays_for_what_it_gave_at_once() -> None:
    pace = Pace(2, 10)
    assert pace.free(0) == 2
    pace.take(0)
    pace.take(0)
    assert (pace.free(0), pace.next_at()) == (0, 10)
    assert (pace.free(9), pace.free(10), pace.free(20), pace.free(99)) == (0, 1, 2, 2)
