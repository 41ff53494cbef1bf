from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from agent.core import handover, invocation, worker
from agent.core.machine import STORY_LENGTH, InvalidTransition, Machine
from agent.drivers.base import PoolKey

Table = Mapping[tuple[Any, Any], Any]

LIVES: dict[str, tuple[Table, type[StrEnum], type[StrEnum], StrEnum, frozenset[StrEnum]]] = {
    "worker": (
        worker.TRANSITIONS,
        worker.WorkerState,
        worker.WorkerEvent,
        worker.WorkerState.STARTING,
        frozenset({worker.WorkerState.GONE}),
    ),
    "handover": (
        handover.TRANSITIONS,
        handover.HandoverState,
        handover.HandoverEvent,
        handover.HandoverState.PROXIED,
        frozenset({handover.HandoverState.ALONE}),
    ),
    "invocation": (
        invocation.TRANSITIONS,
        invocation.InvocationState,
        invocation.InvocationEvent,
        invocation.InvocationState.QUEUED,
        invocation.ENDED,
    ),
}
PAIRS = [
    pytest.param(life, state, event, id=f"{life}: {state} + {event}")
    for life, (_table, states, events, _first, _final) in LIVES.items()
    for state in states
    for event in events
]


@pytest.mark.parametrize(("life", "state", "event"), PAIRS)
def test_an_event_is_in_the_table_or_refused_without_a_change(life: str, state: StrEnum, event: StrEnum) -> None:
    table = LIVES[life][0]
    machine: Machine[Any, Any] = Machine("it", table, state)
    if (state, event) in table:
        assert machine.can(event)
        machine.demand(event)
        assert machine.take(event) is table[state, event]
        assert machine.state is table[state, event]
        assert machine.story() == f"{event} -> {machine.state}"
        return
    assert not machine.can(event)
    for attempt in (machine.demand, machine.take):
        with pytest.raises(InvalidTransition) as refusal:
            attempt(event)
        assert (refusal.value.state, refusal.value.event) == (state, event)
        assert machine.state is state
        assert machine.story() == ""


@pytest.mark.parametrize("life", LIVES)
def test_every_state_can_be_reached(life: str) -> None:
    table, states, _events, first, _final = LIVES[life]
    reached = {first}
    while further := {after for (state, _event), after in table.items() if state in reached} - reached:
        reached |= further
    assert reached == set(states)


@pytest.mark.parametrize("life", LIVES)
def test_final_states_and_only_they_accept_nothing(life: str) -> None:
    table, states, _events, _first, final = LIVES[life]
    assert {state for state in states if not any((state, event) in table for event in LIVES[life][2])} == set(final)


@pytest.mark.parametrize("life", LIVES)
def test_every_event_has_its_place(life: str) -> None:
    table, _states, events, _first, _final = LIVES[life]
    assert {event for _state, event in table} == set(events)


def test_a_refusal_tells_the_story() -> None:
    one = worker.Worker("w7", PoolKey("python"), 0)
    one.take(worker.WorkerEvent.CONNECTED, 1)
    one.take(worker.WorkerEvent.LEASED, 2)
    with pytest.raises(InvalidTransition) as refusal:
        one.take(worker.WorkerEvent.PAUSED, 3)
    assert "worker w7 is loading and cannot take" in str(refusal.value)
    assert "connected -> prewarmed, leased -> loading" in str(refusal.value)
    assert one.since == 2


def test_a_story_keeps_the_last_events_only() -> None:
    one = worker.Worker("w7", PoolKey("python"), 0)
    events = worker.WorkerEvent
    for event in (events.CONNECTED, events.LEASED, events.LOADED, events.RELEASED):
        one.take(event, 0)
    for _ in range(STORY_LENGTH):
        one.take(events.LEASED, 0)
        one.take(events.RELEASED, 0)
    assert one.machine.story().count("->") == STORY_LENGTH
    assert "connected" not in one.machine.story()


def test_idle_and_leased_are_apart_and_leave_out_only_the_beginning_and_the_end() -> None:
    assert not worker.IDLE & worker.LEASED
    rest = set(worker.WorkerState) - worker.IDLE - worker.LEASED
    assert rest == {worker.WorkerState.STARTING, worker.WorkerState.GONE}
