"""What is Node.js's own in its runtime: how its code is found, what it throws, how it ends. One process, no proxy."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mee6.content import unpack
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import (
    AskHandover,
    Call,
    Fault,
    Function,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Limits,
    Load,
    Log,
    Report,
    Result,
    Welcome,
)
from tests.support.lane import Bare, Worker
from tests.support.places import WAIT_S

RUNTIME = Path(__file__).parents[2] / "runtimes" / "nodejs"

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH"),
]

Made = Callable[..., Function]


@pytest.fixture
def function(tmp_path: Path) -> Made:
    """Makes a function of files, `main.js` unless named otherwise."""

    def make(code: str = "", **files: str) -> Function:
        folder = tmp_path / "code"
        folder.mkdir()
        for name, text in ({"main.js": code} if code else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Function("f", 3, "nodejs", str(folder), env={"GREETING": "hello"})

    return make


def ran(made: Function, arg: object, folder: Path) -> Report:
    """One invocation of a function that loads."""
    with Bare("nodejs", folder / "act") as runtime:
        loaded = runtime.load(made)
        assert loaded.fault is None, loaded.fault
        return runtime.invoke(arg)


def value_of(report: Report) -> object:
    assert report.fault is None, report.fault
    return unpack(report.result, report.content_type)


@pytest.mark.parametrize(
    "code",
    [
        "module.exports = (arg) => `got ${arg}`;",
        "exports.main = (arg) => `got ${arg}`;",
        "module.exports = async (arg) => `got ${arg}`;",
        "module.exports = (arg) => new Promise((resolve) => setTimeout(resolve, 1, `got ${arg}`));",
        "module.exports = (arg) => ({ then: (resolve) => resolve(`got ${arg}`) });",
        "module.exports = class { static main(arg) { return `got ${arg}`; } }.main;",
    ],
)
def test_the_exported_function_is_called_in_all_its_forms(code: str, function: Made, tmp_path: Path) -> None:
    assert value_of(ran(function(code), "it", tmp_path)) == "got it"


@pytest.mark.parametrize(
    "files",
    [
        {
            "main.mjs": "import Box, { invoke } from '@m6s/box';\n"
            "export default (arg) => `${arg} ${invoke === Box.invoke}`;"
        },
        {
            "package.json": '{"type": "module"}',
            "main.js": "import Box from '@m6s/box';\n"
            "export const main = async (arg) => `${arg} ${typeof Box.invoke === 'function'}`;",
        },
        {
            "main.js": "module.exports = (arg) => `${arg} ${require('./lib/deep')}`;",
            "lib/deep/index.js": "module.exports = typeof require('@m6s/box').invoke === 'function';",
        },
    ],
    ids=["mjs", "type-module", "nested-require"],
)
def test_es_modules_and_nested_modules_find_the_box(files: dict[str, str], function: Made, tmp_path: Path) -> None:
    assert value_of(ran(function(**files), "box", tmp_path)) == "box true"


@pytest.mark.parametrize(
    ("files", "message", "error_type"),
    [
        ({}, "cannot load 'f': no main.js in its folder", ""),
        (
            {"main.js": "module.exports = 3;"},
            "cannot load 'f': main.js exports no function; write: module.exports =",
            "",
        ),
        (
            {"main.js": "const a = 1;\nlet a = 2;"},
            "cannot load 'f': SyntaxError in main.js, line 2: Identifier 'a'",
            "SyntaxError",
        ),
        (
            {"main.mjs": "const a = 1;\nlet a = 2;"},
            "cannot load 'f': SyntaxError in main.mjs, line 2: Ident",
            "SyntaxError",
        ),
        (
            {"main.js": "require('./lib');", "lib.js": "\n\n}"},
            "cannot load 'f': SyntaxError in lib.js, line 3: Unexpected token '}'",
            "SyntaxError",
        ),
        (
            {"main.js": "require('left-pad');"},
            "cannot load 'f': loading main.js raised Error: Cannot find module 'left-pad'",
            "Error",
        ),
        ({"main.js": "null.x;"}, "cannot load 'f': loading main.js raised TypeError: Cannot read", "TypeError"),
        ({"main.js": "throw 'tantrum';"}, "cannot load 'f': loading main.js raised String: 'tantrum'", "String"),
    ],
)
def test_code_that_cannot_be_loaded_says_why_in_one_line(
    files: dict[str, str], message: str, error_type: str, function: Made, tmp_path: Path
) -> None:
    with Bare("nodejs", tmp_path / "act") as runtime:
        fault = runtime.load(function(**files)).fault
    assert fault is not None
    assert (fault.code, fault.function, fault.error_type) == ("load_failed", "f", error_type)
    assert fault.message.startswith(message)
    assert "\n" not in fault.message
    assert str(RUNTIME) not in fault.traceback


def test_a_traceback_shows_the_functions_own_frames_and_its_causes(function: Made, tmp_path: Path) -> None:
    code = """
    class Broken extends Error {}
    function inner() { throw new RangeError("too far"); }
    module.exports = async () => { try { inner(); } catch (cause) { throw new Broken("cannot", { cause }); } };
    """
    fault = ran(function(code), None, tmp_path).fault
    assert fault is not None
    assert (fault.code, fault.error_type, fault.message) == ("function_raised", "Broken", "'f' raised Broken: cannot")
    assert "Caused by: RangeError: too far\n    at inner (" in fault.traceback
    assert "main.js:3:" in fault.traceback
    assert str(RUNTIME) not in fault.traceback
    assert "node:" not in fault.traceback


@pytest.mark.parametrize(
    ("thrown", "error_type", "message"),
    [
        ("'no'", "String", "'f' raised String: 'no'"),
        ("null", "null", "'f' raised null: null"),
        ("{ a: 1 }", "Object", "'f' raised Object: { a: 1 }"),
    ],
)
def test_what_is_thrown_need_not_be_an_error(
    thrown: str, error_type: str, message: str, function: Made, tmp_path: Path
) -> None:
    fault = ran(function(f"module.exports = () => {{ throw {thrown}; }};"), None, tmp_path).fault
    assert fault is not None
    assert (fault.code, fault.error_type, fault.message) == ("function_raised", error_type, message)


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("1n", "bigint"),
        ("{ a: 1n }", "Object"),
        ("(() => { const a = {}; a.a = a; return a; })()", "Object"),
        ("() => 1", "function"),
        ("Symbol()", "symbol"),
    ],
)
def test_a_result_that_cannot_be_sent_is_refused_by_its_kind(
    expression: str, kind: str, function: Made, tmp_path: Path
) -> None:
    fault = ran(function(f"module.exports = () => ({expression});"), None, tmp_path).fault
    assert fault is not None
    assert fault.code == "result_refused"
    assert f"'f' returned what cannot be sent: cannot send a value of type '{kind}' as JSON: " in fault.message
    assert "\n" not in fault.message


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("undefined", None),
        ("null", None),
        ("''", ""),
        ("new Uint8Array([1, 2])", b"\x01\x02"),
        ("Buffer.from('ab')", b"ab"),
        ("new Uint16Array([1])", b"\x01\x00"),
        ("new ArrayBuffer(2)", b"\x00\x00"),
        ("[1, 'a', null, { b: true }]", [1, "a", None, {"b": True}]),
    ],
)
def test_results_travel_by_their_kind(expression: str, value: object, function: Made, tmp_path: Path) -> None:
    assert value_of(ran(function(f"module.exports = () => ({expression});"), None, tmp_path)) == value


def test_a_binary_argument_is_the_functions_to_keep(function: Made, tmp_path: Path) -> None:
    code = "const kept = [];\nmodule.exports = (arg) => { kept.push(arg); return Buffer.concat(kept); };"
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        runtime.invoke(b"one ")
        assert value_of(runtime.invoke(b"two")) == b"one two"


def test_a_frame_that_comes_in_pieces_is_put_together(function: Made, tmp_path: Path) -> None:
    big = bytes(range(256)) * (12 << 10)
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function("module.exports = (arg) => arg;")).fault is None
        assert value_of(runtime.invoke(big)) == big
        assert value_of(runtime.invoke("small")) == "small"


def test_a_function_knows_its_surroundings(function: Made, tmp_path: Path) -> None:
    code = """
    const Box = require("@m6s/box");
    const fs = require("node:fs");
    module.exports = () => {
      const { invocation, function: name, version, chain, deadline } = Box.context;
      fs.writeFileSync(`${Box.scratch}/mine`, "");
      const now = Number(process.hrtime.bigint()) / 1e9;
      return {
        invocation, name, version, chain, env: process.env.GREETING, cwd: process.cwd(),
        flow: Box.flow, scratch: Box.scratch,
        cur: fs.readdirSync(`${Box.scratch}/../cur`), left: deadline - now,
      };
    };
    """
    made, act = function(code), tmp_path / "act"
    with Bare("nodejs", act) as runtime:
        assert runtime.load(made).fault is None
        number = runtime.begin(None, chain=["root", "f"])
        known = value_of(runtime.report(number))
        assert isinstance(known, dict)
        assert 55 < known.pop("left") <= 60
        assert known == {
            "invocation": number,
            "name": "f",
            "version": 3,
            "chain": ["root", "f"],
            "env": "hello",
            "cwd": made.path,
            "flow": str(act / "flow"),
            "scratch": str(act / number),
            "cur": ["mine"],
        }
        assert value_of(runtime.invoke()) is not None
        assert not (act / number).exists()
        assert not list(act.rglob(number))


def test_what_a_function_leaves_in_its_folder_is_gone_for_the_next(function: Made, tmp_path: Path) -> None:
    code = """
    const fs = require("node:fs");
    module.exports = (cur) => {
      const found = fs.readdirSync(cur);
      fs.mkdirSync(`${cur}/a/b`, { recursive: true });
      return found;
    };
    """
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        cur = str(tmp_path / "act" / "cur")
        assert [value_of(runtime.invoke(cur)) for _ in range(3)] == [[], [], []]


def test_a_function_that_removes_its_own_folder_can_run_again(function: Made, tmp_path: Path) -> None:
    code = """
    const Box = require("@m6s/box");
    const fs = require("node:fs");
    module.exports = () => {
      fs.rmSync(fs.realpathSync(Box.scratch), { recursive: true });
      fs.rmSync(Box.scratch);
      return "gone";
    };
    """
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        assert [value_of(runtime.invoke()) for _ in range(2)] == ["gone", "gone"]


def test_calls_made_at_once_leave_at_once_and_come_back_in_any_order(function: Made, tmp_path: Path) -> None:
    code = """
    const Box = require("@m6s/box");
    module.exports = async () => {
      const gathered = await Box.gather([["a", 1], ["b", { x: 2 }], "c"]);
      return [gathered, await Promise.all([Box.invoke("d")])];
    };
    """
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        number = runtime.begin()
        calls = [runtime.until(Call) for _ in range(3)]
        assert [(call.id, call.invocation, call.name, call.arg) for call in calls] == [
            (f"{number}.1", number, "a", b"1"),
            (f"{number}.2", number, "b", b'{"x":2}'),
            (f"{number}.3", number, "c", b"null"),
        ]
        for call in reversed(calls):
            runtime.answer(call, call.name.upper())
        runtime.answer(runtime.until(Call), b"\x00")
        assert value_of(runtime.report(number)) == [["A", "B", "C"], [{"type": "Buffer", "data": [0]}]]


def test_a_call_that_failed_is_an_error_with_the_remote_traceback(function: Made, tmp_path: Path) -> None:
    code = """
    const Box = require("@m6s/box");
    module.exports = async (arg) => {
      if (arg === "let it pass") return await Box.invoke("g");
      try { await Box.invoke("g"); } catch (error) {
        const { name, code, function: called, errorType, remoteStack, message } = error;
        return [error instanceof Box.RemoteError, name, code, called, errorType, remoteStack, message];
      }
    };
    """
    failed = Fault(
        "function_raised", "'g' raised ValueError: no", "g", "ValueError", "Traceback: ...\nValueError: no\n"
    )
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        number = runtime.begin()
        runtime.lane.send(Result(runtime.until(Call).id, fault=failed))
        assert value_of(runtime.report(number)) == [
            True, "FunctionRaised", "function_raised", "g", "ValueError", failed.traceback, failed.message
        ]  # fmt: skip
        number = runtime.begin("let it pass")
        runtime.lane.send(Result(runtime.until(Call).id, fault=failed))
        fault = runtime.report(number).fault
    assert fault is not None
    assert (fault.code, fault.function, fault.error_type) == ("function_raised", "f", "FunctionRaised")
    assert "main.js:4:" in fault.traceback
    assert "Traceback of 'g':\n  Traceback: ...\n  ValueError: no" in fault.traceback


def test_a_call_outside_an_invocation_is_refused(function: Made, tmp_path: Path) -> None:
    code = """
    const Box = require("@m6s/box");
    const early = Box.invoke("g").catch((error) => error.code);
    const refusal = (call) => call.catch((error) => error.code ?? error.name);
    module.exports = async () => [await early, await refusal(Box.invoke(3)), await refusal(Box.invoke("g", 1n))];
    """
    assert value_of(ran(function(code), None, tmp_path)) == ["call_refused", "TypeError", "invalid_input"]


def test_output_comes_in_whole_lines_and_in_order_before_the_report(function: Made, tmp_path: Path) -> None:
    code = """
    console.log("loading");
    const Box = require("@m6s/box");
    module.exports = async () => {
      console.log("a %d", 1); process.stdout.write("b"); process.stdout.write(Buffer.from("\\u00e9\\n"));
      console.error("c"); Box.log("d", { e: 1 });
      await new Promise((resolve) => process.stdout.write("end", resolve));
    };
    """
    with Bare("nodejs", tmp_path / "act") as runtime:
        loaded = runtime.load(function(code))
        assert [(log.invocation, log.text) for log in runtime.seen if isinstance(log, Log)] == [
            (loaded.id, "loading\n")
        ]
        runtime.seen.clear()
        number = runtime.begin()
        runtime.report(number)
        logs = [message for message in runtime.seen if isinstance(message, Log)]
        assert [(log.stream, log.text) for log in logs] == [
            ("out", "a 1\nbé\n"),
            ("err", "c\nd { e: 1 }\n"),
            ("out", "end"),
        ]
        assert {log.invocation for log in logs} == {number}
        assert isinstance(runtime.seen[-1], Report)
        assert 0 < logs[0].at_ns <= logs[1].at_ns <= logs[2].at_ns


def test_output_of_a_function_that_goes_on_is_sent_meanwhile(function: Made, tmp_path: Path) -> None:
    code = "module.exports = () => new Promise((resolve) => { console.log('soon'); globalThis.resolve = resolve; });"
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function(code)).fault is None
        runtime.begin()
        assert runtime.until(Log).text == "soon\n"


def test_output_over_the_limit_is_counted_and_not_carried(function: Made, tmp_path: Path) -> None:
    code = "module.exports = (n) => { for (let i = 0; i < n; i++) console.log('\\u00e9'.repeat(499) + 'x'); };"
    with Bare("nodejs", tmp_path / "act", Limits(log_bytes=10_000)) as runtime:
        assert runtime.load(function(code)).fault is None
        for _ in range(2):
            runtime.seen.clear()
            assert runtime.invoke(2000).fault is None
            logs = [message for message in runtime.seen if isinstance(message, Log)]
            carried = sum(len(log.text.encode()) for log in logs)
            assert 9_990 < carried <= 10_000
            assert carried + sum(log.dropped_bytes for log in logs) == 2_000_000


def test_an_error_that_nobody_caught_is_reported_and_ends_the_process(function: Made, tmp_path: Path) -> None:
    code = """
    module.exports = (how) => new Promise(() => {
      if (how === "timer") setTimeout(() => { throw new Error("late"); }, 1);
      else void Promise.reject(new Error("late"));
    });
    """
    made = function(code)
    for how in ("timer", "promise"):
        with Bare("nodejs", tmp_path / how) as runtime:
            assert runtime.load(made).fault is None
            fault = runtime.invoke(how).fault
            assert fault is not None
            assert (fault.code, fault.message) == ("function_raised", "'f' raised Error: late")
            assert runtime.receive() is None
            assert runtime.exited() == 1


def test_a_function_that_exits_ends_the_process_with_its_status_after_its_output(
    function: Made, tmp_path: Path
) -> None:
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert runtime.load(function("module.exports = () => { console.log('bye'); process.exit(3); };")).fault is None
        runtime.begin()
        assert runtime.until(Log).text == "bye\n"
        assert runtime.receive() is None
        assert runtime.exited() == 3


def test_the_end_of_the_lane_ends_the_process_also_in_the_middle_of_an_invocation(
    function: Made, tmp_path: Path
) -> None:
    with Bare("nodejs", tmp_path / "act") as runtime:
        assert (
            runtime.load(function("module.exports = () => new Promise((r) => setInterval(() => {}, 1000));")).fault
            is None
        )
        runtime.begin()
        runtime.lane.close()
        assert runtime.exited() == 0


def test_a_frame_over_the_limit_ends_the_process(tmp_path: Path) -> None:
    with Bare("nodejs", tmp_path / "act") as runtime:
        with socket.fromfd(runtime.lane.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            raw.sendall(b"\xff\xff\xff\xff")
        assert runtime.receive() is None
        assert runtime.exited() == 0


def test_after_a_handover_the_runtime_serves_the_agent_and_leaves_the_proxy(function: Made, tmp_path: Path) -> None:
    address = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener, Bare("nodejs", tmp_path / "act") as runtime:
        listener.settimeout(WAIT_S)
        listener.bind(address)
        listener.listen()
        loaded = runtime.load(function("module.exports = (arg) => { console.log('seen'); return arg; };"))
        runtime.lane.send(Handover("secret", address))
        sock, _ = listener.accept()
        agent = BlockingLane(sock)
        expected = Hello("secret", "runtime", "nodejs", runtime.pid, direct=True, many=True, store=True)
        assert agent.receive(WAIT_S) == expected
        agent.send(Welcome("w1", Limits(result_bytes=4), str(tmp_path / "act")))
        assert runtime.report(loaded.id) == Report(loaded.id, handed_over=True)
        assert runtime.receive() is None, "the old lane is left"
        agent.send(Invoke("i7", b"here", "text/plain", ["f"]))
        log, report = agent.receive(WAIT_S), agent.receive(WAIT_S)
        assert isinstance(log, Log)
        assert log.text == "seen\n"
        assert report == Report("i7", b"here")
        agent.send(Invoke("i8", b"large", "text/plain", ["f"]))
        agent.receive(WAIT_S)
        refused = agent.receive(WAIT_S)
        assert isinstance(refused, Report)
        assert refused.fault is not None
        assert refused.fault.message == "the result of 'f' is 5 bytes, over the limit of 4"
        agent.close()
        assert runtime.exited() == 0


@pytest.mark.parametrize("agent", ["absent", "silent"])
def test_a_handover_that_fails_leaves_the_runtime_with_the_proxy(agent: str, function: Made, tmp_path: Path) -> None:
    address = str(tmp_path / "agent.sock")
    with socket.socket(socket.AF_UNIX) as listener, Bare("nodejs", tmp_path / "act") as runtime:
        if agent == "silent":
            listener.bind(address)
            listener.listen()
        loaded = runtime.load(function("module.exports = (arg) => arg;"))
        runtime.lane.send(Handover("secret", address))
        assert runtime.report(loaded.id) == Report(loaded.id)
        assert value_of(runtime.invoke("still here")) == "still here"


def test_a_proxy_hands_the_runtime_over_and_leaves(function: Made, tmp_path: Path) -> None:
    made = function("module.exports = () => process.pid;")
    with Worker(["nodejs"], tmp_path / "act", tmp_path, grants=True) as worker:
        worker.lane.send(Load("l1", made, {"f": made}))
        worker.until(AskHandover)
        worker.lane.send(Handover("secret", worker.path))
        agent, hello = worker.accept()
        assert (hello.token, hello.role, hello.runtime) == ("secret", "runtime", "nodejs")
        assert worker.report("l1") == Report("l1", handed_over=True)
        worker.lane.send(Goodbye())
        assert worker.receive() is None
        agent.send(Invoke("i1", b"", "text/plain", ["f"]))
        report = agent.receive(WAIT_S)
        assert isinstance(report, Report)
        assert value_of(report) == hello.pid
        agent.close()


def test_every_file_is_sound_javascript() -> None:
    files = sorted(RUNTIME.rglob("*.js"))
    assert len(files) > 8
    node = shutil.which("node")
    assert node is not None
    for path in files:
        subprocess.run([node, "--check", str(path)], check=True, timeout=30, capture_output=True)
        assert path.parent.name == "vendor" or '"use strict";' in path.read_text()


def test_the_vendored_package_is_the_published_one() -> None:
    said = json.loads((RUNTIME / "package.json").read_text())["vendored"]["@msgpack/msgpack"]
    assert hashlib.sha256((RUNTIME / said["to"]).read_bytes()).hexdigest() == said["sha256"]
    assert said["sha256"] in (RUNTIME / "vendor" / "README.md").read_text()
    assert "ISC" in said["license"]
    assert "MessagePack Community" in (RUNTIME / "vendor" / "LICENSE.msgpack").read_text()
