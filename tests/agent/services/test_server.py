from __future__ import annotations

import re
import socket
from pathlib import Path

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agent.services.server import Server
from mee6.api.v1.console_pb2 import NodesRequest
from mee6.api.v1.console_pb2_grpc import ConsoleStub
from mee6.errors import Conflict, InvalidInput
from tests.agent.services.conftest import Rig
from tests.support.fake_node import FakeNode


async def test_port_0_takes_a_free_port_and_serves_there(rig: Rig) -> None:
    assert not rig.server.address.endswith(":0")
    async with grpc.aio.insecure_channel(rig.server.address) as channel:
        console = ConsoleStub(channel)  # type: ignore[no-untyped-call]
        reply = await console.Nodes(NodesRequest())
        assert reply.nodes[0].id == "n1"


async def test_a_second_agent_on_the_port_is_refused(rig: Rig, folder: Path) -> None:
    port = rig.server.address.rpartition(":")[2]
    with pytest.raises(Conflict) as caught:
        async with Server(FakeNode(folder), rig.server.address):
            pass
    assert caught.value.message == (
        f"port {port} on 127.0.0.1 is in use; is another agent running? choose another with --listen"
    )


async def test_a_port_taken_by_something_else_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Conflict, match="is in use"):
        async with Server(FakeNode(folder), f"127.0.0.1:{other.getsockname()[1]}"):
            pass


@pytest.mark.parametrize("listen", ["", "5122", "localhost", ":5122", "127.0.0.1:x", "127.0.0.1:70000", "1.2.3.4:5122"])
async def test_an_address_that_cannot_be_is_named(folder: Path, listen: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(repr(listen))):
        async with Server(FakeNode(folder), listen):
            pass


async def test_a_socket_path_over_the_kernels_limit_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="too long"):
        async with Server(FakeNode(folder), "127.0.0.1:0", folder / ("x" * 120)):
            pass


async def test_the_socket_is_for_its_owner_alone_and_goes_with_the_server(folder: Path) -> None:
    path = folder / "s"
    path.touch()  # of an agent that was killed
    async with Server(FakeNode(folder), "127.0.0.1:0", path):
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_closing_twice_is_fine(rig: Rig) -> None:
    await rig.server.close()
    await rig.server.close()


async def test_health_and_reflection_are_served(rig: Rig) -> None:
    health = health_pb2_grpc.HealthStub(rig.channel)  # type: ignore[no-untyped-call]
    for service in ("", "mee6.console.v1.Console", "mee6aas.agent.invoker.v1.Invoker"):
        reply = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(rig.channel)  # type: ignore[no-untyped-call]
    call = reflection.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    services = [found.name for found in (await call.read()).list_services_response.service]
    assert "mee6aas.agent.invokee.v1.Invokee" in services
    call.cancel()
