"""Every runtime, served by the agent's side of a lane directly and through a real proxy, behaves the same.

So it does in a container of its image, with the user and the rights that a worker has there.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mee6.content import unpack
from mee6.lane.messages import (
    AskHandover,
    Call,
    Fault,
    Function,
    Goodbye,
    Handover,
    Invoke,
    Limits,
    Load,
    Log,
    Report,
    Result,
)
from tests.agent.drivers.engines import need_engine
from tests.runtimes.conformance import LANGUAGES, Language
from tests.support.lane import HERE, Bare, Worker
from tests.support.places import WAIT_S, Container, Place

MEGABYTE = 1 << 20
Served = Bare | Worker
Made = Callable[..., Served]
WAYS = ["bare", "proxy", pytest.param("container", marks=[pytest.mark.docker, pytest.mark.slow])]
"""A runtime alone, a worker with its proxy, and such a worker in a container, where no runtime is ever alone."""


@pytest.fixture(
    params=[
        pytest.param(language, marks=[pytest.mark.node] if name == "nodejs" else [], id=name)
        for name, language in LANGUAGES.items()
    ]
)
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    return found


@pytest.fixture(scope="session")
def python_container() -> Iterator[Place]:
    need_engine("python")
    with Container("python") as place:
        yield place


@pytest.fixture(scope="session")
def nodejs_container() -> Iterator[Place]:
    need_engine("nodejs")
    with Container("nodejs") as place:
        yield place


@pytest.fixture(params=WAYS)
def serving(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def place(request: pytest.FixtureRequest, serving: str, language: Language) -> Place:
    """Where the runtime runs: on this machine, or in a container of its image."""
    if serving == "container":
        found: Place = request.getfixturevalue(f"{language.name}_container")
        return found
    if language.missing():
        pytest.skip(f"{language.program} is not on PATH")
    return HERE


@pytest.fixture
def folder(place: Place, tmp_path: Path) -> Path:
    """A folder that the runtime sees too."""
    return place.folder(tmp_path)


@pytest.fixture
def serve(serving: str, language: Language, place: Place, folder: Path) -> Iterator[Made]:
    """Makes a server of the language: of a runtime alone, or of a worker with its proxy."""
    made: list[Served] = []

    def make(limits: Limits = Limits()) -> Served:  # noqa: B008 - frozen
        act = folder / "act"
        one: Served
        if serving == "bare":
            one = Bare(language.name, act, limits, place)
        else:
            one = Worker([language.name], act, folder, limits, place=place)
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def server(serve: Made) -> Served:
    return serve()


@pytest.fixture
def worker(language: Language, place: Place, folder: Path) -> Iterator[Worker]:
    with Worker([language.name], folder / "act", folder, place=place) as one:
        yield one


@pytest.fixture
def loaded(server: Served, language: Language) -> Served:
    assert server.load(language.function(dependencies={"g": "always"}), [language.function("g")]).fault is None
    return server


def value(report: Report) -> Any:
    assert report.fault is None, report.fault
    return unpack(report.result, report.content_type)


def fault(report: Report) -> Fault:
    assert report.fault is not None, report
    return report.fault


# Loading -----------------------------------------------------------------------------------------------------


def test_it_says_hello_first(server: Served, language: Language) -> None:
    assert server.hello.runtime == language.name
    assert server.hello.role == ("runtime" if isinstance(server, Bare) else "proxy")
    assert server.hello.pid > 0


def test_a_function_loads(server: Served, language: Language) -> None:
    report = server.load(language.function())
    assert report.fault is None
    assert not report.handed_over


CASES = [
    pytest.param(language, case, marks=[pytest.mark.node] if name == "nodejs" else [], id=f"{name}-{case}")
    for name, language in LANGUAGES.items()
    for case in language.broken
]


@pytest.mark.parametrize(("language", "case"), CASES)
def test_code_that_cannot_be_loaded_says_why(server: Served, language: Language, case: str, folder: Path) -> None:
    code, said = language.broken[case]
    (folder / "code").mkdir()
    (folder / "code" / language.main_file).write_text(code)
    refused = fault(server.load(Function("f", 1, language.name, str(folder / "code"))))
    assert refused.code == "load_failed"
    assert said in refused.message
    assert "\n" not in refused.message
    assert refused.function == "f"
    assert "runtimes" not in refused.traceback


def test_a_folder_without_a_main_file_is_named(server: Served, language: Language, folder: Path) -> None:
    (folder / "empty").mkdir()
    refused = fault(server.load(Function("f", 1, language.name, str(folder / "empty"))))
    assert refused.code == "load_failed"
    assert language.main_file in refused.message


def test_a_worker_survives_a_function_that_does_not_load(worker: Worker, language: Language, folder: Path) -> None:
    (folder / "empty").mkdir()
    fault(worker.load(Function("f", 1, language.name, str(folder / "empty"))))
    assert worker.load(language.function()).fault is None
    assert value(worker.invoke("ok")) == "ok"


# Values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arg",
    [
        "text",
        "",
        "ünïcödé ☃ 🦑",
        b"\x00\xff binary",
        b"",
        None,
        True,
        0,
        -(2**31),
        1.5,
        [],
        {"a": [1, {"b": None}]},
        "line\nline",
    ],
    ids=repr,
)
def test_a_value_comes_back_as_it_went(loaded: Served, arg: object) -> None:
    assert value(loaded.invoke(arg)) == arg


def test_nothing_comes_back_as_null(loaded: Served) -> None:
    assert value(loaded.invoke({"do": "nothing"})) is None


def test_an_async_function_is_awaited(loaded: Served) -> None:
    assert value(loaded.invoke({"do": "same_async", "value": 7})) == 7


@pytest.mark.slow
def test_five_megabytes_go_both_ways(loaded: Served) -> None:
    arg = os.urandom(5 * MEGABYTE)
    assert value(loaded.invoke(arg)) == arg


def test_many_invocations_one_process(loaded: Served) -> None:
    assert len({value(loaded.invoke({"do": "pid"})) for _ in range(20)}) == 1


# Failures ----------------------------------------------------------------------------------------------------


def test_an_error_is_told_with_its_traceback(loaded: Served, language: Language) -> None:
    raised = fault(loaded.invoke({"do": "raise_it", "message": "böse"}))
    assert raised.code == "function_raised"
    assert raised.error_type == language.raises
    assert raised.function == "f"
    assert f"{language.raises}: böse" in raised.message
    assert "\n" not in raised.message
    assert language.main_file in raised.traceback
    assert "raise_it" in raised.traceback
    assert "/runtimes/" + language.name not in raised.traceback.replace("/tests/runtimes/", "")
    assert value(loaded.invoke("still here")) == "still here"


def test_exit_by_call_is_an_answer(worker: Worker, language: Language) -> None:
    worker.load(language.function())
    ended = fault(worker.invoke({"do": "exit_by_call", "status": 3}))
    assert ended.code == language.exit_by_call_code
    assert language.exit_by_call.format(status=3) in ended.message
    assert value(worker.invoke("again")) == "again"


def test_a_process_that_exits_at_once_is_told_with_its_status(worker: Worker, language: Language) -> None:
    worker.load(language.function())
    ended = fault(worker.invoke({"do": "exit_at_once", "status": 5}))
    assert ended.code == "function_exited"
    assert "'f' exited with code 5" in ended.message
    assert value(worker.invoke("again")) == "again"


def test_a_process_that_is_killed_is_told_with_the_signal(worker: Worker, language: Language) -> None:
    worker.load(language.function())
    ended = fault(worker.invoke({"do": "kill_itself"}))
    assert ended.code == "function_exited"
    assert "killed by signal 9 (SIGKILL)" in ended.message
    assert value(worker.invoke("again")) == "again"


def test_a_result_that_cannot_be_sent_is_refused_by_its_kind(loaded: Served) -> None:
    refused = fault(loaded.invoke({"do": "unserialisable"}))
    assert refused.code == "result_refused"
    assert "function" in refused.message
    assert value(loaded.invoke("still here")) == "still here"


def test_a_result_over_the_limit_is_refused_with_both_sizes(serve: Made, language: Language) -> None:
    server = serve(Limits(result_bytes=1000))
    server.load(language.function(dependencies={"g": "always"}))
    assert value(server.invoke({"do": "large", "size": 1000})) == "x" * 1000
    refused = fault(server.invoke({"do": "large", "size": 1001}))
    assert refused.code == "result_refused"
    assert "1001" in refused.message
    assert "1000" in refused.message


def test_an_argument_that_is_not_what_it_says_is_a_fault(loaded: Served) -> None:
    loaded.lane.send(Invoke("bad", b"{", "application/json", ["f"]))
    assert fault(loaded.report("bad")).code == "invalid_input"
    assert value(loaded.invoke("still here")) == "still here"


# Output ------------------------------------------------------------------------------------------------------


def test_what_is_printed_comes_in_order_before_the_report(loaded: Served) -> None:
    lines = [["out", "one"], ["err", "two"], ["out", "drei ☃"], ["out", ""], ["err", "four"]]
    number = loaded.begin({"do": "say", "lines": lines})
    value(loaded.report(number))
    logs = [log for log in loaded.seen if isinstance(log, Log)]
    assert {log.invocation for log in logs} == {number}
    assert loaded.printed("out") == "one\ndrei ☃\n\n"
    assert loaded.printed("err") == "two\nfour\n"
    assert "".join(log.text for log in logs) == "one\ntwo\ndrei ☃\n\nfour\n"


def test_each_invocation_has_its_own_output(loaded: Served) -> None:
    first = loaded.begin({"do": "say", "lines": [["out", "first"]]})
    loaded.report(first)
    second = loaded.begin({"do": "say", "lines": [["out", "second"]]})
    loaded.report(second)
    said = {log.invocation: log.text for log in loaded.seen if isinstance(log, Log)}
    assert said == {first: "first\n", second: "second\n"}


@pytest.mark.slow
def test_much_output_is_cut_at_the_limit_and_counted(serve: Made, language: Language) -> None:
    server = serve(Limits(log_bytes=100_000))
    server.load(language.function(dependencies={"g": "always"}))
    value(server.invoke({"do": "say_much", "size": 20_000_000}))
    logs = [log for log in server.seen if isinstance(log, Log)]
    carried = sum(len(log.text.encode()) for log in logs)
    assert 90_000 <= carried <= 100_000
    assert carried + sum(log.dropped_bytes for log in logs) == 20_000_000
    server.seen.clear()
    value(server.invoke({"do": "say", "lines": [["out", "as before"]]}))
    assert server.printed() == "as before\n"


# Surroundings ------------------------------------------------------------------------------------------------


def test_a_function_finds_its_surroundings(loaded: Served, language: Language) -> None:
    number = loaded.begin({"do": "where"})
    found = value(loaded.report(number))
    assert found == {
        "flow": str(loaded.act / "flow"),
        "scratch": str(loaded.act / number),
        "cur": ["note"],
        "invocation": number,
        "function": "f",
        "chain": ["f"],
        "cwd": language.function().path,
        "env": "hello",
    }


def test_scratch_does_not_outlive_its_invocation(loaded: Served) -> None:
    number = loaded.begin({"do": "where"})
    loaded.report(number)
    assert value(loaded.invoke({"do": "scratch_is_empty"})) is True
    assert not os.path.lexists(loaded.act / number)


def test_cur_is_the_callers_again_after_a_call(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    assert value(worker.invoke({"do": "cur_across_a_call", "name": "g"})) == [[], ["caller"]]


def test_what_a_function_leaves_running_does_not_stop_the_next(loaded: Served) -> None:
    assert value(loaded.invoke({"do": "leave_something_running"})) == "left"
    assert value(loaded.invoke("next")) == "next"


# Calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["call", "call_async"])
def test_a_call_goes_out_and_its_result_comes_back(loaded: Served, way: str) -> None:
    number = loaded.begin({"do": way, "name": "g", "arg": "ping"})
    call = loaded.until(Call)
    assert (call.id, call.invocation, call.name) == (f"{number}.1", number, "g")
    assert unpack(call.arg, call.content_type) == "ping"
    loaded.answer(call, "pong")
    assert value(loaded.report(number)) == "pong"


def test_calls_are_counted_from_one_in_each_invocation(loaded: Served) -> None:
    for _ in range(2):
        number = loaded.begin({"do": "call_twice", "name": "g"})
        for n in (1, 2):
            call = loaded.until(Call)
            assert call.id == f"{number}.{n}"
            loaded.answer(call, n * 10)
        assert value(loaded.report(number)) == [10, 20]


@pytest.mark.parametrize("way", ["call_many", "call_many_async"])
def test_parallel_calls_are_out_together_and_may_end_in_any_order(loaded: Served, way: str) -> None:
    number = loaded.begin({"do": way, "name": "g", "count": 5})
    calls = [loaded.until(Call) for _ in range(5)]
    for call in reversed(calls):
        loaded.answer(call, unpack(call.arg, call.content_type) * 2)
    assert value(loaded.report(number)) == [0, 2, 4, 6, 8]


def test_a_failed_call_reaches_the_caller_as_an_error(loaded: Served) -> None:
    number = loaded.begin({"do": "call_and_catch", "name": "g"})
    call = loaded.until(Call)
    remote = Fault("function_raised", "'g' raised KeyError: 'x'", "g", "KeyError", "Traceback: far away\n")
    loaded.lane.send(Result(call.id, fault=remote))
    assert value(loaded.report(number)) == {
        "code": "function_raised",
        "message": "'g' raised KeyError: 'x'",
        "function": "g",
        "type": "KeyError",
        "traceback": "Traceback: far away\n",
    }


def test_a_failed_call_that_nobody_catches_carries_both_tracebacks(loaded: Served, language: Language) -> None:
    number = loaded.begin({"do": "call", "name": "g"})
    call = loaded.until(Call)
    remote = Fault("function_raised", "'g' raised KeyError: 'x'", "g", "KeyError", "Traceback: far away\n")
    loaded.lane.send(Result(call.id, fault=remote))
    raised = fault(loaded.report(number))
    assert raised.code == "function_raised"
    assert raised.error_type == "FunctionRaised"
    assert "'g' raised KeyError: 'x'" in raised.message
    assert "Traceback of 'g':" in raised.traceback
    assert "far away" in raised.traceback


def test_one_failure_among_parallel_calls_is_raised(loaded: Served) -> None:
    number = loaded.begin({"do": "call_many", "name": "g", "count": 3})
    calls = [loaded.until(Call) for _ in range(3)]
    loaded.lane.send(Result(calls[1].id, fault=Fault("call_refused", "no", "f")))
    loaded.answer(calls[2])
    loaded.answer(calls[0])
    assert "no" in fault(loaded.report(number)).message


@pytest.mark.slow
def test_a_call_carries_megabytes(loaded: Served) -> None:
    number = loaded.begin({"do": "call", "name": "g", "arg": "z" * (5 * MEGABYTE)})
    call = loaded.until(Call)
    assert len(call.arg) == 5 * MEGABYTE
    loaded.answer(call, "y" * (5 * MEGABYTE))
    assert value(loaded.report(number)) == "y" * (5 * MEGABYTE)


# In a worker -------------------------------------------------------------------------------------------------


def test_an_undeclared_call_is_refused_by_name(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    refused = value(worker.invoke({"do": "call_and_catch", "name": "h"}))
    assert refused["code"] == "call_refused"
    assert "'h'" in refused["message"]


def test_a_sequential_call_stays_in_the_worker(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    assert value(worker.invoke({"do": "call", "name": "g", "arg": {"do": "same_async", "value": 3}})) == 3
    called = [step for step in worker.steps().values() if step.parent]
    assert [(step.function, step.state, step.via) for step in called] == [("g", "succeeded", "proxy")]
    value(worker.invoke({"do": "call", "name": "g"}))
    assert [step.start for step in worker.steps().values() if step.parent][1:] == ["warm"]


def test_a_callee_knows_its_chain(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    found = value(worker.invoke({"do": "call", "name": "g", "arg": {"do": "where"}}))
    assert found["chain"] == ["f", "g"]
    assert found["function"] == "g"


def test_a_step_that_dies_is_an_error_of_its_caller(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    caught = value(worker.invoke({"do": "call_and_catch", "name": "g", "arg": {"do": "kill_itself"}}))
    assert caught["code"] == "function_exited"
    assert caught["function"] == "g"
    assert "SIGKILL" in caught["message"]
    assert value(worker.invoke({"do": "call", "name": "g", "arg": 1})) == 1


def test_a_step_that_takes_too_long_is_stopped(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g", timeout_s=0.5)])
    value(worker.invoke({"do": "call", "name": "g"}))
    caught = value(worker.invoke({"do": "call_and_catch", "name": "g", "arg": {"do": "never"}}))
    assert caught["code"] == "timed_out"


def test_parallel_calls_here_run_one_after_the_other(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    assert value(worker.invoke({"do": "call_many", "name": "g", "count": 4})) == [0, 1, 2, 3]
    called = (step for step in worker.steps().values() if step.parent)
    ends = [span for step in called for span in step.spans if span.kind == "run"]
    assert all(before.end_ns <= after.start_ns for before, after in itertools.pairwise(ends))


def test_a_call_that_nobody_waits_for_still_ends_before_its_caller(worker: Worker, language: Language) -> None:
    worker.load(language.function(dependencies={"g": "always", "h": "no"}), [language.function("g")])
    number = worker.begin({"do": "call_and_leave", "name": "g", "arg": 1})
    call = worker.until(Call)
    worker.answer(call)
    assert value(worker.report(number)) == "left"


# Handover and ends -------------------------------------------------------------------------------------------


def test_a_function_without_calls_is_handed_over(language: Language, place: Place, folder: Path) -> None:
    with Worker([language.name], folder / "act", folder, grants=True, place=place) as worker:
        function = language.function()
        worker.lane.send(Load("load", function, {"f": function}))
        worker.until(AskHandover)
        worker.lane.send(Handover("secret", worker.path))
        direct, hello = worker.accept()
        assert (hello.token, hello.role, hello.runtime) == ("secret", "runtime", language.name)
        report = worker.report("load")
        assert report.fault is None
        assert report.handed_over
        worker.lane.send(Goodbye())
        assert worker.lane.receive(WAIT_S) is None
        have_ended(place, [worker.hello.pid])
        worker.lane.close()
        worker.lane = direct
        assert value(worker.invoke({"do": "pid"})) == hello.pid
        number = worker.begin({"do": "where"})
        assert value(worker.report(number))["scratch"] == str(worker.act / number)
        worker.invoke({"do": "say", "lines": [["out", "direct"]]})
        assert worker.printed() == "direct\n"


def test_a_handover_that_cannot_connect_leaves_it_to_the_proxy(language: Language, place: Place, folder: Path) -> None:
    with Worker([language.name], folder / "act", folder, grants=True, place=place) as worker:
        function = language.function()
        worker.lane.send(Load("load", function, {"f": function}))
        worker.until(AskHandover)
        worker.lane.send(Handover("secret", str(folder / "nobody.sock")))
        report = worker.report("load")
        assert report.fault is None
        assert not report.handed_over
        assert value(worker.invoke("through the proxy")) == "through the proxy"


def test_a_refused_handover_leaves_it_to_the_proxy(worker: Worker, language: Language) -> None:
    report = worker.load(language.function())
    assert not report.handed_over
    assert any(isinstance(message, AskHandover) for message in worker.seen)
    assert value(worker.invoke(1)) == 1


@pytest.mark.slow
def test_an_agent_that_does_not_answer_leaves_it_to_the_proxy(language: Language, place: Place, folder: Path) -> None:
    with Worker([language.name], folder / "act", folder, grants=True, place=place) as worker:
        report = worker.load(language.function())
        assert report.fault is None
        assert not report.handed_over
        assert value(worker.invoke(1)) == 1


def test_the_end_of_the_lane_ends_the_process(language: Language, place: Place, folder: Path) -> None:
    with Bare(language.name, folder / "act", place=place) as runtime:
        runtime.load(language.function())
        runtime.invoke(1)
        runtime.lane.close()
        assert runtime.exited() == 0


def test_goodbye_ends_the_process(language: Language, place: Place, folder: Path) -> None:
    with Bare(language.name, folder / "act", place=place) as runtime:
        runtime.lane.send(Goodbye())
        assert runtime.exited() == 0


@pytest.mark.parametrize("how", ["closes", "goodbye", "sigterm"])
def test_the_proxy_leaves_with_the_agent_and_takes_its_runtimes_along(
    worker: Worker, language: Language, place: Place, how: str
) -> None:
    worker.load(language.function(dependencies={"g": "no"}), [language.function("g")])
    pids = [worker.hello.pid, value(worker.invoke({"do": "pid"}))]
    if how == "closes":
        worker.lane.close()
    elif how == "goodbye":
        worker.lane.send(Goodbye())
    else:
        os.kill(place.number_here(worker.hello.pid), signal.SIGTERM)
    have_ended(place, pids)


def have_ended(place: Place, pids: list[int]) -> None:
    """Waits until none of the processes runs any more."""
    deadline = time.monotonic() + WAIT_S
    while any(map(place.number_here, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.002)
