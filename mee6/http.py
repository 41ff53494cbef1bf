"""What a function sees of HTTP: the request it serves, and the answer it may give in place of a plain value.

    mee6.request                    method, path, query, headers, body of the request
    return mee6.Response("no such order", status=404, headers={"X-Reason": "gone"})
    yield mee6.Event({"step": 3})   one server-sent event; a generator's result is sent as it comes

A function need not know any of it: its argument is the body by its content type, and what it returns is the answer.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import msgspec

from mee6.lane.messages import BINARY, TEXT
from mee6.lane.messages import Header as LaneHeader
from mee6.lane.messages import Response as LaneResponse

EVENTS: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
MAX_HEADERS: Final = 100
MAX_VALUE: Final = 8000
"""Characters of one header's value."""


def header_fault(name: str, value: str) -> str:
    """Why this cannot be a header of an answer; empty where it can."""
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a header's name"
    if len(value) > MAX_VALUE or not _VALUE.fullmatch(value):
        return f"the value of header {name!r} is too long, or has characters that a header cannot hold"
    return ""


class Response:
    """A function's answer with a status and headers of its own.

    Args:
        body: what the function would return otherwise: a value, or an iterator that gives the body in pieces.
        status: 200 to 599.
        headers: name -> value, or pairs where a name comes more than once.
        content_type: of the body; as it follows from the body where it is not said, here or in `headers`.

    Raises:
        ValueError: a status or header that HTTP cannot carry.
    """

    __slots__ = ("body", "content_type", "headers", "status")

    def __init__(
        self,
        body: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        content_type: str = "",
    ) -> None:
        number: object = status  # functions are seldom checked for their types
        if isinstance(number, bool) or not isinstance(number, int) or not 200 <= number < 600:
            raise ValueError(f"status {status!r} is not one of an answer: 200 to 599")
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        self.headers: list[tuple[str, str]] = []
        for name, value in [(str(name), str(value)) for name, value in given]:
            if fault := header_fault(name, value):
                raise ValueError(fault)
            if name.lower() == "content-type":
                content_type = content_type or value
            else:
                self.headers.append((name, value))
        if content_type and (fault := header_fault("Content-Type", content_type)):
            raise ValueError(fault)
        self.body = body
        self.status = int(number)
        self.content_type = content_type

    def on_the_lane(self) -> LaneResponse:
        """The same, without its body, for the wire.

        Raises:
            ValueError: as the constructor, of what a function has changed since.
        """
        checked = Response(None, self.status, self.headers, self.content_type)
        return LaneResponse(checked.status, [LaneHeader(name, value) for name, value in checked.headers])


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event.

    Args:
        data: text, or a value that is sent as JSON.
        event: its kind; a browser's `EventSource` takes `message` where none is said.
        id: what a client sends back as `Last-Event-ID` when it connects again.
        retry_ms: how long a client shall wait before that.
    """

    data: Any = ""
    event: str = ""
    id: str = ""
    retry_ms: int | None = None

    def encode(self) -> bytes:
        """The event as it is sent."""
        text = self.data if isinstance(self.data, str) else msgspec.json.encode(self.data).decode()
        lines = [f"{name}: {_line(value)}" for name, value in (("event", self.event), ("id", self.id)) if value]
        if self.retry_ms is not None:
            lines.append(f"retry: {int(self.retry_ms)}")
        lines += [f"data: {line}" for line in re.split("\r\n|\r|\n", text)]
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def _line(value: str) -> str:
    return re.sub("[\r\n\0]", " ", value)


class Source(Protocol):
    """Where a body in pieces comes from."""

    def pieces(self) -> Iterator[bytes]:
        """Its pieces; blocks."""
        ...

    def pieces_async(self) -> AsyncIterator[bytes]:
        """The same, on the running event loop."""
        ...


class Body:
    """A request's body: `for piece in body`, `async for piece in body`, or all of it with `read()`; once."""

    __slots__ = ("_source", "_whole")

    def __init__(self, whole: bytes = b"", source: Source | None = None) -> None:
        self._whole = whole
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        if self._source is not None:
            yield from self._source.pieces()
        elif self._whole:
            yield self._whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._source is not None:
            async for piece in self._source.pieces_async():
                yield piece
        elif self._whole:
            yield self._whole

    def read(self) -> bytes:
        """All of it; waits for what has not come yet."""
        return b"".join(self)


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request that an invocation came with; of one that did not come over HTTP, `method` is empty."""

    method: str = ""
    path: str = ""
    """What follows the function's name: empty, or beginning with `/`."""
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: Body = field(default_factory=Body)
    """The bytes of the argument; with `"http": {"body": "stream"}` in `activity.json` they come while it runs."""

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of one that was given more than once, the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def event(self) -> dict[str, str]:
        """The attributes of the CloudEvent that it brings; empty where it is none."""
        return {name[3:]: value for name, value in self.headers.items() if name.startswith("ce-")}


def piece_of(item: Any) -> tuple[bytes, str]:
    """The bytes of one item that a function's iterator gave, and the content type of a result of such items.

    Raises:
        TypeError, ValueError: as for a value that JSON cannot hold.
    """
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass"), TEXT
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item), BINARY
    if isinstance(item, Event):
        return item.encode(), EVENTS
    return msgspec.json.encode(item) + b"\n", LINES


def whole_of(items: list[Any]) -> Any:
    """The value that stands for an iterator's items where they cannot be sent one by one.

    Texts and events are joined to a text, bytes to bytes; all else is a list.
    """
    if items and all(isinstance(item, str | Event) for item in items):
        return "".join(item if isinstance(item, str) else item.encode().decode() for item in items)
    if items and all(isinstance(item, bytes | bytearray | memoryview) for item in items):
        return b"".join(items)
    return items


def is_stream(value: Any) -> bool:
    """Whether a function's result comes in pieces: a generator or another iterator, sync or async."""
    return hasattr(value, "__next__") or hasattr(value, "__anext__")
