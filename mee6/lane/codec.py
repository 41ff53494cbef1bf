"""The lane's framing, without I/O: bytes in, messages out.

A frame is a 4-byte big-endian length and a MessagePack body. `Decoder` keeps what is incomplete and
refuses a frame over its limit before buffering it, so that a hostile or broken peer costs bounded memory.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

import msgspec

from mee6.errors import ProtocolError
from mee6.lane.messages import AnyMessage

MAX_FRAME_BYTES: Final = 16 << 20
"""Room for an 8 MiB result twice over; above it a length prefix is taken for garbage."""

_HEADER: Final = struct.Struct(">I")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[AnyMessage]] = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytearray:
    """The frame of `message`, header included.

    Raises:
        ProtocolError: the frame would be over `MAX_FRAME_BYTES`.
    """
    frame = bytearray(4)
    _encoder.encode_into(message, frame, 4)
    size = len(frame) - 4
    if size > MAX_FRAME_BYTES:
        raise ProtocolError(f"a {type(message).__name__} of {size} bytes is over the lane's {MAX_FRAME_BYTES}")
    _HEADER.pack_into(frame, 0, size)
    return frame


def room(size: int) -> memoryview:
    """Room to read into, of which memory is taken as far as it is used: what comes mostly fits into one page."""
    return memoryview(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Decoder:
    """Cuts a byte stream into messages; one per lane."""

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def pending(self) -> bool:
        """Whether part of a frame has been read: an end of stream now is a cut connection."""
        return bool(self._buffer)

    def feed(self, data: bytes | bytearray | memoryview) -> list[AnyMessage]:
        """The messages that `data` completes, in order.

        Raises:
            ProtocolError: a frame over the limit, or one that is no known message. The lane is of no
                use after that.
        """
        buffer = self._buffer
        if not buffer and len(data) > 4 and len(data) - 4 == _HEADER.unpack_from(data)[0] <= self._limit:
            try:  # nearly always: one whole frame, which needs no copy
                return [_decoder.decode(memoryview(data)[4:])]
            except (msgspec.MsgspecError, RecursionError) as error:
                raise ProtocolError(f"not a lane message: {error}") from error
        buffer += data
        messages: list[AnyMessage] = []
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= 4:
                (size,) = _HEADER.unpack_from(view, start)
                if size > self._limit:
                    raise ProtocolError(f"a frame of {size} bytes is over the lane's limit of {self._limit}")
                if end - start - 4 < size:
                    break
                messages.append(_decode(view[start + 4 : start + 4 + size]))
                start += 4 + size
        if start:
            del buffer[:start]
        return messages


def _decode(body: memoryview) -> AnyMessage:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(f"not a lane message: {error}") from error
