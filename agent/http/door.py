"""The front door: the listener, its connections, and what they share. An async context manager.

One timer looks at all connections once a second, so that a request costs no timer of its own. When the agent is about
to end, idle connections are closed, the others after their answer; those that are left then are cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import resource
import socket
from collections import Counter
from ipaddress import ip_address
from time import monotonic, monotonic_ns
from types import TracebackType
from typing import Final, Self

from agent.config import DEFAULT_HTTP_LISTEN
from agent.http import answers
from agent.http.again import Heads, Known
from agent.http.bound import Bound
from agent.http.connection import Connection
from agent.http.phase import BODY_S
from agent.http.route import Refuse, Routes, ToFixed, refused_host
from agent.listening import in_use, split_listen
from agent.services.api import NodeApi
from mee6.errors import InvalidInput, Mee6Error, NotAllowed

OPTION: Final = "--http-listen"
LOOK_S: Final = 1.0
BACKLOG: Final = 1024
MOST_CONNECTIONS: Final = 4096
SPARE_FILES: Final = 256
"""Descriptors that are the agent's own: workers, disks, gRPC."""
HELD_BYTES: Final = 256 << 20
"""Of bodies that are being collected, all together; and of answers that are not taken."""
GRACE_S: Final = 1.0

_log: Final = logging.getLogger("mee6.agent.http")


class Door:
    """The HTTP server of one node.

    Args:
        listen: host:port; port 0 takes a free one; empty the default one, or a free one where that is taken.
        body_s: how long a client may take between two pieces of a body.
    """

    def __init__(self, node: NodeApi, listen: str = "", *, body_s: float = BODY_S) -> None:
        config = node.config
        self.node = node
        self.address = ""
        """host:port, once it serves."""
        self.hosts = frozenset(name.lower() for name in config.http_hosts)
        self.is_loopback = True
        self.body_s = body_s
        self.idle_s = config.http_idle_s
        self.body_bytes = config.arg_limit_bytes
        self.routes = Routes()
        self.heads = Heads()
        self.clock = answers.Clock()
        self.inflight = 0
        """Invocations that go on."""
        self.held_bytes = 0
        self.held_limit = HELD_BYTES
        self.unsent_bytes = 0
        self._behind: dict[Connection, int] = {}
        """Clients that do not keep up, and bytes that they have not taken; who fell behind first is first."""
        self.answered: Counter[int] = Counter()
        """Answers by their status."""
        self.is_closing = False
        self._listen = listen
        self._good_hosts: set[str] = set()
        """Values of Host that were looked at, and are names of this machine."""
        self.bound = Bound(config.http_inflight, int(config.http_late_s * 1e9))
        """Of invocations that go on."""
        self._too_many = self.full("as many invocations are under way over HTTP as the agent keeps up with", 429)
        self._most_connections = _most_connections()
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Binds and serves.

        Raises:
            Conflict: the port is in use.
            NotAllowed: it is one that only root may take.
            InvalidInput: the address cannot be used.
        """
        self._server = await self._bound()
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.is_loopback = ip_address(host.partition("%")[0]).is_loopback
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _bound(self) -> asyncio.Server:
        if self._listen:
            return await self._serve(self._listen)
        try:
            return await self._serve(DEFAULT_HTTP_LISTEN)
        except Mee6Error as error:
            host = split_listen(DEFAULT_HTTP_LISTEN)[0]
            _log.info("HTTP takes a free port: %s", error)
            return await self._serve(f"{host}:0")

    async def _serve(self, listen: str) -> asyncio.Server:
        host, port = split_listen(listen)
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(
                lambda: Connection(self), host, port, backlog=BACKLOG, reuse_address=True, reuse_port=False
            )
        except socket.gaierror as error:
            raise InvalidInput(f"cannot listen on {listen!r}: {error.strerror}; see {OPTION}") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise in_use(host, port, OPTION) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise NotAllowed(f"port {port} is not for this user; choose one above 1023 with {OPTION}") from error
            raise InvalidInput(f"cannot listen on {listen!r}: {error.strerror}; see {OPTION}") from error

    async def close(self) -> None:
        """Takes no new connections, lets answers go out for `GRACE_S`, and ends. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        self.is_closing = True
        server.close()
        for connection in list(self._connections):
            if connection.is_idle:
                connection.close()
        if self._connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    await self._empty.wait()
        for connection in list(self._connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # so that the loop tells connections of their end while the node is there

    # -- for connections

    def opened(self, connection: Connection) -> Refuse | None:
        """Takes in a connection, in place of the one that has been idle for longest where there are too many."""
        refusal = None
        if len(self._connections) >= self._most_connections:
            idle = next((one for one in self._connections if one.is_idle and one.is_drained), None)
            if idle is None:
                refusal = self.full("too many connections")
            else:
                idle.abort()
                del self._connections[idle]
        self._connections[connection] = None
        return refusal

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self.caught_up(connection)
        self._connections.pop(connection, None)
        if not self._connections:
            self._empty.set()

    def fell_behind(self, connection: Connection, size: int) -> None:
        """A client does not take its answers; where they come to too much, who has not for longest is cut off."""
        self._behind[connection] = size
        self.unsent_bytes += size
        while self.unsent_bytes > self.held_limit and len(self._behind) > 1:
            slowest = next(iter(self._behind))
            self.caught_up(slowest)
            slowest.abort()

    def caught_up(self, connection: Connection) -> None:
        """It has taken them, or is gone."""
        self.unsent_bytes -= self._behind.pop(connection, 0)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    def count(self, status: int) -> None:
        """Counts an answer."""
        self.answered[status] += 1

    def refused_host(self, host: str) -> Refuse | None:
        """The refusal of a request that was meant for another machine."""
        if host in self._good_hosts or not self.is_loopback or not host:
            return None
        refusal = refused_host(host, self.hosts)
        if refusal is None and len(self._good_hosts) < _MOST_HOSTS:
            self._good_hosts.add(host)
        return refusal

    def known(self, data: bytes) -> tuple[Known, bytes] | None:
        """What is asked for by a request that is all of `data`, with its body, where that is known and still holds."""
        found = self.heads.find(data)
        if found is not None:
            known = found[0]
            try:
                if self.node.function(known.target.user, known.target.name) is known.record:
                    return found
            except Mee6Error:  # it has been removed
                pass
        return None

    def refusal(self) -> Refuse | None:
        """Why no invocation is taken now; None where one is."""
        if self.inflight >= self.bound.now and self.bound.refuses(self.inflight, monotonic_ns()):
            return self._too_many
        if self.node.draining:
            return self.full("the agent drains and takes no invocations")
        return None

    def full(self, why: str, status: int = 503) -> Refuse:
        """The refusal of what there is no room for now."""
        code = "exhausted" if status == 429 else "unavailable"
        return Refuse(status, code, f"{why}; try again", (("Retry-After", str(answers.RETRY_S)),))

    def fixed(self, what: ToFixed) -> tuple[int, answers.Headers, bytes]:
        """The answer of one of the door's own resources."""
        match what.path:
            case "/healthz":
                return 200, _TEXT, b"ok\n"
            case "/readyz" if self.node.draining or self.is_closing:
                return answers.of_refusal(self.full("the agent drains"))
            case "/readyz":
                return 200, _TEXT, b"ready\n"
            case "/metrics":
                from agent.http import metrics  # what it needs is imported only where somebody asks

                return 200, (("Content-Type", metrics.CONTENT_TYPE),), metrics.render(self)
            case "/openapi.json":
                from agent.http import openapi

                said = openapi.described(self.node.functions(what.user), what.user, f"http://{self.address}")
                return 200, (("Content-Type", "application/json"),), said
            case _:
                return 200, _TEXT, _WELCOME

    # -- time

    def _look(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        self.clock.renew()
        now = monotonic()
        for connection in [one for one in self._connections if one.due <= now]:
            connection.overdue()


_MOST_HOSTS: Final = 64
_TEXT: Final = (("Content-Type", "text/plain; charset=utf-8"),)
_WELCOME: Final = b"""mee6: functions over HTTP

  POST /function/NAME[/path]               the body is the argument, the result is the answer
  POST /user/USER/function/NAME[/path]     the same of another user
  GET  /openapi.json                       what there is
  GET  /healthz  /readyz  /metrics
"""


def _most_connections() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, soft - SPARE_FILES), 16)
