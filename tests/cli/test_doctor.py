"""`mee6 doctor` and `mee6 image` where no engine answers; with one: tests/agent/drivers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("command", [("build", "python"), ("ls",), ("rm", "python")])
def test_without_an_engine_images_are_a_conflict_that_names_the_way_out(mee6: Run, command: tuple[str, ...]) -> None:
    result = mee6("image", *command)
    assert (result.exit_code, result.stdout) == (7, "")
    assert "no Docker Engine answers" in result.stderr
