"""The console in a real terminal on a real agent, by keyboard alone: a function is invoked and its waterfall read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mee6tui.console.recording import read
from tests.support.agents import Agent, until

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux; Debian's package of that name"),
]


class Tmux:
    """A terminal with something in it."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def tell(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tell("send-keys", "-t", "console", key)

    def type(self, text: str) -> None:
        self.tell("send-keys", "-t", "console", "-l", text)

    def screen(self) -> str:
        return self.tell("capture-pane", "-p", "-t", "console")

    async def shows(self, *wanted: str) -> str:
        found = ""

        def probe() -> bool:
            nonlocal found
            found = self.screen()
            return all(word in found for word in wanted)

        try:
            await until(probe, f"the screen shows {wanted}", 60.0)
        except AssertionError:
            print(found)
            raise
        return found


@contextmanager
def console(folder: Path, *options: str) -> Iterator[Tmux]:
    """`mee6 console` in a tmux of its own, 120x40."""
    tmux = Tmux(folder / "tmux.sock")
    environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
    environment |= {
        "XDG_STATE_HOME": str(folder / "state"),
        "TEXTUAL_ANIMATIONS": "none",
        "MEE6_CONFIG": str(folder / "c"),
    }
    command = [sys.executable, "-m", "mee6tui.cli.main", "console", *options]
    started = ["tmux", "-S", str(tmux.socket), "-f", "/dev/null", "new-session", "-d", "-s", "console"]
    size = ["-x", "120", "-y", "40"]
    subprocess.run([*started, *size, *command], check=True, env=environment, cwd=ROOT)
    try:
        yield tmux
    finally:
        subprocess.run(["tmux", "-S", str(tmux.socket), "kill-server"], check=False, capture_output=True)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Sockets' paths are short."""
    with tempfile.TemporaryDirectory(prefix="m6k") as folder:
        yield Path(folder)


async def test_a_function_is_invoked_and_its_waterfall_read_by_keyboard_and_recorded(short_folder: Path) -> None:
    with Agent.start(prewarm={"python": 2}) as agent:
        async with agent.client() as client:
            for name in ("pipeline", "clean", "enrich", "publish"):
                await client.add(ROOT / "samples" / "python" / "sequence" / name)
        recording = short_folder / "run.jsonl"
        with console(short_folder, "--address", agent.address, "--record", str(recording)) as tmux:
            await tmux.shows("pools", "rec ", "prewarmed")
            tmux.press("3")
            await tmux.shows("functions 4", "pipeline")
            tmux.type("/")
            await until(lambda: "? help" not in tmux.screen(), "the prompt is open, instead of the hints")
            tmux.type("^pipeline$")
            tmux.press("Enter")
            await tmux.shows("? help", "filter", "pipeline")
            tmux.press("i")
            await tmux.shows("Invoke pipeline")
            tmux.type("apple, 2, 1.5")
            tmux.press("C-r")
            await tmux.shows("succeeded", "of which tax")
            tmux.press("t")
            waterfall = await tmux.shows("clean", "enrich", "publish", "succeeded")
            assert "pipeline" in waterfall
            tmux.press("C-q")
            await until(lambda: "console" not in _sessions(tmux), "the console has ended")
        names = {event.what.function for recorded in read(recording) for event in getattr(recorded.item, "events", ())
                 if type(event.what).__name__ == "Step"}  # fmt: skip
        assert {"pipeline", "clean", "enrich", "publish"} <= names
        with console(short_folder, "--replay", str(recording), "--speed", "0") as tmux:
            await tmux.shows("replay of run.jsonl", "ended", "of 64")


async def test_an_agent_that_is_killed_and_started_again_is_seen_to_go_and_to_come_back(short_folder: Path) -> None:
    with Agent.start() as agent, console(short_folder, "--address", agent.address) as tmux:
        await tmux.shows("pools", "●")
        agent.kill()
        await tmux.shows("reconnecting", "attempt")
        again = Agent.start(agent.state, listen=agent.address)
        try:
            tmux.press("C-r")
            await tmux.shows("restarted", "started again")
            await tmux.shows("●")
            for width in (*range(40, 160, 7), 120):  # a storm of sizes leaves the last one drawn
                tmux.tell("resize-window", "-t", "console", "-x", str(width), "-y", str(12 + width // 5))
            await tmux.shows("pools", "help")
        finally:
            again.stop()


def _sessions(tmux: Tmux) -> str:
    done = subprocess.run(["tmux", "-S", str(tmux.socket), "ls"], check=False, capture_output=True, text=True)
    return done.stdout
