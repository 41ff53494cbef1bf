"""Several invocations at once in one process: each has its own context, output, storage, calls and end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mee6.lane.messages import Call, Cancel, Chunk, Function, Head, Invoke, Limits, Log, Report, Request
from tests.runtimes.conformance import BEHAVIOURS, LANGUAGES
from tests.support.lane import Bare

MANY = 50


@pytest.fixture(params=["python", pytest.param("nodejs", marks=pytest.mark.node)])
def language(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if LANGUAGES[found].missing():
        pytest.skip(f"{LANGUAGES[found].program} is not on PATH")
    return found


def function(language: str, concurrency: int = MANY) -> Function:
    path = str(BEHAVIOURS / f"many_{language}")
    return Function("f", 1, language, path, {"g": "always"}, timeout_s=60.0, concurrency=concurrency)


@pytest.fixture
def served(language: str, tmp_path: Path) -> Iterator[Bare]:
    with Bare(language, tmp_path / "act", Limits(log_bytes=2000)) as served:
        assert served.load(function(language)).fault is None
        yield served


def begin(served: Bare, do: str, name: str, number: str = "") -> str:
    return served.begin({"do": do, "name": name}, number=number)


def result(report: Report) -> Any:
    import json

    assert report.fault is None, report.fault
    return report.result.decode() if report.content_type == "text/plain" else json.loads(report.result)


def report(served: Bare, number: str) -> Report:
    """The report of an invocation, which may have come while another's was waited for."""
    while True:
        if found := next((one for one in served.seen if isinstance(one, Report) and one.id == number), None):
            return found
        assert served.receive() is not None, "the lane ended"


def open_(served: Bare, name: str) -> None:
    assert result(report(served, begin(served, "open_", name))) == "opened"


def test_it_says_that_it_takes_many(served: Bare) -> None:
    assert served.hello.many


def test_invocations_end_in_whatever_order(served: Bare) -> None:
    numbers = {name: begin(served, "wait", name) for name in "abc"}
    for name in "bca":
        open_(served, name)
        assert result(report(served, numbers[name])) == name


def test_as_many_as_its_concurrency_run_at_once(served: Bare) -> None:
    numbers = [begin(served, "wait", "all") for _ in range(MANY - 1)]
    open_(served, "all")
    assert [result(report(served, number)) for number in numbers] == ["all"] * (MANY - 1)


def test_each_knows_itself_and_has_storage_of_its_own(served: Bare) -> None:
    first, second = begin(served, "who", "one"), begin(served, "who", "two")
    open_(served, "two")
    open_(served, "one")
    reports = {number: result(report(served, number)) for number in (first, second)}
    for number in (first, second):
        before, after, written, folder = reports[number]
        assert before == after == written == number
        assert folder == str(served.act / number)


def test_output_is_of_the_invocation_that_wrote_it_and_comes_before_its_report(served: Bare) -> None:
    numbers = {name: begin(served, "wait", name) for name in "ab"}
    for name in "ba":
        open_(served, name)
        report(served, numbers[name])
        logs = [log for log in served.seen if isinstance(log, Log) and log.invocation == numbers[name]]
        assert "".join(log.text for log in logs if log.stream == "out") == f"begins {name}\n"
        assert "".join(log.text for log in logs if log.stream == "err") == f"ends {name}\n"


def test_output_over_the_limit_is_counted_for_the_one_that_wrote_it(served: Bare) -> None:
    long, short = begin(served, "wait", "x" * 5000), begin(served, "wait", "short")
    for name in ("x" * 5000, "short"):
        open_(served, name)
    report(served, short)
    logs = [log for log in served.seen if isinstance(log, Log)]
    assert sum(log.dropped_bytes for log in logs if log.invocation == long) > 0
    assert sum(log.dropped_bytes for log in logs if log.invocation == short) == 0
    assert sum(len(log.text) for log in logs if log.invocation == long) <= 2000


def test_each_call_is_its_invocations_and_is_answered_to_it(served: Bare) -> None:
    numbers = [begin(served, "call", name) for name in "ab"]
    calls = [served.until(Call) for _ in range(4)]
    assert sorted(call.id for call in calls) == sorted(f"{number}.{n}" for number in numbers for n in (1, 2))
    for call in reversed(calls):
        assert call.id.startswith(f"{call.invocation}.")
        served.answer(call, call.arg.decode().upper())
    found = {number: result(report(served, number)) for number in numbers}
    assert found == {numbers[0]: ["A", "AA"], numbers[1]: ["B", "BB"]}


def test_there_is_no_flow_among_several(served: Bare) -> None:
    fault = report(served, begin(served, "flow", "")).fault
    assert fault is not None
    assert "several invocations at once" in fault.message


def test_one_that_is_called_off_ends_and_the_others_go_on(served: Bare) -> None:
    off, other = begin(served, "wait", "off"), begin(served, "wait", "other")
    served.lane.send(Cancel(off))
    assert report(served, off).fault is not None
    open_(served, "other")
    assert result(report(served, other)) == "other"


def test_one_that_waits_for_a_call_can_be_called_off(served: Bare) -> None:
    off = begin(served, "call", "a")
    calls = [served.until(Call), served.until(Call)]
    served.lane.send(Cancel(off))
    fault = report(served, off).fault
    assert fault is not None
    for call in calls:  # nobody waits for these any more
        served.answer(call, "late")
    open_(served, "next")


def test_one_that_does_not_listen_runs_on(served: Bare) -> None:
    deaf = begin(served, "deaf", "deaf")
    open_(served, "so that it runs")
    served.lane.send(Cancel(deaf))
    served.until(Log, lambda log: "not me" in log.text)
    open_(served, "deaf")
    assert result(report(served, deaf)) == "done"


def test_what_is_called_off_and_is_not_there_is_nothing(served: Bare) -> None:
    served.lane.send(Cancel("i99"))
    open_(served, "x")


def test_each_has_its_request_and_its_stream(served: Bare) -> None:
    paths = [served.begin_http({"do": "body", "name": ""}, Request("POST", f"/{name}", "")) for name in "ab"]
    found = {number: result(report(served, number)) for number in paths}
    assert found == {paths[0]: "/a", paths[1]: "/b"}
    first, second = (served.begin_http({"do": "stream", "name": name}) for name in "ab")
    for name in ("b0", "a0", "a1", "b1"):
        open_(served, name)
    assert report(served, first).fault is report(served, second).fault is None
    heads = [head.id for head in served.seen if isinstance(head, Head)]
    assert sorted(heads) == sorted([first, second])
    for number, name in ((first, "a"), (second, "b")):
        data = b"".join(one.data for one in served.seen if isinstance(one, Chunk) and one.id == number)
        assert data.decode() == f"{name}0 {name}1 "


def test_an_argument_that_is_no_json_is_the_fault_of_one(served: Bare) -> None:
    served.lane.send(Invoke("bad", b"{", "application/json", ["f"]))
    fault = report(served, "bad").fault
    assert fault is not None
    assert fault.code == "invalid_input"
    open_(served, "x")


def load_python(tmp_path: Path, code: str) -> Report:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(code)
    with Bare("python", tmp_path / "act") as served:
        return served.load(Function("f", 1, "python", str(tmp_path / "code"), concurrency=8))


def test_a_python_function_that_is_not_async_is_refused(tmp_path: Path) -> None:
    fault = load_python(tmp_path, "def main(arg):\n    return arg\n").fault
    assert fault is not None
    assert fault.code == "load_failed"
    assert "its concurrency is 8, but its main is not async" in fault.message


@pytest.mark.parametrize(
    "code",
    [
        "async def main():\n    return 1\n",
        "async def main(arg):\n    yield 1\n",
        "class Main:\n    async def __call__(self, arg):\n        return 1\nmain = Main()\n",
    ],
    ids=["without an argument", "generator", "object"],
)
def test_what_is_async_in_python_is_taken(tmp_path: Path, code: str) -> None:
    assert load_python(tmp_path, code).fault is None


def test_what_keeps_all_waiting_is_refused_in_python_and_a_thread_may_wait(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(
        "import asyncio, mee6\n"
        "async def main(arg):\n"
        "    try:\n"
        "        mee6.invoke('g', arg)\n"
        "    except mee6.errors.CallRefused as error:\n"
        "        print(error)\n"
        "    return await asyncio.to_thread(mee6.invoke, 'g', arg)\n"
    )
    with Bare("python", tmp_path / "act") as served:
        served.load(Function("f", 1, "python", str(tmp_path / "code"), {"g": "always"}, concurrency=8))
        number = served.begin("x")
        call = served.until(Call)
        assert call.id == f"{number}.1"
        served.answer(call, "y")
        assert result(report(served, number)) == "y"
        assert "use: await mee6.aio.invoke" in served.printed()
