"""The real node with workers that are nothing but a third party's runtime over gRPC."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from agent.config import AgentConfig
from agent.drivers.base import WorkerSpec
from agent.drivers.fake import FakeDriver
from agent.node import Node
from agent.services.server import Server
from agent.substrate.local import LocalSubstrate
from mee6.api.v1 import console_pb2, invoker_pb2
from mee6.api.v1.console_pb2_grpc import ConsoleStub
from mee6.api.v1.invoker_pb2_grpc import InvokerStub
from mee6.errors import FunctionRaised, LoadFailed
from runtimes.catalog import RUNTIMES
from tests.agent.services.test_invoker import refused
from tests.support import grpc_runtime

CODE = {
    "ponger": "def main(arg):\n    return arg + ' ponged'\n",
    "pinger": "async def main(arg):\n    return 'ping...' + await invoke('ponger', arg)\n",
    "failing": "def main(arg):\n    return 1 / 0\n",
    "broken": "import nothing_of_that_name\n",
}


class Stand:
    """An agent whose workers speak gRPC, and what a client needs."""

    def __init__(self, channel: grpc.aio.Channel, folder: Path) -> None:
        self.invoker = InvokerStub(channel)  # type: ignore[no-untyped-call]
        self.console = ConsoleStub(channel)  # type: ignore[no-untyped-call]
        self._folder = folder

    async def add(self, name: str, **manifest: Any) -> None:
        folder = self._folder / "sources" / name
        folder.mkdir(parents=True)
        (folder / "activity.json").write_text(json.dumps({"name": name, "runtime": "python", **manifest}))
        (folder / "main.py").write_text(CODE[name])
        await self.invoker.Add(invoker_pb2.AddRequest(path=str(folder), method=invoker_pb2.LOCAL))

    async def invoke(self, name: str, arg: str = "") -> str:
        reply = await self.invoker.Invoke(invoker_pb2.InvokeRequest(actName=name, arg=arg))
        return str(reply.result)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="m6-") as name:
        folder = Path(name)
        address = f"unix:{folder / 'grpc.sock'}"

        async def work(spec: WorkerSpec) -> None:
            await grpc_runtime.serve(address, spec.token, spec.pool.runtime)

        config = AgentConfig(state_dir=folder, prewarm={}, pause="never")
        async with LocalSubstrate(folder) as substrate:
            node = Node(config, FakeDriver(folder / "workers", folder / "lane.sock", work), substrate, RUNTIMES)
            async with (
                node.running(folder / "lane.sock"),
                Server(node, "127.0.0.1:0", folder / "grpc.sock", grace_s=0.2),
                grpc.aio.insecure_channel(address) as channel,
            ):
                yield Stand(channel, folder)


async def test_it_serves_one_invocation_after_the_other(stand: Stand) -> None:
    await stand.add("ponger")
    assert await stand.invoke("ponger", "a") == "a ponged"
    assert await stand.invoke("ponger", "b") == "b ponged"
    (step,) = (await stand.console.Trace(console_pb2.TraceRequest())).steps
    assert (step.start, step.via, step.state) == ("warm", "direct", "succeeded")


async def test_its_function_calls_another_through_the_agent(stand: Stand) -> None:
    await stand.add("ponger")
    await stand.add("pinger", dependencies={"ponger": {"outflow": "always"}})
    assert await stand.invoke("pinger", "x") == "ping...x ponged"
    steps = (await stand.console.Trace(console_pb2.TraceRequest())).steps
    assert [(step.function, step.state) for step in steps] == [("pinger", "succeeded"), ("ponger", "succeeded")]
    assert len({step.worker for step in steps}) == 2


async def test_its_failures_reach_the_client_as_what_they_are(stand: Stand) -> None:
    await stand.add("failing")
    await stand.add("broken")
    raised = await refused(stand.invoke("failing"))
    assert type(raised) is FunctionRaised
    assert raised.error_type == "ZeroDivisionError"
    assert "line 2, in main" in raised.traceback
    assert type(await refused(stand.invoke("broken"))) is LoadFailed
