from __future__ import annotations

from collections import Counter

import pytest
from msgspec.structs import replace

from mee6.records import Batch, Event, Invocation, Snapshot, Worker
from mee6tui.console import history, store
from mee6tui.console.history import History
from mee6tui.console.recording import Recorded
from mee6tui.console.store import Store

S = 1_000_000_000


def filled(items: list[Recorded], source: str = "desk", until_s: float = 1e9) -> Store:
    made = Store()
    for recorded in items:
        if recorded.at_s <= until_s:
            made.apply(source, recorded.item, 1000 + recorded.at_s)
    return made


def invocation(number: int, *, ended: bool = True, state: str = "succeeded", took_ns: int = S) -> Invocation:
    began = number * 1000
    return Invocation(f"i{number}", "ann", "echo", 1, state, "w1", "warm", began, began + took_ns if ended else 0, "")


def worker(identity: str, state: str = "warm", **more: object) -> Worker:
    made = Worker(identity, "python", state, "ann", "echo", 1, "direct", "", 0, 0, "", 0, 0)
    return replace(made, **more)


def batch(*whats: Worker | Invocation, at_ns: int = S, seq: int = 0) -> Batch:
    return Batch(seq, tuple(Event(at_ns, what) for what in whats))


def test_a_real_run_is_known_in_full(busy: list[Recorded]) -> None:
    known = filled(busy)
    names = {change.name for change in known.functions.values()}
    assert {"echo", "pinger", "pipeline", "wordcount", "boom", "slow"} <= names
    by_state = [invocation.state for invocation in known.invocations.values()]
    assert by_state.count("failed") == 1
    assert by_state.count("cancelled") == 1
    assert len(known.running) == 2
    root = next(i.id for i in known.invocations.values() if i.function == "pipeline")
    assert len(known.steps_of["desk", root]) == 4
    assert any(said.line.log.text.strip() for said in known.logs)
    assert {worker.state for worker in known.workers.values()} >= {"paused", "busy"}


def test_two_sources_never_meet(busy: list[Recorded]) -> None:
    known = filled(busy, "one")
    before = dict(known.workers)
    for recorded in busy:
        known.apply("two", recorded.item, 2000)
    assert {key: value for key, value in known.workers.items() if key[0] == "one"} == before
    assert len(known.workers) == 2 * len(before)


def test_a_new_picture_replaces_what_was_known(busy: list[Recorded]) -> None:
    known = filled(busy)
    first = next(r.item for r in busy if isinstance(r.item, Snapshot))
    readers = {kind: known.changes(kind) for kind in ("worker", "function", "invocation")}
    for reader in readers.values():
        reader.clear()
    known.apply("desk", replace(first, workers=(), functions=(), invocations=()), 2000)
    assert not known.workers
    assert not known.functions
    assert not known.invocations
    assert not known.running
    assert all(readers.values())


def test_a_reader_sees_what_changed_since_it_last_looked() -> None:
    known = Store()
    known.apply("desk", batch(worker("w1")), 0)
    reader, other = known.changes("worker"), known.changes("worker")
    assert reader.take() == [("desk", "w1")]
    assert not reader
    known.apply("desk", batch(worker("w2"), worker("w2", "busy")), 0)
    assert reader.take() == [("desk", "w2")]
    assert other == {("desk", "w1"), ("desk", "w2")}


def test_a_reader_that_is_let_go_costs_nothing_more() -> None:
    known = Store()
    reader = known.changes("worker")
    assert len(known._readers["worker"]) == 1
    del reader
    assert len(known._readers["worker"]) == 0


def test_a_worker_that_is_gone_stays_for_a_while_with_what_it_was() -> None:
    known = Store()
    known.apply("desk", batch(worker("w1", function="echo")), 100)
    known.apply("desk", batch(worker("w1", "gone", function="", reason="evicted")), 101)
    gone = known.workers["desk", "w1"]
    assert (gone.state, gone.function, gone.reason) == ("gone", "echo", "evicted")
    known.tick(101 + store.GONE_S - 0.1)
    assert ("desk", "w1") in known.workers
    reader = known.changes("worker")
    reader.clear()
    known.tick(101 + store.GONE_S)
    assert ("desk", "w1") not in known.workers
    assert reader == {("desk", "w1")}


def test_ended_invocations_are_forgotten_oldest_first_and_running_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "INVOCATIONS", 100)
    known = Store()
    known.apply("desk", batch(invocation(0, ended=False, state="running")), 0)
    for number in range(1, 1000):
        known.apply("desk", batch(invocation(number)), 0)
    assert len(known.invocations) <= 100
    assert ("desk", "i0") in known.invocations
    assert ("desk", "i999") in known.invocations
    assert ("desk", "i1") not in known.invocations


def test_where_very_many_go_on_what_has_ended_is_not_looked_for_at_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "INVOCATIONS", 100)
    known, looked = Store(), list[None]()
    forget = known._forget_invocations
    monkeypatch.setattr(known, "_forget_invocations", lambda: looked.append(forget()))
    for number in range(600):
        known.apply("desk", batch(invocation(number, ended=False, state="running")), 0)
    assert len(known.invocations) == 600
    assert len(looked) <= 50
    for number in range(600):
        known.apply("desk", batch(invocation(number)), 0)
    for number in range(600, 620):
        known.apply("desk", batch(invocation(number)), 0)
    assert len(known.invocations) <= 100, "once they have ended, no more are kept than ever"


def test_an_end_is_counted_once_and_in_its_second() -> None:
    known = Store()
    known.apply("desk", batch(invocation(1, ended=False, state="running")), 0)
    known.apply("desk", batch(invocation(1, took_ns=5 * S), invocation(2, took_ns=5 * S, state="failed")), 0)
    known.apply("desk", batch(invocation(1, took_ns=5 * S)), 0)
    meter = known.meters["desk"]
    assert meter.series(7 * S, 3) == [0, 2, 0]
    assert meter.series(7 * S, 3, "failed") == [0, 1, 0]
    p50, p99, number = meter.quantiles(6 * S)
    assert (round(p50), round(p99), number) == (5000, 5000, 2)


def test_a_copy_is_of_its_own(busy: list[Recorded]) -> None:
    known = filled(busy)
    copied = known.copy()
    known.apply("desk", batch(worker("w99"), invocation(99), at_ns=10**15), 2000)
    assert ("desk", "w99") not in copied.workers
    assert copied.numbered == known.numbered - 2
    assert len(copied.events) == len(known.events) - 2


def test_the_counts_of_workers_are_those_of_the_workers_at_any_time(busy: list[Recorded]) -> None:
    known = Store()
    for place, recorded in enumerate([*busy, *busy]):  # the second time begins with a picture of those known
        known.apply("desk", recorded.item, place)
        known.apply("lab", recorded.item, place)
        known.tick(place)
        counted = Counter((key[0], worker.pool, worker.state) for key, worker in known.workers.items())
        assert +known.worker_states == counted
        assert known.copy().worker_states == known.worker_states
    assert any(worker.state == "gone" for recorded in busy for worker in _workers(recorded))


def _workers(recorded: Recorded) -> list[Worker]:
    return [event.what for event in getattr(recorded.item, "events", ()) if isinstance(event.what, Worker)]


@pytest.mark.parametrize("until_s", [0.0, 1.2, 2.0, 3.0, 99.0])
def test_the_past_is_what_was_known_then(busy: list[Recorded], until_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "CHECKPOINT_S", 1.0)
    live, past = Store(), History()
    for recorded in busy:
        past.note("desk", recorded.item, 1000 + recorded.at_s, live)
        live.apply("desk", recorded.item, 1000 + recorded.at_s)
    then, expected = past.at(1000 + until_s, live), filled(busy, until_s=until_s)
    for name in (
        "nodes",
        "workers",
        "functions",
        "invocations",
        "steps",
        "steps_of",
        "handovers",
        "running",
        "numbered",
    ):
        assert getattr(then, name) == getattr(expected, name), name
    assert [happened.number for happened in then.events] == [happened.number for happened in expected.events]
    assert [said.line for said in then.logs] == [said.line for said in expected.logs]


def test_the_past_takes_bounded_room() -> None:
    live, past = Store(), History(limit_bytes=200_000)
    for number in range(3000):
        now = float(number)
        past.note("desk", batch(invocation(number), at_ns=number * S), now, live)
        live.apply("desk", batch(invocation(number), at_ns=number * S), now)
        assert past.bytes <= 200_000 + 150_000  # a chapter may be over before the oldest goes
    assert past.oldest is not None
    assert past.oldest > 1000


def test_the_past_is_stepped_through_by_what_happened() -> None:
    live, past = Store(), History()
    for now in (1.0, 2.0, 4.0):
        past.note("desk", batch(worker("w1")), now, live)
    assert past.next_event(1.5) == 2.0
    assert past.next_event(2.0) == 4.0
    assert past.next_event(4.0) is None
    assert past.next_event(4.0, back=True) == 2.0
    assert past.next_event(1.0, back=True) is None
