"""A lane's end on an asyncio loop: callbacks rather than streams, since a hop is counted in microseconds.

A message goes out with `send` at once or into the transport's buffer; what comes in is given to `on_message`
in order. A frame that breaks the rules closes the lane; `on_close` is called once, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from mee6.errors import Mee6Error
from mee6.lane.codec import Decoder, encode
from mee6.lane.messages import AnyMessage

MAX_UNSENT_BYTES: Final = 64 << 20
"""A peer that lets this much pile up does not read any more; its lane is cut."""


class LaneProtocol(asyncio.Protocol):
    """One lane.

    Args:
        on_message: takes each message; a `Mee6Error` it raises closes the lane.
        on_close: takes the reason, empty for a plain end of the stream.
    """

    __slots__ = ("_decoder", "_on_close", "_on_message", "_reason", "_transport")

    def __init__(
        self,
        on_message: Callable[[LaneProtocol, AnyMessage], None],
        on_close: Callable[[LaneProtocol, str], None],
    ) -> None:
        self._on_message = on_message
        self._on_close = on_close
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._reason = ""

    @property
    def transport(self) -> asyncio.Transport | None:
        """What it runs over; None before the connection and after its end."""
        return self._transport

    def send(self, message: AnyMessage) -> None:
        """Sends a message; does nothing on a lane that is closed."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(encode(message))
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

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            for message in self._decoder.feed(data):
                self._on_message(self, message)
        except Mee6Error as error:
            self.cut(error.message)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._transport = None
        self._on_close(self, self._reason or (str(exc) if exc else ""))
