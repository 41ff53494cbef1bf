"""A result that goes out in pieces, and a request's body that comes in pieces, with back-pressure both ways.

Belongs to `LaneBackend`, whose lock guards what is here and whose readers bring what comes, or to one of `Many`'s. Of
one invocation at a time. Who sends waits for credit; who takes gives it back as the function uses the pieces up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from mee6.http import piece_of, whole_of
from mee6.lane.messages import CHUNK_BYTES, Chunk, Credit, Head, Invoke, Response

if TYPE_CHECKING:
    from mee6.lane.blocking import BlockingLane

Run = Callable[[Awaitable[Any]], Any]
"""Runs something on the process's event loop to its end."""


class Carrier(Protocol):
    """What streams go over."""

    lane: BlockingLane

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds that the lane brings about; for code that is not async."""
        ...


class Unsendable(Exception):
    """An item of a result that has no form in which it could be sent."""


class Streams:
    """Both streams of the invocation that runs."""

    def __init__(self, backend: Carrier) -> None:
        self._backend = backend
        self._id = ""
        self.is_used = False
        """There is an invocation that may stream, or has."""
        self._granted = 0
        self._sent = 0
        """Bytes of the result; each of the two is counted by one thread only."""
        self._pieces: deque[bytes] = deque()
        self._whole = True
        """Nothing more comes of the body."""
        self._woken: list[asyncio.Future[None]] = []
        """Of async code that waits for credit or for a piece."""

    def begin(self, invocation: Invoke) -> None:
        """An invocation begins that may stream."""
        self._id = invocation.id
        self.is_used = True
        self._granted, self._sent = invocation.window, 0
        self._whole = invocation.request is None or not invocation.request.streams

    def end(self) -> None:
        """It has ended."""
        self._id = ""
        self._pieces.clear()
        self._whole = True
        self._wake()

    def came(self, message: Chunk | Credit) -> None:
        """Takes what the lane brought; the backend's lock is held. What is of another invocation is dropped."""
        if message.id != self._id:
            return
        if isinstance(message, Credit):
            self._granted += message.size
        else:
            if message.data:
                self._pieces.append(message.data)
            self._whole = self._whole or message.last
        self._wake()

    def _wake(self) -> None:
        for future in self._woken:
            future.get_loop().call_soon_threadsafe(_settle, future)
        self._woken.clear()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            future = asyncio.get_running_loop().create_future()
            self._woken.append(future)
            if holds():  # a thread may have brought it between the two
                return
            await future

    # The body, to the function -----------------------------------------------------------------------------

    def pieces(self) -> Iterator[bytes]:
        """See `mee6.http.Source`."""
        while True:
            self._backend.until(self._has_news)
            if not self._pieces:
                return
            yield self._taken()

    async def pieces_async(self) -> AsyncIterator[bytes]:
        """See `mee6.http.Source`."""
        while True:
            await self._until(self._has_news)
            if not self._pieces:
                return
            yield self._taken()

    def _has_news(self) -> bool:
        return bool(self._pieces) or self._whole

    def _taken(self) -> bytes:
        piece = self._pieces.popleft()
        self._backend.lane.send(Credit(self._id, len(piece)))
        return piece

    # The result, from the function -------------------------------------------------------------------------

    def send(self, items: Any, content_type: str, response: Response | None, run: Run) -> None:
        """Sends what the iterator gives, as it gives it.

        Raises:
            Unsendable: one of its items cannot be sent.
            Exception: what the iterator raises.
        """
        if hasattr(items, "__anext__"):
            run(self.send_async(items, content_type, response))
            return
        begun = False
        for item in items:
            data, kind = self._piece(item)
            if not begun:
                begun = True
                self._backend.lane.send(Head(self._id, content_type or kind, response))
            for piece in _cut(data):
                self._backend.until(self._may_send)
                self._put(piece)
        if not begun:
            self._backend.lane.send(Head(self._id, content_type or "text/plain", response))

    async def send_async(self, items: Any, content_type: str, response: Response | None) -> None:
        """Sends what an async iterator gives, as it gives it; raises as `send`."""
        begun = False
        async for item in items:
            data, kind = self._piece(item)
            if not begun:
                begun = True
                self._backend.lane.send(Head(self._id, content_type or kind, response))
            for piece in _cut(data):
                await self._until(self._may_send)
                self._put(piece)
        if not begun:
            self._backend.lane.send(Head(self._id, content_type or "text/plain", response))

    def _piece(self, item: Any) -> tuple[bytes, str]:
        try:
            return piece_of(item)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Unsendable(str(error)) from error

    def _may_send(self) -> bool:
        return self._granted > self._sent

    def _put(self, piece: bytes) -> None:
        self._sent += len(piece)
        self._backend.lane.send(Chunk(self._id, piece))

    def gathered(self, items: Any, run: Run) -> Any:
        """The value that stands for what the iterator gives, for a caller that takes no pieces."""
        if hasattr(items, "__anext__"):
            return whole_of(run(_all(items)))
        return whole_of(list(items))


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def _cut(data: bytes) -> list[bytes]:
    if len(data) <= CHUNK_BYTES:
        return [data] if data else []
    return [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
