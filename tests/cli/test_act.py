from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mee6.api.v1 import console_pb2
from tests.cli.conftest import Run
from tests.support.fake_agent import TRACEBACK, FakeAgent


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "activity.json").write_text('{"name": "hello", "runtime": "python", "dependencies": {"nope": {}}}')
    (folder / "main.py").write_text("def main(arg): return arg\n")
    return folder


def test_invoke_prints_the_result_and_nothing_else(on: Run) -> None:
    result = on("act", "invoke", "echo", "foo")
    assert (result.stdout, result.stderr, result.exit_code) == ("foo\n", "", 0)


@pytest.mark.parametrize("given", ["-", "@{file}", "-f{file}", "-f-"])
def test_the_argument_comes_from_where_it_is_said_to(on: Run, tmp_path: Path, given: str) -> None:
    file = tmp_path / "arg.txt"
    file.write_text("gr\u00fc\u00dfe\n", "utf-8")
    result = on("act", "invoke", "echo", given.format(file=file), stdin="gr\u00fc\u00dfe\n")
    assert (result.stdout, result.exit_code) == ("gr\u00fc\u00dfe\n", 0)


def test_a_result_that_is_binary_comes_byte_by_byte(on: Run) -> None:
    assert on("act", "invoke", "binary").stdout_bytes == b"\x00\xff"


def test_json_goes_out_and_comes_back_as_json(on: Run, agent: FakeAgent) -> None:
    assert on("act", "invoke", "echo", "-j", "[1, 2]").stdout == "[1, 2]\n"
    assert agent.requests[-1].content_type == "application/json"
    assert on("act", "invoke", "json").stdout == '{"b":[1,2],"a":"x"}\n'


def test_a_result_is_wrapped_with_its_id_when_a_form_is_asked_for(on: Run) -> None:
    found = json.loads(on("act", "invoke", "json", "-o", "json").stdout)
    assert found == {"id": "inv1", "content_type": "application/json", "result": {"b": [1, 2], "a": "x"}}
    assert json.loads(on("act", "invoke", "binary", "--json").stdout)["result"] == "AP8="


def test_a_function_that_raises_shows_its_traceback_and_exits_4(on: Run) -> None:
    result = on("act", "invoke", "fail")
    assert (result.stdout, result.exit_code) == ("", 4)
    assert result.stderr == TRACEBACK + "mee6: 'fail' raised ZeroDivisionError: division by zero\n"


def test_a_limit_that_passes_exits_124(on: Run, agent: FakeAgent) -> None:
    result = on("act", "invoke", "slow", "--timeout", "50ms")
    assert (result.stdout, result.exit_code) == ("", 124)
    assert result.stderr == "mee6: 'slow' took longer than its limit and was stopped\n"
    assert agent.requests[-1].timeout_s == pytest.approx(0.05)


def test_a_detached_invocation_prints_its_id_and_is_found_again(on: Run, agent: FakeAgent) -> None:
    identity = on("act", "invoke", "echo", "later", "--async").stdout.strip()
    assert on("act", "result", identity, "--wait", "1s").stdout == "later\n"
    assert on("act", "cancel", identity).exit_code == 0
    assert agent.called_off == [identity]
    assert on("act", "result", "nothing").exit_code == 3


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("act", "invoke", "nope"), 3, "no function 'nope' for user 'default'; see: mee6 act ls"),
        (("act", "invoke", "echo", "x", "-f", "y"), 2, "give the argument as ARG or with -f FILE, not both"),
        (("act", "invoke", "echo", "@/no/such"), 2, "cannot read '/no/such': No such file or directory"),
        (("act", "invoke", "echo", "-j", "{"), 2, "the argument is not valid JSON"),
        (("act", "invoke", "echo", "--timeout", "soon"), 2, "'soon' is no duration"),
        (("act", "invoke"), 2, "missing argument 'NAME'; see: mee6 act invoke --help"),
        (("act", "lss"), 2, "no command 'lss'; did you mean 'ls'? see: mee6 act --help"),
        (("tracee",), 2, "did you mean 'trace'?"),
        (("act", "ls", "--wrong"), 2, "no option"),
        (("act", "ls", "-o", "xml"), 2, "no output 'xml' (from --output)"),
        (("act", "ls", "--context", "nope"), 3, "no context 'nope'"),
        (("act", "add", "/no/such"), 2, "/no/such does not exist"),
        (("act", "describe", "nope"), 3, "no function 'nope'"),
        (("act", "rm", "nope"), 3, "no function 'nope'"),
        (("trace", "nope"), 3, "no invocation 'nope'"),
    ],
)
def test_a_mistake_is_one_line_and_its_exit_code(on: Run, args: tuple[str, ...], code: int, says: str) -> None:
    result = on(*args)
    assert (result.stdout, result.exit_code) == ("", code)
    assert result.stderr.startswith("mee6: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_agent_is_one_line_and_exits_5(mee6: Run, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/nobody.sock"
    result = mee6("act", "ls", "--address", address)
    assert (result.stdout, result.exit_code) == ("", 5)
    assert result.stderr == f"mee6: no agent answers at {address}; start one with: mee6 agent serve --detach\n"


def test_debug_shows_the_python_traceback(on: Run) -> None:
    result = on("act", "describe", "nope", "--debug")
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("mee6: no function 'nope'; see: mee6 act ls\n")


def test_folders_are_added_listed_described_and_removed(on: Run, hello: Path) -> None:
    added = on("act", "add", str(hello))
    assert added.stdout == "added hello (python, version 1)\n"
    assert added.stderr == "mee6: still missing, declared as dependencies: nope\n"
    assert on("act", "add", str(hello)).stdout == "unchanged hello (python, version 1)\n"
    (hello / "main.py").write_text("def main(arg): return 2\n")
    assert on("act", "add", str(hello)).stdout == "updated hello (python, version 2)\n"
    listed = on("act", "ls").stdout.splitlines()
    assert listed[0].split() == ["NAME", "RUNTIME", "VERSION", "KIND", "SIZE", "ADDED"]
    assert any(line.split()[:4] == ["hello", "python", "2", "workflow"] for line in listed)
    assert "hello" in on("act", "ls", "-o", "name").stdout.splitlines()
    described = on("act", "describe", "hello").stdout
    assert "version      2 (added " in described
    assert "url          http://127.0.0.1:5123/function/hello" in described
    assert on("act", "rm", "hello").stdout == "removed hello\n"
    assert on("act", "describe", "hello").exit_code == 3


def test_every_form_holds_the_same_keys(on: Run) -> None:
    keys = {"name", "runtime", "version", "workflow", "size", "sha256", "added", "user", "manifest"}
    whole = json.loads(on("act", "ls", "-o", "json").stdout)
    lines = [json.loads(line) for line in on("act", "ls", "-o", "jsonl").stdout.splitlines()]
    assert whole == lines == yaml.safe_load(on("act", "ls", "-o", "yaml").stdout)
    assert {frozenset(row) for row in whole} == {frozenset(keys)}
    assert json.loads(on("act", "describe", "echo", "--json").stdout).keys() == keys | {
        "versions", "missing", "workers", "stats", "env", "packages", "url",
    }  # fmt: skip


def test_the_environment_comes_from_options_and_a_file_and_its_values_stay_hidden(
    on: Run, hello: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "env"
    file.write_text("# for the test\n\nA=from the file\nB=two=2\n")
    monkeypatch.setenv("HERE", "taken")
    result = on("act", "add", str(hello), "-e", "A=given", "--env", "HERE", "-e", "EMPTY=", "--env-file", str(file))
    assert result.exit_code == 0, result.stderr
    hidden = json.loads(on("act", "describe", "hello", "--json").stdout)["env"]
    assert hidden == {"A": None, "B": None, "EMPTY": None, "HERE": None}
    shown = json.loads(on("act", "describe", "hello", "--json", "--show-env").stdout)["env"]
    assert shown == {"A": "given", "B": "two=2", "EMPTY": "", "HERE": "taken"}
    assert "given" not in on("act", "describe", "hello").stdout
    assert "A=given" in on("act", "describe", "hello", "--show-env").stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("-e", "1A=x"), "mee6: -e: '1A' is not a variable's name; write KEY=VALUE\n"),
        (("-e", "NOT_SET_HERE"), "mee6: -e: 'NOT_SET_HERE' has no value here; write NOT_SET_HERE=VALUE\n"),
        (("--env-file", "/nowhere/env"), "mee6: cannot read /nowhere/env: No such file or directory\n"),
    ],
)
def test_an_environment_that_is_none_is_refused(on: Run, hello: Path, args: tuple[str, str], says: str) -> None:
    result = on("act", "add", str(hello), *args)
    assert (result.stdout, result.stderr, result.exit_code) == ("", says, 2)


def test_how_far_the_packages_are_is_told_once_where_nobody_looks(on: Run, agent: FakeAgent, hello: Path) -> None:
    agent.lines = ["resolving 1 package: tiny", "Downloading tiny", ""]
    result = on("act", "add", str(hello), "-o", "name")
    assert (result.stdout, result.stderr) == ("hello\n", "mee6: resolving 1 package: tiny\n")


def test_an_empty_list_is_empty_in_every_form(on: Run, agent: FakeAgent) -> None:
    agent.functions.clear()
    assert on("act", "ls", "-o", "json").stdout == "[]\n"
    result = on("act", "ls")
    assert (result.stdout, result.stderr) == ("", "mee6: no functions yet; make one with: mee6 init NAME\n")


def test_logs_are_lines_with_where_they_come_from(on: Run, agent: FakeAgent) -> None:
    log = console_pb2.Log(invocation="i1", function="echo", stream="out", text="one\ntwo\n")
    agent.logs = [console_pb2.LogsReply(at_ns=1, log=log)]
    assert on("act", "logs", "echo").stdout == "echo i1 one\necho i1 two\n"
    assert on("act", "logs", "--id", "i1").stdout == "one\ntwo\n"
    assert json.loads(on("act", "logs", "-o", "json").stdout)["text"] == "one\ntwo\n"


def test_the_user_of_the_context_is_who_asks(on: Run, agent: FakeAgent, config: Path) -> None:
    config.write_text('current = "lab"\n[context.lab]\nuser = "ann"\n')
    on("act", "ls")
    assert agent.requests[-1].username == "ann"
    on("act", "ls", "--user", "bob")
    assert agent.requests[-1].username == "bob"


def test_function_names_complete(on: Run, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {**os.environ, "_MEE6_COMPLETE": "complete_bash", "COMP_WORDS": "mee6 act invoke e", "COMP_CWORD": "3"}
    command = [sys.executable, "-m", "mee6tui.cli.main"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=20)
    assert done.stdout.split() == ["echo"], done.stderr


@pytest.mark.slow
def test_ctrl_c_calls_the_invocation_off_and_exits_130(on: Run, agent: FakeAgent) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "mee6tui.cli.main", "act", "invoke", "slow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert agent.started.wait(20)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert (stdout, stderr, process.returncode) == ("", "", 130)
    assert agent.unwound.wait(5)
