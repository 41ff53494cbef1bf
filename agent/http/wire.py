"""HTTP/1.1 requests out of bytes, without I/O: heads, pieces of bodies, ends, and the refusal that ends a connection.

The parsing is llhttp's, by way of httptools; here stand the limits, and what a server has to insist on beyond syntax.
Whatever could be read in two ways (lengths that disagree, two hosts, a broken chunk) is refused, never guessed.
"""

from __future__ import annotations

from typing import Final

import httptools
import msgspec
from httptools.parser.errors import HttpParserCallbackError, HttpParserError, HttpParserUpgrade

TARGET_BYTES: Final = 8 << 10
HEADER_BYTES: Final = 32 << 10
HEADER_FIELDS: Final = 100

_NAMES: Final[dict[bytes, str]] = {}
"""Names seen, in lower case; bounded, since clients make them up."""
_MOST_NAMES: Final = 512


class Head(msgspec.Struct, gc=False):
    """A request without its body."""

    method: str
    target: bytes
    headers: dict[str, str]
    """By name in lower case; values of a name that came more than once are joined."""
    keep_alive: bool
    has_body: bool
    length: int | None
    """Of the body in bytes; None where it comes in chunks."""
    is_old: bool = False
    """HTTP/1.0: no chunks may go back."""


class End(msgspec.Struct, frozen=True, gc=False):
    """The request is whole."""


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The connection is of no use any more."""

    status: int
    detail: str


Event = Head | bytes | End | Refusal
END: Final = End()


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(status, detail)


class Wire:
    """One connection's requests, one after the other."""

    __slots__ = ("_begins", "_events", "_head_bytes", "_headers", "_in_head", "_parser", "_target", "_times", "begun")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._events: list[Event] = []
        self._headers: dict[str, str] = {}
        self._times = 0
        self._head_bytes = 0
        self._target = b""
        self._in_head = True
        self._begins = False
        """The head that is being read began in what was fed last."""
        self.begun = False
        """Part of a head has been read."""

    def feed(self, data: bytes) -> list[Event]:
        """What `data` completes, in order; a `Refusal` is the last of all, and nothing may be fed after it."""
        events: list[Event] = []
        self._events = events
        self._begins = False
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as offer:  # an upgrade is an offer, which is not taken up
            rest = data[offer.args[0] :]
            self._parser = httptools.HttpRequestParser(self)
            return events + self.feed(rest) if rest else events
        except HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, _Refused):
                raise
            events.append(cause.refusal)
        except HttpParserError as error:
            events.append(_refusal(str(error)))
        if self._in_head and self.begun and not (self._begins and events):
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES + TARGET_BYTES:
                events.append(Refusal(431, f"the head is over {HEADER_BYTES + TARGET_BYTES} bytes"))
        elif not self._in_head and not events:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                events.append(Refusal(431, f"over {HEADER_BYTES} bytes about the body's pieces, or after them"))
        return events

    @property
    def is_between(self) -> bool:
        """Whether what was fed ended with a request, so that what comes next begins one."""
        return self._in_head and not self.begun

    # Called by the parser

    def on_message_begin(self) -> None:
        """A request begins."""
        self._headers = {}
        self._times = self._head_bytes = 0
        self._target = b""
        self._in_head = self.begun = self._begins = True

    def on_url(self, part: bytes) -> None:
        """Part of its target."""
        self._target += part
        if len(self._target) > TARGET_BYTES:
            raise _Refused(414, f"the URL is over {TARGET_BYTES} bytes")

    def on_header(self, raw: bytes, value: bytes) -> None:
        """One of its headers; or a trailer, which nobody needs."""
        if not self._in_head:
            self._times += 1
            if self._times > HEADER_FIELDS:
                raise _Refused(431, f"more than {HEADER_FIELDS} trailers")
            return
        self._times += 1
        self._head_bytes += len(raw) + len(value) + 4
        if self._times > HEADER_FIELDS or self._head_bytes > HEADER_BYTES:
            raise _Refused(431, f"more than {HEADER_FIELDS} headers, or {HEADER_BYTES} bytes of them")
        name = _NAMES.get(raw) or _name(raw)
        text = value.decode("latin-1")
        headers = self._headers
        if name in headers:
            if name in _ONCE:
                raise _Refused(400, f"header {name!r} came twice")
            text = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}"
        headers[name] = text

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _Refused(505, f"HTTP/{version} is not spoken here; use HTTP/1.1")
        if version == "1.1" and "host" not in headers:
            raise _Refused(400, "HTTP/1.1 demands a Host header")
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if length is not None:
                raise _Refused(400, "Content-Length beside Transfer-Encoding")
            if version == "1.0" or coding.strip().lower() != "chunked":
                raise _Refused(501 if version == "1.1" else 400, "of transfer codings only chunked is known")
        size = None if coding is not None else int((length or "").strip().lstrip("0") or 0)
        if parser.should_upgrade() and size != 0:  # the parser would take the body for another protocol's
            raise _Refused(400, "a body beside an offer to upgrade; send it without Upgrade")
        self._in_head = self.begun = False
        self._times = self._head_bytes = 0
        method = parser.get_method().decode("ascii", "replace")
        self._events.append(
            Head(method, self._target, headers, parser.should_keep_alive(), size != 0, size, version == "1.0")
        )

    def on_body(self, data: bytes) -> None:
        """A piece of its body."""
        self._head_bytes = 0
        self._events.append(data)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._in_head = True
        self._events.append(END)


_ONCE: Final = frozenset({"host", "content-length", "content-type", "transfer-encoding", "origin", "authorization"})
"""What two values of would mean that somebody on the way reads another request than this server."""


def _name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_NAMES) < _MOST_NAMES and len(raw) < 64:
        _NAMES[raw] = name
    return name


def _refusal(said: str) -> Refusal:
    return Refusal(400, f"this is not an HTTP request: {said[:200]}")
