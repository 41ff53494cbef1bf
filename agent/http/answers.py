"""Answers as bytes: heads of responses, and errors as problem details (RFC 9457). Pure but for the clock of `Date`."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from agent.http.route import Refuse
from mee6.errors import FunctionError, Mee6Error
from mee6.http import MAX_HEADERS, header_fault
from mee6.lane.messages import JSON, TEXT, Response

PROBLEM: Final = "application/problem+json"
RETRY_S: Final = 1
"""What `Retry-After` says of a node that is full: invocations take milliseconds."""

Headers = Iterable[tuple[str, str]]

_OWN: Final = frozenset({
    "connection", "content-length", "date", "keep-alive", "proxy-authenticate", "proxy-authorization", "server", "te",
    "trailer", "transfer-encoding", "upgrade", "x-call-id", "x-duration-seconds",
})  # fmt: skip
"""What the door says itself, of the connection or of the invocation."""
_LINES: Final = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}\r\n".encode()
    for status in range(100, 600)
} | {499: b"HTTP/1.1 499 Client Closed Request\r\n"}
_TYPES: Final = {
    TEXT: b"Content-Type: text/plain; charset=utf-8\r\n",
    JSON: b"Content-Type: application/json\r\n",
}
_MOST_PLAIN: Final = 64
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Problem(msgspec.Struct, omit_defaults=True):
    """What went wrong, for machines and people."""

    title: str
    status: int
    detail: str
    code: str
    """That of the class in `mee6.errors`, or the door's own."""
    function: str = ""
    invocation: str = ""
    error_type: str = ""


class Clock:
    """The `Date` header, renewed by whoever has a timer."""

    def __init__(self) -> None:
        self.line = b""
        self._plain: dict[str, bytes] = {}
        """Content type -> the beginning of a good answer, as far as it is the same for a while."""
        self._refused: dict[Refuse, bytes] = {}
        self.renew()

    def renew(self) -> None:
        """Takes the time anew."""
        self.line = f"Server: mee6\r\nDate: {formatdate(usegmt=True)}\r\n".encode()
        self._plain.clear()
        self._refused.clear()

    def plain(self, content_type: str) -> bytes:
        """The beginning of an answer with status 200: up to its type."""
        found = self._plain.get(content_type)
        if found is None:
            found = line(200) + self.line + type_line(content_type)
            if len(self._plain) < _MOST_PLAIN:
                self._plain[content_type] = found
        return found

    def refused(self, refusal: Refuse) -> bytes:
        """All of the answer of a refusal, after which the connection is kept: made once, for they come in numbers."""
        found = self._refused.get(refusal)
        if found is None:
            status, headers, body = of_refusal(refusal)
            found = b"%b%b%bContent-Length: %d\r\n\r\n%b" % (line(status), self.line, lines(headers), len(body), body)
            if len(self._refused) < _MOST_PLAIN:
                self._refused[refusal] = found
        return found


def line(status: int) -> bytes:
    """A response's first line."""
    return _LINES[status]


def type_line(content_type: str) -> bytes:
    """The header of a content type."""
    return _TYPES.get(content_type) or f"Content-Type: {content_type}\r\n".encode("latin-1", "replace")


def lines(headers: Headers) -> bytes:
    """Headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1", "replace")


def of_function(response: Response | None) -> tuple[int, bytes] | None:
    """Status and headers that a function wants for its answer; None where HTTP cannot carry them.

    What is the connection's is left out. A function may have written it in its runtime's name: nothing is believed.
    """
    if response is None:
        return 200, b""
    if not 200 <= response.status <= 599 or len(response.headers) > MAX_HEADERS:
        return None
    if any(header_fault(header.name, header.value) for header in response.headers):
        return None
    kept = ((header.name, header.value) for header in response.headers if header.name.lower() not in _OWN)
    return response.status, lines(kept)


def has_no_body(status: int) -> bool:
    """Whether answers of this status end with their head."""
    return status in (204, 304)


def of_error(error: Mee6Error, invocation: str = "") -> tuple[int, Headers, bytes]:
    """Status, headers and body that tell of an error. The traceback stays in the logs: a caller need not see code."""
    headers = [("Content-Type", PROBLEM)]
    if error.http in (429, 503):
        headers.append(("Retry-After", str(RETRY_S)))
    what = error.error_type if isinstance(error, FunctionError) else ""
    return error.http, headers, _body(error.http, error.message, error.code, error.function, invocation, what)


def of_refusal(refusal: Refuse) -> tuple[int, Headers, bytes]:
    """The same of a refusal."""
    headers = [("Content-Type", PROBLEM), *refusal.headers]
    return refusal.status, headers, _body(refusal.status, refusal.detail, refusal.code)


def _body(status: int, detail: str, code: str, function: str = "", invocation: str = "", error_type: str = "") -> bytes:
    title = _LINES[status].split(b" ", 2)[2].decode().strip()
    detail = detail.encode("utf-8", "replace").decode()
    return msgspec.json.encode(Problem(title, status, detail, code, function, invocation, error_type)) + b"\n"
