"""Acts on workers, functions, invocations and nodes: what the agent is asked, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from mee6.api.v1 import console_pb2, invoker_pb2
from mee6.records import Batch, Event
from mee6tui.console.screens.dialogs import Confirm
from mee6tui.console.source import LinkState
from tests.console.acting import Acting, acting
from tests.console.conftest import Play


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def dialog(at: Acting) -> Confirm:
    screen = at.stage.app.screen
    assert isinstance(screen, Confirm), screen
    return screen


async def on_worker(at: Acting, worker: str) -> None:
    await at.press("2")
    at.stage.app.filter(f"worker={worker}")
    await at.stage.settle()
    selection = at.stage.app.page.selection()
    assert selection is not None
    assert selection.key == ("desk", worker)


async def test_cancel_is_the_default_of_what_cannot_be_taken_back(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        text = await at.press("ctrl+k")
        assert "Evict worker w2?" in text
        assert "$ mee6 worker evict w2 --context desk" in text
        assert at.stage.app.focused is not None
        assert at.stage.app.focused.id == "cancel"
        await at.press("enter")
        assert "Evict worker" not in at.stage.text
        await at.press("ctrl+k", "escape")
        assert not at.asked(console_pb2.EvictRequest)
        assert not at.stage.app.command_log


async def test_a_worker_is_evicted_after_the_question(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        await at.press("ctrl+k", "tab", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        assert [(r.worker, r.force) for r in at.asked(console_pb2.EvictRequest)] == [("w2", False)]
        assert at.stage.app.command_log[-1].line == "mee6 worker evict w2 --context desk"


async def test_the_act_is_on_what_was_selected_although_the_rows_have_moved(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        await at.press("ctrl+k")
        store = at.stage.app.store
        gone = replace(store.workers["desk", "w2"], state="gone", reason="evicted")
        new = replace(store.workers["desk", "w2"], id="w20")
        at.stage.sources[0].say(Batch(9999, (Event(1, gone), Event(2, new))))
        for _ in range(10):
            await at.stage.settle()  # it is not even shown any more
        assert ("desk", "w2") not in store.workers
        assert "Evict worker w2?" in at.stage.text
        await at.press("tab", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        assert [r.worker for r in at.asked(console_pb2.EvictRequest)] == ["w2"]


async def test_what_the_agent_refuses_is_said_and_noted(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w9")
        await at.press("ctrl+k", "tab", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        assert any("no worker 'w9'" in said for said in at.stage.said())
        assert "no worker 'w9'" in at.stage.app.command_log[-1].error
        text = await at.press("colon", *"log", "enter")
        assert "✗ mee6 worker evict w9 --context desk" in text
        assert "no worker 'w9'" in text
        await at.press("Y")
        assert at.stage.app.clipboard == "mee6 worker evict w9 --context desk"


async def test_marked_workers_are_listed_one_by_one_and_evicted_together(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path, (120, 40)) as at:
        await at.press("2", "space", "space", "slash", *"worker=w7", "enter", "space", "escape")
        text = await at.press("delete")
        assert "Evict these 3 workers?" in text
        assert "w7, busy with slow: its invocation is lost" in text
        assert {"w1", "w2", "w7"} == {item.split(",")[0] for item in dialog(at).question.items}
        assert "$ mee6 worker evict w7 --force --context desk" in text
        await at.press("Y")
        assert at.stage.app.clipboard.splitlines() == list(dialog(at).lines())
        await at.press("tab", "enter")
        await at.until(lambda: len(at.stage.app.command_log) == 2, "both lines in the log")
        asked = {(r.worker, r.force) for r in at.asked(console_pb2.EvictRequest)}
        assert asked == {("w1", False), ("w2", False), ("w7", True)}


async def test_a_click_on_the_button_does_it(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        await at.press("ctrl+k")
        await at.stage.pilot.click("#act")
        await at.until(lambda: at.asked(console_pb2.EvictRequest), "the request")


async def test_a_paused_worker_is_resumed_and_an_idle_one_paused_without_a_question(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        await at.press("p")
        assert any("worker w2 is paused; only idle ones pause" in said.lower() for said in at.stage.said())
        await at.press("P")
        await at.until(lambda: at.asked(console_pb2.ResumeRequest), "the request")
        idle = replace(at.stage.app.store.workers["desk", "w2"], state="warm")
        at.stage.sources[0].say(Batch(9999, (Event(1, idle),)))
        await at.stage.settle()
        await at.press("p")
        await at.until(lambda: at.asked(console_pb2.PauseRequest), "the request")
        assert [done.line for done in at.stage.app.command_log] == [
            "mee6 worker resume w2 --context desk",
            "mee6 worker pause w2 --context desk",
        ]


async def test_limits_are_checked_in_place_and_then_set(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        text = await at.press("m")
        assert "What worker w2 may use" in text
        await at.press(*["backspace"] * 8, *"lots", "enter")
        text = await at.until(lambda: "no size" in at.stage.text, "the complaint")
        assert "'lots' is no size; write it as 512k, 512M or 1G" in text
        assert not at.asked(console_pb2.SetLimitsRequest)
        await at.press(*["backspace"] * 4, *"4k", "enter")
        await at.until(lambda: "give it more" in at.stage.text, "the agent's refusal, in the form")
        text = await at.press(*["backspace"] * 2, *"256M", "tab", *["backspace"] * 4, *"0.5")
        assert "$ mee6 worker limits w2 --memory 256M --cpus 0.5 --context desk" in " ".join(text.split())
        await at.press("enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        request = at.asked(console_pb2.SetLimitsRequest)[-1]
        assert (request.worker, request.memory_bytes, request.cpus) == ("w2", 256 << 20, 0.5)
        assert "What worker w2 may use" not in at.stage.text


async def test_a_function_is_removed_after_the_question(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        at.agent.know("boom")
        text = await at.press("3", "ctrl+d")
        assert "Remove function boom?" in text
        assert "boom v1 of default" in text
        await at.press("right", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        assert [(r.username, r.actName) for r in at.asked(invoker_pb2.RemoveRequest)] == [("default", "boom")]
        assert at.stage.app.command_log[-1].line == "mee6 act rm boom --context desk"


async def test_a_function_of_another_user_is_removed_as_theirs(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        at.agent.know("aaa", user="bob")
        change = replace(at.stage.app.store.functions["desk", "default/echo"], username="bob", name="aaa")
        at.stage.sources[0].say(Batch(9999, (Event(1, change),)))
        text = await at.press("3", "delete")
        assert "aaa v1 of bob" in text
        await at.press("tab", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        assert at.stage.app.command_log[-1].line == "mee6 act rm aaa --context desk --user bob"
        assert at.asked(invoker_pb2.RemoveRequest)[0].username == "bob"


async def test_an_invocation_that_goes_on_is_cancelled_one_that_has_ended_is_not(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await at.press("4")
        at.stage.app.filter("id=a1ac28013e21")
        await at.press("ctrl+k")
        assert any("invocation a1ac28013e21 has ended" in said.lower() for said in at.stage.said())
        at.stage.app.filter("id=87f96a2aa9b8")
        await at.stage.settle()
        text = await at.press("ctrl+k")
        assert "Cancel invocation 87f96a2aa9b8?" in text
        await at.press("tab", "enter")
        await at.until(lambda: at.agent.called_off, "the request")
        assert at.agent.called_off == ["87f96a2aa9b8"]


async def test_a_node_is_drained_after_the_question_and_taken_back_without(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        text = await at.press("5", "D")
        assert "Drain desk?" in text
        await at.press("tab", "enter")
        await at.until(lambda: at.asked(console_pb2.DrainRequest), "the request")
        await at.press("U")
        assert any("it serves; d drains it" in said.lower() for said in at.stage.said())
        node = replace(at.stage.app.store.nodes["desk"], draining=True)
        at.stage.sources[0].say(Batch(9999, (Event(1, node),)))
        await at.stage.settle()
        await at.press("U")
        await at.until(lambda: at.asked(console_pb2.UndrainRequest), "the request")
        assert [done.line for done in at.stage.app.command_log] == [
            "mee6 agent drain --context desk",
            "mee6 agent undrain --context desk",
        ]


async def test_settings_send_only_what_was_changed(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        text = await at.press("5", "S")
        assert "How desk keeps its workers" in text
        await at.press("enter")
        await at.until(lambda: "nothing is changed yet" in at.stage.text, "the complaint")
        text = await at.press(*["backspace"] * 12, *"never", "tab", *["backspace"] * 8, *"5m")
        assert "mee6 agent set pause=never keep-alive=5m --context desk" in " ".join(text.split())
        await at.press("enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        (request,) = at.asked(console_pb2.ConfigureRequest)
        assert (request.pause, request.keep_alive_s) == ("never", 300.0)
        assert not request.HasField("linger_s")
        assert not request.prewarm


async def test_settings_can_be_typed(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await at.press("colon", *"set puse=never", "enter")
        await at.until(lambda: any("no setting 'puse'" in said for said in at.stage.said()), "the complaint")
        await at.press("colon", *"set pause=never prewarm=python=4", "enter")
        await at.until(lambda: at.stage.app.command_log, "the act in the log")
        (request,) = at.asked(console_pb2.ConfigureRequest)
        assert (request.pause, dict(request.prewarm)) == ("never", {"python": 4})


async def test_acts_are_named_after_a_colon_wherever_one_is(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await at.press("colon", *"evict w404", "enter")
        assert any("no worker 'w404' is known" in said.lower() for said in at.stage.said())
        await at.press("5")
        text = await at.press("colon", *"evict w1 w2", "enter")
        assert "Evict these 2 workers?" in text


ACTS = ["i", "n", "ctrl+k", "p", "P", "m"]


@pytest.mark.parametrize("key", ACTS)
async def test_nothing_is_done_to_a_context_that_is_read_only(play: Play, tmp_path: Path, key: str) -> None:
    async with acting(play, tmp_path, read_only={"desk": "context 'desk' is read-only"}) as at:
        await on_worker(at, "w2")
        await at.press(key)
        assert at.stage.said()[-1] == "Context 'desk' is read-only"
        assert len(at.stage.app.screen_stack) == 1
        assert not at.agent.requests


@pytest.mark.parametrize("key", ACTS)
async def test_nothing_is_done_to_an_agent_that_is_not_connected(play: Play, tmp_path: Path, key: str) -> None:
    async with acting(play, tmp_path) as at:
        sink = at.stage.sources[0].sink
        assert sink is not None
        sink.link("desk", LinkState.RECONNECTING, error="no agent answers", attempt=1, retry_s=5.0)
        await on_worker(at, "w2")
        await at.press(key)
        assert at.stage.said()[-1] == "Not connected to desk (reconnecting); ctrl+r tries again at once"
        assert len(at.stage.app.screen_stack) == 1


async def test_the_menu_says_why_not(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path, (120, 40)) as at:
        await on_worker(at, "w2")
        text = await at.press("x")
        assert "Pause the worker  (worker w2 is paused; only idle ones pause)" in text
        assert "Evict the worker" in text
        assert "Edit its code" not in text


async def test_the_palette_stays_shut_over_a_dialog(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path) as at:
        await on_worker(at, "w2")
        await at.press("ctrl+k", "ctrl+p")
        assert len(at.stage.app.screen_stack) == 2
        assert dialog(at).question.verb == "Evict"


async def test_with_ascii_dialogs_show_nothing_else(play: Play, tmp_path: Path) -> None:
    async with acting(play, tmp_path, ascii_only=True) as at:
        at.agent.know("boom")
        for keys in (("2", "ctrl+k"), ("escape", "m"), ("escape", "3", "i"), ("escape", "n"), ("escape", "5", "S")):
            text = await at.press(*keys)
            assert len(at.stage.app.screen_stack) == 2
            assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})
