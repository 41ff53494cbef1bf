"""Kyle as a process, with real runtimes; what a language does is the conformance suite's business."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from mee6.content import unpack
from mee6.lane.messages import Call, Function, Handover, Limits, Load, Log, Report
from tests.support.agents import alive
from tests.support.lane import Worker, end
from tests.support.places import ROOT, WAIT_S

IMPORT_BUDGET = 105
"""Modules beyond those of a bare interpreter. Measured: 91 with Python 3.11, of which msgspec brings 60."""


def made(folder: Path, name: str, code: str, dependencies: dict[str, str] | None = None) -> Function:
    path = folder / "code" / name
    path.mkdir(parents=True)
    (path / "main.py").write_text(code)
    return Function(name, 1, "python", str(path), dependencies or {})


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with Worker(["python"], tmp_path / "act", tmp_path) as one:
        yield one


def runtimes_of(worker: Worker) -> list[int]:
    children = Path(f"/proc/{worker.init.pid}/task/{worker.init.pid}/children").read_text().split()
    return [int(pid) for pid in children if int(pid) != worker.hello.pid and alive(int(pid))]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.002)


def test_importing_it_is_cheap() -> None:
    script = """
import sys, json
before = set(sys.modules)
import proxy.shell
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{script}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    loaded = json.loads(done.stdout)
    heavy = {"asyncio", "grpc", "google", "logging", "uvloop", "psutil", "pathlib", "threading"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
    assert len(loaded) <= IMPORT_BUDGET, loaded


def test_a_connected_proxy_has_its_spare(worker: Worker) -> None:
    assert worker.hello.role == "proxy"
    assert worker.hello.token == "token"
    assert len(runtimes_of(worker)) == 1


def test_a_slow_agent_does_not_hold_up_the_runtimes(worker: Worker, tmp_path: Path) -> None:
    chatty = made(tmp_path, "f", "import mee6\ndef main(n):\n    for i in range(n):\n        print('x' * 5000)\n"
                  "        mee6.invoke('g', i)\n    (mee6.flow / 'done').write_text('')\n", {"g": "no"})  # fmt: skip
    worker.load(chatty, [made(tmp_path, "g", "def main(arg):\n    return arg\n")])
    number = worker.begin(200)
    until((worker.act / "flow" / "done").exists)  # nothing is read meanwhile
    assert worker.report(number).fault is None
    assert sum(len(message.text) for message in worker.seen if isinstance(message, Log)) == 200 * 5001


def test_a_killed_runtime_is_reported_in_bounded_time_and_replaced(worker: Worker, tmp_path: Path) -> None:
    code = """
import time, mee6
def main(s):
    (mee6.flow / "began").write_text("")
    time.sleep(s)
    return "ok"
"""
    worker.load(made(tmp_path, "f", code, {"f": "no"}))
    number = worker.begin(3600)
    until((worker.act / "flow" / "began").exists)
    for pid in runtimes_of(worker):
        end(pid)
    report = worker.report(number)
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    assert worker.invoke(0).result == b"ok"


def test_its_runtimes_end_when_it_is_killed(worker: Worker, tmp_path: Path) -> None:
    worker.load(made(tmp_path, "f", "def main(arg):\n    return arg\n", {"f": "no"}))
    pids = runtimes_of(worker)
    end(worker.hello.pid)
    until(lambda: not any(map(alive, pids)))
    assert worker.lane.receive(WAIT_S) is None


def test_what_comes_over_a_lane_and_is_no_message_ends_that_lane(worker: Worker, tmp_path: Path) -> None:
    code = """
import gc, socket
def main(arg):
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket) and thing.family == socket.AF_UNIX and thing.fileno() >= 0:
            thing.sendall(b"\\xff" * 64)
    while True: pass
"""
    worker.load(made(tmp_path, "f", code, {"f": "no"}))
    report = worker.invoke()
    assert report.fault is not None
    assert report.fault.code == "function_exited"


def test_a_handover_without_a_welcome_is_undone(tmp_path: Path) -> None:
    with Worker(["python"], tmp_path / "act", tmp_path, grants=True) as worker:
        silent = socket.socket(socket.AF_UNIX)
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        function = made(tmp_path, "f", "def main(arg):\n    return arg\n")
        worker.lane.send(Load("load", function, {}), Handover("t", str(tmp_path / "silent.sock")))
        report = worker.report("load")
        assert report.fault is None
        assert not report.handed_over
        assert unpack(worker.invoke(5).result, "application/json") == 5
        silent.close()


def test_a_stopped_runtime_does_not_stop_the_proxy(worker: Worker, tmp_path: Path) -> None:
    code = "import mee6\ndef main(arg):\n    return mee6.gather('g', 'h')\n"
    f = made(tmp_path, "f", code, {"g": "no", "h": "always"})
    g = made(
        tmp_path, "g", "import os, signal\ndef main(arg):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return 'g'\n"
    )
    worker.load(f, [g, made(tmp_path, "h", "def main(arg): pass\n")])
    number = worker.begin()
    call = worker.until(Call)
    stopped = runtimes_of(worker)
    until(lambda: any(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T" for pid in stopped))
    worker.answer(call, "h")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert unpack(worker.report(number).result, "application/json") == ["g", "h"]


@pytest.mark.slow
def test_a_runtime_that_does_not_read_is_ended_before_it_costs_unbounded_memory(worker: Worker, tmp_path: Path) -> None:
    code = "import mee6\ndef main(n):\n    return mee6.gather(*(['h'] * n))\n"
    function = msgspec.structs.replace(made(tmp_path, "f", code, {"h": "always"}), max_parallelism=1000)
    worker.load(function, [made(tmp_path, "h", "def main(arg): pass\n")])
    number = worker.begin(1000)
    calls = [worker.until(Call) for _ in range(1000)]
    for pid in runtimes_of(worker):
        os.kill(pid, signal.SIGSTOP)
    for _ in range(10):
        worker.answer(calls.pop(), b"x" * (7 << 20))
    report = None
    while report is None:
        worker.answer(calls.pop(), b"x")
        with suppress(TimeoutError):
            message = worker.receive(0.01)
            report = message if isinstance(message, Report) else None
    assert report.id == number
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    assert report.fault.message == "the process of 'f' did not read what it was sent, and was ended"


@pytest.mark.slow
def test_a_proxy_leaves_an_agent_that_does_not_read(tmp_path: Path) -> None:
    code = "import time\ndef main(arg):\n    while True:\n        print('x' * (1 << 20))\n        time.sleep(0.005)\n"
    with Worker(["python"], tmp_path / "act", tmp_path, Limits(log_bytes=1 << 40)) as worker:
        worker.load(made(tmp_path, "f", code, {"f": "no"}))
        worker.begin()
        until(lambda: not alive(worker.hello.pid))


def test_reports_are_whole_when_it_leaves(worker: Worker, tmp_path: Path) -> None:
    worker.load(made(tmp_path, "f", "def main(arg):\n    return b'x' * (4 << 20)\n", {"f": "no"}))
    number = worker.begin()
    report = worker.report(number)
    assert isinstance(report, Report)
    assert len(report.result) == 4 << 20
