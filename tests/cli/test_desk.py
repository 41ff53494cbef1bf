"""What needs no agent, or only asks how it is: version, contexts, init, help, what is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from mee6 import manifest
from mee6.config import load
from mee6.version import VERSION
from mee6tui.cli.groups import Elsewhere
from mee6tui.cli.main import app
from mee6tui.cli.root import COMMANDS
from tests.cli.conftest import Run
from tests.support.fake_agent import FakeAgent


def _leaves(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if isinstance(command, Elsewhere):
        command = command.fetched()
    below = getattr(command, "commands", None)
    if below is None:
        return [(path, command)]
    return [leaf for name, child in below.items() for leaf in _leaves(child, (*path, name))]


LEAVES = _leaves(typer.main.get_command(app))


@pytest.mark.parametrize("path", [path for path, _ in LEAVES], ids=" ".join)
def test_every_command_has_help_with_an_example_in_80_columns(mee6: Run, path: tuple[str, ...]) -> None:
    result = mee6(*path, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    example = result.stdout.partition("Examples:\n")[2]
    assert f"mee6 {' '.join(path)}" in example
    assert not [line for line in result.stdout.splitlines() if len(line) > 90]


@pytest.mark.parametrize(("path", "command"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_takes_the_options_that_all_take(path: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert "--debug" in options
    if path not in {("console",), ("demo",), ("completion",)}:  # which print no records
        assert {"--output", "-o", "--json", "--no-color", "--quiet", "-q"} <= options


def test_help_ends_with_the_exit_codes(mee6: Run) -> None:
    assert "141 nobody reads on." in mee6("--help").stdout


@pytest.mark.parametrize("path", [(), ("act",), ("agent",), ("context",)])
def test_a_group_alone_shows_its_help(mee6: Run, path: tuple[str, ...]) -> None:
    result = mee6(*path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Commands:" in result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_what_the_list_of_commands_says_is_the_first_sentence_of_the_commands_help(command: Elsewhere) -> None:
    assert (command.fetched().help or "").partition("\n")[0] == command.help


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("tracce",), "no command 'tracce'; did you mean 'trace'? see: mee6 --help"),
        (("act", "invok"), "no command 'invok'; did you mean 'invoke'? see: mee6 act --help"),
        (("zzz",), "no command 'zzz'; see: mee6 --help"),
    ],
)
def test_a_mistyped_command_is_told_what_was_meant(mee6: Run, args: tuple[str, ...], says: str) -> None:
    result = mee6(*args)
    assert (result.stdout, result.stderr, result.exit_code) == ("", f"mee6: {says}\n", 2)


def test_the_version_of_the_command_is_told_without_an_agent(mee6: Run) -> None:
    result = mee6("--version")
    assert (result.stdout, result.stderr, result.exit_code) == (f"mee6 {VERSION}\n", "", 0)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("mee6 a", {"agent", "act"}),
        ("mee6 act inv", {"invoke"}),
        ("mee6 context us", {"use"}),
        ("mee6 trace --no", {"--no-color"}),
        ("mee6 completion f", {"fish"}),
    ],
)
def test_commands_and_options_are_completed(typed: str, offered: set[str]) -> None:
    env = {**os.environ, "_MEE6_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-m", "mee6tui.cli.main"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=20)
    assert (set(done.stdout.split()), done.stderr) == (offered, "")


def test_version_shows_both_sides(on: Run, agent: FakeAgent) -> None:
    result = on("version")
    assert result.stdout == f"client  mee6 0.1.0 (API 1)\nagent   mee6 0.1.0 (API 1) at {agent.address}\n"
    assert (result.stderr, result.exit_code) == ("", 0)
    assert json.loads(on("version", "-o", "json").stdout) == {
        "client": {"version": "0.1.0", "api": 1},
        "address": agent.address,
        "agent": {"version": "0.1.0", "api": 1},
        "skew": False,
    }


def test_version_warns_of_an_agent_of_another_version(on: Run, agent: FakeAgent) -> None:
    agent.version = "0.0.9"
    result = on("version")
    assert "different versions" in result.stderr
    agent.api = 9
    assert "cannot work together" in on("version").stderr


def test_version_without_an_agent_still_says_its_own(mee6: Run, tmp_path: Path) -> None:
    result = mee6("version", "--address", f"unix:{tmp_path}/none.sock")
    assert result.stdout.startswith("client  mee6 0.1.0")
    assert "no agent answers" in result.stderr
    assert result.exit_code == 0


def test_status_shows_what_the_agent_can_do(on: Run) -> None:
    shown = on("agent", "status").stdout
    for fact in ("isolation namespaces", "pause cgroup2", "no bubblewrap", "'nodejs' needs 'node'", "1 busy"):
        assert fact in shown
    assert json.loads(on("agent", "status", "--json").stdout)[0]["pid"] == 4242


def test_contexts_are_added_used_listed_and_removed(mee6: Run, config: Path) -> None:
    assert mee6("context", "add", "edge", "10.0.0.7:5122", "--as", "ann").stdout == "added edge\n"
    assert mee6("context", "add", "lab", "unix:/run/lab.sock").exit_code == 0
    assert load(config).current == "edge"
    assert mee6("context", "use", "lab").stdout == "using lab\n"
    listed = mee6("context", "ls").stdout
    assert "* lab" in " ".join(listed.split())
    assert "address  unix:/run/lab.sock (from context 'lab')" in listed
    assert [row["current"] for row in json.loads(mee6("context", "ls", "--json").stdout)] == [False, True]
    assert mee6("context", "rm", "lab").exit_code == 0
    assert load(config).current == ""


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("add", "edge", "nowhere"), 2, "neither HOST:PORT nor unix:/PATH"),
        (("add", "../x", "h:1"), 2, "is not allowed"),
        (("use", "none-such"), 3, "no context 'none-such'"),
        (("use",), 2, "give a context's name, or --none"),
        (("rm", "none-such"), 3, "no context 'none-such'"),
    ],
)
def test_a_wrong_context_is_one_line(mee6: Run, args: tuple[str, ...], code: int, says: str) -> None:
    result = mee6("context", *args)
    assert (result.stdout, result.exit_code) == ("", code)
    assert says in result.stderr


def test_a_context_is_not_overwritten_unasked(mee6: Run, config: Path) -> None:
    mee6("context", "add", "edge", "h:1")
    assert mee6("context", "add", "edge", "h:2").exit_code == 7
    assert mee6("context", "add", "edge", "h:2", "--replace").exit_code == 0
    assert load(config).contexts["edge"].address == "h:2"


def test_a_broken_configuration_is_one_line_with_its_place(mee6: Run, config: Path) -> None:
    config.write_text("a = = 1\n")
    result = mee6("act", "ls")
    assert (result.stdout, result.exit_code) == ("", 2)
    assert f"{config} is not valid TOML" in result.stderr
    assert "line 1" in result.stderr


@pytest.mark.parametrize("runtime", ["python", "nodejs"])
@pytest.mark.parametrize("workflow", [False, True])
def test_init_writes_a_function_that_can_be_added(on: Run, tmp_path: Path, runtime: str, workflow: bool) -> None:
    folder = tmp_path / "greeter"
    args = ("init", "greeter", "--runtime", runtime, "--dir", str(folder), *(["--workflow"] if workflow else []))
    result = on(*args)
    assert (result.stdout, result.exit_code) == (f"{folder}\n", 0)
    assert manifest.read(folder).is_workflow is workflow
    main = folder / ("main.py" if runtime == "python" else "main.js")
    if runtime == "python":
        code: dict[str, Any] = {}
        exec(main.read_text(), code)
        assert workflow or code["main"]("you") == "hello, you"
    assert on("act", "add", str(folder)).exit_code == 0
    again = on(*args)
    assert again.exit_code == 7
    assert "exists and is not empty" in again.stderr


def test_init_refuses_a_name_that_is_a_path(mee6: Run) -> None:
    result = mee6("init", "../up")
    assert result.exit_code == 2
    assert "name '../up' is not allowed" in result.stderr
    assert "use: mee6 init up --dir ../up" in result.stderr
    assert "1 to 63 letters" in mee6("init", "../u p").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(mee6: Run, shell: str) -> None:
    result = mee6("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "_MEE6_COMPLETE" in result.stdout


def test_completion_of_an_unknown_shell_is_refused(mee6: Run) -> None:
    assert mee6("completion", "tcsh").exit_code == 2


def test_a_closed_pipe_is_no_traceback(agent: FakeAgent) -> None:
    agent.know(*(f"function-{n}" for n in range(3000)))
    env = {**os.environ, "MEE6_ADDRESS": agent.address}
    command = f"{sys.executable} -m mee6tui.cli.main act ls | head -1"
    done = subprocess.run(["sh", "-c", command], env=env, capture_output=True, text=True, check=False, timeout=20)
    assert "Traceback" not in done.stderr
