"""`mee6 bench` from the command line, against an agent's gRPC face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mee6.api.v1 import invoker_pb2
from tests.cli.conftest import Run
from tests.support.fake_agent import FakeAgent
from tests.support.registry import free_port

QUICK = ("--duration", "200ms", "--warmup", "0")


def test_functions_are_called_at_the_rate_and_told(on: Run, agent: FakeAgent) -> None:
    told = on("bench", "echo", "--rate", "100", "--arrivals", "uniform", "--arg", "foo", *QUICK)
    assert told.exit_code == 0
    assert told.stdout.startswith("open loop, 100 a second, uniform: 20 calls in 0.")
    assert "\necho     20       0" in told.stdout
    sent = [one.invoke for one in agent.requests if isinstance(one, invoker_pb2.InvokeStreamRequest)]
    assert [(one.actName, one.data) for one in sent] == [("echo", b"foo")] * 20


def test_a_mix_is_given_as_json_and_drawn(on: Run, agent: FakeAgent, tmp_path: Path) -> None:
    drawing = tmp_path / "a.svg"
    told = on("bench", "echo=3", "json=1", "--rate", "200", "-o", "json", "--svg", str(drawing), *QUICK)
    found = json.loads(told.stdout)
    assert found["how"] == "poisson"
    assert {one["name"] for one in found["targets"]} == {"echo", "json"}
    assert found["errors"] == {}
    assert drawing.read_text().startswith("<svg ")
    assert f"drawn into {drawing}" in told.stderr


def test_a_closed_loop_has_no_rate(on: Run, agent: FakeAgent) -> None:
    found = json.loads(on("bench", "echo", "--closed", "2", "-o", "json", *QUICK).stdout)
    assert (found["how"], found["rate"], found["callers"]) == ("closed", None, 2)
    assert found["succeeded"] > 0


def test_calls_that_all_fail_are_counted_and_end_with_1(on: Run, agent: FakeAgent) -> None:
    told = on("bench", "fail", "--rate", "50", "--arrivals", "uniform", *QUICK)
    assert told.exit_code == 1
    assert "10 x function raised" in told.stdout
    assert "no call succeeded" in told.stderr


def test_a_url_needs_no_agent(mee6: Run) -> None:
    told = mee6("bench", f"http://127.0.0.1:{free_port()}/", "--rate", "50", "--arrivals", "uniform", *QUICK)
    assert told.exit_code == 1
    assert "10 x connection refused" in told.stdout


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("nosuch",), 3, "no function 'nosuch'"),
        (("echo=0",), 2, "never called"),
        (("echo", "--arrivals", "weekly"), 2, "kinds are poisson, uniform, azure"),
        (("echo", "--rate", "0"), 2, "--rate is 0"),
        (("echo", "--rate", "nan"), 2, "--rate is nan"),
        (("echo", "--duration", "0"), 2, "--duration is 0"),
        (("echo", "--closed", "2", "--rate", "5"), 2, "--closed and --rate contradict each other"),
        (("echo", "--closed", "-1"), 2, "--closed is -1"),
        (("echo", "--svg", "/nowhere/a.svg"), 2, "/nowhere is no folder"),
        (("echo", "-H", "nocolon"), 2, "is no header"),
        (("echo", "--rate", "0.001", *QUICK, "--arrivals", "poisson"), 1, "no call was due"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(on: Run, args: tuple[str, ...], code: int, said: str) -> None:
    told = on("bench", *args)
    assert (told.exit_code, "Traceback" in told.stderr) == (code, False)
    assert said in told.stderr


def test_an_agent_that_is_not_there_is_said(mee6: Run) -> None:
    assert mee6("bench", "echo", "--address", f"127.0.0.1:{free_port()}", *QUICK).exit_code == 5
