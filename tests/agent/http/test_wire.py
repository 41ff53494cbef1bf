"""What comes out of bytes: requests, however they are cut, and refusals of what could be read in two ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.http.wire import END, HEADER_BYTES, HEADER_FIELDS, TARGET_BYTES, Event, Head, Refusal, Wire

HOST = b"Host: localhost\r\n"
POST = b"POST /function/f HTTP/1.1\r\n" + HOST


def joined(events: list[Event]) -> list[Event]:
    """The events with neighbouring pieces put together."""
    found: list[Event] = []
    for event in events:
        if isinstance(event, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += event
        else:
            found.append(event)
    return found


def head(method: str = "POST", length: int | None = 0, **headers: str) -> Head:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Head(method, b"/function/f", {"host": "localhost", **named}, True, length != 0, length)


WHOLE = [
    (POST + b"Content-Length: 3\r\n\r\nabc", [head(length=3, content_length="3"), b"abc", END]),
    (
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\nTrailer: t\r\n\r\n",
        [head(length=None, transfer_encoding="chunked"), b"abc", END],
    ),
    (b"GET /function/f HTTP/1.1\r\n" + HOST + b"\r\n", [head("GET"), END]),
    (
        b"GET /function/f HTTP/1.1\r\n" + HOST + b"Accept: a\r\nAccept: b\r\nCookie: c\r\nCookie: d\r\n\r\n",
        [head("GET", accept="a, b", cookie="c; d"), END],
    ),
]


@given(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=4), st.data())
def test_requests_come_out_the_same_however_they_are_cut(
    requests: list[tuple[bytes, list[Event]]], data: st.DataObject
) -> None:
    stream, wanted = b"".join(raw for raw, _ in requests), [event for _, events in requests for event in events]
    wire, seen, at = Wire(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        seen += wire.feed(stream[at : at + size])
        at += size
    assert joined(seen) == wanted
    assert not wire.begun


@pytest.mark.parametrize(
    "smuggled",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Content-Length : 3\r\n",
        b" Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"X: y\r\n folded\r\n",
        b"X: a\x00b\r\n",
        b"X: a\rb\r\n",
        b"X\n: b\r\n",
        b"Host: other\r\n",
        b"Content-Type: a\r\nContent-Type: b\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(smuggled: bytes) -> None:
    events = Wire().feed(POST + smuggled + b"\r\nabc")
    assert isinstance(events[-1], Refusal), events
    assert events[-1].status in (400, 501)
    assert not any(isinstance(event, Head) for event in events)


@pytest.mark.parametrize(
    "chunks",
    [b"x\r\nabc", b"3 \r\nabc", b"-1\r\n", b"3\nabc", b"3\r\nabcd\r\n", b"ffffffffffffffffff\r\n", b"0x3\r\nabc"],
)
def test_a_broken_chunk_is_refused(chunks: bytes) -> None:
    events = Wire().feed(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert isinstance(events[-1], Refusal), events


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GIMME / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /" + b"a" * TARGET_BYTES + b" HTTP/1.1\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * HEADER_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * HEADER_FIELDS + b"\r\n", 431),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: a\r\n" * (HEADER_FIELDS + 1) + b"\r\n", 431),
    ],
)
def test_what_is_no_request_or_too_long_is_refused(raw: bytes, status: int) -> None:
    refusal = Wire().feed(raw)[-1]
    assert isinstance(refusal, Refusal)
    assert refusal.status == status


def test_a_head_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    wire, fed = Wire(), 0
    events = wire.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    while not events:
        events = wire.feed(b"a" * 1000)
        fed += 1000
        assert fed < 2 * (HEADER_BYTES + TARGET_BYTES)
    assert events == [Refusal(431, f"the head is over {HEADER_BYTES + TARGET_BYTES} bytes")]


@pytest.mark.parametrize("begun", [b"0\r\nTrailer: ", b"5;", b"5"], ids=["trailer", "extension", "size"])
def test_what_stands_between_pieces_of_a_body_is_refused_before_it_fills_the_memory(begun: bytes) -> None:
    wire = Wire()
    wire.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n" + begun)
    fed = 0
    while not (events := wire.feed((b"0" if begun == b"5" else b"x") * 1000)):
        fed += 1000
        assert fed <= HEADER_BYTES
    assert isinstance(events[-1], Refusal)


def test_a_body_in_very_many_small_pieces_is_read_to_its_end() -> None:
    wire = Wire()
    wire.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(HEADER_BYTES // 2):
        assert wire.feed(b"1\r\n") == []
        assert wire.feed(b"a\r\n") == [b"a"]
    assert wire.feed(b"0\r\n\r\n") == [END]


def test_a_length_with_very_many_zeros_is_the_number_that_it_is() -> None:
    zeros = b"0" * 5000
    assert [event.length for event in Wire().feed(POST + b"Content-Length: %b3 \r\n\r\nabc" % zeros)[:1]] == [3]  # type: ignore[union-attr]
    assert Wire().feed(POST + b"Content-Length: %b\r\n\r\n" % zeros)[1:] == [END]


def test_an_offer_to_upgrade_is_not_taken_up() -> None:
    offer = b"GET /function/f HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    events = Wire().feed(offer + b"GET /function/f HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [event.method for event in events if isinstance(event, Head)] == ["GET", "GET"]


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [(b"1.1", b"", True), (b"1.1", b"close", False), (b"1.0", b"", False), (b"1.0", b"keep-alive", True)],
)
def test_a_connection_is_kept_as_the_client_asks(version: bytes, connection: bytes, keeps: bool) -> None:
    said = b"Connection: " + connection + b"\r\n" if connection else b""
    first = Wire().feed(b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + said + b"\r\n")[0]
    assert isinstance(first, Head)
    assert first.keep_alive is keeps
    assert first.is_old == (version == b"1.0")


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_waited_for_and_nothing_else(junk: bytes) -> None:
    events = Wire().feed(junk)
    assert all(isinstance(event, Refusal) for event in events) or junk.lstrip(b"\r\n")[:1].isalpha()
