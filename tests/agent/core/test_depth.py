"""Calls within calls: callers never starve their callees, whatever the node's size."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.core.capacity import Capacity
from agent.core.invocation import InvocationState
from agent.core.settings import Settings
from agent.core.worker import WorkerState
from mee6.outflow import MAX_DEPTH
from tests.agent.core.play import NODE, PYTHON, SECOND, Play


@pytest.mark.parametrize("same", [True, False])
def test_chains_of_the_greatest_depth_end_on_a_node_with_one_worker(same: bool) -> None:
    play = Play(Settings({PYTHON: 1}, max_workers=1, parallel_starts=1))
    for depth in range(1, MAX_DEPTH + 1):
        for root in "abc":  # three at once: two wait until the first is through
            caller = f"{root}{depth - 1}" if depth > 1 else ""
            if not caller or (play.is_alive(caller) and play.state(caller) is InvocationState.RUNNING):
                digest = "f" if same else f"{root}{depth}"
                pool = PYTHON if same or depth % 2 else NODE
                play.submit(f"{root}{depth}", digest, pool, depth=depth, caller=caller)
                play.oblige()
    assert play.state(f"a{MAX_DEPTH}") is InvocationState.RUNNING
    assert play.state("b1") is play.state("c1") is InvocationState.QUEUED
    for depth in range(MAX_DEPTH, 0, -1):
        play.finish(f"a{depth}")
        play.oblige()
    assert play.state("b1") is InvocationState.RUNNING
    assert len(play.core.fleet.workers) <= 2


def test_roots_cannot_take_what_callees_need() -> None:
    play = Play(Settings({}, max_workers=2))
    for name in ("a", "b", "c", "d"):
        play.submit(name)
    play.oblige()
    assert [play.state(name) for name in "abcd"] == ["running", "running", "queued", "queued"]
    play.begin("a.1", "g", depth=2, caller="a")
    play.begin("b.1", "g", depth=2, caller="b")


def test_a_root_does_not_take_the_room_that_deeper_calls_have_left_no_more_of() -> None:
    # A bound for each level alone would let it in: one root runs where two may. But then five workers are leased
    # at depth 2 or less instead of four, and so on at every level, until callees find theirs filled.
    play = Play(Settings({}, max_workers=2))
    play.begin("r")
    for name in ("r.1", "r.2", "r.3"):
        play.begin(name, depth=2, caller="r")
    play.begin("r.1.1", depth=3, caller="r.1")
    play.finish("r.1.1")
    assert play.submit("s") == []
    assert play.state("s") is InvocationState.QUEUED
    play.begin("r.1.2", depth=3, caller="r.1")
    play.finish("r.3")
    play.oblige()
    assert play.state("s") is InvocationState.RUNNING


def test_wide_and_deep_workflows_side_by_side_all_end() -> None:
    play = Play(Settings({}, max_workers=4, parallel_starts=100))
    play.begin("r1")
    play.begin("r1.1", depth=2, caller="r1")
    for n in range(10):
        play.begin(f"deep{n}", depth=3, caller="r1.1")
    for n in range(8):
        play.submit(f"wide{n}", depth=2, caller="r1")
    for n in range(4):
        play.submit(f"root{n}")
    play.oblige()
    for caller in [name for name, one in play.core.invocations.items() if one.state is InvocationState.RUNNING]:
        play.submit(f"{caller}.x", depth=play.core.invocations[caller].depth + 1, caller=caller)
    for _ in range(200):
        play.oblige()
        waits = {one.caller for one in play.core.invocations.values()}
        running = [name for name, one in play.core.invocations.items() if one.state is InvocationState.RUNNING]
        free = [name for name in running if name not in waits]
        if not free:
            break
        play.finish(free[0])
    assert play.core.invocations == {}


def test_deeper_calls_are_served_first() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("a", "f")
    play.begin("a.1", "g", depth=2, caller="a")
    play.submit("root", "g")
    play.submit("a.2", "g", depth=2, caller="a")
    play.finish("a.1")
    play.oblige()
    assert play.state("a.2") is InvocationState.RUNNING
    assert play.state("root") is InvocationState.QUEUED


def test_a_root_gets_a_worker_beside_deeper_ones_as_long_as_there_is_room_for_its_depth() -> None:
    play = Play(Settings({}, max_workers=2))
    play.begin("a")
    play.begin("a.1", depth=2, caller="a")
    assert play.begin("b")


def test_callees_workers_stay_while_callers_may_call_again_and_go_when_nobody_runs() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("a", "f")
    callee = play.begin("a.1", "g", depth=2, caller="a")
    play.finish("a.1")
    assert play.submit("a.2", "g", depth=2, caller="a") == [ev.Call(callee, "a.2")]
    play.finish("a.2")
    play.finish("a")
    play.wait(SECOND)
    assert len(play.core.fleet.workers) == 1


def test_a_call_may_skip_depths_that_ran_inside_its_callers_worker() -> None:
    play = Play(Settings({}, max_workers=1))
    play.begin("a")
    worker = play.begin("a.1.1.1.1", depth=5, caller="a")
    assert play.worker(worker) is WorkerState.BUSY


def test_there_is_never_less_room_deeper() -> None:
    capacity = Capacity(2)
    for depth in (1, 3, 3, 2, 5):
        capacity.take(depth)
    rooms = [capacity.room(depth) for depth in range(1, 8)]
    assert rooms == sorted(rooms)
    assert rooms[0] == 1
    for depth in (1, 3, 3, 2, 5):
        capacity.give_back(depth)
    assert capacity.leased == {}
    assert capacity.room(1) == 2
