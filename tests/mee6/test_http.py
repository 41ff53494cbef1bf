"""What functions make of HTTP, without a runtime: answers, events, bodies."""

from __future__ import annotations

import asyncio

import pytest

import mee6
from mee6.http import Body, Request, is_stream, piece_of, whole_of
from mee6.lane.messages import Header
from mee6.lane.messages import Response as LaneResponse


def test_an_answer_keeps_its_headers_in_their_order() -> None:
    answer = mee6.Response("x", 201, [("A", "1"), ("A", "2")])
    assert answer.on_the_lane() == LaneResponse(201, [Header("A", "1"), Header("A", "2")])
    assert mee6.Response(headers={"A": "1"}).headers == [("A", "1")]


def test_a_content_type_among_the_headers_is_the_content_type() -> None:
    answer = mee6.Response("x", headers={"content-type": "text/html"})
    assert (answer.content_type, answer.headers) == ("text/html", [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 199},
        {"status": 600},
        {"status": "200"},
        {"status": 204.0},
        {"status": True},
        {"headers": {"A B": "c"}},
        {"headers": {"A": "b\nC: d"}},
        {"headers": {"A": "\u20ac"}},
        {"headers": {"A": "x" * 9000}},
        {"content_type": "text/html\r\nA: b"},
    ],
)
def test_an_answer_that_http_cannot_carry_is_refused_where_it_is_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        mee6.Response("x", **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "200"},
        {"status": 10**30},
        {"headers": [("A", "b\r\nC: d")]},
        {"headers": ["abc"]},
        {"content_type": "text/html\r\nA: b"},
    ],
)
def test_what_was_changed_since_is_looked_at_again(change: dict[str, object]) -> None:
    answer = mee6.Response("x")
    for name, value in change.items():
        setattr(answer, name, value)
    with pytest.raises(ValueError):
        answer.on_the_lane()


@pytest.mark.parametrize(
    ("event", "wanted"),
    [
        (mee6.Event("a"), b"data: a\n\n"),
        (mee6.Event("a\r\nb\rc\nd"), b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (mee6.Event({"a": [1]}, event="e", id="7", retry_ms=10), b'event: e\nid: 7\nretry: 10\ndata: {"a":[1]}\n\n'),
        (mee6.Event("", event="a\ndata: forged"), b"event: a data: forged\ndata: \n\n"),
    ],
)
def test_an_event_is_written_as_browsers_read_it(event: mee6.Event, wanted: bytes) -> None:
    assert event.encode() == wanted


def test_a_body_is_read_once_in_either_way() -> None:
    assert Body(b"abc").read() == b"abc"
    assert list(Body(b"")) == []

    async def read() -> list[bytes]:
        return [piece async for piece in Body(b"abc")]

    assert asyncio.run(read()) == [b"abc"]


def test_a_query_is_taken_apart() -> None:
    request = Request("GET", "", "a=1&b=%20&c=&a=2", {"ce-id": "7", "x": "y"})
    assert request.query == {"a": "2", "b": " ", "c": ""}
    assert request.event == {"id": "7"}


@pytest.mark.parametrize(
    ("items", "whole"),
    [(["a", "b"], "ab"), ([b"a", b"b"], b"ab"), ([1, "a"], [1, "a"]), ([], []), ([mee6.Event("a")], "data: a\n\n")],
)
def test_items_stand_together_for_who_takes_no_pieces(items: list[object], whole: object) -> None:
    assert whole_of(items) == whole


def test_what_is_a_stream_and_what_is_a_value() -> None:
    assert is_stream(iter([]))
    assert is_stream(number for number in range(3))
    assert not any(map(is_stream, ([], (), "a", b"a", {}, None, 3, mee6.Response())))
    assert piece_of({"a": 1}) == (b'{"a":1}\n', "application/x-ndjson")
    with pytest.raises(TypeError):
        piece_of(object())


def test_a_function_sees_its_request_only_while_it_runs() -> None:
    from mee6.errors import Conflict

    with pytest.raises(Conflict, match=r"mee6.request"):
        _ = mee6.request
