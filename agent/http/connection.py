"""One connection: requests in, answers out, in order. Callbacks, since a request costs microseconds.

What a request asks for is decided by the pure modules beside this one; what waits, and for how long, is said here as
`due`, which the door looks at once a second. Requests that come before their turn wait unread, in the kernel, and
who sends many at once has them answered in slices, between those of others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, cast

from agent.http import answers
from agent.http.exchange import Exchange
from agent.http.phase import HEAD_S, IDLE_S, LINGER_BYTES, LINGER_S, SLICE_S, Phase
from agent.http.route import Refuse
from agent.http.wire import END, End, Event, Head, Refusal, Wire

if TYPE_CHECKING:
    from agent.http.door import Door


class Connection(asyncio.Protocol):
    """A client's connection."""

    __slots__ = (
        "_door",
        "_drained",
        "_exchange",
        "_left",
        "_next_turn",
        "_queue",
        "_raw",
        "_transport",
        "_unread",
        "_wire",
        "_working",
        "due",
        "phase",
    )

    def __init__(self, door: Door) -> None:
        self._door = door
        self._wire = Wire()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._queue: deque[Event] = deque()
        """What was read beyond the request that is being answered."""
        self._exchange: Exchange | None = None
        self._drained = True
        self._left = 0
        """Bytes that the client had not taken when that was last looked at."""
        self._next_turn: asyncio.Handle | None = None
        self._raw = b""
        """What was read last, where it was one request."""
        self._unread = 0
        self._working = False
        self.phase = Phase.HEAD
        self.due = monotonic() + HEAD_S
        """When it has waited long enough, on the clock of `monotonic`."""

    # -- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._transport = cast("asyncio.Transport", transport)
        if refusal := self._door.opened(self):
            self._refuse(refusal)

    def data_received(self, data: bytes) -> None:
        """A client sends."""
        if self.phase is Phase.LINGER:
            self._unread += len(data)
            if self._unread > LINGER_BYTES:
                self._transport.abort()
            return
        self._raw = b""
        if self._exchange is None and not self._queue and self._drained and self._wire.is_between:
            door = self._door
            if (found := door.known(data)) is not None:
                known, body = found
                if known.is_plain and (refusal := door.refusal()):  # before all else, so that it costs the least
                    door.count(refusal.status)
                    self.write(door.clock.refused(refusal))
                    self.done(keep=True)
                    return
                self._exchange = exchange = Exchange(self._door, self, known.head)
                exchange.again(known, body)
                return
            self._raw = data
        events = self._wire.feed(data)
        if len(events) > 3 or not events or events[-1] is not END:
            self._raw = b""
        self._queue.extend(events)
        self._work()

    def eof_received(self) -> bool:
        """A client sends nothing more, and so wants nothing more; what it had asked for is called off."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the loop's signature
        """A client has gone."""
        if self._exchange is not None:
            self._exchange.abandoned()
            self._exchange = None
        self._queue.clear()
        self._door.closed(self)

    def pause_writing(self) -> None:
        """A client does not keep up."""
        self._drained = False
        self._door.fell_behind(self, self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has caught up."""
        self._drained = True
        self._door.caught_up(self)
        if self._exchange is not None:
            self._exchange.writable()
        elif self.phase is Phase.LINGER:
            self.wait(Phase.LINGER, LINGER_S)
        elif self._queue:
            self._work()

    # -- requests

    def _work(self) -> None:
        """Handles what has been read, up to the next request while one is being answered."""
        if self._working or self._next_turn is not None:  # an answer was given at once, or others have their turn
            return
        self._working = True
        try:
            self._work_off()
        finally:
            self._working = False
        self._read_on()
        if self._exchange is None and self.phase is Phase.IDLE and self._wire.begun:
            self.wait(Phase.HEAD, HEAD_S)

    def _turn(self) -> None:
        self._next_turn = None
        self._work()

    def _work_off(self) -> None:
        queue, until = self._queue, 0.0
        while queue and self.phase is not Phase.LINGER:
            event, exchange = queue[0], self._exchange
            if type(event) is Refusal:
                if exchange is None:
                    self._refuse(Refuse(event.status, "invalid_input", event.detail))
                elif not exchange.is_whole:
                    exchange.broken(Refuse(event.status, "invalid_input", event.detail))
                break  # its turn comes after the answer that is due
            if type(event) is Head:
                if exchange is not None or not self._drained:
                    break  # who does not read answers gets no more of them
                if until and monotonic() > until:
                    self._next_turn = asyncio.get_running_loop().call_soon(self._turn)
                    break
                until = until or monotonic() + SLICE_S
                queue.popleft()
                self._exchange = Exchange(self._door, self, event, self._raw)
                self._exchange.begin()
                continue
            queue.popleft()
            if exchange is None:
                continue  # the rest of what has been answered already
            if type(event) is End:
                exchange.complete()
            else:
                exchange.piece(cast("bytes", event))

    def _read_on(self) -> None:
        if self._transport.is_closing():
            return
        if self._queue or (self._exchange is not None and self._exchange.is_full):
            self._transport.pause_reading()
        elif not self._transport.is_reading():
            self._transport.resume_reading()

    def _refuse(self, refusal: Refuse) -> None:
        """Says why and reads no more."""
        status, headers, body = answers.of_refusal(refusal)
        self._door.count(status)
        lines = answers.lines(headers)
        self.write(
            b"%b%b%bContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (answers.line(status), self._door.clock.line, lines, len(body), body)
        )
        self.linger()

    # -- for the exchange

    @property
    def is_drained(self) -> bool:
        """Whether the client takes what it is sent."""
        return self._drained

    def write(self, data: bytes) -> None:
        """Sends, or keeps what cannot be sent yet."""
        self._transport.write(data)

    def wait(self, phase: Phase, most_s: float) -> None:
        """Notes what is waited for, and how long at most."""
        self.phase = phase
        self.due = monotonic() + most_s

    def room(self) -> None:
        """A body that was not read may be read on."""
        self._read_on()

    def done(self, *, keep: bool) -> None:
        """The answer is out; the next request may have its turn."""
        self._exchange = None
        if not keep or self._door.is_closing:
            self.linger()
            return
        self.wait(Phase.IDLE, IDLE_S)
        self._left = self._transport.get_write_buffer_size()
        if self._queue and not self._working and self._next_turn is None:
            # Not now: the worker that has just answered is not free yet, and the next request may be for it.
            self._next_turn = asyncio.get_running_loop().call_soon(self._turn)

    def linger(self) -> None:
        """Ends the connection so that what was written can be read: it is closed for writing, and read to nowhere.

        Closing it with something unread would have the kernel take back the answer.
        """
        transport = self._transport
        self._queue.clear()
        self._left = transport.get_write_buffer_size()
        self.wait(Phase.LINGER, LINGER_S if self._drained else self._door.idle_s)
        if transport.is_closing():
            return
        if not transport.is_reading():
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()

    def abort(self) -> None:
        """Ends it at once: what was sent is not whole, and the client is to see that."""
        self._transport.abort()

    # -- for the door

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request, of which nothing has come."""
        return self._exchange is None and not self._wire.begun and self.phase in (Phase.IDLE, Phase.HEAD)

    def overdue(self) -> None:
        """It has waited long enough; an answer that the client still takes is not what is waited for."""
        left, before = self._transport.get_write_buffer_size(), self._left
        self._left = left
        match self.phase:
            case Phase.RUN:
                pass
            case Phase.BODY | Phase.STREAM if self._exchange is not None:
                self._exchange.overdue()
            case Phase.IDLE | Phase.LINGER if 0 < left < before:
                self.wait(self.phase, self._door.idle_s)
            case Phase.HEAD if self._wire.begun:
                self._refuse(Refuse(408, "timed_out", f"the head of the request did not come within {HEAD_S:g} s"))
            case _:
                self._transport.abort()

    def close(self) -> None:
        """Ends it once what is written is out."""
        self._transport.close()
