"""A lane's end on an asyncio loop: callbacks rather than streams, since a hop is counted in microseconds.

A message goes out with `send` at once or into the transport's buffer; what comes in is given to `on_message`
in order, so many at a time. A frame that breaks the rules closes the lane; `on_close` is called once, with the reason.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from mee6.errors import Mee6Error
from mee6.lane.codec import Decoder, encode
from mee6.lane.messages import AnyMessage

MAX_UNSENT_BYTES: Final = 64 << 20
"""A peer that lets this much pile up does not read any more; its lane is cut."""
TURN_MESSAGES: Final = 256
"""Handled of one lane before others have their turn: a peer that floods its lane waits, and nobody else does."""
REST_S: Final = 0.004
"""Between two turns of a lane that has more, which meanwhile is not read."""


class LaneProtocol(asyncio.Protocol):
    """One lane.

    Args:
        on_message: takes each message; a `Mee6Error` it raises closes the lane.
        on_close: takes the reason why this side cut it, empty where the other ended it.
        on_open: is called when there is a transport, before anything is read.
    """

    __slots__ = ("_backlog", "_decoder", "_on_close", "_on_message", "_on_open", "_reason", "_transport")

    def __init__(
        self,
        on_message: Callable[[LaneProtocol, AnyMessage], None],
        on_close: Callable[[LaneProtocol, str], None],
        on_open: Callable[[LaneProtocol], None] | None = None,
    ) -> None:
        self._on_message = on_message
        self._on_close = on_close
        self._on_open = on_open
        self._backlog: deque[AnyMessage] = deque()
        """Read, and not handled yet."""
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._reason = ""

    @property
    def transport(self) -> asyncio.Transport | None:
        """What it runs over; None before the connection and after its end."""
        return self._transport

    def send(self, *messages: AnyMessage) -> None:
        """Sends messages, in one write; does nothing on a lane that is closed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if len(messages) == 1:
            transport.write(encode(messages[0]))
        else:
            transport.write(b"".join([encode(message) for message in messages]))
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.cut("the peer does not read")

    def close(self) -> None:
        """Closes the lane once all that was sent has gone out."""
        if self._transport is not None:
            self._transport.close()

    def cut(self, reason: str) -> None:
        """Closes the lane now and drops what has not gone out."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            messages = self._decoder.feed(data)
            if len(messages) <= TURN_MESSAGES and not self._backlog:  # nearly always
                for message in messages:
                    self._on_message(self, message)
                return
        except Mee6Error as error:
            self.cut(error.message)
            return
        self._backlog += messages
        if self._transport is not None:
            self._transport.pause_reading()
        self._work_off()

    def _work_off(self) -> None:
        """Handles a turn's worth of the backlog; the lane is read again once there is none."""
        backlog, transport = self._backlog, self._transport
        try:
            for _ in range(min(len(backlog), TURN_MESSAGES)):
                self._on_message(self, backlog.popleft())
        except Mee6Error as error:
            self.cut(error.message)
        if transport is None or transport.is_closing():
            return
        if backlog:
            asyncio.get_running_loop().call_later(REST_S, self._work_off)
        else:
            transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """Called by the loop."""
        self._transport = None
        if not self._reason:  # what had come before the end counts
            while self._backlog:
                self._work_off()
        self._backlog.clear()
        self._on_close(self, self._reason)
