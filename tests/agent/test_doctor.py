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
        taken = Patient(tmp_path, "process", "127.0.0.1:1", f"127.0.0.1:{server.getsockname()[1]}")
        http = next(finding for finding in examine(taken) if finding.check == "http port")
    assert (finding.level, finding.mend) == (Level.FAILING, "mee6 agent serve --listen 127.0.0.1:0")
    assert (http.level, http.mend) == (Level.FAILING, "mee6 agent serve --http-listen 127.0.0.1:0")


@pytest.mark.usefixtures("no_engine")
def test_a_state_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    finding = look(tmp_path / "state")["state folder"]
    assert (finding.level, finding.found) == (Level.FAILING, f"{tmp_path / 'state'} is not a folder")


@pytest.mark.usefixtures("no_engine")
def test_a_state_folder_is_named_whether_it_is_there_or_not(tmp_path: Path) -> None:
    assert look(tmp_path)["state folder"].found == f"{tmp_path} can be used"
    assert look(tmp_path / "a" / "b")["state folder"].found == f"{tmp_path / 'a' / 'b'} can be made"


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize(("bytes_free", "level"), [(10 << 20, Level.FAILING), (500 << 20, Level.WARNING)])
def test_little_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_free: int, level: Level) -> None:
    real = os.statvfs(tmp_path)
    few = os.statvfs_result((4096, 4096, real.f_blocks, 0, bytes_free // 4096, 10_000, 5, 5, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: few)
    findings = look(tmp_path)
    assert findings["disk"].level is level
    assert f"{bytes_free >> 20}" in findings["disk"].found
    assert (findings["inodes"].level, findings["inodes"].found) == (Level.WARNING, f"5 free at {tmp_path}")


@pytest.mark.usefixtures("no_engine")
def test_a_missing_npm_is_told_with_what_it_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = look(tmp_path)["packages"]
    assert (finding.level, finding.found) == (Level.WARNING, "no npm: no functions with a package.json")


@pytest.mark.usefixtures("no_engine")
def test_a_user_who_may_do_little_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(os, "access", lambda *_: False)
    findings = look(tmp_path, "docker")
    assert findings["state folder"].found == f"{tmp_path} is not writable by this user"
    assert (findings["root"].level, findings["root"].mend) == (Level.FAILING, "sudo mee6 agent serve")
    assert "not writable by this user" in findings["cgroups"].found

    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", closed)
    assert look(tmp_path)["state folder"].found == f"{tmp_path} is not for this user to see"


@pytest.mark.usefixtures("no_engine")
def test_looking_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    namespaces = {name: (Path("/proc/self/ns") / name).readlink() for name in os.listdir("/proc/self/ns")}
    look(state)
    assert not state.exists()
    assert namespaces == {name: (Path("/proc/self/ns") / name).readlink() for name in namespaces}
