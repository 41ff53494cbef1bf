"""How much a workflow's store may hold: FaaSFlow's rule, and how it is parted among those who call."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.seats import Job, Seat
from agent.store import RESERVED, Stores, Use, quota, shares
from mee6.lane.messages import BINARY, Block, Invoke

MB = 10**6
NAMES = "abcdef"


def test_the_quota_is_what_faasflows_artefact_computes() -> None:
    """`(1 - 0.2 - mem_usage) * 256 MB * split_ratio`, for a function and for a graph of them."""
    for used, width in ((0.25, 1), (0.1, 4), (0.55, 2)):
        expected = (1 - RESERVED - used) * 256 * MB * width
        assert abs(quota([Use(256 * MB, int(used * 256 * MB), width)]) - expected) <= width
    assert quota([Use(256 * MB, 64 * MB), Use(256 * MB, 64 * MB, 3)]) == 4 * (256 - 64 - 51.2) * MB


def test_a_function_that_uses_its_memory_gives_nothing() -> None:
    assert quota([Use(256 * MB, 256 * MB), Use(256 * MB, 210 * MB, 5)]) == 0


def test_what_is_unused_is_its_callers() -> None:
    uses = {name: Use(100, 40) for name in "abcd"}  # 40 unused each
    assert shares("a", {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, uses) == {"a": 120, "b": 20, "c": 20}
    assert shares("a", {"a": []}, {"a": Use(100, 40)}) == {}
    assert shares("a", {"a": ["a", "b"], "b": []}, {name: Use(100, 40) for name in "ab"}) == {"a": 80}, "calls itself"


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 9)), min_size=6, max_size=6),
)
def test_all_parts_together_are_no_more_than_the_quota(
    graph: dict[str, set[str]], numbers: list[tuple[int, int, int]]
) -> None:
    uses = {name: Use(*number) for name, number in zip(NAMES, numbers, strict=True)}
    callees = {name: graph.get(name, set()) for name in NAMES}
    for root in NAMES:
        assert sum(shares(root, callees, uses).values()) <= quota(uses.values())


def a_job(block: Block | None, room: Block | None) -> Job:
    job: Any = SimpleNamespace(id="i.1", flow_of="w1", stored=block, room=room)
    return cast("Job", job)


def a_seat(*, has_store: bool, bound_flow: str = "w1") -> Seat:
    return cast("Seat", SimpleNamespace(worker="w2", has_store=has_store, bound_flow=bound_flow))


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    (tmp_path / "w1").mkdir()
    (tmp_path / "w1" / "w1-7-1").write_bytes(b"0123456789")
    return Stores(lambda worker: str(tmp_path / worker), enabled=True)


INVOKE = Invoke("i.1", b"", BINARY, ["f", "g"])


def test_a_peer_that_knows_no_store_is_sent_the_bytes_and_no_room(stores: Stores) -> None:
    block, room = Block("w1-7-1", 3, 4), Block("w1-7-1", 0, 3)
    knows = stores.referring(a_seat(has_store=True), a_job(block, room), INVOKE)
    assert (knows.arg, knows.stored, knows.room) == (b"", block, room)
    job = a_job(block, room)
    told = stores.referring(a_seat(has_store=False), job, INVOKE)
    assert (told.arg, told.stored, told.room) == (b"3456", None, None)
    assert job.room is None, "nothing that it says lies there is believed"


def test_what_is_not_there_is_not_sent(stores: Stores) -> None:
    for block in (Block("w1-7-1", 8, 4), Block("../w1/w1-7-1", 0, 4), Block("none", 0, 1)):
        assert stores.referring(a_seat(has_store=False), a_job(block, None), INVOKE).arg == b""


def test_who_leaves_a_workflow_leaves_nothing_in_its_store(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "w1" / "w2-5-1").touch()
    stores.left(a_seat(has_store=True, bound_flow="w2"))
    stores.left(a_seat(has_store=True, bound_flow=""))
    assert len(list((tmp_path / "w1").iterdir())) == 2
    stores.left(a_seat(has_store=True))
    assert [path.name for path in (tmp_path / "w1").iterdir()] == ["w1-7-1"]
