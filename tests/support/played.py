"""A node whose workers a test plays by hand: it sees each message and says each answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

from agent.config import AgentConfig
from agent.drivers.base import WorkerSpec
from agent.drivers.fake import FakeDriver
from agent.node import Node
from agent.substrate.local import LocalSubstrate
from mee6.lane.messages import AnyMessage, Call, Expect, Hello, Invoke, Load, Report, Role
from runtimes.catalog import RUNTIMES

M = TypeVar("M", bound=AnyMessage)
PATIENCE_S = 5.0


class PlayedPeer:
    """A peer of the node's; what it was sent waits in order."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[AnyMessage] = asyncio.Queue()
        self.closed = False
        self.expected: list[Expect] = []
        """What it was told to load ahead; it comes when it comes, beside what is waited for."""

    def send(self, *messages: AnyMessage) -> None:
        for message in messages:
            if isinstance(message, Expect):
                self.expected.append(message)
            else:
                self.inbox.put_nowait(message)

    def close(self) -> None:
        self.closed = True

    async def gets(self, kind: type[M]) -> M:
        async with asyncio.timeout(PATIENCE_S):
            message = await self.inbox.get()
        assert isinstance(message, kind), message
        return message


class PlayedNode:
    """A running node with a fake driver; `worker` waits for the next worker it starts."""

    def __init__(self, node: Node, driver: FakeDriver, specs: asyncio.Queue[WorkerSpec], base: Path) -> None:
        self.node = node
        self.driver = driver
        self.specs = specs
        self._base = base

    async def add(self, name: str, **manifest: Any) -> None:
        folder = self._base / "sources" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "activity.json").write_text(json.dumps({"name": name, "runtime": "python", **manifest}))
        (folder / "main.py").write_text("def main(arg):\n    return arg\n")
        await self.node.add_folder("ann", "", folder)

    async def worker(self) -> WorkerSpec:
        async with asyncio.timeout(PATIENCE_S):
            return await self.specs.get()

    async def connected(self, role: Role = "proxy", *, store: bool = False) -> PlayedPeer:
        """The next worker's proxy (or runtime), connected."""
        spec, peer = await self.worker(), PlayedPeer()
        self.node.attach(peer, Hello(spec.token, role, "python", pid=7, store=store), None)
        return peer

    def begin(self, name: str, arg: str = "x", timeout_s: float | None = None) -> asyncio.Future[Any]:
        return self.node.begin("ann", name, arg.encode(), "text/plain", timeout_s).outcome

    async def running(self, name: str, role: Role = "runtime") -> tuple[asyncio.Future[Any], PlayedPeer, Invoke]:
        """An invocation that has been given to a peer of its own, which was loaded for it."""
        outcome = self.begin(name)
        peer = await self.connected(role)
        load = await peer.gets(Load)
        self.node.received(peer, Report(load.id))
        return outcome, peer, await peer.gets(Invoke)

    def calls(self, peer: PlayedPeer, task: Invoke, number: int, name: str) -> str:
        call = Call(f"{task.id}.{number}", task.id, name, b"y", "text/plain")
        self.node.received(peer, call)
        return call.id


@contextlib.asynccontextmanager
async def played_node(tmp_path: Path, driver_pauses: str = "none", **config: Any) -> AsyncIterator[PlayedNode]:
    specs: asyncio.Queue[WorkerSpec] = asyncio.Queue()

    async def note(spec: WorkerSpec) -> None:
        specs.put_nowait(spec)
        await asyncio.Event().wait()

    settings = AgentConfig(state_dir=tmp_path, **{"prewarm": {}, "pause": False, **config})
    async with LocalSubstrate(tmp_path) as substrate:
        driver = FakeDriver(tmp_path / "fake", tmp_path / "a.sock", note, driver_pauses)
        node = Node(settings, driver, substrate, RUNTIMES)
        async with node.running(tmp_path / "a.sock"):
            yield PlayedNode(node, driver, specs, tmp_path)
