"""Prototypes of an agent's data plane on more than one process, of the repository's own pieces; programs, one a role.

`core FOLDER SOCKET` is a whole node with the function in FOLDER: it serves HTTP itself, and takes the frames of doors
and the accounts of relays on SOCKET. `door SOCKET` reads HTTP with the agent's own front door and hands every
invocation to the core, a frame each way; what comes in one turn of its loop goes out in one write. `relay SOCKET COUNT`
is a door that has the lanes of COUNT workers for itself, as if the core had leased them to it in advance, and tells the
core of what it ran every 20 ms. Each prints the address of its HTTP, and serves until its standard input ends.

What they leave out makes them cheaper than the real thing would be: streams, cancelling, drains, restarts, limits that
hold for all doors together; and in relays also deadlines, traces, pauses, and the choice between functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import uvloop

from agent.config import AgentConfig
from agent.drivers.process.driver import ProcessDriver
from agent.http.door import Door
from agent.node import Node, agent_id
from agent.seats import Answer
from agent.services.api import NodeApi
from agent.substrate.local import LocalSubstrate
from mee6.lane.aio import LaneProtocol
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import AnyMessage, Chunk, Invoke, Report
from mee6.manifest import BY_HTTP
from runtimes.catalog import RUNTIMES

ANYWHERE: Final = "127.0.0.1:0"
_ran: Final = msgspec.msgpack.Decoder(list[tuple[str, int, int]]).decode
"""Of an account: id, start and end of each invocation."""
TELL_S: Final = 0.02
"""Between two accounts of a relay."""
MOST_WORKERS: Final = 128


# The core


async def core(folder: Path, at: Path) -> None:
    """Serves the function in `folder` over HTTP, and to doors and relays at `at`."""
    with tempfile.TemporaryDirectory(prefix="m6b") as base:
        state = Path(base)
        lane = state / "lane"
        lane.mkdir(mode=0o700)
        config = AgentConfig(state_dir=state, prewarm={}, linger_s=600.0, max_workers=MOST_WORKERS)
        async with LocalSubstrate(state) as substrate:
            node = Node(config, ProcessDriver(agent_id(state), state, lane), substrate, RUNTIMES)
            async with node.running(lane / "agent.sock"), Door(node, ANYWHERE) as door:
                await node.add_folder("default", "", folder)
                loop = asyncio.get_running_loop()
                server = await loop.create_unix_server(partial(_shard, node), str(at))
                await _serve(door.address)
                server.close()


def _shard(node: Node) -> LaneProtocol:
    accounts: deque[tuple[str, int, int]] = deque(maxlen=4096)

    def told(lane: LaneProtocol, message: AnyMessage) -> None:
        if isinstance(message, Invoke):
            user, name = message.chain
            answer = partial(_answered, lane, message.id)
            node.submit(user, name, message.arg, message.content_type, answer, request=message.request)
        elif isinstance(message, Chunk):
            accounts.extend(_ran(message.data))

    return LaneProtocol(told, lambda _lane, _why: None)


def _answered(lane: LaneProtocol, number: str, answer: Answer) -> None:
    lane.send(Report(number, answer.result, answer.content_type, answer.fault, response=answer.response))


# Doors and relays: what a front door asks of a node


class Front:
    """What is alike: no function is looked up, since there is only one user who has them all."""

    config: Final = AgentConfig(state_dir=Path())
    draining: Final = False

    def __init__(self) -> None:
        self.known: Final = SimpleNamespace(manifest=SimpleNamespace(http=BY_HTTP))

    def function(self, _user: str, _name: str) -> object:
        """How it is reached."""
        return self.known

    def cancel(self, _id: str) -> None:
        """A client has left; its invocation goes on."""


class Forwarding(Front):
    """A door's node: the core, at the other end of a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._lane: LaneProtocol | None = None
        self._waiting: dict[str, Callable[[Answer], None]] = {}

    async def connect(self, at: Path) -> None:
        """Finds the core."""
        loop = asyncio.get_running_loop()
        _transport, self._lane = await loop.create_unix_connection(
            lambda: LaneProtocol(self._told, lambda _lane, _why: None), str(at)
        )

    def submit(
        self, user: str, name: str, arg: bytes, content_type: str, answer: Callable[[Answer], None], **more: Any
    ) -> str:
        """As a node's."""
        assert self._lane is not None
        number = os.urandom(6).hex()
        self._waiting[number] = answer
        self._lane.send(Invoke(number, arg, content_type, [user, name], more.get("request")))
        return number

    def _told(self, _lane: LaneProtocol, message: AnyMessage) -> None:
        assert isinstance(message, Report)
        self._waiting.pop(message.id)(Answer(message.result, message.content_type, message.fault, message.response))


class Leasing(Front):
    """A relay's node: idle workers of its own, last used first, and a line of those who wait for one."""

    def __init__(self, socks: list[socket.socket]) -> None:
        super().__init__()
        self._socks = socks
        self._idle: list[LaneProtocol] = []
        self._line: deque[tuple[Invoke, Callable[[Answer], None], int]] = deque()
        self._running: dict[str, tuple[LaneProtocol, Callable[[Answer], None], int]] = {}
        self._core: LaneProtocol | None = None
        self._ran: list[tuple[str, int, int]] = []

    async def connect(self, at: Path) -> None:
        """Finds the core and its workers."""
        loop = asyncio.get_running_loop()
        _transport, self._core = await loop.create_unix_connection(
            lambda: LaneProtocol(lambda _lane, _said: None, lambda _lane, _why: None), str(at)
        )
        for sock in self._socks:
            sock.setblocking(False)
            _transport, lane = await loop.create_unix_connection(
                lambda: LaneProtocol(self._reported, lambda _lane, _why: None), sock=sock
            )
            self._idle.append(lane)
        self._account()

    def submit(
        self, _user: str, name: str, arg: bytes, content_type: str, answer: Callable[[Answer], None], **more: Any
    ) -> str:
        """As a node's."""
        number = os.urandom(6).hex()
        asked = Invoke(number, arg, content_type, [name], more.get("request"))
        self._line.append((asked, answer, time.monotonic_ns()))
        self._next()
        return number

    def _next(self) -> None:
        while self._line and self._idle:
            lane = self._idle.pop()
            asked, answer, since = self._line.popleft()
            self._running[asked.id] = (lane, answer, since)
            lane.send(asked)

    def _reported(self, _lane: LaneProtocol, message: AnyMessage) -> None:
        assert isinstance(message, Report)
        lane, answer, since = self._running.pop(message.id)
        self._idle.append(lane)
        self._ran.append((message.id, since, time.monotonic_ns()))
        answer(Answer(message.result, message.content_type, message.fault, message.response))
        self._next()

    def _account(self) -> None:
        asyncio.get_running_loop().call_later(TELL_S, self._account)
        if self._ran and self._core is not None:
            self._core.send(Chunk("", msgspec.msgpack.encode(self._ran)))
            self._ran = []


def _worker(sock: socket.socket) -> None:
    """What a runtime does at least: takes a call, rests as long as it says, and reports."""
    lane = BlockingLane(sock)
    while (message := lane.receive()) is not None:
        assert isinstance(message, Invoke)
        if rest_s := float(message.arg):
            time.sleep(rest_s)
        lane.send(Report(message.id, message.arg, message.content_type))


def forked(count: int) -> list[socket.socket]:
    """The lanes of so many workers; to be called before there is an event loop."""
    ours: list[socket.socket] = []
    for _ in range(count):
        mine, theirs = socket.socketpair()
        if not os.fork():
            mine.close()
            for other in ours:
                other.close()
            with contextlib.suppress(KeyboardInterrupt):
                _worker(theirs)
            os._exit(0)
        theirs.close()
        ours.append(mine)
    return ours


async def front(node: Forwarding | Leasing, at: Path) -> None:
    """Serves HTTP for the core at `at`."""
    await node.connect(at)
    async with Door(cast("NodeApi", node), ANYWHERE) as door:
        await _serve(door.address)


async def _serve(address: str) -> None:
    """Until the input ends; with the collector as `agent.main` sets it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    print(address, flush=True)
    ended = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    await ended.read()


# For who measures


class Shard:
    """One such process."""

    def __init__(self, role: str, process: asyncio.subprocess.Process, address: str) -> None:
        self.role = role
        self.pid = process.pid
        self.address = address


@contextlib.asynccontextmanager
async def shard(role: str, *told: str) -> AsyncIterator[Shard]:
    """Such a process, for as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, role, *told, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()
        if not address:
            raise RuntimeError(f"the {role} has ended; what it said is above")
        yield Shard(role, process, address)
    finally:
        process.stdin.close()
        await process.wait()


def _main(role: str, *told: str) -> None:
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    match role, told:
        case "core", (folder, at):
            runner.run(core(Path(folder), Path(at)))
        case "door", (at,):
            runner.run(front(Forwarding(), Path(at)))
        case "relay", (at, count):
            socks = forked(int(count))
            runner.run(front(Leasing(socks), Path(at)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    _main(*sys.argv[1:])
