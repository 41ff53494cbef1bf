"""A keep-alive client on raw sockets that costs little of the machine it measures on; one thread, no event loop.

Knows just as much of HTTP as its own requests and the agent's answers to them need: a head and a Content-Length.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic_ns
from typing import Final

_LENGTH: Final = b"Content-Length: "
_WARM_UP: Final = 20
_PATIENCE_S: Final = 10.0


def request(path: str, body: bytes | None = None) -> bytes:
    """A request; a POST where there is a body."""
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
    if body is not None:
        head += f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + (body or b"")


class Connection:
    """One connection."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.sock = socket.create_connection((host, int(port)), 10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0
        self._read = b""

    def send(self, asked: bytes, began: int) -> None:
        """Sends a request; `began` is when its time begins."""
        self.began = began
        self.sock.sendall(asked)

    def receive(self) -> int:
        """Reads once; the answer's status once it is whole, else 0.

        Raises:
            ConnectionError: the agent hung up.
        """
        got = self.sock.recv(1 << 16)
        if not got:
            raise ConnectionError("the agent hung up")
        read = self._read + got if self._read else got
        end = read.find(b"\r\n\r\n")
        at = read.find(_LENGTH, 0, end)
        if end < 0 or len(read) < end + 4 + int(read[at + len(_LENGTH) : read.index(b"\r", at)]):
            self._read = read
            return 0
        self._read = b""
        return int(read[9:12])


def one_by_one(address: str, asked: bytes, count: int, *, warm_up: int = _WARM_UP) -> list[int]:
    """Nanoseconds of `count` requests one after the other, after some that do not count."""
    connection, took = Connection(address), []
    with connection.sock:
        for number in range(-warm_up, count):
            began = monotonic_ns()
            connection.send(asked, began)
            while not (status := connection.receive()):
                pass
            if number >= 0:
                took.append(monotonic_ns() - began)
            assert status == 200, status
    return took


@dataclass(slots=True)
class Load:
    """What came back of a load."""

    took: dict[int, list[int]] = field(default_factory=lambda: {200: [], 429: []})
    """Status -> nanoseconds of each."""
    late: int = 0
    """Requests that were due, with no connection to send them on."""

    def add(self, other: Load) -> None:
        """Takes another's in."""
        self.late += other.late
        for status, took in other.took.items():
            self.took.setdefault(status, []).extend(took)


def closed_loop(address: str, asked: bytes, connections: int, seconds: float) -> Load:
    """Every connection asks again once it is answered."""

    def send_all(free: list[Connection]) -> list[Connection]:
        for one in free:
            one.send(asked, monotonic_ns())
        return []

    return _drive(address, connections, seconds, send_all)


def open_loop(address: str, asked: bytes, connections: int, seconds: float, rate: float) -> Load:
    """Requests are due at a steady rate, whatever the answers do; their time begins when they are due."""
    load_late = 0
    due_ns, gap_ns = float(monotonic_ns()), 1e9 / rate

    def send_due(free: list[Connection]) -> list[Connection]:
        nonlocal due_ns, load_late
        left = deque(free)
        now = monotonic_ns()
        while due_ns <= now:
            if left:
                left.popleft().send(asked, int(due_ns))
            else:
                load_late += 1
            due_ns += gap_ns
        return list(left)

    load = _drive(address, connections, seconds, send_due, poll_s=0.001)
    load.late = load_late
    return load


def _drive(
    address: str,
    connections: int,
    seconds: float,
    send: Callable[[list[Connection]], list[Connection]],
    poll_s: float = -1.0,
) -> Load:
    """Has free connections used by `send`, which returns those it left free, until the time is over.

    Then those that are busy are waited for: who leaves without an answer has the agent end the worker that is at it,
    and whoever is measured next would find none.

    Args:
        address: several, with commas between them, share the connections.
    """
    addresses = address.split(",")
    all_ = [Connection(addresses[number % len(addresses)]) for number in range(connections)]
    poller, by_fd = select.epoll(), {one.sock.fileno(): one for one in all_}
    for fd in by_fd:
        poller.register(fd, select.EPOLLIN)
    load, free, end = Load(), all_, monotonic_ns() + int(seconds * 1e9)
    try:
        while monotonic_ns() < end:
            free = send(free)
            for fd, _events in poller.poll(poll_s):
                one = by_fd[fd]
                if status := one.receive():
                    load.took.setdefault(status, []).append(monotonic_ns() - one.began)
                    free.append(one)
        _wait_for(set(all_) - set(free), poller, by_fd)
    finally:
        poller.close()
        for one in all_:
            one.sock.close()
    return load


def _wait_for(busy: set[Connection], poller: select.epoll, by_fd: dict[int, Connection]) -> None:
    """Takes the answers that are due; not for ever."""
    end = monotonic_ns() + int(_PATIENCE_S * 1e9)
    while busy and monotonic_ns() < end:
        for fd, _events in poller.poll(_PATIENCE_S):
            if by_fd[fd].receive():
                busy.discard(by_fd[fd])
