"""Keys that come faster than what they mean: lists that close, have no room, or outlive their page."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList

from mee6tui.console.look import clock_time
from mee6tui.console.screens.menus import ActionsMenu
from mee6tui.console.widgets.log_page import time_of_day
from tests.console.conftest import Play

pytestmark = pytest.mark.slow


async def test_an_action_that_is_chosen_twice_is_done_once(play: Play) -> None:
    async with play() as stage:
        await stage.press("2", "j", "x", "home")
        assert isinstance(stage.app.screen, ActionsMenu)
        options = stage.app.screen.query_one(OptionList)
        options.action_select()
        options.action_select()
        assert "mee6  worker " in await stage.settle()


async def test_a_palette_without_room_has_no_pages(play: Play) -> None:
    async with play(size=(20, 3)) as stage:
        await stage.press("2", "ctrl+p", "down", "pagedown", "pageup", "down", "pagedown", "escape", "escape")
        assert len(stage.app.screen_stack) == 1


async def test_a_command_of_a_page_that_was_left_is_not_done(play: Play) -> None:
    async with play() as stage:
        await stage.press("8")
        context = stage.app.context()
        await stage.press("2")
        stage.app.run_command(stage.app.registry["logs.all"], context)
        await stage.settle()
        assert any("not on this page" in note for note in stage.said())


async def test_a_key_that_comes_after_the_end_does_nothing(play: Play) -> None:
    async with play() as stage:
        await stage.press("2")
    stage.app.action_command("go.functions")
    assert stage.app.page.NAME == "workers"


@pytest.mark.parametrize("wall_ns", [1 << 62, 10**30, -(10**30)])
def test_a_clock_that_is_far_off_is_no_time_of_day(wall_ns: int) -> None:
    for said in (clock_time(wall_ns), time_of_day(wall_ns)):
        assert said == "?" or said[2] == ":"
    assert clock_time(10**30) == time_of_day(-(10**30)) == "?"
