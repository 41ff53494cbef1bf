"""What flows in pieces between an invocation and who asked for it: the windows of both directions, without I/O.

A `Pipe` belongs to one invocation. The shell opens it when the function is called and brings what the worker streams;
who asked for it says what it has taken, and gives the pieces of a body. Neither side can have more than a window and a
piece of the other's under way, whatever a function does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from mee6.errors import ProtocolError
from mee6.lane.messages import CHUNK_BYTES, Chunk, Credit, Head

WINDOW_BYTES: Final = 256 << 10

Send = Callable[[Chunk | Credit], None]


class Taker(Protocol):
    """Who asked for the invocation. Called on the loop; must not wait."""

    def head(self, head: Head) -> None:
        """The result begins to come in pieces."""
        ...

    def piece_of_result(self, data: bytes) -> None:
        """One of them; `Pipe.taken` is to be told once it is out of the way."""
        ...

    def room(self) -> None:
        """More of the body may be given: `Pipe.unsent` has become less."""
        ...


class Pipe:
    """Both directions of one invocation."""

    # Nearly all have nothing that flows in pieces, and so need none of this of their own.
    _id = ""
    _send: Send | None = None
    _allowed = WINDOW_BYTES
    """Bytes of the result that the worker may send yet."""
    _owed = 0
    """Bytes that have been taken and not been given back."""
    _credit = WINDOW_BYTES
    """Bytes of the body that may be sent yet."""
    _body: deque[bytes] | None = None
    _last = False
    unsent = 0
    """Bytes of the body that wait here for the worker."""
    begun = False
    """The result comes in pieces."""
    was_warm = False
    """The function was called in a worker that held it."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    def open(self, number: str, send: Send) -> int:
        """The function is about to be called; returns its window."""
        self._id = number
        self._send = send
        return WINDOW_BYTES

    def called(self) -> None:
        """The function has been called: what there is of the body may follow."""
        self._flow()

    def took(self, message: Head | Chunk | Credit) -> None:
        """Takes what the worker streams.

        Raises:
            ProtocolError: more than its window, in pieces too large, or out of order.
        """
        if isinstance(message, Head):
            if self.begun:
                raise ProtocolError("a result began twice")
            self.begun = True
            self._taker.head(message)
        elif isinstance(message, Chunk):
            size = len(message.data)
            if not self.begun or self._allowed <= 0 or size > CHUNK_BYTES:
                raise ProtocolError(f"a piece of {size} bytes that there is no room for")
            self._allowed -= size
            self._taker.piece_of_result(message.data)
        else:
            if not 0 <= message.size <= WINDOW_BYTES + CHUNK_BYTES - self._credit:
                raise ProtocolError("more was given back of a body than had been sent")
            self._credit += message.size
            self._flow()
            self._taker.room()

    def taken(self, size: int) -> None:
        """So many bytes of the result are out of the way. Given back in large steps, since each is a message."""
        self._owed += size
        if self._owed >= WINDOW_BYTES // 2 and self._send is not None:
            self._allowed += self._owed
            self._send(Credit(self._id, self._owed))
            self._owed = 0

    def give(self, data: bytes, *, last: bool = False) -> None:
        """Gives a piece of the body; `unsent` says how much waits, for who reads no more meanwhile."""
        if self._body is None:
            self._body = deque()
        for at in range(0, len(data), CHUNK_BYTES):
            piece = data[at : at + CHUNK_BYTES]
            self._body.append(piece)
            self.unsent += len(piece)
        self._last = self._last or last
        self._flow()

    def _flow(self) -> None:
        send = self._send
        if send is None or self._body is None:
            return
        while self._body and self._credit > 0:
            piece = self._body.popleft()
            self._credit -= len(piece)
            self.unsent -= len(piece)
            send(Chunk(self._id, piece))
        if self._last and not self._body:
            self._last = False
            send(Chunk(self._id, b"", last=True))
