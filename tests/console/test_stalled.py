"""Who does not keep up, end to end: a console that reads nothing from its agent, and a terminal that is not read.

A real server on a fake node, and `mee6 console` as a process of its own in a terminal that is read, or is not.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from agent.feed import RING_EVENTS, InvocationView
from agent.services import console
from agent.services.server import Server
from tests.benchmarks.harness.terminal import Terminal, terminal
from tests.support.fake_node import FakeNode
from tests.support.waiting import until

pytestmark = pytest.mark.slow
STALLED_S: Final = 1.0
HELD_BYTES: Final = 8 << 20
"""What an agent may hold for a watcher that reads nothing: gRPC's buffer and the batch that waits; measured: 1.1 MB."""
CODES: Final = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="m6-") as name:  # not tmp_path: a socket's path must be short
        yield Path(name)


@dataclass
class Screen:
    """A console's terminal from outside."""

    terminal: Terminal
    written: bytes = b""
    """By the console, since `read` was called last."""

    def read(self) -> None:
        """Reads it from now on."""
        self.written = b""
        asyncio.get_running_loop().add_reader(self.terminal.screen, self._more)

    def look_away(self) -> None:
        """Reads no more."""
        asyncio.get_running_loop().remove_reader(self.terminal.screen)

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self.terminal.screen, keys.encode())

    def shows(self, text: str) -> bool:
        """Whether it was written."""
        return text in CODES.sub(b"", self.written).decode(errors="replace")

    def _more(self) -> None:
        try:
            self.written += os.read(self.terminal.screen, 1 << 16)
        except OSError:  # it has ended
            self.look_away()


@dataclass
class Rig:
    """An agent that anything can be published of."""

    node: FakeNode
    address: str
    handed: list[int] = field(default_factory=list)
    """Bytes of each message that was given to gRPC."""

    def publish(self, events: int, first: int = 0) -> None:
        """Half a KiB an event."""
        for number in range(first, first + events):
            now = time.monotonic_ns()
            view = InvocationView(f"mark{number:07}", "ann", "echo", 1, "running", accepted_ns=now, error="x" * 500)
            self.node.feed.publish(now, view)


@pytest.fixture
async def rig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    node, path = FakeNode(folder), folder / "grpc.sock"
    rig = Rig(node, f"unix:{path}")
    reply = console.Console._reply

    def counted(served: console.Console, item: Any, *, whole: bool) -> Any:
        made = reply(served, item, whole=whole)
        rig.handed.append(made.ByteSize())
        return made

    monkeypatch.setattr(console.Console, "_reply", counted)
    async with Server(node, "127.0.0.1:0", path, grace_s=0.2, stalled_s=STALLED_S):
        yield rig


@asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[Screen]:
    """`mee6 console` on its invocations."""
    async with terminal("-m", "mee6tui.cli.main", "console", "--address", rig.address, read=False) as running:
        screen = Screen(running)
        screen.read()
        await until(lambda: rig.node.feed.watched and screen.shows("warm 1"), "the console is open")
        screen.type("4")
        await until(lambda: screen.shows("no invocations yet"), "its invocations are shown")
        yield screen
        screen.look_away()


async def test_a_console_that_stands_still_is_cut_off_with_little_held_for_it_says_so_and_goes_on(rig: Rig) -> None:
    feed = rig.node.feed
    async with opened(rig) as screen:
        rig.handed.clear()
        os.kill(screen.terminal.process.pid, signal.SIGSTOP)
        published = 0
        async with asyncio.timeout(60):
            while feed.watched or published < 100_000:
                rig.publish(RING_EVENTS // 4, published)
                published += RING_EVENTS // 4
                await asyncio.sleep(0.03)
        held = sum(rig.handed)
        assert feed.watchers == 0
        assert all(slot is None for slot in feed._ring), "nothing is kept for it"
        assert published * 500 > 4 * HELD_BYTES
        assert held < HELD_BYTES, f"{held:,} bytes were taken for a console that reads nothing"
        screen.read()
        os.kill(screen.terminal.process.pid, signal.SIGCONT)
        await until(lambda: screen.shows("cut off") and screen.shows("read nothing for 1 s"), "it says what happened")
        await until(lambda: feed.watched, "it is back")
        await until(lambda: screen.shows("connected again"), "it says so for long enough to be read")
        rig.publish(1, published)
        await until(lambda: screen.shows(f"mark{published:07}"), "what happens now is shown")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
async def test_a_signal_gives_the_terminal_back(rig: Rig, number: int) -> None:
    async with opened(rig) as screen:
        os.kill(screen.terminal.process.pid, number)
        assert await screen.terminal.process.wait() == 128 + number
        await until(lambda: b"\x1b[?1049l" in screen.written, "the shell's own screen is back")


async def test_a_terminal_that_is_not_read_holds_up_nothing_and_then_gets_the_newest(rig: Rig) -> None:
    feed = rig.node.feed
    async with opened(rig) as screen:
        screen.look_away()
        rig.handed.clear()
        published, began = 0, time.monotonic()
        while time.monotonic() < began + 4 * STALLED_S or sum(rig.handed) < 4 * HELD_BYTES:
            rig.publish(500, published)
            published += 500
            await asyncio.sleep(0.03)
            assert feed.watchers == 1, "the console goes on reading from its agent"
        last = f"mark{published - 1:07}"
        await asyncio.sleep(0.2)
        screen.read()
        await until(lambda: screen.shows(last), "the newest is shown")
        shown = {int(found) for found in re.findall(rb"mark(\d{7})", screen.written)}
        frames = len([number for number in shown if number % 500 == 499])
        assert frames <= 5, f"{frames} frames of what was then were still to be written"
