from __future__ import annotations

import pytest

from proxy.load import TRANSITIONS as LOADS
from proxy.load import LoadEvent, LoadState, PendingLoad
from proxy.table import TRANSITIONS, InvalidTransition, Runtime, RuntimeEvent, RuntimeState
from tests.proxy.play import function


@pytest.mark.parametrize("state", RuntimeState)
@pytest.mark.parametrize("event", RuntimeEvent)
def test_every_pair_is_in_the_table_or_refused(state: RuntimeState, event: RuntimeEvent) -> None:
    runtime = Runtime(3, "python")
    runtime.state = state
    after = TRANSITIONS.get((state, event))
    if after is None:
        with pytest.raises(InvalidTransition, match=f"runtime 3 is {state}"):
            runtime.take(event)
        assert runtime.state is state
        assert not runtime.story
    else:
        assert runtime.take(event) is after
        assert runtime.state is after


def test_a_refusal_tells_the_story() -> None:
    runtime = Runtime(1, "python")
    runtime.take(RuntimeEvent.CONNECTED)
    runtime.take(RuntimeEvent.GIVEN)
    with pytest.raises(InvalidTransition, match="connected -> spare, given a function -> loading"):
        runtime.take(RuntimeEvent.INVOKED)


def test_every_state_can_be_reached_and_all_but_the_last_left() -> None:
    assert set(TRANSITIONS.values()) | {RuntimeState.SPAWNING} == set(RuntimeState)
    assert {state for state, _event in TRANSITIONS} == set(RuntimeState) - {RuntimeState.GONE}


@pytest.mark.parametrize("state", LoadState)
@pytest.mark.parametrize("event", LoadEvent)
def test_a_load_moves_by_its_table_and_drops_the_rest(state: LoadState, event: LoadEvent) -> None:
    load = PendingLoad("l", function())
    load.state = state
    after = LOADS.get((state, event))
    assert load.take(event) is after
    assert load.state is (after or state)


def test_every_load_comes_to_an_end() -> None:
    for state in set(LoadState) - {LoadState.DONE}:
        reached, grown = {state}, True
        while grown:
            more = {after for (before, _event), after in LOADS.items() if before in reached}
            grown = not more <= reached
            reached |= more
        assert LoadState.DONE in reached
