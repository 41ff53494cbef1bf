"""What functions make of HTTP: the request they see, the answers they give, results and bodies in pieces.

In every language, by a runtime alone and through a proxy, as in `test_conformance`.
"""

from __future__ import annotations

import contextlib
import json

import pytest

from mee6.lane.messages import CHUNK_BYTES, Chunk, Credit, Header, Log, Report, Request
from tests.runtimes.conformance import Language
from tests.runtimes.test_conformance import (
    Served,
    fault,
    folder,
    language,
    loaded,
    nodejs_container,
    place,
    python_container,
    serve,
    server,
    serving,
    value,
)
from tests.support.lane import WINDOW

__all__ = [
    "folder", "language", "loaded", "nodejs_container", "place", "python_container", "serve", "server", "serving",
]  # fmt: skip

POST = Request("POST", "/a b", "x=1&y=%20", {"x-a": "1", "ce-type": "t", "ce-id": "7"})
STREAMING = Request("POST", "", "", {}, streams=True)


def test_a_function_sees_its_request(loaded: Served) -> None:
    report = loaded.report(loaded.begin_http({"do": "told_of_http"}, POST))
    size = len(json.dumps({"do": "told_of_http"}).replace(" ", ""))
    wanted = ["POST", "/a b", {"x": "1", "y": " "}, POST.headers, {"type": "t", "id": "7"}, size]
    assert value(report) == wanted


def test_an_invocation_that_came_another_way_has_no_method(loaded: Served) -> None:
    assert value(loaded.invoke({"do": "told_of_http"}))[:5] == ["", "", {}, {}, {}]


def test_a_functions_status_and_headers_travel_beside_its_result(loaded: Served) -> None:
    report = loaded.report(loaded.begin_http({"do": "answer_http", "body": {"a": 1}, "status": 404}))
    assert value(report) == {"a": 1}
    assert report.response is not None
    assert report.response.status == 404
    assert report.response.headers == [Header("X-A", "1"), Header("X-A", "2")]


def test_a_functions_content_type_is_its_results(loaded: Served) -> None:
    asked = {"do": "answer_http", "body": "<p>", "status": 200, "type": "text/html"}
    report = loaded.report(loaded.begin_http(asked))
    assert (report.result, report.content_type) == (b"<p>", "text/html")


@pytest.mark.parametrize(
    "wrong", [{"status": 99}, {"status": 600}, {"name": "X A"}, {"value": "a\r\nB: c"}, {"value": "\u20ac"}]
)
def test_an_answer_that_http_cannot_carry_is_an_error_of_the_function(loaded: Served, wrong: dict[str, object]) -> None:
    report = loaded.report(loaded.begin_http({"do": "answer_http_wrongly", **wrong}))
    assert fault(report).code == "function_raised"


@pytest.mark.parametrize(("name", "value"), [("status", "200"), ("status", 20.5), ("headers", [["A", "b\r\nC: d"]])])
def test_an_answer_that_was_spoilt_after_it_was_made_is_one_too(loaded: Served, name: str, value: object) -> None:
    report = loaded.report(loaded.begin_http({"do": "answer_http_changed", "name": name, "value": value}))
    assert fault(report).code == "function_raised"


@pytest.mark.parametrize("do", ["count_up", "count_up_async"])
def test_a_result_comes_in_pieces(loaded: Served, do: str) -> None:
    head, pieces, report = loaded.pieces(loaded.begin_http({"do": do, "count": 5}))
    assert (head.content_type, pieces) == ("text/plain", [b"0\n", b"1\n", b"2\n", b"3\n", b"4\n"])
    assert (report.fault, report.result) == (None, b"")
    assert value(loaded.invoke("and on")) == "and on"


def test_events_are_written_as_browsers_read_them(loaded: Served) -> None:
    head, pieces, _ = loaded.pieces(loaded.begin_http({"do": "events"}))
    assert head.content_type == "text/event-stream"
    assert pieces == [b'event: tick\nid: 7\nretry: 5\ndata: {"a":1}\n\n', b"data: two\ndata: lines\n\n"]


def test_values_are_lines_of_json(loaded: Served) -> None:
    head, pieces, _ = loaded.pieces(loaded.begin_http({"do": "values"}))
    assert head.content_type == "application/x-ndjson"
    assert pieces == [b'{"a":1}\n', b"[2]\n", b"three"]


def test_no_pieces_are_an_empty_result(loaded: Served) -> None:
    head, pieces, report = loaded.pieces(loaded.begin_http({"do": "nothing_in_pieces"}))
    assert (head.content_type, pieces, report.fault) == ("text/plain", [], None)


def test_pieces_may_have_a_status_too(loaded: Served) -> None:
    head, pieces, _ = loaded.pieces(loaded.begin_http({"do": "answer_http_in_pieces"}))
    assert head.response is not None
    assert (head.response.status, head.response.headers) == (202, [Header("X-A", "1")])
    assert (head.content_type, b"".join(pieces)) == ("text/html", b"ab")


def test_a_function_that_fails_midway_says_so_at_the_end(loaded: Served, language: Language) -> None:
    _, pieces, report = loaded.pieces(loaded.begin_http({"do": "fail_midway"}))
    assert pieces == [b"part"]
    assert (fault(report).code, fault(report).error_type) == ("function_raised", language.raises)
    assert "no good" in fault(report).message
    assert value(loaded.invoke("and on")) == "and on"


def test_a_piece_that_cannot_be_sent_is_refused(loaded: Served) -> None:
    report = loaded.report(loaded.begin_http({"do": "unserialisable_piece"}))
    assert fault(report).code == "result_refused"


def test_a_large_piece_is_cut(loaded: Served) -> None:
    size = 3 * CHUNK_BYTES + 1
    _, pieces, _ = loaded.pieces(loaded.begin_http({"do": "pieces_of", "count": 1, "size": size}))
    assert [len(piece) for piece in pieces] == [CHUNK_BYTES] * 3 + [1]


def test_who_takes_nothing_holds_the_function_up(loaded: Served) -> None:
    count = 20
    number = loaded.begin_http({"do": "pieces_of", "count": count, "size": CHUNK_BYTES})
    came = 0
    while came < WINDOW:
        came += len(loaded.until(Chunk).data)
    with contextlib.suppress(TimeoutError):
        while True:  # a proxy tells of its steps meanwhile
            assert not isinstance(loaded.receive(0.3), Chunk)
    loaded.lane.send(Credit(number, came))
    while not isinstance(message := loaded.receive(), Report):
        if isinstance(message, Chunk):
            came += len(message.data)
            loaded.lane.send(Credit(number, len(message.data)))
    assert came == count * CHUNK_BYTES


@pytest.mark.parametrize(
    ("do", "wanted"),
    [
        ("count_up", "0\n1\n"),
        ("count_up_async", "0\n1\n"),
        ("values", [{"a": 1}, [2], "three"]),
        ("events", 'event: tick\nid: 7\nretry: 5\ndata: {"a":1}\n\ndata: two\ndata: lines\n\n'),
        ("answer_http_in_pieces", b"ab"),
    ],
)
def test_who_takes_no_pieces_gets_all_of_it(loaded: Served, do: str, wanted: object) -> None:
    assert value(loaded.invoke({"do": do, "count": 2})) == wanted


def test_bytes_in_pieces_are_bytes_for_who_takes_none(loaded: Served) -> None:
    assert value(loaded.invoke({"do": "pieces_of", "count": 3, "size": 2})) == b"zzzzzz"


@pytest.mark.parametrize(("do", "wanted"), [("read_body", [True, 7]), ("read_body_async", 7)])
def test_a_body_in_pieces_is_read_as_it_comes(loaded: Served, do: str, wanted: object) -> None:
    number = loaded.begin_http({"do": do}, STREAMING)
    loaded.lane.send(Chunk(number, b"abc"))
    assert loaded.until(Credit).size == 3
    loaded.lane.send(Chunk(number, b"defg"), Chunk(number, b"", last=True))
    assert value(loaded.report(number)) == wanted


@pytest.mark.parametrize("do", ["echo_body", "echo_body_async"])
def test_both_ways_at_the_same_time(loaded: Served, do: str) -> None:
    number = loaded.begin_http({"do": do}, STREAMING)
    for piece in (b"one", b"two"):
        loaded.lane.send(Chunk(number, piece))
        assert loaded.until(Chunk).data == piece
    loaded.lane.send(Chunk(number, b"", last=True))
    assert loaded.report(number).fault is None


def test_a_body_that_nobody_reads_is_in_nobodys_way(loaded: Served) -> None:
    number = loaded.begin_http({"do": "nothing"}, STREAMING)
    loaded.lane.send(Chunk(number, b"abc"), Chunk(number, b"", last=True))
    assert value(loaded.report(number)) is None
    again = loaded.begin_http({"do": "read_body"}, STREAMING)
    loaded.lane.send(Chunk(number, b"late"), Chunk(again, b"", last=True))
    assert value(loaded.report(again)) == [False, 0]


def test_output_comes_before_the_end_of_a_stream(loaded: Served) -> None:
    number = loaded.begin_http({"do": "say", "lines": [["out", "said"]]})
    loaded.report(number)
    assert any(isinstance(message, Log) for message in loaded.seen)
