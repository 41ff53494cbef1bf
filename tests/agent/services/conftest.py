from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from agent.services.server import Server
from mee6.api.v1.console_pb2_grpc import ConsoleStub
from mee6.api.v1.invokee_pb2_grpc import InvokeeStub
from mee6.api.v1.invoker_pb2_grpc import InvokerStub
from tests.support.fake_node import FakeNode


@dataclass
class Rig:
    """A fake node behind a real server, and stubs to it."""

    node: FakeNode
    server: Server
    address: str
    channel: grpc.aio.Channel
    invoker: InvokerStub
    invokee: InvokeeStub
    console: ConsoleStub


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not tmp_path: its length may be over what a socket's path takes.
    with tempfile.TemporaryDirectory(prefix="m6-") as name:
        yield Path(name)


@pytest.fixture
async def rig(folder: Path) -> AsyncIterator[Rig]:
    node = FakeNode(folder)
    path = folder / "grpc.sock"
    async with (
        Server(node, "127.0.0.1:0", path, grace_s=0.2) as server,
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        yield Rig(
            node,
            server,
            f"unix:{path}",
            channel,
            InvokerStub(channel),  # type: ignore[no-untyped-call]
            InvokeeStub(channel),  # type: ignore[no-untyped-call]
            ConsoleStub(channel),  # type: ignore[no-untyped-call]
        )
