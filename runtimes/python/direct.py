"""Direct lanes: sockets from a caller's process to its callee's, and what the proxy has yet to be told of them.

The callee's end awaits one caller at a path and removes it; the caller's connects there. A call is an `Invoke` and
its `Report`, without a step in between. What nobody knows of but the two is gathered here as `Hop`s: it goes to the
proxy with the next thing that goes there anyway, rides on the report to a caller that was called directly itself,
and is told at once where somebody has to act on it.
"""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns
from typing import Final

from mee6.errors import ProtocolError
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import AnyMessage, Fault, Hop, Hops, Invoke

TELL_S: Final = 0.01
"""A call that takes longer is told of, and so are those that have ended for as long."""
MAX_UNTOLD: Final = 512
MAX_READY: Final = 16
"""Lanes that are looked at in one turn."""
_TELL_NS: Final = int(TELL_S * 1e9)
_TIME_OUT: Final = struct.pack("ll", 0, int(TELL_S * 1e6))


class Edge(BlockingLane):
    """One end of a direct lane."""

    __slots__ = ("number",)

    def __init__(self, sock: socket.socket, number: int) -> None:
        super().__init__(sock)
        self.number = number

    @classmethod
    def connect(cls, number: int, address: str) -> Edge | None:
        """The caller's end; its `reply` waits for `TELL_S` at most. None where nobody is there."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)  # a callee that awaits somebody has room for one
            sock.connect(address)
            edge = cls(sock, number)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME_OUT)
        except OSError:
            sock.close()
            return None
        return edge

    def wait(self) -> None:
        """Waits for the peer to say something, or to leave."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        poll.poll()


class Inlets:
    """The callee's ends of direct lanes, and the process's own lane beside them."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._own = -1
        self._awaited: dict[int, tuple[int, socket.socket, str]] = {}
        self._edges: dict[int, Edge] = {}

    def expect(self, number: int, address: str) -> bool:
        """Awaits a caller at an address; False where that cannot be."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.bind(address)
            sock.listen(1)
        except OSError:
            sock.close()
            return False
        self._awaited[sock.fileno()] = number, sock, address
        self._epoll.register(sock.fileno(), select.EPOLLIN)
        return True

    def forget(self, number: int) -> None:
        """Ends what there is of a lane."""
        for fd, (awaited, _sock, _address) in list(self._awaited.items()):
            if awaited == number:
                self._stop_awaiting(fd)
        for fd, edge in list(self._edges.items()):
            if edge.number == number:
                self._drop(fd)

    def receive(self, lane: BlockingLane) -> tuple[list[AnyMessage] | None, list[tuple[Invoke, Edge]]]:
        """Waits for messages; those of the process's own lane, None at its end, and calls that came directly.

        What the proxy said before somebody called is found beside the call, and stands before it.
        """
        own = lane.fileno()
        if own != self._own:
            self._epoll.register(own, select.EPOLLIN)
            self._own = own
        messages: list[AnyMessage] | None = []
        calls: list[tuple[Invoke, Edge]] = []
        for fd, _events in self._epoll.poll(None, MAX_READY):
            if (edge := self._edges.get(fd)) is not None:
                try:
                    found = edge.receive_now()
                except ProtocolError:
                    found = None
                for message in found or ():
                    if isinstance(message, Invoke):
                        calls.append((message, edge))
                    else:
                        found = None
                if found is None:
                    self._drop(fd)
            elif fd == own:
                messages = lane.receive_now()
            elif fd in self._awaited:
                self._accept(fd)
        return messages, calls

    def close(self) -> None:
        """Closes all."""
        for _number, sock, _address in self._awaited.values():
            sock.close()
        for edge in self._edges.values():
            edge.close()
        self._epoll.close()

    def _accept(self, fd: int) -> None:
        number, sock, _address = self._awaited[fd]
        with suppress(OSError):
            accepted, _peer = sock.accept()
            edge = Edge(accepted, number)
            self._edges[edge.fileno()] = edge
            self._epoll.register(edge.fileno(), select.EPOLLIN)
        self._stop_awaiting(fd)

    def _stop_awaiting(self, fd: int) -> None:
        _number, sock, address = self._awaited.pop(fd)
        self._epoll.unregister(fd)
        sock.close()
        with suppress(OSError):
            Path(address).unlink()

    def _drop(self, fd: int) -> None:
        edge = self._edges.pop(fd)
        self._epoll.unregister(fd)
        edge.close()


class Untold:
    """What the proxy has not been told of: how this process was called, and whom it called."""

    def __init__(self) -> None:
        self.above: list[Hop] = []
        """The direct calls down to this process's own, which is the last; for whom it calls, to tell in its turn."""
        self.began_ns = 0
        """When the invocation began; monotonic."""
        self.told = False
        """Those have been told from here."""
        self.call: Hop | None = None
        """The direct call that goes on."""
        self.call_told = False
        self.below: list[Hop] = []
        """The calls that have ended."""

    def begin(self, invocation: Invoke, lane: int) -> None:
        """An invocation begins, called over a direct lane, or by the proxy: 0."""
        now = self.began_ns = monotonic_ns()
        self.above = [*invocation.above, Hop(lane, invocation.id, now)] if lane else []
        self.told = False
        self.call = None
        self.below = []

    def calls(self, lane: int, number: str) -> None:
        """A direct call begins."""
        self.call = Hop(lane, number, monotonic_ns())
        self.call_told = False

    def due_s(self) -> float | None:
        """When the call that goes on is to be told of; None where there is none, or it has been."""
        if self.call is None or self.call_told:
            return None
        return TELL_S - (monotonic_ns() - self.call.start_ns) / 1e9

    def ended(self, fault: Fault | None, below: list[Hop], told: bool) -> bool:
        """It has ended; whether that must be told at once."""
        call = self.call
        assert call is not None
        now = monotonic_ns()
        if below:
            self.below += below
        if fault is None:
            self.below.append(Hop(call.lane, call.id, call.start_ns, now))
        else:
            self.below.append(Hop(call.lane, call.id, call.start_ns, now, fault.code, fault.message))
        self.call = None
        first = self.below[0]
        return told or self.call_told or now - first.end_ns > _TELL_NS or len(self.below) >= MAX_UNTOLD

    def take(self, *, lost: bool = False) -> list[Hops]:
        """All of it, as the message that tells it; nothing where there is nothing."""
        hops = self.below if self.told else self.above + self.below
        self.told = bool(self.above)
        self.below = []
        if self.call is not None and (lost or not self.call_told):
            self.call_told = True
            hops.append(self.call)
        return [Hops(hops, lost)] if hops else []

    def take_below(self) -> list[Hop]:
        """The calls that have ended, for the report to a caller that was called directly itself."""
        below, self.below = self.below, []
        return below
