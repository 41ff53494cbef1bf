"""The console's start: what it may load before its first page is seen, and keys that are pressed before that."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import sys
import termios
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events

from mee6tui.cli.typeahead import kept_as_pressed
from tests.benchmarks.harness.terminal import terminal
from tests.cli.test_imports import held
from tests.console.conftest import BUSY, Play

PAINTED = """
import json, sys
from textual.drivers._writer_thread import WriterThread
from mee6tui.cli.main import main
from tests.benchmarks.harness.terminal import report

def write(thread, text, written=WriterThread.write):
    written(thread, text)
    if "pools" in text:
        report(json.dumps(sorted(sys.modules)))
        sys.modules["os"]._exit(0)

WriterThread.write = write
main()
"""
LATER = {
    *("pydantic", "docker", "requests", "yaml", "psutil", "agent"),
    *("aiohttp", "textual_serve", "mee6tui.console.web"),
    *("markdown_it", "pygments", "tree_sitter", "textual.widgets._text_area", "textual.widgets._markdown"),
    *("mee6tui.console.screens.invoke", "mee6tui.console.screens.add", "mee6tui.console.widgets.waterfall"),
    *("mee6tui.console.widgets.log_view", "mee6tui.console.widgets.theatre"),
    *("grpc", "google", "mee6.client", "mee6.bundle", "tarfile"),
}
"""What the first page is painted without."""


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--replay", str(BUSY)), ("--address", "127.0.0.1:1")], ids=" ".join)
async def test_the_first_page_is_painted_before_what_it_does_not_need_is_loaded(options: tuple[str, ...]) -> None:
    env = {**os.environ, "MEE6_CONFIG": "/nowhere/config.toml"}
    async with terminal("-c", PAINTED, "console", *options, env=env) as running:
        modules = set(json.loads(await running.reported(60)))
    assert held(LATER, modules) == []
    assert len(modules) < 560


@pytest.mark.slow
async def test_keys_that_are_pressed_before_the_console_is_drawn_are_obeyed(tmp_path: Path) -> None:
    written, there = b"", asyncio.Event()

    def seen(more: bytes) -> None:
        nonlocal written
        written += more
        if b" functions" in written:
            there.set()

    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "MEE6_CONFIG": str(tmp_path / "c")}
    command = ("-c", "from mee6tui.cli.main import main; main()", "console", "--replay", str(BUSY))
    async with terminal(*command, seen=seen, env=env) as running:
        os.write(running.screen, b"3")
        await asyncio.wait_for(there.wait(), 30)


async def test_keys_that_come_while_a_page_is_opened_are_meant_for_it(play: Play) -> None:
    async with play() as stage:
        for key in ("3", "down", "enter"):  # all at once, as from a terminal
            stage.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await stage.settle()
        await stage.settle()
        assert stage.app.page.NAME == "detail"
        await stage.press("escape")
        second = stage.app.page.selection()
        await stage.press("up")
        assert stage.app.page.NAME == "functions"
        assert stage.app.page.selection() != second


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A terminal as standard input, from outside and from inside."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours, theirs
    os.close(ours)


def test_keys_wait_as_they_were_pressed_and_are_not_shown(keyboard: tuple[int, int]) -> None:
    ours, theirs = keyboard
    before = termios.tcgetattr(theirs)
    os.write(ours, b"1")
    assert os.read(ours, 10) == b"1"  # shown, as usual
    with kept_as_pressed():
        os.write(ours, b"3\x7f\r")
        assert not select.select([ours], [], [], 0.05)[0]
    assert termios.tcgetattr(theirs) == before
    tty.setraw(theirs, termios.TCSANOW)
    assert os.read(theirs, 10) == b"13\x7f\r"


def test_where_there_is_no_terminal_nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "in").open("w+") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with kept_as_pressed():
            pass
