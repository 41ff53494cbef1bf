"""A lane for a process that does one thing at a time: a runtime.

Blocking calls on a connected stream socket, no event loop. Several threads may send; only one at a time may
receive, which is the caller's to see to. A peer that is gone shows as `None`, never as an exception from
`receive`; `send` to a peer that is gone raises `BrokenPipeError`, since the end of the stream will tell.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from threading import Lock
from typing import Final

from mee6.lane.codec import Decoder, encode, room
from mee6.lane.messages import AnyMessage

_READ_BYTES: Final = 128 << 10


class BlockingLane:
    """Messages over a connected socket, which it owns."""

    __slots__ = ("_buffer", "_decoder", "_ready", "_sending", "_sock")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._decoder = Decoder()
        self._buffer = room(_READ_BYTES)
        self._ready: deque[AnyMessage] = deque()
        self._sending = Lock()

    def send(self, *messages: AnyMessage) -> None:
        """Sends all of them with one write; returns when the kernel has taken them."""
        if len(messages) == 1:
            frames = encode(messages[0])
        else:
            frames = bytearray()
            for message in messages:
                frames += encode(message)
        with self._sending:
            self._sock.sendall(frames)

    def receive(self, timeout_s: float | None = None) -> AnyMessage | None:
        """The next message; None at the end of the stream.

        Raises:
            TimeoutError: nothing complete came within `timeout_s` seconds.
            ProtocolError: the peer sent what is no message.
        """
        ready = self._ready
        while not ready:
            messages = self._read(timeout_s)
            if messages is None:
                return None
            ready += messages
        return ready.popleft()

    def receive_all(self) -> list[AnyMessage] | None:
        """All messages that are there, at least one; waits for the first. None at the end of the stream."""
        if self._ready:
            messages = list(self._ready)
            self._ready.clear()
            return messages
        while (read := self._read(None)) is not None:
            if read:
                return read
        return None

    def reply(self, flags: int = 0) -> AnyMessage | None:
        """The next message, for a lane whose peer just answers; None at the end of the stream.

        Args:
            flags: of the system call, as `socket.MSG_DONTWAIT`.

        Raises:
            BlockingIOError: nothing complete came within the socket's own time-out.
            ProtocolError: the peer sent what is no message.
        """
        ready = self._ready
        while not ready:
            try:
                size = self._sock.recv_into(self._buffer, 0, flags)
            except BlockingIOError:
                raise
            except OSError:
                return None
            if not size:
                return None
            messages = self._decoder.feed(self._buffer[:size])
            if len(messages) == 1:
                return messages[0]
            ready += messages
        return ready.popleft()

    def receive_now(self) -> list[AnyMessage] | None:
        """All messages that are there, possibly none; never waits. None at the end of the stream."""
        messages: list[AnyMessage] = []
        if self._ready:
            messages += self._ready
            self._ready.clear()
        try:
            size = self._sock.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return messages
        except OSError:
            size = 0
        if not size:
            return messages or None
        read = self._decoder.feed(self._buffer[:size])
        return messages + read if messages else read

    def fileno(self) -> int:
        """The socket's descriptor, for an event loop."""
        return self._sock.fileno()

    def close(self) -> None:
        """Ends the lane; the peer reads its end of the stream."""
        self._sock.close()

    def _read(self, timeout_s: float | None) -> list[AnyMessage] | None:
        if timeout_s is not None:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            if not poll.poll(timeout_s * 1000):
                raise TimeoutError(f"nothing was received for {timeout_s} s")
        try:
            size = self._sock.recv_into(self._buffer)
        except OSError:
            return None
        return self._decoder.feed(self._buffer[:size]) if size else None
