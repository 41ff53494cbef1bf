"""Adding and invoking functions from the console: what is checked in place, what the agent gets, what comes of it."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.events import Key
from textual.widgets import Input

from mee6.api.v1 import invoker_pb2
from mee6.records import Batch, Event, FunctionChange
from mee6tui.console.app import ConsoleApp
from mee6tui.console.payload import Mode, Payload
from mee6tui.console.recall import PAYLOADS, Recall, recall_path
from mee6tui.console.screens.add import AddScreen
from mee6tui.console.screens.invoke import InvokeScreen
from tests.console.acting import Acting, acting
from tests.console.conftest import Play
from tests.support.agents import write_function


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")


def form(at: Acting) -> InvokeScreen:
    screen = at.stage.app.screen
    assert isinstance(screen, InvokeScreen), screen
    return screen


def adding(at: Acting) -> AddScreen:
    screen = at.stage.app.screen
    assert isinstance(screen, AddScreen), screen
    return screen


async def on_function(at: Acting, name: str) -> None:
    at.agent.know(name)
    await at.press("3")
    at.stage.app.filter(f"function={name}")
    await at.stage.settle()


def titles(at: Acting) -> list[str]:
    return [str(note.title) for note in at.stage.app._notifications]


async def ended(at: Acting) -> str:
    return await at.until(lambda: form(at).running is not None and "again" in at.stage.text, "the result")


# Invoking


async def test_a_function_is_invoked_with_text_and_its_result_is_shown(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        text = await at.press("i")
        assert "Invoke echo v1 of default" in text
        text = await at.write("hello you")
        assert "$ mee6 act invoke echo 'hello you' --context desk" in text
        await at.press("ctrl+r")
        text = await ended(at)
        assert "hello you" in form(at).result.text
        (request,) = at.asked(invoker_pb2.InvokeRequest)
        assert (request.username, request.actName) == ("default", "echo")
        assert (request.data, request.content_type, request.detach) == (b"hello you", "text/plain", True)
        await at.press("c")
        assert at.stage.app.clipboard == "hello you"
        await at.press("Y")
        assert at.stage.app.clipboard == "mee6 act invoke echo 'hello you' --context desk"
        await at.press("escape")
        assert at.stage.app.command_log[-1].line == "mee6 act invoke echo 'hello you' --context desk"


async def test_what_can_be_done_is_shown_where_the_command_takes_two_lines(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i")
        form(at).editor.text = "hello " * 10
        await at.press("ctrl+r")
        assert "Y line" in await ended(at)
        write_function(tmp_path / "desk", "a-name-that-is-" + "rather-" * 4 + "long", "def main(arg): return arg\n")
        await at.press("escape", "n", "a", "tab")
        text = await at.until(lambda: "new  python" in at.stage.text, "the check")
        assert "tab completes" in text


async def test_json_is_checked_in_place_and_not_sent_before_it_is_sound(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i", "ctrl+t")
        text = await at.write('{"a": 1,\n "b" 2}')
        assert "✗ line 2, column 6: expecting ':' delimiter" in text
        await at.press("ctrl+r", "f5")
        assert not at.agent.requests
        await at.press("left", "left")
        text = await at.write(":")
        assert "sound JSON" in text
        await at.press("ctrl+r")
        await ended(at)
        (request,) = at.asked(invoker_pb2.InvokeRequest)
        assert request.content_type == "application/json"
        assert json.loads(request.data) == {"a": 1, "b": 2}
        assert form(at).result.text == '{\n  "a": 1,\n  "b": 2\n}'
        await at.press("v")
        assert form(at).result.text == '{"a": 1,\n "b" :2}'


async def test_enter_runs_what_is_whole_and_begins_a_line_in_what_is_not(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        text = await at.press("i")
        assert "enter runs" in text
        assert "enter runs" in await at.write("one")
        text = await at.press("left")
        assert "ctrl+j or F5 runs  enter new line" in text
        await at.press("end", "ctrl+n")
        await at.write("two\n")
        assert form(at).editor.text == "one\ntwo\n"
        assert not at.agent.requests
        await at.press("ctrl+j")
        await ended(at)
        await at.press("e", "ctrl+t")
        await at.press("ctrl+a", "delete")
        form(at).editor.text = ""
        text = await at.write('{"a":\n 1')
        assert form(at).editor.text == '{"a":\n 1'
        assert "enter new line" in text
        text = await at.write("}")
        assert "enter runs" in text
        await at.press("enter")
        await ended(at)
        assert [request.data for request in at.asked(invoker_pb2.InvokeRequest)] == [b"one\ntwo\n", b'{"a":\n 1}']


async def test_keys_that_come_at_once_are_typed_and_then_run(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        for key in ("i", *"hey", "enter"):
            at.stage.app.post_message(Key(key, key if len(key) == 1 else None))
        await at.until(lambda: at.asked(invoker_pb2.InvokeRequest), "the request")
        (request,) = at.asked(invoker_pb2.InvokeRequest)
        assert request.data == b"hey"


async def test_the_bytes_of_a_file_are_sent(play: Play, tmp_path: Path) -> None:
    (tmp_path / "some file").write_bytes(b"\x00\xff")
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i", "ctrl+t", "ctrl+t")
        await at.write(str(tmp_path / "no file"))
        await at.press("enter")
        await at.until(lambda: "cannot read" in form(at).result.text, "the complaint")
        form(at).path.value = str(tmp_path / "some file")
        await at.press("ctrl+r")
        await at.until(lambda: at.asked(invoker_pb2.InvokeRequest), "the request")
        await ended(at)
        (request,) = at.asked(invoker_pb2.InvokeRequest)
        assert (request.data, request.content_type) == (b"\x00\xff", "application/octet-stream")
        assert "00000000  00 ff" in form(at).result.text
        assert form(at)._view == "hex"
        assert f"-f '{tmp_path}/some file'" in form(at).lines()[0]


async def test_a_function_that_raises_shows_its_traceback(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        change = replace(at.stage.app.store.functions["desk", "default/echo"], name="fail")
        at.stage.sources[0].say(Batch(9999, (Event(1, change),)))
        await on_function(at, "fail")
        await at.press("i", "ctrl+r")
        await ended(at)
        assert form(at).result.text.startswith("division by zero\n\nTraceback")
        assert 'File "main.py", line 2, in main' in form(at).result.text
        assert at.stage.app.command_log[-1].error == "division by zero"


async def test_a_time_limit_is_checked_and_sent(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i", "tab", *"soon", "enter")
        assert "'soon' is no duration" in at.stage.text
        await at.press(*["backspace"] * 4, *"90s", "enter")
        await ended(at)
        assert at.asked(invoker_pb2.InvokeRequest)[0].timeout_s == 90.0
        assert form(at).lines() == ["mee6 act invoke echo --timeout 90s --context desk"]


async def test_the_last_arguments_are_kept_across_sessions_for_their_owner_only(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        for text in ("one", "two"):
            await at.press("i", *["backspace"] * 3, *text, "ctrl+r")
            await ended(at)
            await at.press("escape")
    assert stat.S_IMODE(recall_path().stat().st_mode) == 0o600
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i")
        assert form(at).editor.text == "two"
        await at.press("ctrl+up", "ctrl+up")
        assert form(at).editor.text == "one"
        await at.press("ctrl+down")
        assert form(at).editor.text == "two"
        await at.press("escape", "I")
        await ended(at)
        assert at.asked(invoker_pb2.InvokeRequest)[-1].data == b"two"


async def test_a_function_that_was_never_invoked_cannot_be_invoked_again(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("I")
        assert at.stage.said()[-1] == "It was never invoked from here; i invokes it"


async def test_an_invocation_is_run_again_with_what_it_had(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        at.agent.know("slow")
        at.stage.app.invoked["desk", "a1ac28013e21"] = Payload(Mode.JSON, "[1]", "5s")
        at.agent.know("echo")
        found = replace(at.stage.app.store.invocations["desk", "a1ac28013e21"], function="echo")
        at.stage.sources[0].say(Batch(9999, (Event(1, found),)))
        await at.press("4")
        at.stage.app.filter("id=a1ac28013e21")
        await at.press("r")
        await ended(at)
        (request,) = at.asked(invoker_pb2.InvokeRequest)
        assert (request.actName, request.data, request.timeout_s) == ("echo", b"[1]", 5.0)


async def test_one_whose_argument_is_not_known_is_asked_for_it(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await at.press("4")
        at.stage.app.filter("id=a1ac28013e21")
        text = await at.press("r")
        assert "the agent does not keep what a1ac28013e21 was invoked with" in text
        assert not at.agent.requests


async def test_a_result_is_saved_and_never_over_another_file(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i", *"hi", "ctrl+r")
        await ended(at)
        await at.press("s")
        name = at.stage.app.screen.query_one(Input).value
        assert name.startswith("echo-")
        assert name.endswith(".txt")
        (tmp_path / "desk" / name).write_text("mine")
        await at.press("enter")
        await at.until(lambda: "exists already" in at.stage.text, "the complaint")
        at.stage.app.screen.query_one(Input).value = "other.txt"
        await at.press("enter")
        await at.until(lambda: isinstance(at.stage.app.screen, InvokeScreen), "the form closed")
        assert (tmp_path / "desk" / "other.txt").read_text() == "hi"
        assert (tmp_path / "desk" / name).read_text() == "mine"


async def test_an_agent_that_is_away_is_an_error_in_place(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("i", *"x")
        at.agent._server.stop(None).wait(5)
        await at.press("ctrl+r")
        await ended(at)
        assert "no agent answers" in form(at).result.text
        assert "refused" in at.stage.text or "failed" in at.stage.text


# Adding


async def test_a_folder_is_checked_before_it_is_sent_and_the_new_function_is_selected(
    play: Play, tmp_path: Path
) -> None:
    folder = write_function(tmp_path / "desk", "zebra", "def main(arg): return arg\n", calls={"lion": ""})
    async with acting(play, tmp_path) as at:
        text = await at.press("n")
        assert "nothing is sent before its manifest is sound" in text
        await at.write("zeb")
        await at.press("tab")
        text = await at.until(lambda: "zebra, new" in at.stage.text, "the check")
        assert "python, a workflow that calls lion" in text
        assert "not added yet: lion" in text
        assert "$ mee6 act add zebra-python --context desk" in text
        await at.press("enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        (header,) = at.asked(invoker_pb2.UploadHeader)
        assert header.username == "default"
        assert any(
            "zebra" in str(note.title) and "still missing: lion" in note.title for note in at.stage.app._notifications
        )
        change = FunctionChange("default", "zebra", 1, "python", True, False)
        at.stage.sources[0].say(Batch(9999, (Event(1, change),)))
        await at.stage.settle()
        await at.stage.settle()
        selection = at.stage.app.page.selection()
        assert selection is not None
        assert selection.key == ("desk", "default/zebra")
        assert at.stage.app.recall.of("default/zebra").folder == str(folder)
        await at.press("n")
        await at.until(lambda: "the next version of zebra, which is v1" in at.stage.text, "its folder, known")
        await at.press("enter")
        await at.until(lambda: len(at.stage.app.command_log) == 2, "the act in the log")
        assert any("zebra is unchanged: v1" in title for title in titles(at))


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ('{"name": "x",\n "runtime" "python"}', "✗ activity.json, line 2, column 12: expecting ':' delimiter"),
        ('{"name": "x", "runtime": "python", "colour": 1}', "no key 'colour'; there are: name"),
        ('{"name": "-", "runtime": "python"}', "name '-' is not allowed"),
        (None, "no activity.json in"),
    ],
)
async def test_what_is_wrong_with_a_manifest_is_said_in_place_and_nothing_is_sent(
    play: Play, tmp_path: Path, manifest: str | None, says: str
) -> None:
    (tmp_path / "desk" / "bad").mkdir()
    if manifest is not None:
        (tmp_path / "desk" / "bad" / "activity.json").write_text(manifest)
    async with acting(play, tmp_path) as at:
        await at.press("n", *"bad")
        await at.until(lambda: says in at.stage.text, says)
        await at.press("enter")
        await at.until(lambda: not adding(at)._busy, "the refusal")
        assert says in await at.stage.settle()
        assert not at.agent.requests


async def test_what_the_agent_says_against_a_folder_is_said_in_place(play: Play, tmp_path: Path) -> None:
    write_function(tmp_path / "desk", "zebra", "def main(arg): return arg\n")
    async with acting(play, tmp_path) as at:
        await at.press("n", *"zebra-python")
        await at.until(lambda: "zebra, new" in at.stage.text, "the check")
        at.agent._server.stop(None).wait(5)
        await at.press("enter")
        await at.until(lambda: "no agent answers" in at.stage.text, "the error")
        assert not adding(at)._busy
        assert "no agent answers" in at.stage.app.command_log[-1].error


async def test_a_folder_is_picked_with_the_arrows(play: Play, tmp_path: Path) -> None:
    write_function(tmp_path / "desk", "zebra", "def main(arg): return arg\n")
    async with acting(play, tmp_path) as at:
        await at.press("n")
        await at.until(lambda: "+ zebra-python" in at.stage.text, "the folders")
        adding(at).folders.focus()
        await at.press("down", "enter")
        await at.until(lambda: "zebra, new" in at.stage.text, "the check")


# Editing


@contextmanager
def no_terminal(_app: ConsoleApp) -> Iterator[None]:
    yield


async def test_the_main_file_is_opened_in_the_editor_where_the_folder_is_known(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_function(tmp_path, "echo", "def main(arg): return arg\n")
    script = tmp_path / "editor.py"
    script.write_text("import sys; open(sys.argv[1], 'a').write('# seen')")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    async with acting(play, tmp_path) as at:
        await on_function(at, "echo")
        await at.press("e")
        assert at.stage.said()[-1] == "It was not added from here, so its folder is not known; n adds one"
        await at.stage.app.recall.added("default/echo", folder)
        await at.press("e")
        await at.until(lambda: "no editor can be opened in this terminal" in at.stage.said()[-1], "the refusal")
        monkeypatch.setattr(ConsoleApp, "suspend", no_terminal)
        await at.press("e")
        await at.until(lambda: "n adds the folder again" in at.stage.said()[-1], "the end of the editor")
        assert (folder / "main.py").read_text().endswith("# seen")


# What is remembered


async def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    recall = Recall(tmp_path / "recall.json")
    for number in range(PAYLOADS + 5):
        await recall.used("ann/echo", Payload(text=str(number)))
    await recall.used("ann/echo", Payload(text="x" * 100_000))
    again = Recall(tmp_path / "recall.json").of("ann/echo").payloads
    assert [payload.text for payload in again] == [str(number) for number in range(5, PAYLOADS + 5)]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"ann/echo": {"payloads": 3}}', b"\xff"])
async def test_a_broken_memory_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "recall.json").write_bytes(content)
    recall = Recall(tmp_path / "recall.json")
    assert recall.of("ann/echo").payloads == []
    await recall.used("ann/echo", Payload(text="x"))
    assert Recall(tmp_path / "recall.json").of("ann/echo").payloads == [Payload(text="x")]


async def test_a_memory_that_cannot_be_kept_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recall = Recall(tmp_path / "file" / "recall.json")
    await recall.used("ann/echo", Payload(text="x"))
    assert recall.of("ann/echo").payloads == [Payload(text="x")]


async def test_a_function_is_added_with_an_environment_as_the_command_line_gives_it(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "a secret")
    made = write_function(tmp_path / "desk", "zebra", "def main(arg): return arg")
    async with acting(play, tmp_path) as at:
        await at.press("n")
        await at.write(str(made))
        adding(at).env.focus()
        await at.write("STAGE='the lab' TOKEN")
        assert adding(at).lines()[0].endswith(f"{made} -e 'STAGE=the lab' -e TOKEN --context desk")
        await at.press("space", *"1X", "enter")
        await at.until(lambda: "not a variable" in at.stage.text, "the complaint")
        assert not at.asked(invoker_pb2.UploadHeader)
        assert at.stage.app.focused is adding(at).env
        await at.press(*["backspace"] * 3, "enter")
        await at.until(lambda: any("zebra" in title for title in titles(at)), "that it was added")
        (header,) = at.asked(invoker_pb2.UploadHeader)
        assert dict(header.env) == {"STAGE": "the lab", "TOKEN": "a secret"}
        assert at.stage.app.command_log[-1].line.endswith(f"{made} -e STAGE -e TOKEN --context desk"), "without values"


async def test_how_far_an_upload_is_can_be_seen_and_also_when_its_form_is_closed(play: Play, tmp_path: Path) -> None:
    made = write_function(tmp_path / "desk", "zebra", "def main(arg): return arg")
    (made / "data").write_bytes(os.urandom(3 << 20))
    async with acting(play, tmp_path, (120, 40)) as at:
        at.agent.takes_uploads.clear()
        await at.press("n")
        await at.write(str(made))
        await at.press("enter")
        text = await at.until(lambda: " sent, " in at.stage.text or "takes it in" in at.stage.text, "how far it is")
        assert re.search(r"█.* of 3.0 MiB sent, \d+%|3.0 MiB sent; the agent takes it in", text)
        await at.press("escape")
        text = await at.until(lambda: "adding zebra, " in at.stage.lines[0], "how far it is, in the header")
        at.agent.takes_uploads.set()
        await at.until(lambda: any("zebra" in title for title in titles(at)), "that it was added")
        await at.until(lambda: "adding" not in at.stage.lines[0], "that it is no longer under way")
