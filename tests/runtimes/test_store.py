"""Both sides of a call that passes by the store, as the Python runtime plays them."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.content import pack
from mee6.errors import InvalidInput
from mee6.lane.arena import PAGE
from mee6.lane.messages import Block, Invoke, Report, Stored
from mee6.lane.store import FOLDER, INLINE_BYTES
from runtimes.python import store as module
from runtimes.python.store import Store

LARGE = b"x" * (INLINE_BYTES + 1)
QUOTA = 1 << 20


class Pair:
    """A caller and its callee."""

    def __init__(self, act: Path, quota: int = QUOTA) -> None:
        (act / FOLDER).mkdir(parents=True)
        self.caller, self.callee = Store(), Store()
        for one in (self.caller, self.callee):
            one.welcomed("w1", str(act))
        self.caller.quota = quota
        self.caller.begin()
        self.count = 0

    def begin(self, arg: Any = None, name: str = "g", *, view: bool = False) -> Invoke:
        self.count += 1
        number = f"i.{self.count}"
        data, kind = pack(arg)
        stored, room = self.caller.offer(name, number, data, view=view)
        return Invoke(number, b"" if stored else data, kind, [], stored=stored, room=room)

    def report(self, invoke: Invoke, result: Any) -> Report:
        data, kind = pack(result)
        stored = self.callee.put(invoke.room, data)
        return Report(invoke.id, b"" if stored else data, kind, stored=stored)

    def call(self, arg: Any, result: Any, *, view: bool = False) -> Any:
        invoke = self.begin(arg, view=view)
        assert self.callee.argument(invoke, view=False) == arg
        return self.caller.result(self.report(invoke, result))

    @property
    def taken(self) -> int:
        """Bytes of its region, less the room that it keeps from call to call."""
        store = self.caller
        store._sweep()
        store._arena.check()
        return store._arena.taken - (store._standing.size if store._standing else 0)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_what_is_large_lies_in_the_store_and_what_is_small_travels(pair: Pair) -> None:
    small = pair.begin(b"small")
    assert small.stored is None
    assert pair.report(small, b"small").stored == 0
    large = pair.begin(LARGE)
    assert large.stored is not None
    assert large.arg == b""
    report = pair.report(large, LARGE)
    assert (report.stored, report.result) == (len(LARGE), b"")
    assert pair.caller.result(report) == LARGE


@pytest.mark.parametrize(
    "value",
    [LARGE, LARGE.decode(), [LARGE.decode()], "ä" * INLINE_BYTES, {"a": list(range(9999))}],
    ids=["bytes", "text", "list", "not ASCII", "object"],
)
def test_values_of_every_kind_come_as_they_went(pair: Pair, value: Any) -> None:
    assert pair.call(value, value) == value
    assert pair.taken == 0
    (told,) = pair.caller.told("i")
    assert told == Stored("i", 2, 2 * len(pack(value)[0]), 0)
    assert pair.caller.told("i") == []


def test_call_after_call_uses_the_same_room(pair: Pair) -> None:
    rooms = set()
    for _ in range(5):
        invoke = pair.begin()
        rooms.add(invoke.room)
        pair.caller.result(pair.report(invoke, LARGE))
    assert len(rooms) == 1


def test_a_view_holds_its_block_until_the_last_look_at_it_is_gone(pair: Pair) -> None:
    view = pair.call(None, LARGE, view=True)
    assert isinstance(view, memoryview)
    assert view.readonly
    part = view[5:10]
    del view
    assert pair.call(None, b"y" * len(LARGE)) == b"y" * len(LARGE)
    assert bytes(part) == b"xxxxx"
    assert pair.taken >= len(LARGE)
    del part
    gc.collect()
    assert pair.taken == 0


def test_a_view_of_what_travelled_is_one_too(pair: Pair) -> None:
    assert pair.call(None, b"small", view=True) == memoryview(b"small")
    assert isinstance(pair.call(None, b"small", view=True), memoryview)
    assert pair.call(None, "text", view=True) == "text"


def test_room_is_its_owners_again_after_a_fault_of_the_callees_and_later_after_its_death(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.caller.failed(pair.begin(LARGE).id, "function_raised")
    assert pair.taken == 0
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    dead = pair.begin(LARGE)
    pair.caller.failed(dead.id, "function_exited")
    assert pair.taken > len(LARGE)
    again = pair.begin(LARGE)
    assert again.room != dead.room, "its callee may still be writing there"
    assert again.stored != dead.stored
    pair.caller.failed(again.id, "function_raised")
    now[0] += module.RETIRED_S + 1
    assert pair.taken == 0


def test_calls_that_nobody_heard_the_end_of_are_freed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    for _ in range(3):
        pair.begin(LARGE)
    pair.caller.begin()
    assert pair.taken
    now[0] += module.RETIRED_S + 1
    assert pair.taken == 0


def test_over_the_quota_it_travels_and_is_counted(tmp_path: Path) -> None:
    pair = Pair(tmp_path, quota=16 * PAGE)
    held = [pair.begin(LARGE) for _ in range(3)]
    assert [invoke.stored is not None for invoke in held] == [True, False, False]
    report = pair.report(held[2], LARGE)
    assert (report.stored, report.result) == (0, LARGE), "nor is there room for its result"
    assert pair.caller.result(report) == LARGE
    (told,) = pair.caller.told("i")
    assert told.over == 3, "two arguments, and a result"


def test_many_calls_at_once_have_room_of_what_the_function_was_seen_to_need(pair: Pair) -> None:
    pair.call(None, LARGE)
    rooms = [pair.begin().room for _ in range(8)]
    assert all(room is not None and room.size >= len(LARGE) for room in rooms)


def test_another_workflows_store_gets_a_region_of_its_own(pair: Pair, tmp_path: Path) -> None:
    pair.call(LARGE, LARGE)
    (tmp_path / FOLDER).rename(tmp_path / "left")
    (tmp_path / FOLDER).mkdir()
    pair.caller.begin()
    assert pair.call(LARGE, LARGE) == LARGE
    assert len(list((tmp_path / FOLDER).iterdir())) == len(list((tmp_path / "left").iterdir())) == 1


def test_without_a_store_all_travels(tmp_path: Path) -> None:
    store = Store()
    store.welcomed("w1", str(tmp_path / "nowhere"))
    assert store.offer("g", "i.1", LARGE, view=False) == (None, None)
    store.quota = QUOTA
    assert store.offer("g", "i.1", LARGE, view=False) == (None, None)


@pytest.mark.parametrize("size", [QUOTA, -5])
def test_a_result_is_not_read_where_there_was_no_room_for_it(pair: Pair, size: int) -> None:
    invoke = pair.begin()
    with pytest.raises(InvalidInput, match="no room"):
        pair.caller.result(Report(invoke.id, stored=size))
    assert pair.taken == 0


def test_a_callee_writes_nowhere_else(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    (tmp_path / FOLDER / "w9-1-1").symlink_to(tmp_path / "other")
    for room in (Block("w9-1-1", 0, 1 << 20), Block("../other", 0, 1 << 20), Block("none", 0, 1 << 20)):
        assert pair.callee.put(room, LARGE) == 0
    assert (tmp_path / "other").read_bytes() == bytes(1 << 20)


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["call", "begin", "end", "fail", "die", "view", "drop", "next"]),
            st.sampled_from([0, 1, INLINE_BYTES, INLINE_BYTES + 1, 2 * INLINE_BYTES + 7, 3 * INLINE_BYTES]),
        ),
        max_size=30,
    )
)
def test_nothing_is_lost_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, plays: list[tuple[str, int]]
) -> None:
    pair = Pair(tmp_path_factory.mktemp("act"))
    under_way: list[Invoke] = []
    views: list[tuple[Any, bytes]] = []
    for count, (what, size) in enumerate(plays):
        data = bytes([count % 256]) * size
        if what == "call":
            assert pair.call(data, data) == data
        elif what == "begin":
            under_way.append(pair.begin(data, name="gh"[size % 2]))
        elif what == "view":
            views.append((pair.call(None, data, view=True), data))
        elif what == "drop" and views:
            views.pop(size % len(views))
        elif what == "next":
            pair.caller.begin()
            under_way.clear()
        elif under_way and what == "end":
            assert pair.caller.result(pair.report(under_way.pop(0), data)) == data
        elif under_way:
            pair.caller.failed(under_way.pop(0).id, "function_raised" if what == "fail" else "function_exited")
        assert all(view == seen for view, seen in views)
    pair.caller.begin()
    views.clear()
    gc.collect()
    module_now = time.monotonic() + module.RETIRED_S + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "monotonic", lambda: module_now)
        assert pair.taken == 0
