"""The agent's gRPC server: all services on one TCP address and one Unix socket.

An async context manager. Entering binds and serves; leaving lets RPCs that go on finish for `grace_s` and
ends those that have not. The node must live longer than it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as aio_health  # type: ignore[attr-defined]  # public by its documentation
from grpc_reflection.v1alpha import reflection

from agent.listening import SOCKET_PATH_BYTES, in_use, probe, split_listen
from agent.services.api import NodeApi
from agent.services.console import STALLED_S, Console
from agent.services.interceptor import ErrorsToStatus
from agent.services.invokee import Invokee
from agent.services.invoker import Invoker
from mee6.api.v1 import console_pb2, console_pb2_grpc, invokee_pb2, invokee_pb2_grpc, invoker_pb2, invoker_pb2_grpc
from mee6.errors import InvalidInput

MESSAGE_LIMIT_BYTES: Final = 32 << 20
"""A result of 8 MiB four times over; an argument over its own limit is still told apart from garbage."""

_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.so_reuseport", 0),  # with it, a second agent on the port would get half of the connections
    ("grpc.max_concurrent_streams", 4096),
    ("grpc.server.max_pending_requests", 100_000),  # past its default of 1,000, calls are dropped without a reason
    ("grpc.server.max_pending_requests_hard_limit", 100_000),
)

_SERVICES: Final = (
    invoker_pb2.DESCRIPTOR.services_by_name["Invoker"].full_name,
    invokee_pb2.DESCRIPTOR.services_by_name["Invokee"].full_name,
    console_pb2.DESCRIPTOR.services_by_name["Console"].full_name,
)


class Server:
    """The server of one node.

    Args:
        listen: host:port; port 0 takes a free one.
        socket_path: of the Unix socket; None for none.
        grace_s: for RPCs that go on when it ends.
        stalled_s: how long a watcher may read nothing.
    """

    def __init__(
        self,
        node: NodeApi,
        listen: str,
        socket_path: Path | None = None,
        grace_s: float = 1.0,
        stalled_s: float = STALLED_S,
    ) -> None:
        self.address = listen
        """host:port; with the true port once it serves."""
        self._node = node
        self._listen = listen
        self._socket_path = socket_path
        self._grace_s = grace_s
        self._stalled_s = stalled_s
        self._server: grpc.aio.Server | None = None
        self._health = aio_health.HealthServicer()

    async def __aenter__(self) -> Self:
        """Binds and serves.

        Raises:
            Conflict: the port is in use.
            NotAllowed: it is one that only root may take.
            InvalidInput: the address or the socket's path cannot be used.
        """
        host, port = split_listen(self._listen)
        probe(self._listen, host, port)
        server = grpc.aio.server(interceptors=(ErrorsToStatus(),), options=_OPTIONS)
        invoker_pb2_grpc.add_InvokerServicer_to_server(Invoker(self._node), server)  # type: ignore[no-untyped-call]
        invokee_pb2_grpc.add_InvokeeServicer_to_server(Invokee(self._node), server)  # type: ignore[no-untyped-call]
        console_pb2_grpc.add_ConsoleServicer_to_server(Console(self._node, self._stalled_s), server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)  # type: ignore[no-untyped-call]
        reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)  # type: ignore[no-untyped-call]
        try:
            bound = server.add_insecure_port(self._listen)
        except RuntimeError as error:  # taken since it was probed
            raise in_use(host, port) from error
        self.address = f"{self._listen.rpartition(':')[0]}:{bound}"
        if self._socket_path is not None:
            _bind_socket(server, self._socket_path)
        await server.start()
        self._server = server
        for service in ("", *_SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends watchers, then the rest after `grace_s`. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        await self._health.enter_graceful_shutdown()
        self._node.feed.close()
        await server.stop(self._grace_s)
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)


def _bind_socket(server: grpc.aio.Server, path: Path) -> None:
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise InvalidInput(f"{path} is too long for a socket's path; choose a shorter --state-dir")
    path.unlink(missing_ok=True)  # of an agent that was killed
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise InvalidInput(f"cannot make the socket {path}; is its folder there and writable?") from error
    path.chmod(0o600)
