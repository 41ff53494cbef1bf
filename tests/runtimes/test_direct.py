"""Direct lanes between real runtimes, each language to each: what a function sees is as through the proxy."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mee6.content import unpack
from mee6.lane.messages import Call, Log, Report, Step, Welcome
from tests.runtimes.conformance import LANGUAGES, Language
from tests.support.agents import alive
from tests.support.lane import Worker
from tests.support.places import WAIT_S

PAIRS = [
    pytest.param((a, b), marks=[pytest.mark.node] if "nodejs" in (a.name, b.name) else [], id=f"{a.name}-{b.name}")
    for a in LANGUAGES.values()
    for b in LANGUAGES.values()
]
Pair = tuple[Language, Language]


class Introducing(Worker):
    """A worker whose `f` calls `g` and `h`, whose `g` calls `h` and `f`, with direct lanes where they may be."""

    wanted = True

    def welcome(self) -> Welcome:
        return msgspec.structs.replace(super().welcome(), direct=self.wanted)

    def add(self, pair: Pair, timeout_s: float = 60.0) -> None:
        caller, callee = pair
        g = callee.function("g", {"h": "no", "f": "no", "away": "always"}, timeout_s=timeout_s)
        h, away = caller.function("h"), caller.function("away")
        f = caller.function("f", {"g": "no", "h": "no", "away": "always"})
        assert self.load(f, [g, h, away]).fault is None

    def do(self, behaviour: str, **arg: object) -> Report:
        return self.invoke({"do": behaviour, **arg})

    def value(self, behaviour: str, **arg: object) -> Any:
        report = self.do(behaviour, **arg)
        assert report.fault is None, report.fault
        return unpack(report.result, report.content_type)

    def introduce(self) -> None:
        """Calls until every call goes directly: `f` to `g`, `g` to `h`, `f` to `h`."""
        deadline = time.monotonic() + WAIT_S
        chain = {"do": "call", "name": "h"}
        while True:
            self.seen.clear()
            self.value("call_in_turn", calls=[["g", chain], ["h", None]])
            inner = [step for step in self.steps().values() if step.parent]
            if [step.via for step in inner] == ["lane"] * 3:
                break
            assert time.monotonic() < deadline, inner
        self.seen.clear()

    def inner(self) -> dict[str, Step]:
        """The last invocation's steps but the first, by what of their ids is their own."""
        return {number.partition(".")[2]: step for number, step in self.steps().items() if step.parent}


class Aloof(Introducing):
    """One that introduces nobody."""

    wanted = False


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Pair:
    found: Pair = request.param
    for language in found:
        if language.missing():
            pytest.skip(f"{language.program} is not on PATH")
    return found


@pytest.fixture
def worker(pair: Pair, tmp_path: Path) -> Iterator[Introducing]:
    languages = sorted({language.name for language in pair}, key=lambda name: name != pair[0].name)
    with Introducing(languages, tmp_path / "act", tmp_path) as one:
        one.add(pair)
        one.introduce()
        yield one


def test_calls_go_directly_and_are_in_the_trace(worker: Introducing) -> None:
    deep = {"do": "call", "name": "h", "arg": 3}
    assert worker.value("call_in_turn", calls=[["g", 1], ["h", "two"], ["g", deep]]) == [1, "two", 3]
    steps = worker.inner()
    assert {number: step.function for number, step in steps.items()} == {"1": "g", "2": "h", "3": "g", "3.1": "h"}
    assert {(step.via, step.state, step.start) for step in steps.values()} == {("lane", "succeeded", "warm")}
    assert all(step.pid > 0 and step.spans[-1].end_ns > step.spans[-1].start_ns > 0 for step in steps.values())
    outer, within = steps["3"].spans[-1], steps["3.1"].spans[-1]
    assert outer.start_ns <= within.start_ns < within.end_ns <= outer.end_ns


def test_async_code_calls_directly_too(worker: Introducing) -> None:
    assert worker.value("call_in_turn_async", calls=[["g", count] for count in range(50)]) == list(range(50))
    assert {step.via for step in worker.inner().values()} == {"lane"}


def test_nothing_of_the_introduction_stays_in_the_storage(worker: Introducing) -> None:
    assert sorted(path.name for path in worker.act.iterdir() if not path.name.startswith(".scratch")) == ["cur", "flow"]


def test_an_error_is_told_with_its_traceback(worker: Introducing, pair: Pair) -> None:
    caught = worker.value("call_and_catch", name="g", arg={"do": "raise_it", "message": "böse"})
    assert (caught["code"], caught["function"], caught["type"]) == ("function_raised", "g", pair[1].raises)
    assert "raise_it" in caught["traceback"]
    assert worker.inner()["1"].state == "failed"
    assert "böse" in worker.inner()["1"].error


def test_megabytes_go_both_ways(worker: Introducing) -> None:
    text = "z" * (5 << 20)
    assert worker.value("call", name="g", arg=text) == text
    assert worker.inner()["1"].via == "lane"


def test_a_large_result_and_the_calls_below_it_are_all_there(worker: Introducing) -> None:
    calls = [["h", count] for count in range(20)] + [["h", {"do": "large", "size": 5 << 20}]]
    found = worker.value("call", name="g", arg={"do": "call_in_turn", "calls": calls})
    assert (len(found), found[:20], len(found[20])) == (21, list(range(20)), 5 << 20)
    steps = worker.inner()
    assert {step.state for step in steps.values()} == {"succeeded"}
    assert steps.keys() == {"1", *(f"1.{count}" for count in range(1, 22))}


def test_a_callee_that_breaks_its_lane_is_an_error_of_its_caller(worker: Introducing) -> None:
    caught = worker.value("call_and_catch", name="g", arg={"do": "break_its_lanes"})
    assert (caught["code"], caught["function"]) == ("function_exited", "g")
    worker.introduce()


def test_an_undeclared_call_is_refused_by_name(worker: Introducing) -> None:
    caught = worker.value("call", name="g", arg={"do": "call_and_catch", "name": "x"})
    assert caught["code"] == "call_refused"
    assert "'x'" in caught["message"]
    assert {number: step.via for number, step in worker.inner().items()} == {"1": "lane"}


def test_a_function_that_is_called_again_from_below_runs_in_another_process(worker: Introducing) -> None:
    below = {"do": "call", "name": "f", "arg": {"do": "call", "name": "g", "arg": {"do": "pid"}}}
    inner = worker.value("call", name="g", arg=below)
    outer = worker.value("call", name="g", arg={"do": "pid"})
    assert inner != outer


def test_calls_that_never_end_in_each_other_are_refused(worker: Introducing) -> None:
    arg: dict[str, object] = {"do": "pid"}
    for depth in range(20):
        arg = {"do": "call", "name": "f" if depth % 2 else "g", "arg": arg}
    fault = worker.do("call", name="g", arg=arg).fault
    assert fault is not None
    assert "is it a cycle?" in fault.message


def test_what_a_callee_prints_is_its_own_step_s(worker: Introducing) -> None:
    said = {"do": "say", "lines": [["out", "within"]]}
    worker.value("call_in_turn", calls=[["g", said], ["g", 1], ["g", said]])
    assert worker.value("call", name="g", arg={"do": "call", "name": "h", "arg": said}) is None
    logs = [(log.invocation.partition(".")[2], log.text) for log in worker.seen if isinstance(log, Log)]
    assert logs == [("1", "within\n"), ("3", "within\n"), ("1.1", "within\n")]
    for log in [log for log in worker.seen if isinstance(log, Log)]:
        heard = worker.seen[: worker.seen.index(log)]
        known = {step.id for batch in heard if hasattr(batch, "steps") for step in batch.steps}
        assert log.invocation in known, "whose output it is, is known by then"
    assert {step.state for step in worker.inner().values()} == {"succeeded"}


def test_cur_is_whose_turn_it_is(worker: Introducing) -> None:
    for _ in range(3):
        inner, outer = worker.value("cur_across_a_call", name="g")
        assert (inner, outer) == ([], ["caller"])
    assert worker.inner()["1"].via == "lane"


def test_a_call_within_goes_to_the_agent_with_its_chain(worker: Introducing) -> None:
    number = worker.begin({"do": "call", "name": "g", "arg": {"do": "call", "name": "away", "arg": 1}})
    call = worker.until(Call)
    assert (call.id, call.chain) == (f"{number}.1.1", ["f", "g"])
    worker.answer(call, "back")
    assert unpack(worker.report(number).result, "text/plain") == "back"
    assert {step.state for step in worker.inner().values()} == {"succeeded"}


def test_a_second_call_at_once_waits_for_its_turn(worker: Introducing) -> None:
    first = {"do": "pause", "s": 0.05}
    found = worker.value("call_after_a_call_that_goes_on", first="g", second="h", arg=first)
    assert found == [0.05, 2]
    one, two = worker.inner()["1"], worker.inner()["2"]
    assert one.via == "lane"
    assert one.spans[-1].end_ns <= two.spans[-1].start_ns


def test_one_that_takes_long_is_seen_while_it_runs(worker: Introducing) -> None:
    number = worker.begin({"do": "call", "name": "g", "arg": {"do": "pause", "s": 0.5}})
    while not worker.inner():
        worker.receive()
    assert worker.inner()["1"].state == "running"
    worker.report(number)
    assert worker.inner()["1"].state == "succeeded"


def test_a_callee_that_dies_is_an_error_of_its_caller(worker: Introducing) -> None:
    for depth in (1, 2):
        arg: dict[str, object] = {"do": "kill_itself"} if depth == 1 else {"do": "exit_at_once", "status": 5}
        caught = worker.value("call_and_catch", name="g", arg=arg)
        assert (caught["code"], caught["function"]) == ("function_exited", "g")
        assert ("SIGKILL" if depth == 1 else "exited with code 5") in caught["message"]
        assert worker.inner()["1"].state == "failed"
        worker.introduce()


def test_a_caller_that_dies_takes_its_callee_along(worker: Introducing) -> None:
    callee = worker.value("call", name="g", arg={"do": "pid"})
    report = worker.do("call", name="g", arg={"do": "kill_its_caller", "pid": worker.value("pid")})
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    deadline = time.monotonic() + WAIT_S
    while alive(callee):
        assert time.monotonic() < deadline, "it runs on for nobody"
        time.sleep(0.005)
    worker.introduce()


def test_a_callee_that_died_idle_is_replaced(worker: Introducing) -> None:
    os.kill(worker.value("call", name="g", arg={"do": "pid"}), signal.SIGKILL)
    for _ in range(50):
        report = worker.do("call", name="g", arg=1)
        if report.fault is None:
            break
        assert report.fault.code == "function_raised"
        assert "SIGKILL" in report.fault.message
    worker.introduce()


@pytest.mark.slow
def test_a_step_that_takes_too_long_is_stopped(pair: Pair, tmp_path: Path) -> None:
    languages = sorted({language.name for language in pair}, key=lambda name: name != pair[0].name)
    with Introducing(languages, tmp_path / "act", tmp_path) as worker:
        worker.add(pair, timeout_s=2.0)
        worker.introduce()
        caught = worker.value("call_and_catch", name="g", arg={"do": "never"})
        assert (caught["code"], caught["message"]) == ("timed_out", "'g' took longer than its 2 s")
        assert worker.inner()["1"].state == "timed out"
        worker.introduce()


def test_a_call_that_nobody_waits_for_still_ends_before_its_caller(worker: Introducing) -> None:
    arg = {"do": "call_and_leave_at_once", "name": "h", "arg": {"do": "pause", "s": 0.05}}
    for nested in (arg, {"do": "call", "name": "g", "arg": arg}):
        began = time.monotonic()
        number = worker.begin(nested)
        assert unpack(worker.report(number).result, "text/plain") == "left"
        assert time.monotonic() - began >= 0.05
        assert {step.state for step in worker.inner().values()} == {"succeeded"}


def test_a_pause_in_the_middle_changes_nothing(worker: Introducing) -> None:
    number = worker.begin({"do": "call_in_turn", "calls": [["g", count] for count in range(300)]})
    pids = [int(pid) for pid in Path(f"/proc/{worker.init.pid}/task/{worker.init.pid}/children").read_text().split()]
    for _ in range(3):
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            for pid in pids:
                os.kill(pid, sign)
            time.sleep(0.02)
    assert unpack(worker.report(number).result, "application/json") == list(range(300))


def test_another_function_s_load_ends_whom_it_does_not_know(worker: Introducing, pair: Pair) -> None:
    g = msgspec.structs.replace(pair[1].function("g", {"h": "no"}), version=2)
    f = pair[0].function("f", {"g": "no", "h": "no", "away": "always"})
    assert worker.load(f, [g, pair[0].function("h"), pair[0].function("away")]).fault is None
    for _ in range(5):
        assert worker.value("call", name="g", arg=7) == 7
    assert {step.version for step in worker.inner().values()} == {2}


def test_it_can_be_turned_off(pair: Pair, tmp_path: Path) -> None:
    languages = sorted({language.name for language in pair}, key=lambda name: name != pair[0].name)
    with Aloof(languages, tmp_path / "act", tmp_path) as worker:
        worker.add(pair)
        for _ in range(3):
            assert worker.value("call_in_turn", calls=[["g", 1], ["g", 2]]) == [1, 2]
        assert {step.via for step in worker.inner().values()} == {"proxy"}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_a_chain_of_short_calls_shares_a_core_until_a_step_computes_long(worker: Introducing) -> None:
    everything = os.sched_getaffinity(0)
    pids = [worker.value("pid"), worker.value("call", name="g", arg={"do": "pid"})]
    deadline = time.monotonic() + WAIT_S
    while len(cores := {frozenset(os.sched_getaffinity(pid)) for pid in pids}) > 1 or len(next(iter(cores))) > 1:
        assert time.monotonic() < deadline, cores
        worker.value("call_in_turn", calls=[["g", count] for count in range(200)])
    assert os.sched_getaffinity(worker.hello.pid) == everything - next(iter(cores)), "the proxy is elsewhere"
    worker.value("call", name="g", arg={"do": "pause", "s": 0.03})
    assert [os.sched_getaffinity(pid) for pid in (*pids, worker.hello.pid)] == [everything] * 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_whoever_is_killed_whenever_each_invocation_is_answered_once_and_the_next_succeeds(
    worker: Introducing, seed: int
) -> None:
    """Kills runtimes at random moments while a workflow calls in turn, one deep and two deep."""
    chance = random.Random(seed)
    calls = [["g", {"do": "call", "name": "h", "arg": count}] for count in range(150)]
    failed = 0
    for _ in range(20):
        number = worker.begin({"do": "call_in_turn", "calls": calls})
        victim = chance.randrange(10)
        killer = threading.Timer(chance.uniform(0, 0.03), _kill_one, (worker, victim))
        killer.start()
        report = worker.report(number)
        killer.join()
        if report.fault is None:
            assert unpack(report.result, report.content_type) == list(range(150))
        else:
            failed += 1
            assert "SIGKILL" in report.fault.message, report.fault
        again = worker.do("call_in_turn", calls=calls[:3])
        if again.fault is not None:  # the kill came after the report
            assert "SIGKILL" in again.fault.message, again.fault
        worker.introduce()
    assert failed


def _kill_one(worker: Worker, which: int) -> None:
    children = Path(f"/proc/{worker.init.pid}/task/{worker.init.pid}/children").read_text().split()
    runtimes = [int(pid) for pid in children if int(pid) != worker.hello.pid]
    os.kill(runtimes[which % len(runtimes)], signal.SIGKILL)
