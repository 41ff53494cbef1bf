"""What is Python's own in its runtime: imports, threads, event loops, forks, streams. One process, no proxy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mee6.content import unpack
from mee6.lane.messages import Call, Fault, Function, Log, Report, Result
from tests.support.lane import Bare

Run = Callable[..., Report]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Loads `main.py` with this code, invokes it once, answers its calls with twice their argument."""

    def running(code: str, arg: object = None, **files: str) -> Report:
        folder = tmp_path / "code"
        folder.mkdir()
        (folder / "main.py").write_text(dedent(code))
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        with Bare("python", tmp_path / "act") as runtime:
            running.seen = runtime.seen  # type: ignore[attr-defined]
            function = Function("f", 1, "python", str(folder))
            loaded = runtime.load(function)
            if loaded.fault is not None:
                return loaded
            number = runtime.begin(arg)
            while True:
                message = runtime.receive()
                assert message is not None
                if isinstance(message, Call) and message.name == "bad":
                    runtime.lane.send(Result(message.id, fault=Fault("function_raised", "bad", "bad", "E", "far away")))
                elif isinstance(message, Call):
                    runtime.answer(message, unpack(message.arg, message.content_type) * 2)
                elif isinstance(message, Report) and message.id == number:
                    return message

    return running


def value(report: Report) -> Any:
    assert report.fault is None, report.fault
    return unpack(report.result, report.content_type)


def test_main_may_take_nothing(run: Run) -> None:
    assert value(run("def main():\n    return 5\n", "ignored")) == 5


def test_main_may_be_any_callable(run: Run) -> None:
    assert value(run("main = sorted\n", [2, 1])) == [1, 2]


def test_the_functions_own_modules_come_first(run: Run) -> None:
    code = """
        import agent, proxy, runtimes, psutil

        def main(arg):
            return [agent.WHO, proxy.WHO, runtimes.WHO, psutil.WHO]
    """
    mine = dict.fromkeys(["agent", "proxy", "runtimes", "psutil"], "WHO = 'mine'\n")
    assert value(run(code, **mine)) == ["mine"] * 4


@pytest.mark.parametrize("name", ["grpc", "psutil", "agent", "proxy", "runtimes", "mee6tui", "pytest", "tests"])
def test_what_is_not_the_functions_cannot_be_imported(run: Run, name: str) -> None:
    report = run(f"import {name}\ndef main(arg): pass\n")
    assert report.fault is not None
    assert report.fault.message.endswith(f"raised ModuleNotFoundError: No module named {name!r}")


def test_the_sdk_and_the_standard_library_can(run: Run) -> None:
    code = """
        import asyncio, json, multiprocessing, sqlite3, mee6, mee6.aio, msgspec.json
        from mee6.errors import FunctionRaised

        def main(arg):
            return __name__
    """
    assert value(run(code)) == "main"


def test_threads_may_call(run: Run) -> None:
    code = """
        from concurrent.futures import ThreadPoolExecutor
        import mee6

        def main(arg):
            with ThreadPoolExecutor(8) as pool:
                return list(pool.map(lambda n: mee6.invoke("g", n), range(200)))
    """
    assert value(run(code)) == [2 * n for n in range(200)]


def test_async_threads_and_blocking_calls_mix(run: Run) -> None:
    code = """
        import asyncio
        import mee6

        async def main(arg):
            here = mee6.invoke("g", 1)
            there, aside, *several = await asyncio.gather(
                mee6.aio.invoke("g", 2),
                asyncio.to_thread(mee6.invoke, "g", 3),
                *(mee6.aio.invoke("g", n) for n in range(50)),
            )
            return [here, there, aside, sum(several)]
    """
    assert value(run(code)) == [2, 4, 6, 2 * sum(range(50))]


def test_one_event_loop_serves_all_invocations(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import asyncio\nseen = set()\n"
        "async def main(arg):\n    seen.add(asyncio.get_running_loop())\n    return len(seen)\n"
    )
    with Bare("python", tmp_path / "act") as runtime:
        runtime.load(Function("f", 1, "python", str(tmp_path)))
        assert [value(runtime.invoke()) for _ in range(3)] == [1, 1, 1]


def test_a_forked_child_prints_elsewhere_and_cannot_garble_the_lane(run: Run) -> None:
    code = """
        import multiprocessing, os

        def child():
            print("from the child")
            import mee6
            try:
                mee6.context
            except mee6.errors.Conflict:
                os._exit(7)

        def main(arg):
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join()
            print("from the parent")
            return process.exitcode
    """
    assert value(run(code)) == 7
    assert [m.text for m in run.seen if isinstance(m, Log)] == ["from the parent\n"]  # type: ignore[attr-defined]


def test_bytes_and_logging_are_output_too(run: Run) -> None:
    code = """
        import logging, sys
        import mee6

        def main(arg):
            sys.stdout.buffer.write("bytes ☃".encode())
            sys.stdout.flush()
            mee6.log.warning("careful")
            logging.getLogger("x").error("oh")
            sys.stdout.write("no newline")
    """
    run(code)
    logs = [m for m in run.seen if isinstance(m, Log)]  # type: ignore[attr-defined]
    assert "".join(log.text for log in logs if log.stream == "out") == "bytes ☃no newline"
    assert "".join(log.text for log in logs if log.stream == "err") == "careful\noh\n"


def test_output_on_import_belongs_to_the_load(run: Run) -> None:
    run("print('importing')\ndef main(arg): pass\n")
    [log] = [m for m in run.seen if isinstance(m, Log)]  # type: ignore[attr-defined]
    assert (log.invocation, log.text) == ("load1", "importing\n")


def test_a_syntax_error_names_its_line(run: Run) -> None:
    report = run("def main(arg):\n    return 1 +\n")
    assert report.fault is not None
    assert report.fault.message.startswith("cannot load 'f': SyntaxError in main.py, line 2: ")


def test_a_traceback_shows_the_functions_own_frames(run: Run) -> None:
    code = """
        import mee6

        def inner():
            return mee6.invoke("bad")

        def main(arg):
            try:
                inner()
            except Exception as error:
                raise KeyError("x") from error
    """
    report = run(code)
    assert report.fault is not None
    story = report.fault.traceback
    assert report.fault.error_type == "KeyError"
    assert story.index("in inner") < story.index("FunctionRaised: bad") < story.index("KeyError: 'x'")
    assert "Traceback of 'bad':\n  far away" in story
    assert "sdk.py" not in story
    assert "runtime.py" not in story


@pytest.mark.parametrize(
    ("raise_it", "said"),
    [
        ("sys.exit(3)", "called sys.exit(3)"),
        ("sys.exit()", "called sys.exit()"),
        ("raise KeyboardInterrupt", "raised KeyboardInterrupt"),
        ("raise Odd()", "raised Odd: (its text cannot be had)"),
        ("main(arg)", "raised RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_whatever_is_raised_is_an_answer(run: Run, raise_it: str, said: str) -> None:
    code = f"""
        import sys

        class Odd(Exception):
            def __str__(self):
                raise ValueError

        def main(arg):
            {raise_it}
    """
    report = run(code)
    assert report.fault is not None
    assert report.fault.code == "function_raised"
    assert said in report.fault.message


@pytest.mark.parametrize("expression", ["object()", "{1: 2, object(): 3}", "1j", "loop()"])
def test_a_result_of_a_strange_kind_is_refused_in_one_line(run: Run, expression: str) -> None:
    code = f"""
        def loop():
            it = []
            it.append(it)
            return it

        def main(arg):
            return {expression}
    """
    report = run(code)
    assert report.fault is not None
    assert report.fault.code == "result_refused"
    assert "\n" not in report.fault.message


def test_functions_are_not_called_on_import(run: Run) -> None:
    report = run("import mee6\nmee6.invoke('g')\ndef main(arg): pass\n")
    assert report.fault is not None
    assert report.fault.code == "load_failed"
    assert "CallRefused: functions are called from main(arg)" in report.fault.message
