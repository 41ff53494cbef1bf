"""What the doctor finds; it looks at this machine, and at engines that are not there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

import pytest

from agent.doctor import Finding, Level, Patient, examine


def look(state: Path, driver: Literal["docker", "process"] = "process", listen: str = "") -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(Patient(state, driver, listen or "127.0.0.1:1"))}


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")


@pytest.mark.usefixtures("no_engine")
def test_a_machine_that_runs_these_tests_can_serve(tmp_path: Path) -> None:
    findings = look(tmp_path)
    assert {"kernel", "python", "node", "namespaces", "cgroups", "freezer", "limits", "engine", "disk", "clock"} <= set(
        findings
    )
    assert not [one for one in findings.values() if one.level is Level.FAILING]
    assert all(one.mend for one in findings.values() if one.level is not Level.OK and one.check != "cgroups")


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_is_not_there_fails_only_the_docker_driver(tmp_path: Path) -> None:
    assert look(tmp_path)["engine"].level is Level.WARNING
    assert look(tmp_path, "docker")["engine"].level is Level.FAILING
    assert "none answers" in look(tmp_path, "docker")["engine"].found


def test_an_engine_elsewhere_is_not_one_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://edge:2375")
    finding = look(tmp_path, "docker")["engine"]
    assert (finding.level, finding.mend) == (Level.FAILING, "unset DOCKER_HOST")


@pytest.mark.usefixtures("no_engine")
def test_a_state_folder_too_long_for_sockets_fails(tmp_path: Path) -> None:
    assert look(tmp_path / ("x" * 120))["state folder"].level is Level.FAILING


@pytest.mark.usefixtures("no_engine")
def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        finding = look(tmp_path, listen=f"127.0.0.1:{server.getsockname()[1]}")["port"]
    assert (finding.level, finding.mend) == (Level.WARNING, "mee6 agent status")


@pytest.mark.usefixtures("no_engine")
def test_looking_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    namespaces = {name: (Path("/proc/self/ns") / name).readlink() for name in os.listdir("/proc/self/ns")}
    look(state)
    assert not state.exists()
    assert namespaces == {name: (Path("/proc/self/ns") / name).readlink() for name in namespaces}
