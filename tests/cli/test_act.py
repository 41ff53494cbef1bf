from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import yaml

from mee6.api.v1 import console_pb2, invoker_pb2
from mee6.errors import Conflict, DependencyFailed, InvalidCode
from mee6.manifest import parse
from mee6.records import Added, Function
from mee6tui.cli import act
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
        (("act", "ls", "--wrong"), 2, "no option --wrong; did you mean --json? see: mee6 act ls --help"),
        (("act", "--json", "ls"), 2, "no option --json, or it belongs after the command; see: mee6 act --help"),
        (("--address", "x", "act", "ls"), 2, "no option --address, or it belongs after the command; see: mee6 --help"),
        (("act", "ls", "--address", "http://h:1"), 2, "'http://h:1' (from --address) is no HOST:PORT; leave out what"),
        (
            ("act", "ls", "--address", "no-such-host.invalid:1"),
            5,
            "no machine is found by the name in no-such-host.inv",
        ),
        (("act", "logs", "-n", "-1"), 2, "invalid value for '--tail' / '-n': it must be 0 or more; see: mee6 act logs"),
        (
            ("act", "logs", "-n", "x"),
            2,
            "invalid value for '--tail' / '-n': it must be a whole number; see: mee6 act l",
        ),
        (("act", "logs", "-n", "99999999999999"), 2, "it must be 1000000 or less"),
        (("act", "invoke", "echo", "-t", "9" * 400), 2, "is longer than 30 years"),
        (("worker", "limits", "w1", "--memory", "9" * 30 + "G"), 2, "is more than any machine has"),
        (("agent", "set", "prewarm=python=999999999999"), 2, "is over 100000, more workers than a machine can have"),
        (
            ("init", "x", "-r", "cobol"),
            2,
            "invalid value for '--runtime' / '-r': 'cobol' is not one of 'python', 'nodejs'",
        ),
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


def test_an_argument_over_the_connections_limit_is_told_in_bytes(on: Run, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(40 << 20))
    result = on("act", "invoke", "echo", f"@{tmp_path}/big")
    assert result.exit_code == 8
    assert result.stderr.startswith("mee6: the message has 4194")
    assert "over the connection's limit of 33554432; send less at once" in result.stderr


def test_debug_shows_the_python_traceback(on: Run) -> None:
    result = on("act", "describe", "nope", "--debug")
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.endswith("mee6: no function 'nope'; see: mee6 act ls\n")


def test_all_folders_below_one_are_added_in_their_order(on: Run, tmp_path: Path) -> None:
    for place in ("b", "a/c", "a", "a/.git/d", "a/node_modules/e"):
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "activity.yaml").write_text(f"name: f-{folder.name}\nruntime: python\n")
        (folder / "main.py").write_text("def main(arg): return arg\n")
    added = on("act", "add", f"{tmp_path}/...")
    assert [line.split()[1] for line in added.stdout.splitlines()] == ["f-a", "f-c", "f-b"]
    again = tmp_path / "a/f"
    again.mkdir()
    (again / "activity.yaml").write_text("name: f-b\nruntime: python\n")
    twice = on("act", "add", f"{tmp_path}/...")
    assert (twice.exit_code, twice.stdout) == (2, "")
    assert twice.stderr == f"mee6: 'f-b' stands in {again} and in {tmp_path}/b; add one of them\n"
    (tmp_path / "empty").mkdir()
    none = on("act", "add", f"{tmp_path}/empty/...")
    assert (none.exit_code, none.stdout) == (2, "")
    assert none.stderr == f"mee6: no folder below {tmp_path}/empty has an activity.json or activity.yaml\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "f", "runtime": "nodejs", "dependencies": {"g": {}}}', "added f (nodejs, version 1)"),
        ('{"name": "f", "steps": {"a": {"function": "g"}}}', "added f (workflow, version 1)"),
    ],
)
def test_what_was_added_is_called_by_its_language_or_a_workflow(text: str, said: str) -> None:
    read = parse(text)
    known = msgspec.json.encode(read).decode()  # as an agent keeps it, with all of its keys
    function = Function("ann", "f", read.runtime, 1, "", 0, 0.0, read.is_workflow, known)
    assert act._story(Added(function, unchanged=False, missing=())) == said


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
        "versions", "missing", "workers", "stats", "env", "packages", "requirements", "url",
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


@pytest.fixture
def logged(agent: FakeAgent) -> FakeAgent:
    said = (("out", "one\ntwo\n"), ("err", "oh\x1b[2J\n"))
    agent.logs = [
        console_pb2.LogsReply(
            at_ns=number,
            wall_ns=1_700_000_000_000_000_000 + number * 1000,
            log=console_pb2.Log(invocation="i1", function="echo", worker="w1", stream=stream, text=text),
        )
        for number, (stream, text) in enumerate(said)
    ]
    return agent


def test_logs_are_lines_with_where_they_come_from(on: Run, logged: FakeAgent) -> None:
    whole = "echo i1 w1 out one\necho i1 w1 out two\necho i1 w1 err oh\\x1b[2J\n"
    assert on("act", "logs", "echo").stdout == whole
    assert on("act", "logs", "--id", "i1").stdout == "one\ntwo\noh\\x1b[2J\n"
    assert on("act", "logs", "--id", "i1", "--prefix").stdout == whole
    assert on("act", "logs", "echo", "--no-prefix").stdout == "one\ntwo\noh\\x1b[2J\n"


def test_logs_tell_when(on: Run, logged: FakeAgent) -> None:
    lines = on("act", "logs", "--id", "i1", "-t").stdout.splitlines()
    assert lines[0] == "2023-11-14T22:13:20.000000Z one"
    assert lines[2] == "2023-11-14T22:13:20.000001Z oh\\x1b[2J"
    first = json.loads(on("act", "logs", "-o", "json").stdout.splitlines()[0])
    assert first == {
        "at_ns": 0, "time": "2023-11-14T22:13:20.000000Z", "invocation": "i1", "function": "echo", "worker": "w1",
        "stream": "out", "text": "one\ntwo\n", "dropped_bytes": 0,
    }  # fmt: skip
    documents = list(yaml.safe_load_all(on("act", "logs", "-o", "yaml").stdout))
    assert [document["stream"] for document in documents] == ["out", "err"]


def test_logs_are_asked_for_since_and_at_most(on: Run, logged: FakeAgent) -> None:
    on("act", "logs", "echo", "--since", "5m", "-n", "7")
    assert (logged.requests[-1].since_s, logged.requests[-1].tail) == (300.0, 7)
    then = datetime.now(UTC) - timedelta(hours=1)
    on("act", "logs", "echo", "--since", then.isoformat())
    assert logged.requests[-1].since_s == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--since", "yesterday"), "--since 'yesterday' is neither a duration, as in 90s, 5m or 2h, nor a time, as in"),
        (("--since", "2999-01-01"), "--since '2999-01-01' has not come yet; give an earlier time"),
        (("-o", "name"), "-o name does not go with lines of output; use one of: plain, jsonl, yaml"),
    ],
)
def test_logs_that_cannot_be_are_refused(on: Run, args: tuple[str, ...], says: str) -> None:
    refused = on("act", "logs", *args)
    assert (refused.stdout, refused.exit_code) == ("", 2)
    assert says in refused.stderr


def test_of_several_folders_a_bad_one_keeps_none_from_being_added(on: Run, hello: Path, tmp_path: Path) -> None:
    (bad := tmp_path / "bad").mkdir()
    (bad / "activity.json").write_text('{"name": "bad",\n"runtim": "python"}')
    given = (str(bad), str(tmp_path / "nowhere"), str(hello))
    done = on("act", "add", *given)
    assert (done.stdout, done.exit_code) == ("added hello (python, version 1)\n", 2)
    first, second, *rest = done.stderr.splitlines()
    assert first.startswith("mee6: bad/activity.json, line 2: no key 'runtim'; did you mean 'runtime'?")
    assert second == f"mee6: {tmp_path}/nowhere does not exist; give the folder that holds activity.json"
    assert rest == ["mee6: still missing, declared as dependencies: nope", "mee6: 2 of 3 were not added"]
    rows = json.loads(on("act", "add", *given, "-o", "json").stdout)
    assert [(row["folder"], row["error"] and row["error"]["code"]) for row in rows] == [
        (given[0], "invalid_manifest"), (given[1], "invalid_bundle"), (given[2], None),
    ]  # fmt: skip
    assert (rows[2]["name"], rows[2]["version"]) == ("hello", 1)
    assert on("act", "add", *given, "-o", "name").stdout == "hello\n"


def test_failures_of_different_kinds_exit_1_and_one_alone_its_own(on: Run, hello: Path, agent: FakeAgent) -> None:
    agent.refusals = {"hello": Conflict("the agent is stopping and adds no more functions")}
    mixed = on("act", "add", str(hello), "/nowhere")
    assert (mixed.stdout, mixed.exit_code) == ("", 1)
    assert mixed.stderr.startswith(f"mee6: {hello}: the agent is stopping")
    alone = on("act", "add", str(hello))
    assert (alone.stderr, alone.exit_code) == ("mee6: the agent is stopping and adds no more functions\n", 7)


def test_an_agent_that_is_gone_is_told_once(mee6: Run, hello: Path, tmp_path: Path) -> None:
    done = mee6("act", "add", str(hello), str(hello), str(hello), "--address", f"unix:{tmp_path}/nobody.sock")
    assert done.exit_code == 5
    assert done.stderr.count("no agent answers") == 1
    assert done.stderr.endswith("mee6: 3 of 3 were not added\n")


def test_functions_are_removed_up_to_the_last_that_is_there(on: Run) -> None:
    done = on("act", "rm", "nope", "echo")
    assert (done.stdout, done.exit_code) == ("removed echo\n", 3)
    assert done.stderr == "mee6: no function 'nope'; see: mee6 act ls\nmee6: 1 of 2 was not removed\n"


PIP = """Collecting tiny==9
  Retrying (Retry(total=1)) after connection broken
ERROR: Could not find a version that satisfies the requirement tiny==9 (from versions: 1.0)
ERROR: No matching distribution found for tiny==9
"""


def test_of_what_pip_says_only_what_tells_why_is_shown(on: Run, hello: Path, agent: FakeAgent) -> None:
    agent.refusals = {"hello": DependencyFailed("no package fits 'tiny==9'; look at its name", traceback=PIP)}
    assert on("act", "add", str(hello)).stderr.splitlines() == [
        "ERROR: Could not find a version that satisfies the requirement tiny==9 (from versions: 1.0)",
        "ERROR: No matching distribution found for tiny==9",
        "mee6: no package fits 'tiny==9'; look at its name (-v shows all 4 lines)",
    ]
    assert on("act", "add", str(hello), "-v").stderr == PIP + "mee6: no package fits 'tiny==9'; look at its name\n"


def test_what_pip_says_comes_whole_though_a_status_has_no_room_for_it(on: Run, hello: Path, agent: FakeAgent) -> None:
    said = "".join(f"line {number} of a build that goes on and on\n" for number in range(400))
    agent.refusals = {"hello": DependencyFailed("a package could not be built", traceback=said)}
    assert on("act", "add", str(hello), "-v").stderr == said + "mee6: a package could not be built\n"


def test_code_that_cannot_be_read_is_shown_and_can_be_added_unchecked(on: Run, hello: Path, agent: FakeAgent) -> None:
    agent.refusals = {
        "hello": InvalidCode("main.py:2: invalid syntax", traceback='  File "main.py", line 2\n    x = =')
    }
    refused = on("act", "add", str(hello))
    assert refused.exit_code == 2
    assert refused.stderr == f'  File "main.py", line 2\n    x = =\nmee6: {hello}/main.py:2: invalid syntax\n'
    assert not agent.requests[-1].no_check
    agent.refusals = {}
    assert on("act", "add", str(hello), "--no-check").exit_code == 0
    assert agent.requests[-1].no_check


def test_packages_are_described_by_name_and_version(on: Run, agent: FakeAgent) -> None:
    packages = (("numpy", "2.1", True), ("pandas", "2.2", True), ("six", "1.0", False))
    agent.packages = [invoker_pb2.Package(name=name, version=version, asked=asked) for name, version, asked in packages]
    told = on("act", "describe", "echo").stdout
    assert "packages     numpy==2.1, pandas==2.2 (and 1 that they need)\n" in told
    assert "python-3.11-abc" not in told
    row = json.loads(on("act", "describe", "echo", "--json").stdout)
    assert row["packages"] == "python-3.11-abc"
    assert row["requirements"][2] == {"name": "six", "version": "1.0", "asked": False}


@pytest.mark.parametrize("args", [("act", "ls"), ("worker", "ls"), ("agent", "status")])
def test_quiet_leaves_the_names(on: Run, args: tuple[str, ...]) -> None:
    assert on(*args, "-q").stdout == on(*args, "-o", "name").stdout != ""
    assert on(*args, "-q", "--json").stdout == on(*args, "--json").stdout


def test_quiet_says_results_and_errors_and_nothing_else(on: Run, hello: Path, agent: FakeAgent) -> None:
    agent.lines = ["resolving 1 package: tiny"]
    done = on("act", "add", str(hello), "-q")
    assert (done.stdout, done.stderr) == ("hello\n", "")
    assert on("act", "invoke", "echo", "foo", "-q").stdout == "foo\n"
    assert on("act", "invoke", "nope", "-q").stderr == "mee6: no function 'nope' for user 'default'; see: mee6 act ls\n"


@pytest.mark.parametrize("args", [("act", "ls"), ("act", "describe", "echo"), ("act", "invoke", "echo", "x"),
                                  ("agent", "status"), ("worker", "ls"), ("context", "ls")])  # fmt: skip
def test_plain_is_table_where_nothing_moves(on: Run, args: tuple[str, ...]) -> None:
    assert on(*args, "-o", "plain").stdout == on(*args).stdout != ""


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
