"""What a person sees and does: every page and key, on a recording of a real run."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.events import Key, Paste
from textual.widgets import Input

from mee6.records import Batch, Event, Worker
from mee6tui.console.look import clock_time
from mee6tui.console.screens.command_line import CommandLine
from mee6tui.console.screens.page import Place
from mee6tui.console.source import LinkState
from mee6tui.console.widgets.prompt import MOST_CHARS
from tests.console.conftest import Play, Stage

pytestmark = pytest.mark.slow


def rows(stage: Stage) -> list[str]:
    return [line for line in stage.lines[2:-1] if line.strip()]


async def test_it_opens_on_the_pool_map_with_figures_and_what_the_letters_mean(play: Play) -> None:
    async with play() as stage:
        text = stage.text
        assert stage.lines[0].startswith(" mee6  pools")
        assert "● desk" in stage.lines[0]
        assert "desk python" in text
        assert "Z paused" in text
        assert "B busy 2" in text
        assert "calls" in text
        assert "running 2" in text
        assert "of 64" in text


@pytest.mark.parametrize(
    ("key", "title", "shows"),
    [
        ("2", "workers", "paused"),
        ("3", "functions", "pipeline"),
        ("4", "invocations", "cancelled"),
        ("5", "nodes", "● live"),
        ("0", "events", "handover"),
    ],
)
@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_a_digit_leads_to_each_page(play: Play, key: str, title: str, shows: str, size: tuple[int, int]) -> None:
    async with play(size) as stage:
        await stage.press(key)
        if title == "events":
            await stage.press("slash", *"handover", "enter")
        assert f"mee6  {title}" in stage.lines[0]
        assert shows in stage.text
        assert max(map(len, stage.lines)) <= size[0]


@pytest.mark.parametrize("width", [80, 100, 120, 130, 160, 200])
@pytest.mark.parametrize("budget", [0, 1000 << 20])
async def test_the_figures_of_the_first_page_are_whole_however_wide_it_is(play: Play, width: int, budget: int) -> None:
    async with play((width, 40)) as stage:
        nodes = stage.app.store.nodes
        nodes["desk"] = replace(
            nodes["desk"],
            memory_bytes=900 << 20,
            memory_budget_bytes=budget,
            rss_bytes=500 << 20,
            cpu_percent=100.0,
            cores=16,
        )
        text = await stage.settle()
        assert "cpu 100% of 16 cores" in text
        assert "agent 500 MiB" in text
        assert "…" not in "".join(stage.lines[1:7])


async def test_enter_leads_in_and_esc_back_to_the_same_row(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "j", "j")
        row = next(line for line in stage.lines if "▌" in line)
        worker = row.split()[1]
        text = await stage.press("enter")
        assert f"mee6  worker {worker}" in text
        assert "state" in text
        await stage.press("escape")
        assert next(line for line in stage.lines if "▌" in line).split()[:3] == row.split()[:3]
        await stage.press("right_square_bracket")
        assert f"mee6  worker {worker}" in stage.text
        await stage.press("left_square_bracket", "minus")
        assert f"mee6  worker {worker}" in stage.text


async def test_a_filter_is_seen_at_once_and_esc_clears_it(play: Play) -> None:
    async with play() as stage:
        await stage.press("4", "slash", *"pipe")
        assert all("pipeline" in line for line in rows(stage)[:1])
        await stage.press("enter")
        assert "invocations /pipe  1 of" in stage.lines[0]
        await stage.press("escape")
        assert "/pipe" not in stage.lines[0]
        assert "mee6  invocations" in stage.lines[0]


@pytest.mark.parametrize("opener", ["slash", "colon"])
async def test_keys_that_come_with_the_one_that_opens_the_prompt_are_typed_into_it(play: Play, opener: str) -> None:
    async with play() as stage:
        await stage.press("3")
        for key, character in ((opener, None), *((letter, letter) for letter in "i3nq")):
            stage.app.post_message(Key(key, character))
        await stage.settle()
        assert stage.app.page.NAME == "functions"
        assert len(stage.app.screen_stack) == 1
        assert stage.app.query_one(Input).value == "i3nq"


def burst(stage: Stage, *keys: str) -> None:
    """Keys that come at once, as from somebody who types fast over a slow line."""
    for key in keys:
        stage.app.post_message(Key(key, key if len(key) == 1 else None))


async def test_keys_that_come_with_a_prompts_enter_are_for_what_it_opens(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "4")
        burst(stage, "colon", *"workers", "enter", "j", "j", "d")
        await stage.settle()
        assert stage.app.query_one(Input).value == "workers"
        assert "mee6  worker w3" in stage.lines[0]
        burst(stage, "4", "slash", *"echo", "enter", "G", "slash", "x", "escape", "F")
        await stage.settle()
        assert "invocations /echo" in stage.lines[0]
        assert stage.app.frozen
        burst(stage, "colon", *"help", "enter", "escape", "colon", *"freeze", "enter")
        await stage.settle()
        assert len(stage.app.screen_stack) == 1
        assert not stage.app.frozen


async def test_tab_on_an_empty_line_shows_all_commands_and_goes_through_them(play: Play) -> None:
    async with play() as stage:
        await stage.press("3", "colon")
        text = await stage.press("tab")
        assert stage.app.query_one(Input).value == ""
        shown = {word for line in text.splitlines()[-9:-1] for word in line.split()}
        assert shown >= set(stage.app.registry.names())
        text = await stage.press("tab", "tab")
        assert text.splitlines()[-1].split()[:2] == [":", stage.app.registry.names()[1]]
        text = await stage.press("shift+tab")
        first = stage.app.registry.by_name(stage.app.registry.names()[0])
        assert first is not None
        assert first.title in text.splitlines()[-1]
        text = await stage.press(*["backspace"] * 20, *"p", "tab")
        assert text.splitlines()[-2].split() == ["pause", "pools"]
        await stage.press("tab", "tab", "enter")
        assert "mee6  pools" in stage.lines[0]
        await stage.press("3")
        assert "pause" not in stage.text


async def test_leaving_the_prompt_leaves_the_filter_as_it_was(play: Play) -> None:
    async with play() as stage:
        await stage.press("4", "slash", *"echo", "enter")
        await stage.press("slash", *"x", "escape")
        assert "invocations /echo" in stage.lines[0]


async def test_a_wrong_filter_says_what_is_wrong(play: Play) -> None:
    async with play() as stage:
        await stage.press("4", "slash", *"colour=red", "enter")
        assert any("no column 'colour'" in said for said in stage.said())


async def test_commands_are_typed_completed_and_recalled(play: Play) -> None:
    async with play() as stage:
        text = await stage.press("colon", *"fun")
        assert "functions" in text.splitlines()[-1]
        await stage.press("tab", "enter")
        assert "mee6  functions" in stage.lines[0]
        await stage.press("colon", "up", "escape")
        await stage.press("colon", *"workers state=paused", "enter")
        assert "mee6  workers /state=paused" in stage.lines[0]
        await stage.press("colon", "up")
        assert "workers state=paused" in stage.lines[-1]
        await stage.press("escape", "colon", *"nonsense", "enter")
        assert any("no command 'nonsense'" in said for said in stage.said())


async def test_sort_and_theme_are_typed_with_what_they_take(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "colon", *"sort memory desc", "enter")
        assert "MEMORY▼" in stage.text
        await stage.press("colon", *"sort nothing", "enter")
        assert any("columns are: worker" in said for said in stage.said())
        await stage.press("colon", *"theme mee6-l", "tab", "enter")
        assert stage.app.theme == "mee6-light"
        assert stage.app.palette.name == "mee6-light"
        assert stage.app.page.main is not None
        assert stage.app.page.main.palette.name == "mee6-light"  # type: ignore[attr-defined]
        await stage.press("colon", *"theme puce", "enter")
        assert any("no theme 'puce'" in said for said in stage.said())


async def test_help_shows_what_can_be_done_here(play: Play) -> None:
    async with play() as stage:
        text = await stage.press("2", "question_mark")
        assert "Keys on workers" in text
        assert "sort by the column before" in text
        text = await stage.press("escape")
        assert "Keys on" not in text


async def test_help_that_is_longer_than_the_screen_is_scrolled_to_its_end(play: Play) -> None:
    async with play() as stage:
        assert "8 logs" not in await stage.press("3", "question_mark")
        assert "8 logs" in await stage.press("end")


async def test_boxes_that_scroll_are_ascii_where_that_is_asked_for(play: Play) -> None:
    async with play(ascii_only=True) as stage:
        assert (await stage.press("3", "question_mark")).isascii()
        assert (await stage.press("escape", "x")).isascii()


async def test_the_actions_menu_acts_on_what_was_selected_and_says_why_not(play: Play) -> None:
    async with play() as stage:
        text = await stage.press("2", "j", "x")
        worker = next(iter(stage.app.page.selection().keys))[1]  # type: ignore[union-attr]
        assert f"Actions on worker {worker}" in text
        await stage.press("end")
        assert "(there is nothing further on)" in stage.text
        await stage.press("home", "enter")
        assert f"mee6  worker {worker}" in stage.text


async def test_the_palette_finds_commands(play: Play) -> None:
    async with play() as stage:
        await stage.press("ctrl+p")
        await stage.press(*"show events")
        for _ in range(20):
            await stage.pilot.pause(0.02)
        await stage.press("enter")
        assert "mee6  events" in stage.lines[0]


async def test_what_is_copied_is_what_is_under_the_cursor(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "c")
        assert stage.app.clipboard == "w1"
        await stage.press("right", "c")
        assert stage.app.clipboard.split()[1] in {"paused", "warm", "busy"}
        await stage.press("y")
        assert '"id": "w1"' in stage.app.clipboard


async def test_the_equivalent_command_names_the_agent(play: Play) -> None:
    async with play(flags={"desk": " --context desk"}) as stage:
        await stage.press("2", "Y")
        assert stage.app.clipboard == "mee6 worker ls --context desk"


async def test_a_frozen_view_stays_while_the_console_goes_on_listening(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "F")
        before = rows(stage)
        assert "frozen" in stage.lines[1]
        worker = next(iter(stage.app.store.workers.values()))
        new = replace(worker, id="w77", state="busy")
        stage.sources[0].say(Batch(9999, (Event(stage.app.store.agent_now("desk", stage.time.now), new),)))
        await stage.settle()
        assert [line.split("  ")[:3] for line in rows(stage)] == [line.split("  ")[:3] for line in before]
        assert "1 new  , . second" in stage.lines[1]
        await stage.press("F")
        assert "w77" in stage.text
        assert "frozen" not in stage.lines[1]


async def test_the_past_is_stepped_through_while_frozen(play: Play) -> None:
    async with play() as stage:
        await stage.press("comma")
        assert any("only while the view is frozen" in said.lower() for said in stage.said())
        await stage.press("4", "F")
        now = len(stage.app.shown.invocations)
        await stage.press("left_curly_bracket")
        for _ in range(200):
            if len(stage.app.shown.invocations) < now:
                break
            await stage.pilot.press("left_curly_bracket")
        assert len(stage.app.shown.invocations) < now
        await stage.settle()
        assert f"invocations {len(stage.app.shown.invocations)}" in stage.lines[0]
        await stage.press("full_stop", "right_curly_bracket", "F")
        assert len(stage.app.shown.invocations) == now


async def test_several_agents_are_merged_with_a_column_for_the_node(play: Play) -> None:
    async with play((120, 30), names=("edge", "lab")) as stage:
        assert "edge python" in stage.text
        assert "lab python" in stage.text
        await stage.press("2")
        assert "NODE" in stage.lines[1]
        assert {line.split()[-1] for line in rows(stage)} == {"edge", "lab"}


async def test_a_link_that_is_lost_is_seen_with_its_error_and_when_it_is_tried_again(play: Play) -> None:
    async with play() as stage:
        sink = stage.sources[0].sink
        assert sink is not None
        sink.link("desk", LinkState.RECONNECTING, error="no agent answers at h:1", attempt=3, retry_s=9.0)
        text = await stage.settle()
        assert "reconnecting" in stage.lines[0]
        assert "no agent answers at h:1  again in 8 s, attempt 3" in text


def tones(stage: Stage, word: str) -> set[str]:
    """The colours of the text in the lines with this word, by their tones' names."""
    named = {color: tone for tone, color in stage.app.palette.colors.items()}
    found = [strip for strip in stage.app.screen._compositor.render_strips() if word in strip.text]
    return {
        named.get(segment.style.color.name, "")
        for strip in found
        for segment in strip
        if segment.style and segment.style.color and segment.text.strip(" ▌")
    }


async def test_what_is_known_of_an_agent_that_is_away_is_faded_and_dated_until_it_is_back(play: Play) -> None:
    async with play((120, 40)) as stage:
        sink = stage.sources[0].sink
        assert sink is not None
        assert tones(stage, "kept ready") > {"quiet"}
        await stage.press("2")
        assert tones(stage, "pinger") > {"quiet"}
        sink.link("desk", LinkState.RECONNECTING, error="no agent answers at h:1", attempt=1, retry_s=0.5)
        lost = clock_time(stage.app.wall_ns())
        first = rows(stage)
        await stage.settle()
        sink.link("desk", LinkState.RECONNECTING, error="no agent answers at h:1", attempt=2, retry_s=9.0)
        for _ in range(5):
            await stage.settle()
        assert f"desk reconnecting, as of {lost}" in stage.lines[0]
        assert tones(stage, "pinger") == {"quiet"}
        assert {row[1:] for row in first if "gone" not in row} <= {row[1:] for row in rows(stage)}  # none grows older
        await stage.press("0")
        assert tones(stage, "worker") > {"quiet"}  # what happened has happened
        text = await stage.press("1")
        assert tones(stage, "kept ready") == {"quiet"}
        assert f"as of {lost}" in text
        sink.link("desk", LinkState.LIVE)
        text = await stage.settle()
        assert "as of" not in text
        assert tones(stage, "kept ready") > {"quiet"}
        await stage.press("2")
        assert tones(stage, "pinger") > {"quiet"}


async def test_of_several_agents_only_what_the_one_that_is_away_had_is_faded(play: Play) -> None:
    async with play((120, 40), names=("edge", "lab")) as stage:
        sink = stage.sources[0].sink
        assert sink is not None
        sink.link("edge", LinkState.RECONNECTING, error="no agent answers", attempt=1, retry_s=9.0)
        text = await stage.settle()
        assert "as of" in next(line for line in text.splitlines() if "edge python" in line)
        assert "as of" not in next(line for line in text.splitlines() if "lab python" in line)
        await stage.press("2")
        assert tones(stage, " edge") <= {"quiet", "faint"} | tones(stage, "reconnecting")
        assert {"warm", "paused", "busy"} & tones(stage, " lab")


async def test_a_source_that_breaks_is_shown_and_ends_nothing(play: Play) -> None:
    class Broken:
        name = "broken"

        async def run(self, sink: object) -> None:
            raise ZeroDivisionError("division by zero")

    async with play() as stage:
        stage.app.run_worker(stage.app._listen(Broken()), name="broken", group="source", exit_on_error=False)
        await stage.settle()
        assert any("division by zero" in said for said in stage.said())
        assert stage.app.store.links["broken"].state == "ended"
        assert "mee6  workers" in await stage.press("2")


async def test_a_worker_that_is_no_longer_is_said_to_be_gone(play: Play) -> None:
    async with play() as stage:
        stage.app.go(Place("detail", ("desk", "w404"), "worker"))
        assert "it is gone, and no more is known of it" in await stage.settle()


async def test_an_event_leads_to_what_it_is_about(play: Play) -> None:
    async with play() as stage:
        await stage.press("0", "slash", *"kind=handover", "enter")
        await stage.press("enter")
        assert "mee6  worker w" in stage.lines[0]


async def test_with_ascii_nothing_else_is_shown(play: Play) -> None:
    async with play(ascii_only=True) as stage:
        for key in ("1", "2", "4", "0", "F"):
            text = await stage.press(key)
            assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})
        assert "= paused" in await stage.press("2")


async def test_hints_are_six_at_most_and_valid_here(play: Play) -> None:
    async with play() as stage:
        assert "/ filter" not in stage.lines[-1]
        await stage.press("2")
        assert "/ filter" in stage.lines[-1]
        assert " ".join(stage.lines[-1].split()) == "enter open x actions / filter : command F freeze ? help"


async def test_before_an_agent_answers_the_pages_are_empty_and_say_so(play: Play) -> None:
    async with play(items=[]) as stage:
        assert "no workers yet" in stage.text
        said = {"2": "no workers yet", "3": "n adds one", "4": "i makes one", "5": "no agent", "0": "nothing has"}
        for key, says in said.items():
            assert says in await stage.press(key)


async def test_q_goes_back_and_leaves_where_there_is_no_way_back(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "q")
        assert "mee6  pools" in stage.lines[0]
        await stage.pilot.press("q")
        assert stage.app._exit


async def test_internals_tell_frames_and_what_the_past_takes(play: Play) -> None:
    async with play() as stage:
        text = await stage.press("f12")
        assert "ms a frame" in text
        assert "events  past" in text


async def test_the_header_can_be_hidden(play: Play) -> None:
    async with play() as stage:
        text = await stage.press("ctrl+e")
        assert "mee6  pools" not in text


async def test_a_gone_worker_is_seen_as_gone_and_then_no_more(play: Play) -> None:
    async with play() as stage:
        await stage.press("2")
        gone = Worker("w1", "python", "gone", "", "", 0, "", "", 0, 0, "evicted", 0, 0)
        stage.sources[0].say(Batch(9999, (Event(1, gone),)))
        assert "✕ gone" in await stage.settle()
        for _ in range(10):
            await stage.settle()
        assert "✕ gone" not in stage.text


def test_the_recording_holds_nothing_of_a_machine() -> None:
    text = (Path(__file__).parent / "recordings" / "busy.jsonl").read_text()
    assert "/work" not in text
    assert "/root" not in text


async def test_ctrl_c_says_how_to_leave_and_leaves_the_second_time(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "ctrl+c")
        assert stage.said() == ["ctrl+c again leaves, as ctrl+q does; q goes back, c copies"]
        assert not stage.app._exit
        await stage.pilot.press("ctrl+c")
        assert stage.app._exit


@pytest.mark.parametrize("opened", [("question_mark",), ("x",), ("colon", "a"), ("slash", "a"), ("ctrl+p",), ("n",)])
async def test_ctrl_q_leaves_whatever_is_open(play: Play, opened: tuple[str, ...]) -> None:
    async with play() as stage:
        await stage.press("2", *opened)
        await stage.pilot.press("ctrl+q")
        assert stage.app._exit


async def test_the_prompt_takes_no_more_than_a_line(play: Play) -> None:
    async with play() as stage:
        await stage.press("slash")
        stage.app.post_message(Paste("x" * 1_000_000))
        await stage.settle()
        assert len(stage.app.query_one(CommandLine).query_one(Input).value) <= MOST_CHARS


async def test_ctrl_c_copies_what_is_selected_and_leaves_the_prompt(play: Play) -> None:
    async with play() as stage:
        await stage.press("colon", *"some", "shift+home", "ctrl+c")
        assert stage.app.clipboard == "some"
        await stage.press("end", "ctrl+c")
        assert not stage.app.query_one(CommandLine).is_open
        assert all("leaves" not in said for said in stage.said())
