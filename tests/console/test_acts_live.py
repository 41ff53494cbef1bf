"""The console on a real agent: a sample is added, invoked, run long and called off, and the agent is lost and found."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from mee6.client import Client
from mee6tui.console.app import ConsoleApp
from mee6tui.console.screens.invoke import InvokeScreen
from mee6tui.console.source import AgentSource
from tests.console.acting import PATIENCE_S
from tests.support.agents import Agent, write_function

pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).parents[2] / "samples" / "python"


@pytest.fixture(autouse=True)
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(SAMPLES)


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent.start(isolation="none", prewarm={"python": 1}) as agent:
        yield agent


class Live:
    def __init__(self, app: ConsoleApp, pilot: Pilot[int], client: Client) -> None:
        self.app, self.pilot, self.client = app, pilot, client

    async def until(self, probe: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not probe():
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.app.text()}"
            await asyncio.sleep(0.02)
            await self.pilot.pause()

    async def sees(self, text: str) -> None:
        await self.until(lambda: text in self.app.text(), text)

    @property
    def form(self) -> InvokeScreen:
        assert isinstance(self.app.screen, InvokeScreen)
        return self.app.screen


@asynccontextmanager
async def console(agent: Agent) -> AsyncIterator[Live]:
    async with Client(f"unix:{agent.state / 'agent.sock'}", user="default") as client:  # the same in all its lives
        app = ConsoleApp([AgentSource("lab", client)], clients={"lab": client})
        async with app.run_test(size=(100, 30)) as pilot:
            live = Live(app, pilot, client)
            await live.until(lambda: app.store.nodes, "the agent")
            yield live


async def test_a_sample_is_added_invoked_and_run_again_by_keyboard_alone(agent: Agent) -> None:
    async with console(agent) as live:
        await live.pilot.press("n", *"ec", "tab")
        await live.sees("echo, new")
        await live.pilot.press("enter")
        await live.sees("functions 1")
        await live.until(live.app.page.selection, "the function under the cursor")
        await live.pilot.press("i", "ctrl+t", *'{"a":1}', "ctrl+r")
        await live.sees("succeeded")
        assert live.form.result.text == '{\n  "a": 1\n}'
        first = live.form.running
        assert first is not None
        await live.pilot.press("r")
        await live.until(lambda: live.form.running is not first and "succeeded" in live.app.text(), "the second run")
        assert live.form.running is not None
        assert ("lab", live.form.running.id) in live.app.store.invocations
        await live.pilot.press("escape")
        assert [done.line for done in live.app.command_log] == [
            "mee6 act add echo",
            "mee6 act invoke echo '{\"a\":1}' --as-json",
            "mee6 act invoke echo '{\"a\":1}' --as-json",
        ]


async def test_what_runs_is_seen_to_run_and_is_called_off(agent: Agent, tmp_path: Path) -> None:
    folder = write_function(tmp_path, "slow", "import time\ndef main(arg):\n    time.sleep(600)\n")
    async with console(agent) as live:
        await live.client.add(folder)
        await live.until(lambda: live.app.store.functions, "the function")
        await live.pilot.press("3")
        await live.until(live.app.page.selection, "the function under the cursor")
        await live.pilot.press("i", "ctrl+r")
        await live.sees("▶ running")
        await live.pilot.press("k")
        await live.sees("∅ cancelled")
        assert live.form.running is not None
        assert live.form.running.was_cancelled


async def test_an_agent_that_is_lost_is_an_error_and_acts_go_on_once_it_is_back(tmp_path: Path) -> None:
    folder = write_function(tmp_path, "slow", "import time\ndef main(arg):\n    time.sleep(600 if not arg else 0)\n")
    agent, killed = Agent.start(isolation="none", prewarm={"python": 1}), False
    try:
        async with console(agent) as live:
            await live.client.add(folder)
            await live.until(lambda: live.app.store.functions, "the function")
            await live.pilot.press("3")
            await live.until(live.app.page.selection, "the function under the cursor")
            await live.pilot.press("i", "ctrl+r")
            await live.sees("▶ running")
            agent.kill()
            killed = True
            await live.until(lambda: live.form.running is not None and live.form.running.ended, "the end of it")
            await live.until(lambda: live.app.store.links["lab"].state == "reconnecting", "the lost link")
            await live.pilot.press("r")
            await live.sees("not connected to lab")
            agent, killed = agent.restarted(), False
            await live.until(lambda: live.app.store.links["lab"].state == "live", "the agent that is back")
            await live.pilot.press("e", "x", "ctrl+r")
            await live.sees("succeeded")
    finally:
        (agent.restarted() if killed else agent).close()
