"""`mee6 doctor` and `mee6 image` where no engine answers; with one: tests/agent/drivers."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import Result

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


def test_the_doctor_passes_a_machine_that_lacks_only_what_is_not_needed(mee6: Run) -> None:
    result = mee6("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "none answers" in result.stdout


def test_the_doctor_fails_what_the_driver_cannot_do_without_and_says_what_mends_it(mee6: Run) -> None:
    result = mee6("doctor", "--driver", "docker", "-o", "json")
    assert result.exit_code == 1
    assert "the docker driver cannot serve here: engine" in result.stderr
    (engine,) = [one for one in json.loads(result.stdout) if one["check"] == "engine"]
    assert engine["level"] == "failing"
    assert engine["mend"]


def _found(result: Result, check: str) -> dict[str, str]:
    (finding,) = [one for one in json.loads(result.stdout) if one["check"] == check]
    return dict(finding)


def test_the_doctor_looks_at_the_address_that_the_agent_would_take(
    mee6: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MEE6_LISTEN", address)
        result = mee6("doctor", "-o", "json")
        assert result.exit_code == 1
        assert result.stderr == "mee6: the process driver cannot serve here: port\n"
        port = _found(result, "port")
        assert (port["level"], port["found"]) == ("failing", f"{address} is taken by another program")
        assert port["mend"] == "mee6 agent serve --listen 127.0.0.1:0"
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "agent.json").write_text(json.dumps({"listen": address}))
        assert "by the agent of this state folder" in _found(mee6("doctor", "-o", "json"), "port")["found"]
    assert _found(mee6("doctor", "-o", "json"), "port")["found"] == f"{address} is free"
    assert "a free one" in _found(mee6("doctor", "--listen", "127.0.0.1:0", "-o", "json"), "port")["found"]
    wrong = mee6("doctor", "--listen", "nonsense", "-o", "json")
    assert "'nonsense' is not an address" in _found(wrong, "port")["found"]
    assert wrong.exit_code == 1


def test_the_doctor_says_what_auto_takes_and_why(mee6: Run) -> None:
    found = _found(mee6("doctor", "--driver", "auto", "-o", "json"), "driver")
    assert found["level"] == "ok"
    assert found["found"].startswith("auto takes process: ")


def test_the_doctor_needs_no_context(mee6: Run, config: Path) -> None:
    config.write_text('current = "gone"\n')
    assert mee6("doctor").exit_code == 0


@pytest.mark.parametrize("command", [("build", "python"), ("ls",), ("rm", "python")])
def test_without_an_engine_images_are_a_conflict_that_names_the_way_out(mee6: Run, command: tuple[str, ...]) -> None:
    result = mee6("image", *command)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "no Docker Engine answers" in result.stderr
