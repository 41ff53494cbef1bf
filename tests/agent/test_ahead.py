"""What a node learns of the steps of its workflows, what it tells proxies, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ahead import LookAhead, Mode, loads, runs
from agent.core.patterns import Run
from agent.history import History
from agent.plan import Plan, resolve
from agent.substrate.base import FunctionRecord
from agent.substrate.local import LocalSubstrate
from agent.substrate.local_patterns import SqlitePatterns
from mee6.errors import Mee6Error
from mee6.lane.messages import Expect, Guess, Guessed, Invoke, Report, Span, Step, Steps
from mee6.manifest import Dependency, Manifest
from tests.support.agents import until
from tests.support.played import played_node

MS = 1_000_000


def plan(*, look_ahead: bool = True, **calls: tuple[str, ...]) -> Plan:
    """The plan of the first function; keywords are functions with those that they call."""
    records = {
        name: FunctionRecord(
            "ann", name, 1, name, 1,
            Manifest(name, "python", dict.fromkeys(callees, Dependency()), look_ahead=look_ahead or bool(callees)),
            0.0,
        )
        for name, callees in calls.items()
    }  # fmt: skip
    return resolve(records, next(iter(calls)), "ann")


def step(
    id_: str,
    function: str,
    *spans: tuple[str, int, int],
    worker: str = "w1",
    start: str = "warm",
    state: str = "succeeded",
) -> Step:
    parts = [Span(kind, begin * MS, end * MS) for kind, begin, end in spans]
    return Step(id_, id_.rpartition(".")[0], function, 1, worker, start, "proxy", state, spans=parts)


class Kept:
    """A store in memory, which can be full."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}
        self.full = False

    async def read(self) -> list[tuple[str, str, bytes]]:
        return [(*name, data) for name, data in self.rows.items()]

    async def write(self, rows: dict[tuple[str, str], bytes | None]) -> None:
        if self.full:
            raise Mee6Error("no room")
        for name, data in rows.items():
            if data is None:
                self.rows.pop(name, None)
            else:
                self.rows[name] = data


def look(mode: Mode = Mode.LEARNT) -> tuple[LookAhead, Kept]:
    store = Kept()
    return LookAhead(mode, 2, History(10, 1 << 20), store), store  # type: ignore[arg-type]


def test_a_run_tells_whom_it_called_and_when() -> None:
    of = plan(f=("g", "h"), g=("h",), h=())
    steps = [
        step("i", "f", ("queued", 0, 5), ("run", 10, 90)),
        step("i.1", "g", ("start", 12, 20), ("load", 20, 30), ("run", 30, 60), start="cold"),
        step("i.1.1", "h", ("run", 40, 50)),
        step("i.2", "h", ("run", 70, 80)),
    ]
    assert runs(of, steps) == [
        Run("ann", "f", 1, (("g", 2 * MS), ("h", 60 * MS))),
        Run("ann", "g", 1, (("h", 10 * MS),)),
    ]
    assert loads(of, steps) == [("g", 18 * MS)]


def test_a_run_that_failed_or_was_never_seen_to_begin_teaches_nothing() -> None:
    of = plan(f=("g",), g=())
    assert runs(of, [step("i", "f", ("run", 1, 2), state="failed"), step("j", "f", ("load", 1, 2))]) == []
    assert runs(of, [step("i", "stranger", ("run", 1, 2))]) == []


def test_the_start_of_another_worker_is_not_that_of_a_runtime() -> None:
    steps = [step("i", "f", ("run", 1, 9)), step("i.1", "g", ("start", 2, 5), worker="w2", start="cold")]
    assert loads(plan(f=("g",), g=()), steps) == []


def test_a_proxy_is_told_of_the_whole_plan() -> None:
    ahead, _ = look()
    expected = ahead.expect(plan(f=("g",), g=("h",), h=()))
    assert expected is not None
    assert expected.at_once == 2
    assert [(one.caller, one.function, one.chance, one.after_ns) for one in expected.calls] == [
        ("f", "g", 1.0, 0),
        ("g", "h", 1.0, 0),
    ]


def test_who_calls_nobody_or_looks_not_ahead_is_told_nothing() -> None:
    ahead, _ = look()
    assert ahead.expect(plan(f=())) is None
    assert look(Mode.OFF)[0].expect(plan(f=("g",), g=())) is None
    assert ahead.expect(plan(look_ahead=False, f=("g",), g=())) == Expect([], 2)


def test_calls_that_leave_are_told_of_with_when_to_be_ready_for_them() -> None:
    records = {
        name: FunctionRecord("ann", name, 1, name, 1, Manifest(name, "python", calls), 0.0)
        for name, calls in {"f": {"g": Dependency("always"), "h": Dependency()}, "g": {}, "h": {}}.items()
    }
    of = resolve(records, "f", "ann")
    ahead, _ = look()
    assert [(one.plan.root.name, one.width, one.after_s) for one in ahead.leaving(of)] == [("g", 1.0, 0.0)]
    for _ in range(8):
        ahead.patterns.observe(Run("ann", "f", 1, (("g", 500 * MS), ("g", 501 * MS))), 1e9)
    assert ahead.leaving(of)[0].width == 1.0, "looked up once a second"
    ahead._leaving.clear()
    assert [(one.width, one.after_s) for one in ahead.leaving(of)] == [(2.0, 0.47)]
    ahead.mode = Mode.OFF
    assert ahead.leaving(of) == []


def test_little_changes_are_none() -> None:
    told = []
    for took in (10_000_000, 10_100_000):
        ahead, _ = look()
        ahead.patterns.took("ann", "g", took, 1e9)
        told.append(ahead.expect(plan(f=("g",), g=())))
    assert told[0] == told[1]
    assert told[0] is not None
    assert 10_100_000 <= told[0].calls[0].lead_ns < 13_000_000, "rounded up: it is ready rather than not"


def test_guesses_are_counted_and_learnt_from_unless_only_manifests_count() -> None:
    of = plan(f=("g",), g=())
    guesses = [Guess("f", "g", True, 5, 4), Guess("f", "g", False), Guess("f", "stranger", True, 5, 4)]
    for mode, known in ((Mode.LEARNT, 1.0), (Mode.DECLARED, 0.0)):
        ahead, _ = look(mode)
        ahead.guessed(of, guesses)
        assert (ahead.totals.hits, ahead.totals.misses, ahead.totals.saved_ns) == (1, 1, 4)
        ahead.mode = Mode.LEARNT
        assert ahead.foreseen(of.root, of)[0].hits == pytest.approx(known, abs=0.01)


async def test_what_cannot_be_written_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    ahead, store = look()
    ahead.patterns.observe(Run("ann", "f", 1, (("g", 1),)), 1.0)
    store.full = True
    await ahead.keep(at_once=True)
    assert "what was learnt of workflows could not be kept: no room" in caplog.text
    store.full = False
    ahead.patterns.observe(Run("ann", "f", 1, (("g", 1),)), 1.0)
    await ahead.keep(at_once=True)
    ahead.forget("ann", "f")
    await ahead.keep()
    assert store.rows, "not so soon again"
    await ahead.keep(at_once=True)
    assert not store.rows


async def test_a_workflow_that_ended_is_learnt_from_and_its_proxy_told_anew(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("right")
        await play.add("left")
        await play.add("choice", dependencies={"left": {}, "right": {}})
        outcome, proxy, task = await play.running("choice", "proxy")
        assert [one.function for one in proxy.expected[-1].calls] == ["left", "right"]
        for round_ in range(8):
            if round_:
                outcome = play.begin("choice")
                task = await proxy.gets(Invoke)
            began = play.node.history.find(task.id).trace[0].spans[-1].start_ns
            span = Span("run", began + 1, began + 2)
            called = Step(f"{task.id}.1", task.id, "right", 1, "w1", "warm", "proxy", "succeeded", spans=[span])
            play.node.received(proxy, Steps([called]))
            play.node.received(proxy, Report(task.id, b"ok"))
            play.node.received(proxy, Guessed([Guess("choice", "right", True, 5, 4)]))
            await outcome
        await until(lambda: [one.function for one in proxy.expected[-1].calls] == ["right"], "it is told anew")
        described = await play.node.describe("ann", "choice")
        assert {one.function: one.is_worth_it for one in described.foreseen} == {"left": False, "right": True}
        assert play.node.info().ahead_hits == 8


# What keeps it


async def test_rows_are_there_after_a_restart_and_gone_when_removed(tmp_path: Path) -> None:
    async with LocalSubstrate(tmp_path) as first:
        await first.patterns.write({("ann", "f"): b"1", ("ann", "g"): b"2"})
        await first.patterns.write({("ann", "f"): b"3", ("ann", "g"): None, ("bob", "x"): None})
    async with LocalSubstrate(tmp_path) as second:
        assert await second.patterns.read() == [("ann", "f", b"3")]


@pytest.mark.parametrize("spoilt", [b"no database at all, whatever it says", None])
async def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, spoilt: bytes | None) -> None:
    path = tmp_path / "patterns.db"
    store = SqlitePatterns(path)
    await store.open()
    if spoilt is None:
        await store._do(lambda: store._opened.execute("PRAGMA user_version=99"))
    await store.close()
    if spoilt is not None:
        path.write_bytes(spoilt * 100)
    store = SqlitePatterns(path)
    await store.open()
    assert await store.read() == []
    await store.close()
    assert path.with_suffix(".damaged").exists()
