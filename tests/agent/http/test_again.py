"""Requests that come again: taken as they were the first time, for as long as their function is the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http.bound import Bound
from agent.http.connection import Connection
from agent.http.door import Door
from agent.http.wire import Event, Wire
from agent.seats import Answer
from mee6.manifest import Http, Manifest
from tests.support.fake_node import FakeNode

JSON_EVENT = '{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": 7}'


class Transport:
    """Takes what is written, and never has enough."""

    def __init__(self) -> None:
        self.sent = b""
        self.is_over = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_over

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False


class Caller:
    """One connection of one door, without a network."""

    def __init__(self, **http: object) -> None:
        self.node = FakeNode(Path())
        self.manifest(**http)
        self.door = Door(self.node)
        self.transport = Transport()
        self.connection = Connection(self.door)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def manifest(self, **http: object) -> None:
        record = self.node.record("slow")
        manifest = Manifest("slow", "python", http=Http(**http))  # type: ignore[arg-type]
        self.node.records["slow"] = type(record)(record.user, "slow", 1, record.sha256, 10, manifest, record.added_s)

    def asks(self, request: bytes, result: bytes = b"r") -> tuple[object, bytes]:
        """What the function was called with, and the answer but for what is new in each."""
        before = len(self.node.asked)
        self.transport.sent = b""
        self.connection.data_received(request)
        new = list(self.node.asked.values())[before:]
        for asked in new:
            asked.answer(Answer(result, "text/plain"))
        called = [(asked.arg, asked.content_type, asked.request, asked.pipe is not None) for asked in new]
        return called, re.sub(rb"h[0-9]+\r\n|0\.[0-9]{6}|Date: [^\r]*", b"", self.transport.sent)


def a_request(body: str = "x", method: str = "POST", target: str = "/function/slow", **headers: str) -> bytes:
    named = {"Host": "localhost", "Content-Length": str(len(body.encode())), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n{body}".encode()


requests = st.builds(
    a_request,
    body=st.sampled_from(["", "x", "{}", JSON_EVENT, "a\r\n\r\nb", "ä" * 100]),
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "PUT"]),
    target=st.sampled_from(["/function/slow", "/function/slow/a%20b?c=1", "/function/none", "/healthz", "/nothing"]),
    Host=st.sampled_from(["localhost", "127.0.0.1:1", "elsewhere"]),
    Content_Type=st.sampled_from(["text/plain", "", "application/json; a=b", "application/cloudevents+json"]),
    Origin=st.sampled_from(["http://localhost", "https://page.example", "null"]),
    Connection=st.sampled_from(["keep-alive", "close"]),
    X_Padding=st.sampled_from(["a", "b" * 3000]),
)


@given(st.lists(requests, min_size=1, max_size=3), st.sampled_from([{}, {"cors": ("*",)}, {"methods": ("GET",)}]))
def test_a_request_that_comes_again_is_taken_as_the_first_was(asked: list[bytes], http: dict[str, object]) -> None:
    often = Caller(**http)
    for request in [*asked, *asked, *asked]:
        if often.connection.phase == "linger":
            break
        assert often.asks(request) == Caller(**http).asks(request)


def test_what_is_known_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller()
    parsed: list[bytes] = []
    feed = Wire.feed

    def watched(wire: Wire, data: bytes) -> list[Event]:
        parsed.append(data)
        return feed(wire, data)

    monkeypatch.setattr(Wire, "feed", watched)
    for body in ("a", "b", "c"):
        called, _answer = caller.asks(a_request(body))
        assert called[0][0] == body.encode()  # type: ignore[index]
    caller.asks(a_request("longer"))
    assert parsed == [a_request("a"), a_request("longer")]


async def test_what_comes_in_pieces_or_with_more_is_read_as_ever() -> None:
    caller = Caller()
    whole = a_request("abc")
    caller.asks(whole)
    assert caller.asks(whole[:-1])[0] == []
    assert caller.asks(whole[-1:])[0][0][0] == b"abc"  # type: ignore[index]
    assert caller.asks(whole[:40])[0] == []
    assert caller.asks(whole[40:])[0][0][0] == b"abc"  # type: ignore[index]
    assert len(caller.asks(whole + whole)[0]) == 1, "the second waits for its turn"  # type: ignore[arg-type]


def test_another_manifest_is_gone_by_at_once() -> None:
    caller = Caller()
    for _ in range(2):
        assert caller.asks(a_request())[1].startswith(b"HTTP/1.1 200 ")
    caller.manifest(methods=("GET",))
    assert caller.asks(a_request())[1].startswith(b"HTTP/1.1 405 ")
    del caller.node.records["slow"]
    assert caller.asks(a_request())[1].startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(("method", "ends"), [("POST", b"}\n"), ("HEAD", b"\r\n\r\n")])
def test_who_comes_again_is_refused_as_others_are(method: str, ends: bytes) -> None:
    caller, fresh = Caller(), Caller()
    request = a_request("", method)
    caller.asks(request)
    for one in (caller, fresh):
        one.door.bound = Bound(0, 0)
    said = caller.asks(request)
    assert said == fresh.asks(request)
    assert said[1].startswith(b"HTTP/1.1 429 ")
    assert said[1].endswith(ends)
    assert caller.door.answered[429] == 1
