"""The agent's lane socket: where proxies, and runtimes after a handover, come in.

A connection says `Hello` first and soon, or is closed; after that it is a peer of the node. Who it is, the
kernel says (`SO_PEERCRED`); what it may be, its one-time token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from agent.peers import PeerHost
from mee6.errors import NotAllowed, ProtocolError
from mee6.lane.aio import LaneProtocol
from mee6.lane.messages import AnyMessage, Hello

HELLO_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 512
MAX_STRANGERS: Final = 32
"""Connections from one worker that have not said who they are; more are closed at once, or they would take all of
the agent's descriptors."""

_log: Final = logging.getLogger("mee6.agent.lanes")
_CREDENTIALS: Final = struct.Struct("3i")


class LaneServer:
    """Listens on a Unix socket for as long as its context lasts."""

    def __init__(self, path: Path, host: PeerHost) -> None:
        self._path = path
        self._host = host
        self._server: asyncio.AbstractServer | None = None
        self._strangers: dict[LaneProtocol, asyncio.TimerHandle] = {}
        self._peers: set[LaneProtocol] = set()
        self._origins: dict[LaneProtocol, int] = {}
        """Strangers that may be counted -> where they come from."""

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._connection, str(self._path), backlog=BACKLOG)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for lane in [*self._peers, *self._strangers]:
            lane.cut("the agent stops")
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _connection(self) -> LaneProtocol:
        lane = LaneProtocol(self._stranger_says, self._gone, self._opened)
        patience = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_S, lane.cut, "no Hello came")
        self._strangers[lane] = patience
        return lane

    def _opened(self, lane: LaneProtocol) -> None:
        origin = _origin_of(lane)
        if origin is None:
            return
        self._origins[lane] = origin
        if sum(other == origin for other in self._origins.values()) > MAX_STRANGERS:
            lane.cut("too many connections that said nothing")

    def _stranger_says(self, lane: LaneProtocol, message: AnyMessage) -> None:
        if lane in self._peers:
            self._host.received(lane, message)
            return
        if not isinstance(message, Hello):
            raise ProtocolError(f"a lane begins with Hello, not {type(message).__name__}")
        try:
            welcome = self._host.attach(lane, message, _pid_of(lane))
        except NotAllowed as refusal:
            _log.warning("a lane was refused: %s", refusal.message)
            raise
        self._strangers.pop(lane).cancel()
        self._origins.pop(lane, None)
        self._peers.add(lane)
        lane.send(welcome)

    def _gone(self, lane: LaneProtocol, reason: str) -> None:
        if patience := self._strangers.pop(lane, None):
            patience.cancel()
        self._origins.pop(lane, None)
        if lane in self._peers:
            self._peers.remove(lane)
            self._host.detach(lane, reason)


def _pid_of(lane: LaneProtocol) -> int | None:
    sock: socket.socket | None = lane.transport.get_extra_info("socket") if lane.transport else None
    if sock is None:
        return None
    pid, _uid, _gid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid)


def _origin_of(lane: LaneProtocol) -> int | None:
    """The pid namespace of whoever is on the other end, which is a worker's; None for one that is not in its own."""
    try:
        origin = os.stat(f"/proc/{_pid_of(lane)}/ns/pid").st_ino  # noqa: PTH116 - /proc
        return origin if origin != os.stat("/proc/self/ns/pid").st_ino else None  # noqa: PTH116 - as above
    except OSError:
        return None
