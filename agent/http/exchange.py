"""One request and its answer: from the head, by way of an invocation, to the last byte.

Belongs to a connection, which brings what comes of the request; the node brings the answer, or its pieces.
"""

from __future__ import annotations

import contextlib
from time import monotonic_ns
from typing import TYPE_CHECKING

from agent.http import answers, cors
from agent.http.again import Known
from agent.http.content import argument
from agent.http.phase import Phase
from agent.http.route import Refuse, ToFixed, ToFunction, allowed, expects, refused_method
from agent.http.wire import Head
from agent.seats import Answer
from agent.streams import WINDOW_BYTES, Pipe
from agent.substrate.base import FunctionRecord
from mee6.errors import InvocationNotFound, Mee6Error
from mee6.faults import error_of
from mee6.http import EVENTS
from mee6.lane.messages import JSON, Request
from mee6.lane.messages import Head as ResultHead
from mee6.manifest import BY_HTTP

if TYPE_CHECKING:
    from agent.http.connection import Connection
    from agent.http.door import Door

_SWALLOW_BYTES = 256 << 10
"""Of a body that nobody wants: so much is read for the connection to be of further use."""


class Exchange:
    """One request.

    Args:
        raw: all of the request, where it is the one thing that was read; empty otherwise.
    """

    # What most requests do not change stands in the class: to set all of it costs a tenth of a warm invocation.
    _target: ToFunction | ToFixed | None = None
    _record: FunctionRecord | None = None
    """Of the function that is asked for."""
    _refused: Refuse | None = None
    """What to answer once the body is out of the way."""
    _http = BY_HTTP
    """How the function that is asked for is reached."""
    _cors: cors.Headers = ()
    _body_bytes = 0
    _held = False
    """It counts among the door's invocations."""
    _id = ""
    _asks = ("", "")
    """User and name of the function that has been called."""
    _began_ns = 0
    """When that was, with all of the request there; 0 = it is no measure of how long invocations take."""
    _over = False
    """The invocation has ended."""
    _pipe: Pipe | None = None
    _is_chunked = False
    """The answer's head is out, and pieces follow."""
    _ignored = False
    _owed = 0
    _answered = False
    is_whole = False
    """All of the request has come."""

    def __init__(self, door: Door, connection: Connection, head: Head, raw: bytes = b"") -> None:
        self._door = door
        self._connection = connection
        self._head = head
        self._raw = raw
        self._body: list[bytes] = []
        self._started_ns = monotonic_ns()
        self._keep = head.keep_alive

    # -- the request, as it comes

    def again(self, known: Known, body: bytes) -> None:
        """All of it is there at once, and its head has come before."""
        self.is_whole = True
        self._cors = known.cors
        if refusal := self._door.refusal():
            self._answer(*answers.of_refusal(refusal))
        else:
            self._begin(known.target, body, known.content_type, known.request)

    def begin(self) -> None:
        """The head is there."""
        head = self._head
        refusal = self._look()
        if refusal is None and type(self._target) is ToFunction and head.method != "OPTIONS":
            refusal = self._door.refusal()  # before its body, which may be long
        if refusal is not None:
            self._refuse(refusal)
            return
        if not head.has_body:
            return  # its end follows at once
        self._connection.wait(Phase.BODY, self._door.body_s)
        target = self._target
        if isinstance(target, ToFunction) and self._http.body == "stream" and head.method != "OPTIONS":
            self._submit(target)
        if "expect" in head.headers and not self._answered:
            self._connection.write(answers.CONTINUE)

    def _look(self) -> Refuse | None:
        """Finds what is asked for; why it cannot be had, if so."""
        head, door = self._head, self._door
        headers = head.headers
        host = headers.get("host", "")
        if refusal := door.refused_host(host):
            return refusal
        if "expect" in headers and expects(head) is None:
            return Refuse(417, "invalid_input", "of expectations only 100-continue is known")
        found = door.routes[head.target]
        if isinstance(found, Refuse):
            return found
        self._target = found
        if isinstance(found, ToFixed):
            return refused_method(head.method, ("GET", "HEAD"))
        try:
            self._record = record = door.node.function(found.user, found.name)
        except Mee6Error as error:
            return Refuse(error.http, error.code, error.message)
        self._http = http = record.manifest.http
        granted = cors.check(headers, http, found.name)
        if isinstance(granted, Refuse):
            return granted
        self._cors = granted
        if refusal := refused_method(head.method, allowed(http)):
            return refusal
        if http.body == "whole" and head.length is not None and head.length > door.body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> Refuse:
        return Refuse(413, "too_large", f"the body is over the limit of {self._door.body_bytes} bytes")

    def _refuse(self, refusal: Refuse) -> None:
        """Answers now where the body is too long to wait for, or not on its way; else once it has come."""
        head = self._head
        if not self.is_whole and (head.length is None or head.length > _SWALLOW_BYTES or "expect" in head.headers):
            self._keep = False
            self._answer(*answers.of_refusal(refusal))
        elif self.is_whole:
            self._answer(*answers.of_refusal(refusal))
        else:
            self._refused = refusal
            self._body.clear()

    def piece(self, data: bytes) -> None:
        """Some of the body has come."""
        self._connection.wait(Phase.BODY, self._door.body_s)
        if self._pipe is not None and self._id:
            self._pipe.give(data)
            return
        if self._refused is not None or self._answered:
            return
        self._body_bytes += len(data)
        self._door.held_bytes += len(data)
        if self._body_bytes > self._door.body_bytes:
            self._keep = False
            self._answer(*answers.of_refusal(self._too_large()))
        elif self._door.held_bytes > self._door.held_limit:
            self._keep = False
            self._answer(*answers.of_refusal(self._door.full("too many large bodies are on their way")))
        else:
            self._body.append(data)

    @property
    def is_full(self) -> bool:
        """Whether the function has enough of the body for now."""
        return self._pipe is not None and self._pipe.unsent > WINDOW_BYTES

    def complete(self) -> None:
        """All of the request has come."""
        self.is_whole = True
        if self._refused is not None:
            self._answer(*answers.of_refusal(self._refused))
            return
        if self._answered:
            return
        if self._pipe is not None:
            self._pipe.give(b"", last=True)
            self._connection.wait(Phase.STREAM if self._is_chunked else Phase.RUN, self._door.idle_s)
            return
        match self._target:
            case ToFixed() as fixed:
                self._answer(*self._door.fixed(fixed))
            case ToFunction() if self._head.method == "OPTIONS":
                self._preflight()
            case ToFunction() as target:
                self._submit(target)
            case None:
                pass

    def _preflight(self) -> None:
        asked = self._head.headers.get("access-control-request-headers")
        headers = cors.preflight(self._cors, asked, self._http)
        self._cors = ()
        self._answer(204, headers, b"")

    def broken(self, refusal: Refuse) -> None:
        """What comes is no request any more."""
        self._keep = False
        if self._is_chunked:
            self._finish()
            self._connection.abort()
        elif not self._answered:
            self._answer(*answers.of_refusal(refusal))
        self._cancel()

    # -- the invocation

    def _submit(self, target: ToFunction) -> None:
        door, head = self._door, self._head
        if refusal := door.refusal():
            self._refuse(refusal)
            return
        if self._http.body == "stream":
            self._begin(target, b"", JSON, Request(head.method, target.path, target.query, head.headers, streams=True))
            if self.is_whole and self._pipe is not None:
                self._pipe.give(b"", last=True)
            return
        body, self._body = self._body, []
        try:
            came = argument(body[0] if len(body) == 1 else b"".join(body), head.headers)
        except Mee6Error as error:
            self._not_begun(error)
            return
        request = Request(head.method, target.path, target.query, came.headers)
        if self._raw and self._record is not None:
            known = Known(head, target, self._record, tuple(self._cors), came.content_type, request)
            door.heads.learn(self._raw, known)
        self._begin(target, came.data, came.content_type, request)

    def _begin(self, target: ToFunction, data: bytes, content_type: str, request: Request) -> None:
        """Has the function called; its answer may come at once."""
        door = self._door
        door.inflight += 1
        self._held = True
        self._asks = target.user, target.name
        self._began_ns = monotonic_ns() if self.is_whole else 0
        self._pipe = pipe = Pipe(self)
        if self.is_whole:
            self._connection.phase = Phase.RUN  # which has no end of its own
        else:
            self._connection.wait(Phase.BODY, door.body_s)
        try:
            self._id = door.node.submit(
                target.user, target.name, data, content_type, self._ended, request=request, pipe=pipe
            )
        except Mee6Error as error:
            self._not_begun(error)

    def _not_begun(self, error: Mee6Error) -> None:
        self._release()
        self._pipe = None
        self._keep = self._keep and self.is_whole
        self._answer(*answers.of_error(error))

    def _ended(self, answer: Answer) -> None:
        """The invocation has its answer."""
        self._over = True
        under_way = self._door.inflight
        self._release()
        if self._answered:
            return
        if (pipe := self._pipe) is not None and pipe.was_warm and not pipe.begun and self._began_ns:
            now = monotonic_ns()
            self._door.bound.ended(self._asks, now - self._began_ns, under_way, now)
        if not self.is_whole:
            self._keep = False
        if answer.fault is not None:
            if self._is_chunked:
                self._finish()
                self._connection.abort()
                return
            self._answer(*answers.of_error(error_of(answer.fault), self._id))
        elif self._is_chunked:
            if not self._head.is_old and not self._ignored:
                self._connection.write(b"0\r\n\r\n")
            self._finish()
            self._connection.done(keep=self._keep and not self._head.is_old)
        elif answer.response is None and self._keep and not self._cors and self._is_plain:
            self._write_plain(answer)
        else:
            said = answers.of_function(answer.response)
            if said is None:
                self._answer(*self._bad_response())
                return
            status, lines = said
            self._write(status, answers.type_line(answer.content_type) + lines, answer.result)

    def _bad_response(self) -> tuple[int, answers.Headers, bytes]:
        return answers.of_refusal(
            Refuse(502, "result_refused", "the function's answer has a status or headers that HTTP cannot carry")
        )

    # -- pieces of the result: see agent.streams.Taker

    def head(self, head: ResultHead) -> None:
        """The result begins to come in pieces."""
        said = answers.of_function(head.response)
        if self._answered:
            return
        if said is None:
            self._keep = False
            self._answer(*self._bad_response())
            self._cancel()
            return
        status, lines = said
        parts = [
            answers.line(status),
            self._door.clock.line,
            answers.type_line(head.content_type),
            lines,
            self._about(),
        ]
        if head.content_type.startswith(EVENTS) and b"cache-control" not in lines.lower():
            parts.append(b"Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n")
        self._ignored = answers.has_no_body(status) or self._head.method == "HEAD"
        if self._head.is_old:
            parts.append(b"Connection: close\r\n")
        elif not answers.has_no_body(status):
            parts.append(b"Transfer-Encoding: chunked\r\n" if self._keep else _CHUNKED_LAST)
        parts.append(b"\r\n")
        self._is_chunked = True
        self._door.count(status)
        self._connection.wait(Phase.STREAM, self._door.idle_s)
        self._connection.write(b"".join(parts))

    def piece_of_result(self, data: bytes) -> None:
        """One of them."""
        if self._answered or not data:
            return
        connection = self._connection
        connection.wait(Phase.STREAM, self._door.idle_s)
        if not self._ignored:
            connection.write(data if self._head.is_old else b"%x\r\n%b\r\n" % (len(data), data))
        if connection.is_drained and self._pipe is not None:
            self._pipe.taken(len(data))
        else:
            self._owed += len(data)

    def room(self) -> None:
        """The function takes more of the body: whoever is waited for has moved."""
        if self._answered:
            return
        if not self.is_whole:
            self._connection.wait(Phase.BODY, self._door.body_s)
        elif self._is_chunked:
            self._connection.wait(Phase.STREAM, self._door.idle_s)
        self._connection.room()

    def writable(self) -> None:
        """The client has taken what was written."""
        if self._owed and self._pipe is not None:
            owed, self._owed = self._owed, 0
            self._connection.wait(Phase.STREAM, self._door.idle_s)
            self._pipe.taken(owed)

    # -- the end

    def overdue(self) -> None:
        """Nothing has come or gone for too long."""
        if self.is_full and not self._is_chunked:  # it is the function that does not read, whose own limit holds
            self._connection.wait(Phase.BODY, self._door.body_s)
            return
        if self._is_chunked:
            self._finish()
            self._connection.abort()
        else:
            self._keep = False
            detail = f"nothing came of the body for {self._door.body_s:g} s"
            self._answer(*answers.of_refusal(Refuse(408, "timed_out", detail)))
        self._cancel()

    def abandoned(self) -> None:
        """The client has gone."""
        if not self._answered:
            self._door.count(499)
            self._answered = True
            self._cancel()
        self._release()
        self._door.held_bytes -= self._body_bytes
        self._body_bytes = 0

    def _cancel(self) -> None:
        if self._id and not self._over:
            with contextlib.suppress(InvocationNotFound):
                self._door.node.cancel(self._id)

    def _release(self) -> None:
        if self._held:
            self._held = False
            self._door.inflight -= 1

    def _about(self) -> bytes:
        took = (monotonic_ns() - self._started_ns) / 1e9
        said = f"X-Call-Id: {self._id}\r\nX-Duration-Seconds: {took:.6f}\r\n".encode() if self._id else b""
        return said + answers.lines(self._cors) if self._cors else said

    def _answer(self, status: int, headers: answers.Headers, body: bytes) -> None:
        self._write(status, answers.lines(headers), body)

    def _write(self, status: int, lines: bytes, body: bytes) -> None:
        """Sends a whole answer."""
        if answers.has_no_body(status):
            length, body = b"", b""
        else:
            length = b"Content-Length: %d\r\n" % len(body)
            if self._head.method == "HEAD":
                body = b""
        self._door.count(status)
        last = b"" if self._keep and not self._head.is_old else b"Connection: close\r\n"
        if self._keep and self._head.is_old:
            last = b"Connection: keep-alive\r\n"
        self._connection.write(
            b"".join((answers.line(status), self._door.clock.line, lines, length, self._about(), last, b"\r\n", body))
        )
        keep = self._keep
        self._finish()
        self._connection.done(keep=keep)

    @property
    def _is_plain(self) -> bool:
        """Whether its answer has a body, and no more about the connection than HTTP/1.1 has by itself."""
        return self._head.method != "HEAD" and not self._head.is_old

    def _write_plain(self, answer: Answer) -> None:
        """Sends a whole answer of which a function has said no more than what it is: nearly all of them.

        The same bytes as of `_write`, without its questions.
        """
        door, result = self._door, answer.result
        door.count(200)
        self._connection.write(
            b"%bContent-Length: %d\r\nX-Call-Id: %b\r\nX-Duration-Seconds: %.6f\r\n\r\n%b"
            % (
                door.clock.plain(answer.content_type),
                len(result),
                self._id.encode(),
                (monotonic_ns() - self._started_ns) / 1e9,
                result,
            )
        )
        self._finish()
        self._connection.done(keep=True)

    def _finish(self) -> None:
        self._answered = True
        self._pipe = None  # which knows this exchange: else only the collector would find the two
        self._release()
        if self._body_bytes:
            self._door.held_bytes -= self._body_bytes
            self._body_bytes = 0


_CHUNKED_LAST = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
