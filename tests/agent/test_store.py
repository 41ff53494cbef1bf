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
from mee6.lane.messages import BINARY, Block, Call, Fault, Invoke, Limits, Load, Report, Result, Stored
from tests.support.played import PlayedNode, PlayedPeer, played_node

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


def a_job(block: Block | None, room: Block | None, concurrency: int = 1) -> Job:
    plan = SimpleNamespace(root=SimpleNamespace(manifest=SimpleNamespace(concurrency=concurrency, steps={})))
    job: Any = SimpleNamespace(id="i.1", name="g", flow_of="w1", stored=block, room=room, plan=plan)
    return cast("Job", job)


def a_seat(*, has_store: bool, bound_flow: str = "w1") -> Seat:
    return cast("Seat", SimpleNamespace(worker="w2", has_store=has_store, bound_flow=bound_flow, limits=Limits()))


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    (tmp_path / "w1").mkdir()
    (tmp_path / "w1" / "w1-7-1").write_bytes(b"0123456789")
    return Stores(lambda worker: str(tmp_path / worker), enabled=True)


INVOKE = Invoke("i.1", b"", BINARY, ["f", "g"])


def test_a_peer_that_knows_no_store_is_sent_the_bytes_and_no_room(stores: Stores) -> None:
    block, room = Block("w1-7-1", 3, 4), Block("w1-7-1", 0, 3)
    knows = stores.referring(a_seat(has_store=True), a_job(block, room), INVOKE)
    assert isinstance(knows, Invoke)
    assert (knows.arg, knows.stored, knows.room) == (b"", block, room)
    job = a_job(block, room)
    told = stores.referring(a_seat(has_store=False), job, INVOKE)
    assert isinstance(told, Invoke)
    assert (told.arg, told.stored, told.room) == (b"3456", None, None)
    assert job.room is None, "nothing that it says lies there is believed"
    many = stores.referring(a_seat(has_store=True), a_job(block, room, concurrency=2), INVOKE)
    assert isinstance(many, Invoke)
    assert (many.arg, many.stored, many.room) == (b"3456", None, None), "nor is one that runs several at once"


def test_what_is_not_there_or_too_much_is_a_fault(stores: Stores) -> None:
    for block in (Block("w1-7-1", 8, 4), Block("../w1/w1-7-1", 0, 4), Block("none", 0, 1), Block("w1-7-1", 0, 1 << 40)):
        told = stores.referring(a_seat(has_store=False), a_job(block, None), INVOKE)
        assert isinstance(told, Fault)
        assert told.code == "invalid_input"


def test_what_a_function_says_it_passed_is_counted_within_bounds(stores: Stores) -> None:
    job = cast("Job", SimpleNamespace(user="ann", chain=["f", "g"]))
    for said in (Stored("i", 2, 100, 1), Stored("i", -5, -5, -5), Stored("i", 1, 2**62, 0), Stored("i", 1, 2**62, 0)):
        stores.told(job, said)
    assert (stores.passed.blocks, stores.passed.size, stores.passed.over) == (4, 2**62, 1)
    assert stores.of_function["ann", "f"] == stores.passed


async def test_a_call_by_reference_reaches_a_worker_that_knows_it_and_its_result_the_caller(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        caller, block, room = await calling(play)
        runtime = await play.connected(store=True)
        play.node.received(runtime, Report((await runtime.gets(Load)).id))
        task = await runtime.gets(Invoke)
        assert (task.arg, task.stored, task.room) == (b"", block, room)
        play.node.received(runtime, Report(task.id, stored=room.size))
        assert (await caller.gets(Result)).stored == room.size


@pytest.mark.parametrize("stored", [-1, 4097])
async def test_a_result_that_is_said_to_be_larger_than_its_room_is_refused(tmp_path: Path, stored: int) -> None:
    async with played_node(tmp_path) as play:
        caller, _block, _room = await calling(play)
        runtime = await play.connected(store=True)
        play.node.received(runtime, Report((await runtime.gets(Load)).id))
        play.node.received(runtime, Report((await runtime.gets(Invoke)).id, stored=stored))
        fault = (await caller.gets(Result)).fault
        assert fault is not None
        assert fault.code == "result_refused"


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_runtime_of_somebody_elses_is_sent_the_bytes(tmp_path: Path, is_there: bool) -> None:
    async with played_node(tmp_path) as play:
        caller, block, _room = await calling(play)
        if is_there:
            with open(f"{play.driver.store_path('w1')}/{block.file}", "wb") as file:  # noqa: ASYNC230, PTH123 - a test
                file.write(b"-argument")
        runtime = await play.connected()
        play.node.received(runtime, Report((await runtime.gets(Load)).id))
        if is_there:
            task = await runtime.gets(Invoke)
            assert (task.arg, task.stored, task.room) == (b"argument", None, None)
            play.node.received(runtime, Report(task.id, b"done"))
            assert (await caller.gets(Result)).result == b"done"
        else:
            fault = (await caller.gets(Result)).fault
            assert fault is not None
            assert (fault.code, fault.function) == ("invalid_input", "low")


async def calling(play: PlayedNode) -> tuple[PlayedPeer, Block, Block]:
    """A function that runs and has called another, with an argument in the store and room for the result."""
    await play.add("low")
    await play.add("top", dependencies={"low": {"outflow": "always"}})
    play.begin("top")
    caller = await play.connected(store=True)
    load = await caller.gets(Load)
    assert load.function.store_bytes > 0
    play.node.received(caller, Report(load.id))
    task = await caller.gets(Invoke)
    block, room = Block("w1-7-1", 1, 8), Block("w1-7-1", 4096, 4096)
    play.node.received(caller, Call(f"{task.id}.1", task.id, "low", b"", BINARY, ["top"], stored=block, room=room))
    return caller, block, room


def test_who_leaves_a_workflow_leaves_nothing_in_its_store(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "w1" / "w2-5-1").touch()
    stores.left(a_seat(has_store=True, bound_flow="w2"))
    stores.left(a_seat(has_store=True, bound_flow=""))
    assert len(list((tmp_path / "w1").iterdir())) == 2
    stores.left(a_seat(has_store=True))
    assert [path.name for path in (tmp_path / "w1").iterdir()] == ["w1-7-1"]
