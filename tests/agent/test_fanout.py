"""How far one workflow spreads: never over its bound, never for ever, and never with more than is kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import policy
from agent.config import AgentConfig
from agent.fanout import OPEN_CALL_BYTES, OPEN_CALLS, FanOut


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(2, 4), st.booleans()), max_size=60))
def test_all_calls_run_in_their_order_and_at_no_depth_too_many(most: int, asks: list[tuple[int, bool]]) -> None:
    fan_out = FanOut[tuple[int, int]](most)
    running: list[tuple[int, int]] = []
    went: dict[int, list[int]] = {}

    def go(call: tuple[int, int]) -> None:
        running.append(call)
        went.setdefault(call[0], []).append(call[1])
        assert sum(depth == call[0] for depth, _number in running) <= most

    def end(call: tuple[int, int]) -> None:
        running.remove(call)
        if (next_one := fan_out.done(call[0])) is not None:
            go(next_one)

    for number, (depth, one_ends) in enumerate(asks):
        if fan_out.ask(depth, (depth, number)):
            go((depth, number))
        if one_ends and running:
            end(running[0])
    while running:
        end(running[-1])
    for depth, numbers in went.items():
        assert numbers == [number for number, (at, _) in enumerate(asks) if at == depth]


def test_calls_whose_caller_has_gone_wait_no_more() -> None:
    fan_out = FanOut[str](1)
    assert [fan_out.ask(2, call) for call in ("runs", "gone 1", "stays", "gone 2")] == [True, False, False, False]
    fan_out.drop(lambda call: call.startswith("gone"))
    assert [fan_out.done(2), fan_out.done(2)] == ["stays", None]
    assert fan_out.ask(2, "again")


@pytest.mark.parametrize(("calls", "size"), [(OPEN_CALLS, 0), (2, OPEN_CALL_BYTES // 2)])
def test_what_is_kept_of_a_workflow_has_a_bound_which_the_refusal_names(calls: int, size: int) -> None:
    fan_out = FanOut[str](1)
    for _ in range(calls):
        assert fan_out.refuses(size) == ""
        fan_out.opened(size)
    assert "at most 10000 and 64 MiB may be; wait for some of them first" in fan_out.refuses(1)
    fan_out.ended(size)
    assert fan_out.refuses(1) == ""


@pytest.mark.parametrize(("max_workers", "asked", "most"), [(64, 0, 32), (4, 0, 8), (64, 5, 5), (1, 0, 8)])
def test_one_workflow_gets_half_of_the_workers_unless_told_otherwise(
    tmp_path: object, max_workers: int, asked: int, most: int
) -> None:
    config = AgentConfig(state_dir=tmp_path, max_workers=max_workers, parallel_calls=asked)  # type: ignore[arg-type]
    assert policy.parallel_calls(config) == most
