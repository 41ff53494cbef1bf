"""The table of handovers and the page of one: a real run's, live and again."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from mee6.records import Batch, Event, Handover, Stage, Worker
from mee6tui.console.screens.page import Place
from mee6tui.console.screens.theatre import TheatrePage
from tests.console.conftest import Play
from tests.console.conftest import Stage as Seen
from tests.console.made import MS

pytestmark = pytest.mark.slow


async def play_out(stage: Seen) -> str:
    """Lets the picture come to its end."""
    page = stage.app.page
    assert isinstance(page, TheatrePage)
    for _ in range(30):
        if page.theatre.player.is_at_end:
            break
        await stage.settle()
    return await stage.settle()


async def test_handovers_are_listed_with_what_each_part_took(play: Play, handed: Any) -> None:
    async with play((200, 50), items=handed) as stage:
        text = await stage.press("7")
        assert "mee6  handovers 6" in stage.lines[0]
        row = next(line for line in stage.lines if " w5 " in line).split()
        assert row[1:9] == ["w5", "▶", "alone", "boom", "10.7ms", "109us", "4.40ms", "4.21ms"]
        assert "▶ alone" in text
        assert "mee6  handover of w9" in await stage.press("enter")
        assert "mee6  handovers" in await stage.press("escape")


async def test_h_leads_from_a_worker_a_function_and_an_invocation_to_its_handover(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("2", "slash", *"echo", "enter", "h")
        assert "mee6  handover of w1" in stage.lines[0]
        await stage.press("3", "slash", *"echo", "enter", "h")
        assert "mee6  handover of w1" in stage.lines[0]
        await stage.press("4", "slash", *"boom", "enter", "h")
        assert "mee6  handover of w5" in stage.lines[0]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_it_is_played_from_the_beginning_with_the_agents_times(
    play: Play, handed: Any, size: tuple[int, int]
) -> None:
    async with play(size, items=handed) as stage:
        await stage.press("7", "enter")
        text = await play_out(stage)
        for stage_of_it, took in (("granted", "+94us"), ("connected", "+11.4ms"), ("left", "+3.73ms")):
            line = next(line for line in stage.lines if f"✓ {stage_of_it}" in line)
            assert took in line
        assert "▶ alone" in text
        assert "direct lane" in text
        assert "handover alone in 15.8ms" in text
        assert max(map(len, stage.lines)) <= size[0]
        await stage.press("0")
        assert "playing" in stage.text
        await stage.press("space")
        assert "stopped" in stage.text
        await stage.press("right", "plus")
        assert "2x" in stage.text


async def test_a_handover_is_seen_as_it_happens(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        known = next(iter(stage.app.store.workers.values()))
        now = stage.app.store.agent_now("desk", stage.time.now)
        fresh = replace(known, id="w77", state="loading", function="watcher", invocations=0, since_ns=now, via="proxy")
        stage.sources[0].say(Batch(9_000, (Event(now, replace(fresh, state="prewarmed")), Event(now, fresh))))
        stage.app.go(Place("theatre", ("desk", "w77"), "worker"))
        assert "◇ proxied" in await play_out(stage)
        stages = (Stage("requested", now + MS), Stage("granted", now + 2 * MS))
        told = Handover("w77", "granted", "", 7, stages=stages, function="watcher")
        stage.sources[0].say(Batch(9_002, (Event(now + 2 * MS, told),)))
        assert "◈ granted" in await play_out(stage)
        more = (
            *stages,
            Stage("connected", now + 5 * MS),
            Stage("confirmed", now + 6 * MS),
            Stage("gone", now + 9 * MS),
        )
        stage.sources[0].say(Batch(9_003, (Event(now + 9 * MS, replace(told, state="alone", stages=more)),)))
        stage.sources[0].say(
            Batch(9_004, (Event(now + 20 * MS, replace(fresh, state="warm", via="direct", invocations=1)),))
        )
        text = await play_out(stage)
        assert "▶ alone" in text
        assert "handover alone in 8.00ms" in text


async def test_a_handover_that_failed_says_why(play: Play, handed: Any) -> None:
    async with play((200, 50), items=handed) as stage:
        now = stage.app.store.agent_now("desk", stage.time.now)
        stages = (Stage("requested", now), Stage("failed", now + 3 * MS))
        told = Handover("w1", "proxied", "the runtime did not connect", 3, stages=stages, function="echo")
        stage.sources[0].say(Batch(9_000, (Event(now, told),)))
        text = await stage.press("7")
        assert "the runtime did not connect" in text
        assert "the runtime did not connect" in await stage.press("enter")
        assert "no handover: the proxy keeps its runtime" in await play_out(stage)


async def test_j_and_k_go_from_worker_to_worker_and_esc_back_at_once(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("7", "enter")
        await stage.press("k")
        assert "mee6  handover of w8" in stage.lines[0]
        await stage.press("j", "j")
        assert "mee6  handover of w10" in stage.lines[0]
        await stage.press("j")
        assert "mee6  handover of w1" in stage.lines[0]
        assert "mee6  worker w1" in await stage.press("enter")
        await stage.press("escape", "escape")
        assert "mee6  handovers" in stage.lines[0]


async def test_a_worker_of_which_nothing_is_known_says_so(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        stage.app.go(Place("theatre", ("desk", "w404"), "worker"))
        assert "nothing is known of this worker any more; esc goes back" in await stage.settle()


async def test_the_rows_of_gone_workers_stay(play: Play, handed: Any) -> None:
    async with play(items=handed) as stage:
        await stage.press("7")
        gone = replace(next(w for w in stage.app.store.workers.values() if w.id == "w5"), state="gone")
        assert isinstance(gone, Worker)
        stage.sources[0].say(Batch(9_000, (Event(0, gone),)))
        for _ in range(12):
            await stage.settle()
        assert ("desk", "w5") not in stage.app.store.workers
        assert " w5 " in stage.text
        await stage.press("slash", *"boom", "enter", "enter")
        assert "mee6  handover of w5" in stage.lines[0]
        assert "✓ left" in await play_out(stage)


async def test_ascii_is_all_there_is(play: Play, handed: Any) -> None:
    async with play(items=handed, ascii_only=True) as stage:
        for keys in (("7",), ("enter",)):
            text = await stage.press(*keys)
            assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})
        text = await play_out(stage)
        assert text.isascii(), sorted({letter for letter in text if not letter.isascii()})
