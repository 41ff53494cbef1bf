"""`mee6 agent` with a real agent, in a state folder of the test's own."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config import DRIVERS
from mee6.config import DEFAULT_ADDRESS
from mee6.errors import Mee6Error
from mee6tui.cli import daemon
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    state = tmp_path / "state"
    yield state
    if daemon.running(state):
        daemon.stop(state, now=True, patience_s=20)


@pytest.fixture
def serving(mee6: Run, state: Path) -> Path:
    result = mee6(
        "agent", "serve", "--detach", "--listen", "127.0.0.1:0", "--prewarm", "python=0", "--prewarm", "nodejs=0"
    )
    assert result.exit_code == 0, result.stderr
    return state


def test_a_detached_agent_answers_when_the_command_returns(mee6: Run, serving: Path) -> None:
    found = daemon.facts(serving)
    assert found is not None
    status = mee6("agent", "status", "--address", found.listen, "--json")
    assert json.loads(status.stdout)[0]["pid"] == found.pid != os.getpid()
    assert os.getsid(found.pid) == found.pid


def test_http_is_served_where_the_status_says_and_not_where_it_is_off(mee6: Run, state: Path) -> None:
    few = ("--detach", "--listen", "127.0.0.1:0", "--prewarm", "python=0", "--prewarm", "nodejs=0")
    assert mee6("agent", "serve", *few, "--http-listen", "127.0.0.1:0").exit_code == 0
    (node,) = json.loads(mee6("agent", "status", "--state-dir", str(state), "--json").stdout)
    assert f"http          http://{node['http']}" in mee6("agent", "status", "--state-dir", str(state)).stdout
    with socket.create_connection(node["http"].split(":"), 5) as front:
        front.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert front.recv(100).startswith(b"HTTP/1.1 200 OK")
        taken = ("agent", "serve", *few, "--state-dir", f"{state}2", "--http-listen", node["http"])
        refused = mee6(*taken)
    assert refused.exit_code == 7
    assert "--http-listen" in refused.stderr
    mee6("agent", "stop")
    assert mee6("agent", "serve", *few, "--http-listen", "off").exit_code == 0
    assert json.loads(mee6("agent", "status", "--state-dir", str(state), "--json").stdout)[0]["http"] == ""


def test_status_finds_the_agent_by_its_state_folder(mee6: Run, serving: Path) -> None:
    assert mee6("agent", "status", "--state-dir", str(serving)).exit_code == 0


def test_who_named_no_address_is_told_that_of_the_state_folders_agent(mee6: Run, serving: Path) -> None:
    found = daemon.facts(serving)
    assert found is not None
    if found.listen == DEFAULT_ADDRESS:
        pytest.skip("the free port is the usual one")
    asked = mee6("act", "ls")
    if asked.exit_code == 0:
        pytest.skip("an agent serves at the usual address of this machine")
    assert asked.exit_code == 5
    assert f"the one on {serving} listens on {found.listen}; use it with: export MEE6_ADDRESS=" in asked.stderr


def test_a_state_folder_that_is_named_beats_the_environments_address(
    mee6: Run, serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = daemon.facts(serving)
    assert found is not None
    monkeypatch.setenv("MEE6_ADDRESS", found.listen)
    assert mee6("agent", "status").exit_code == 0
    elsewhere = mee6("agent", "status", "--state-dir", str(tmp_path / "none"))
    assert (elsewhere.stdout, elsewhere.exit_code) == ("", 5)
    assert f"no agent runs on {tmp_path}/none" in elsewhere.stderr
    assert mee6("agent", "status", "--state-dir", str(tmp_path / "none"), "--address", found.listen).exit_code == 0


def test_a_state_folder_that_cannot_be_made_is_told(mee6: Run) -> None:
    refused = mee6("agent", "serve", "--detach", "--state-dir", "/proc/nowhere")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "mee6: cannot use the state folder /proc/nowhere: No such file or directory; see --state-dir\n"
    )


def test_a_second_agent_on_the_folder_is_a_conflict(mee6: Run, serving: Path) -> None:
    result = mee6("agent", "serve", "--detach", "--listen", "127.0.0.1:0")
    assert (result.stdout, result.exit_code) == ("", 7)
    assert f"an agent already runs on {serving}" in result.stderr


@pytest.mark.parametrize("how", [(), ("--now",)])
def test_stop_waits_until_the_agent_is_gone(mee6: Run, serving: Path, how: tuple[str, ...]) -> None:
    found = daemon.facts(serving)
    assert found is not None
    result = mee6("agent", "stop", *how)
    assert (result.stdout, result.exit_code) == ("", 0)
    assert f"(pid {found.pid}) has stopped" in result.stderr
    assert not daemon.running(serving)
    with pytest.raises(ProcessLookupError):
        os.kill(found.pid, 0)


def test_stop_without_an_agent_says_so(mee6: Run, state: Path) -> None:
    result = mee6("agent", "stop")
    assert (result.stdout, result.exit_code) == ("", 5)
    assert result.stderr == f"mee6: no agent runs on {state}; start one with: mee6 agent serve --detach\n"


def test_a_port_in_use_is_told_by_the_starting_command(mee6: Run, state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = mee6("agent", "serve", "--detach", "--listen", address)
    assert (result.stdout, result.exit_code) == ("", 7)
    assert result.stderr.startswith("mee6: the agent did not start: ")
    assert address.partition(":")[2] in result.stderr
    assert not daemon.running(state)


def test_destroy_removes_everything(mee6: Run, serving: Path) -> None:
    assert mee6("agent", "destroy").exit_code == 2  # it may not ask: standard input is no terminal
    assert daemon.running(serving)
    result = mee6("agent", "destroy", "-y")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert not serving.exists()


def test_destroy_refuses_a_folder_that_is_not_an_agents(mee6: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "precious").write_text("x")
    result = mee6("agent", "destroy", "-y", "--state-dir", str(folder))
    assert result.exit_code == 2
    assert "is not an agent's state folder; nothing was removed" in result.stderr
    assert (folder / "precious").exists()
    assert mee6("agent", "destroy", "-y", "--state-dir", str(tmp_path / "none")).exit_code == 3


def test_a_stale_file_is_not_taken_for_an_agent(state: Path) -> None:
    state.mkdir()
    (state / "agent.json").write_text(json.dumps({"pid": os.getpid(), "listen": "h:1", "socket": "", "version": "x"}))
    (state / "agent.lock").touch()
    with pytest.raises(Mee6Error, match="no agent runs on"):
        daemon.stop(state, now=True, patience_s=1)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--prewarm", "python"), "is not RUNTIME=N"),
        (("--keep-alive", "soon"), "is no duration"),
        (("--memory", "much"), "is no size"),
        (
            ("--driver", "proces"),
            "driver 'proces' is not known; did you mean 'process'? known are: process, docker, auto",
        ),
        (("--listen", "nowhere"), "'nowhere' is not an address; use host:port, as in 127.0.0.1:5122"),
        (("--prewarm", "cobol=1"), "prewarm: no runtime 'cobol'; there are: nodejs, python"),
        (("--memory", "1"), "memory of 1 bytes is less than the 32M that a worker needs"),
        (("--pause", "sometimes"), "no pause policy 'sometimes'; use one of: always, after-use, never"),
    ],
)
@pytest.mark.parametrize("where", [(), ("--detach",)])
def test_wrong_options_are_one_line_and_leave_nothing_behind(
    mee6: Run, state: Path, args: tuple[str, ...], says: str, where: tuple[str, ...]
) -> None:
    result = mee6("agent", "serve", *args, *where)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert not state.exists()


def test_the_drivers_that_may_be_named_are_those_there_are() -> None:
    from agent import choice, main

    assert (*main.DRIVERS, choice.AUTO) == DRIVERS


def test_a_script_is_told_where_a_detached_agent_is(mee6: Run, state: Path) -> None:
    started = mee6("agent", "serve", "--detach", "--listen", "127.0.0.1:0", "--prewarm", "python=0", "-o", "json")
    assert started.exit_code == 0, started.stderr
    found = daemon.facts(state)
    assert found is not None
    assert json.loads(started.stdout) == {
        "address": found.listen, "pid": found.pid, "log": str(state / "agent.log"), "state_dir": str(state),
    }  # fmt: skip
    assert mee6("agent", "stop", "-q").stderr == ""


def test_of_another_port_it_is_said_how_commands_get_there(mee6: Run, state: Path) -> None:
    few = ("--detach", "--listen", "127.0.0.1:0", "--prewarm", "python=0", "--prewarm", "nodejs=0")
    started = mee6("agent", "serve", *few)
    found = daemon.facts(state)
    assert found is not None
    assert started.stderr.endswith(f"to have commands use it: export MEE6_ADDRESS={found.listen}\n")
    mee6("agent", "stop")


def test_a_serving_agent_is_told_how_to_keep_its_workers(mee6: Run, serving: Path) -> None:
    at = ("--state-dir", str(serving))
    before = mee6("agent", "status", *at).stdout
    assert "paused (always) after 1 s" in before
    assert "no budget" in before
    changed = mee6(
        "agent", "set", *at, "pause=never", "memory-budget=2G", "linger=250ms", "prewarm=python=1", "ceiling=python=3",
        "wait-for-busy=off", "order=deadline",
    )  # fmt: skip
    assert changed.exit_code == 0, changed.stderr
    assert "never paused" in changed.stdout
    assert "of 2048 MiB" in changed.stdout
    assert "first come, first served, for workers in use where these are free sooner" in before
    assert "first whose time runs out first\n" in changed.stdout
    (node,) = json.loads(mee6("agent", "status", *at, "--json").stdout)
    assert (node["pause_policy"], node["linger_s"], node["keep_alive_s"]) == ("never", 0.25, 600.0)
    (python,) = [pool for pool in node["pools"] if pool["name"] == "python"]
    assert (python["floor"], python["ceiling"]) == (1, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("pause=sometimes", "always, after-use, never"),
        ("prewarm=cobol=1", "no runtime 'cobol'"),
        ("colour=blue", "no setting 'colour'"),
        ("wait-for-busy=maybe", "on or off, not 'maybe'"),
        ("pause", "is not NAME=VALUE"),
    ],
)
def test_a_setting_that_cannot_be_changes_nothing(mee6: Run, serving: Path, given: str, said: str) -> None:
    refused = mee6("agent", "set", "--state-dir", str(serving), given)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert said in refused.stderr


def test_an_agent_that_is_told_nonsense_does_not_start(mee6: Run, tmp_path: Path) -> None:
    refused = mee6("agent", "serve", "--pause", "sometimes", "--state-dir", str(tmp_path / "s"))
    assert refused.exit_code == 2
    assert "always, after-use, never" in refused.stderr


def test_the_workers_of_a_node_are_listed(mee6: Run, serving: Path) -> None:
    assert mee6("agent", "set", "--state-dir", str(serving), "prewarm=python=1").exit_code == 0
    found = daemon.facts(serving)
    assert found is not None
    workers: list[dict[str, str]] = []

    def listed() -> bool:
        workers[:] = json.loads(mee6("worker", "ls", "--address", found.address, "--json").stdout)
        return any(worker["state"] != "starting" for worker in workers)

    end = time.monotonic() + 5
    while not listed():  # it is made a moment after the floor was raised
        assert time.monotonic() < end
    assert [(worker["pool"], worker["function"]) for worker in workers] == [("python", "")]

    (worker,) = workers
    to = ("--address", found.address)
    given = mee6("worker", "limits", worker["id"], "--memory", "256M", *to)
    if given.exit_code == 7:  # without control groups there is nothing to change
        return
    assert given.stdout == f"worker {worker['id']} may use 256 MiB and all cores\n"
    refused = mee6("worker", "limits", worker["id"], "--memory", "1k", *to)
    assert (refused.exit_code, refused.stdout) == (7, "")
    assert mee6("worker", "limits", "w999", "--memory", "256M", *to).exit_code == 3
    assert mee6("worker", "limits", worker["id"], *to).exit_code == 2


@pytest.mark.slow
def test_a_frozen_agent_is_told_apart_from_one_that_answers(
    mee6: Run, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = daemon.facts(serving)
    assert found is not None
    monkeypatch.setattr("mee6tui.cli.agent.STATUS_S", 0.5)
    os.kill(found.pid, signal.SIGSTOP)
    try:
        status = mee6("agent", "status", "--address", found.address)
        assert (status.stdout, status.exit_code) == ("", 124)
        assert "frozen or overloaded" in status.stderr
        stop = mee6("agent", "stop")
        assert stop.exit_code == 124
        assert f"kill -CONT {found.pid}" in stop.stderr
    finally:
        os.kill(found.pid, signal.SIGCONT)
    while daemon.running(serving):  # what it was told while frozen, it does now
        time.sleep(0.01)
