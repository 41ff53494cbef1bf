"""The door over real sockets, with a fake node behind it: order, limits, waits, streams, ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Hashable
from pathlib import Path
from typing import Any

import pytest

from agent.http import connection, door
from agent.http.bound import Bound
from agent.http.door import Door
from agent.seats import Answer
from agent.streams import WINDOW_BYTES
from mee6.errors import Conflict, InvalidInput
from mee6.lane.messages import CHUNK_BYTES, Chunk, Credit, Fault, Head, Header, Response
from mee6.manifest import Http, Manifest
from tests.support.fake_node import Asked, FakeNode

HOST = "Host: localhost\r\n"
LARGE = 16 << 20
"""More than a kernel keeps of an answer that is not read."""


class Client:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, text: str | bytes) -> None:
        self.writer.write(text if isinstance(text, bytes) else text.encode())

    def ask(self, target: str, body: str | None = None, *, method: str = "", headers: str = "") -> None:
        method = method or ("GET" if body is None else "POST")
        length = "" if body is None else f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        self.send(f"{method} {target} HTTP/1.1\r\n{HOST}{headers}{length}\r\n{body or ''}")

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1")
        first, *lines = raw.strip().split("\r\n")
        return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    async def answer(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        if bodiless or status in (204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            return status, headers, b"".join([piece async for piece in self.pieces()])
        return status, headers, await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), 5)

    async def pieces(self) -> AsyncIterator[bytes]:
        while size := int(await asyncio.wait_for(self.reader.readline(), 5), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()

    async def ends(self) -> bytes:
        """What is left, up to the connection's end."""
        with contextlib.suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), 5)
        return b""

    def close(self) -> None:
        self.writer.transport.abort()


class Rig:
    def __init__(self, node: FakeNode, door: Door) -> None:
        self.node = node
        self.door = door
        self.clients: list[Client] = []

    async def client(self, **options: Any) -> Client:
        host, _, port = self.door.address.rpartition(":")
        client = Client(*await asyncio.open_connection(host, int(port), **options))
        self.clients.append(client)
        return client

    async def asked(self, count: int = 1) -> Asked:
        await until(lambda: len(self.node.asked) >= count)
        return list(self.node.asked.values())[count - 1]

    def function(self, name: str, **http: Any) -> None:
        record = self.node.record(name)
        self.node.records[name] = type(record)(
            record.user, name, 1, record.sha256, 10, Manifest(name, "python", http=Http(**http)), record.added_s
        )


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - of what is told to nobody
            await asyncio.sleep(0.001)


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    return FakeNode(tmp_path)


@pytest.fixture
async def rig(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(door, "GRACE_S", 0.2)
    monkeypatch.setattr(door, "LOOK_S", 0.01)
    async with Door(node, "127.0.0.1:0", body_s=0.3) as made:
        one = Rig(node, made)
        yield one
        for client in one.clients:
            client.close()
        await until(lambda: made.inflight == 0)
        assert made.held_bytes == 0
        await until(lambda: made.unsent_bytes == 0)


# Answers -----------------------------------------------------------------------------------------------------


async def test_a_body_goes_in_and_the_result_comes_out_with_its_id_and_its_time(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/echo/a%20b?c=1", "hello", headers="X-A: b\r\n")
    status, headers, body = await client.answer()
    assert (status, body) == (200, b"hello")
    asked = await rig.asked()
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["x-call-id"] == asked.id
    assert re.fullmatch(r"0\.[0-9]{6}", headers["x-duration-seconds"])
    assert asked.request is not None
    assert (asked.request.method, asked.request.path, asked.request.query) == ("POST", "/a b", "c=1")
    assert asked.request.headers["x-a"] == "b"


async def test_requests_of_a_connection_are_answered_in_their_order(rig: Rig) -> None:
    client = await rig.client()
    for number in range(20):
        client.ask("/function/slow" if number % 3 == 0 else "/function/echo", f"n{number}")
    for number in range(20):
        if number % 3 == 0:
            asked = await rig.asked(number + 1)
            await asyncio.sleep(0.002)
            assert len(rig.node.asked) == number + 1, "none begins before its turn"
            asked.answer(Answer(asked.arg, "text/plain"))
        assert (await client.answer())[2] == f"n{number}".encode()


async def test_very_many_requests_at_once_are_answered_without_running_out_of_stack(rig: Rig) -> None:
    client = await rig.client(limit=1 << 22)
    client.send(f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode() * 5000)
    for _ in range(5000):
        assert (await client.answer())[0] == 200


async def test_a_flood_of_one_client_leaves_others_their_turn(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SLICE_S", 0.0)
    flood, other = await rig.client(), await rig.client()
    flood.send(f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode() * 1000)
    await until(lambda: rig.door.answered[200] > 0)
    other.ask("/healthz")
    assert (await other.answer())[0] == 200
    assert rig.door.answered[200] < 500
    for _ in range(1000):
        assert (await flood.answer())[0] == 200


async def test_a_functions_status_and_headers_go_out(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    response = Response(201, [Header("Set-Cookie", "a=b"), Header("Set-Cookie", "c=d"), Header("Content-Length", "7")])
    (await rig.asked()).answer(Answer(b"<p>", "text/html", None, response))
    raw = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    assert raw.startswith("HTTP/1.1 201 Created\r\n")
    assert raw.count("Set-Cookie: ") == 2
    assert raw.count("Content-Length: ") == 1
    assert "Content-Length: 3\r\n" in raw
    assert "Content-Type: text/html\r\n" in raw


@pytest.mark.parametrize("forged", [Response(99), Response(200, [Header("A", "b\r\nC: d")])])
async def test_a_forged_answer_is_not_passed_on(rig: Rig, forged: Response) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    (await rig.asked()).answer(Answer(b"", "text/plain", None, forged))
    status, headers, body = await client.answer()
    assert (status, json.loads(body)["code"]) == (502, "result_refused")
    assert "c" not in headers


async def test_an_answer_without_a_body_has_none(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    (await rig.asked()).answer(Answer(b"body", "text/plain", None, Response(204)))
    status, headers, _ = await client.answer()
    assert status == 204
    assert "content-length" not in headers
    client.ask("/function/echo", "abc", method="HEAD")
    status, headers, _ = await client.answer(bodiless=True)
    assert (status, headers["content-length"]) == (200, "3")
    client.ask("/healthz")
    assert (await client.answer())[2] == b"ok\n"


@pytest.mark.parametrize(
    ("target", "method", "headers", "status", "code"),
    [
        ("/function/fail", "POST", "", 500, "function_raised"),
        ("/function/nope", "POST", "", 404, "function_not_found"),
        ("/nowhere", "GET", "", 404, "not_found"),
        ("/healthz", "POST", "", 405, "method_not_allowed"),
        ("/function/echo", "PROPFIND", "", 405, "method_not_allowed"),
        ("/function/echo", "POST", "Origin: https://evil.example\r\n", 403, "not_allowed"),
        ("/function/echo", "POST", "Expect: a miracle\r\n", 417, "invalid_input"),
        ("/function/echo", "POST", "ce-specversion: 1.0\r\n", 400, "invalid_input"),
    ],
)
async def test_a_refusal_is_a_problem_and_the_connection_goes_on(
    rig: Rig, target: str, method: str, headers: str, status: int, code: str
) -> None:
    client = await rig.client()
    client.ask(target, "some body", method=method, headers=headers)
    got, said, body = await client.answer()
    problem = json.loads(body)
    assert (got, problem["status"], problem["code"]) == (status, status, code)
    assert said["content-type"] == "application/problem+json"
    assert (status == 405) == ("allow" in said)
    if "expect" not in headers.lower():
        client.ask("/function/echo", "on")
        assert (await client.answer())[2] == b"on"


async def test_a_traceback_is_not_shown_to_whoever_calls(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/fail", "x")
    assert b"Traceback" not in (await client.answer())[2]


async def test_another_machines_name_is_refused(rig: Rig) -> None:
    client = await rig.client()
    client.send("POST /function/echo HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx")
    status, _, body = await client.answer()
    assert status == 421
    assert "--http-host" in json.loads(body)["detail"]
    assert not rig.node.asked


async def test_options_are_answered_for_the_function(rig: Rig) -> None:
    rig.function("echo", cors=["https://a.example"], methods=["POST"])
    client = await rig.client()
    asking = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n"
    client.ask("/function/echo", method="OPTIONS", headers=asking)
    status, headers, _ = await client.answer()
    assert (status, headers["access-control-allow-origin"], headers["allow"]) == (
        204, "https://a.example", "POST, OPTIONS",
    )  # fmt: skip
    client.ask("/function/echo", "x", headers="Origin: https://a.example\r\n")
    status, headers, body = await client.answer()
    assert (body, headers["access-control-allow-origin"]) == (b"x", "https://a.example")
    client.ask("/function/echo", method="GET")
    assert (await client.answer())[0] == 405
    assert len(rig.node.asked) == 1


async def test_a_client_of_http_1_0_is_answered_and_left(rig: Rig) -> None:
    client = await rig.client()
    client.send("POST /function/echo HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi")
    assert (await client.ends()).endswith(b"\r\nConnection: close\r\n\r\nhi")


# Bodies ------------------------------------------------------------------------------------------------------


async def test_a_client_that_asks_first_is_told_to_go_on_or_not(rig: Rig) -> None:
    client = await rig.client()
    head = "Content-Type: text/plain\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    client.send(f"POST /function/echo HTTP/1.1\r\n{HOST}{head}")
    assert (await client.head())[0] == 100
    client.send("abc")
    assert (await client.answer())[2] == b"abc"
    client.send(f"POST /function/nope HTTP/1.1\r\n{HOST}{head}")
    assert (await client.answer())[0] == 404
    assert await client.ends() == b""


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_and_the_client_can_read_why(rig: Rig, announced: bool) -> None:
    client = await rig.client()
    size = rig.node.config.arg_limit_bytes + 1
    said = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
    client.send(f"POST /function/echo HTTP/1.1\r\n{HOST}{said}\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        for _ in range(size // 65536 + 1):
            client.send(b"x" * 65536 if announced else b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await client.writer.drain()
    status, headers, body = await client.answer()
    assert (status, headers["connection"], json.loads(body)["code"]) == (413, "close", "too_large")
    assert not rig.node.asked


async def test_bodies_of_all_connections_together_have_a_bound(rig: Rig) -> None:
    rig.door.held_limit = 1000
    client = await rig.client()
    client.ask("/function/echo", "x" * 1001)
    status, headers, _ = await client.answer()
    assert (status, headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    "part",
    ["POST /fun", f"POST /function/echo HTTP/1.1\r\n{HOST}", f"GET / HTTP/1.1\r\n{HOST}X: "],
    ids=["byte", "line", "value"],
)
async def test_a_head_that_trickles_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.1)
    client = await rig.client()
    client.send(part)
    for _ in range(100):
        await asyncio.sleep(0.005)
        with contextlib.suppress(ConnectionError):
            client.send("a")
    status, headers, _ = await client.answer()
    assert (status, headers["connection"]) == (408, "close")


async def test_a_body_that_stops_coming_is_given_up(rig: Rig) -> None:
    client = await rig.client()
    client.send(f"POST /function/echo HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nab")
    status, _, body = await client.answer()
    assert (status, json.loads(body)["code"]) == (408, "timed_out")
    assert await client.ends() == b""


async def test_a_connection_that_asks_nothing_is_closed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.05)
    client = await rig.client()
    client.ask("/healthz")
    await client.answer()
    assert await client.ends() == b""


async def test_who_asks_much_and_reads_nothing_is_answered_no_more(rig: Rig) -> None:
    client = await rig.client(limit=1)
    for _ in range(64):
        client.ask("/function/echo", "x" * 500_000)
    seen = -1
    while len(rig.node.asked) != seen:
        seen = len(rig.node.asked)
        await asyncio.sleep(0.2)
    assert seen < 50
    client.reader._limit = 1 << 20  # type: ignore[attr-defined]
    for _ in range(64):
        assert len((await client.answer())[2]) == 500_000


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"], ids=["kept", "closed"])
async def test_a_client_that_takes_its_time_with_an_answer_gets_all_of_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, headers: str
) -> None:
    monkeypatch.setattr(connection, "IDLE_S", 0.02)
    monkeypatch.setattr(connection, "LINGER_S", 0.02)
    rig.door.idle_s = 0.2
    client = await rig.client(limit=1)
    client.ask("/function/slow", "x", headers=headers)
    (await rig.asked()).answer(Answer(b"x" * LARGE, "text/plain"))
    await until(lambda: rig.door.unsent_bytes)
    got = 0
    while rig.door.unsent_bytes:
        piece = await client.reader.read(1 << 20)
        assert piece
        got += len(piece)
        await asyncio.sleep(0.002)
    client.reader._limit = 1 << 20  # type: ignore[attr-defined]
    assert got + len(await client.ends()) > LARGE


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.01)
    rig.door.idle_s = 0.05
    client = await rig.client(limit=1)
    client.ask("/function/slow", "x", headers="Connection: close\r\n")
    (await rig.asked()).answer(Answer(b"x" * LARGE, "text/plain"))
    await until(lambda: rig.door.unsent_bytes)
    await until(lambda: not rig.door.connections)


async def test_answers_that_are_not_taken_have_a_bound_together(rig: Rig) -> None:
    rig.door.held_limit = LARGE * 3 // 2
    clients = [await rig.client(limit=1) for _ in range(3)]
    for number, client in enumerate(clients, 1):
        client.ask("/function/slow", "x")
        (await rig.asked(number)).answer(Answer(b"x" * LARGE, "text/plain"))
        await until(lambda: rig.door.unsent_bytes)
        assert rig.door.unsent_bytes <= rig.door.held_limit
    await until(lambda: rig.door.connections < 3)
    clients[-1].reader._limit = 1 << 24  # type: ignore[attr-defined]
    assert len((await clients[-1].answer())[2]) == LARGE, "who fell behind last is left alone"


async def test_a_function_that_takes_its_time_with_a_body_is_waited_for(rig: Rig) -> None:
    rig.function("slow", body="stream")
    client = await rig.client()
    total = 4 << 20
    client.send(f"POST /function/slow HTTP/1.1\r\n{HOST}Content-Length: {total}\r\n\r\n".encode() + b"z" * total)
    asked = await rig.asked()
    await asyncio.sleep(3 * rig.door.body_s)
    assert not rig.node.cancelled
    asked.answer(Answer(b"late", "text/plain"))
    assert (await client.answer())[2] == b"late"


async def test_garbage_after_a_request_is_told_of_after_its_answer(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    client.send("\x00 garbage\r\n\r\n")
    asked = await rig.asked()
    asked.answer(Answer(b"first", "text/plain"))
    assert (await client.answer())[2] == b"first"
    assert (await client.answer())[0] == 400
    assert await client.ends() == b""


# Limits ------------------------------------------------------------------------------------------------------


async def test_what_is_over_the_bound_is_refused_at_once(rig: Rig) -> None:
    rig.door.bound = Bound(2, 0)
    busy = [await rig.client() for _ in range(2)]
    for client in busy:
        client.ask("/function/slow", "x")
    await rig.asked(2)
    late = await rig.client()
    late.ask("/function/echo", "x")
    status, headers, body = await late.answer()
    assert (status, headers["retry-after"], json.loads(body)["code"]) == (429, "1", "exhausted")
    (await rig.asked(1)).answer(Answer(b"", "text/plain"))
    late.ask("/function/echo", "now")
    assert (await late.answer())[2] == b"now"


class Listening(Bound):
    """Notes what the door tells it."""

    def __init__(self) -> None:
        super().__init__(2, 0)
        self.told: list[tuple[Hashable, int]] = []

    def ended(self, function: Hashable, took_ns: int, under_way: int, at: int) -> None:
        assert 0 < took_ns < at
        self.told.append((function, under_way))


async def test_the_bound_hears_of_warm_invocations_that_were_whole(rig: Rig) -> None:
    rig.door.bound = bound = Listening()
    clients = [await rig.client() for _ in range(2)]
    for client in clients:
        client.ask("/function/slow", "x")
    await rig.asked(2)
    for number in (1, 2):
        asked = await rig.asked(number)
        assert asked.pipe is not None
        asked.pipe.was_warm = True
        asked.answer(Answer(b"", "text/plain"))
    for client in clients:
        await client.answer()
    assert bound.told == [(("default", "slow"), 2), (("default", "slow"), 1)]


async def test_the_bound_hears_neither_of_cold_starts_nor_of_streams(rig: Rig) -> None:
    rig.door.bound = bound = Listening()
    client = await rig.client()
    client.ask("/function/slow", "x")
    (await rig.asked(1)).answer(Answer(b"", "text/plain"))
    await client.answer()
    client.ask("/function/slow", "x")
    streaming = await rig.asked(2)
    assert streaming.pipe is not None
    streaming.pipe.was_warm = True
    streaming.pipe.took(Head(streaming.id, "text/plain"))
    streaming.answer(Answer(b"", "text/plain"))
    await client.answer()
    assert bound.told == []


async def test_a_full_node_says_so(rig: Rig) -> None:
    rig.node.records["full"] = rig.node.record("full")
    client = await rig.client()
    client.ask("/function/full", "x")
    status, headers, _ = await client.answer()
    assert (status, headers["retry-after"]) == (429, "1")


async def test_a_new_connection_takes_the_place_of_an_idle_one_and_of_no_other(rig: Rig) -> None:
    rig.door._most_connections = 2
    idle, busy = await rig.client(), await rig.client()
    busy.ask("/function/slow", "x")
    await rig.asked()
    third = await rig.client()
    third.ask("/function/slow", "x")
    await rig.asked(2)
    assert await idle.ends() == b""
    fourth = await rig.client()
    assert (await fourth.answer())[0] == 503
    assert await fourth.ends() == b""


async def test_a_draining_node_is_not_ready_but_healthy(rig: Rig) -> None:
    rig.node.drain()
    client = await rig.client()
    for target, status in (("/healthz", 200), ("/readyz", 503), ("/function/echo", 503)):
        client.ask(target)
        got, headers, _ = await client.answer()
        assert got == status
        assert (status == 503) == ("retry-after" in headers)
    rig.node.undrain()
    client.ask("/readyz")
    assert (await client.answer())[2] == b"ready\n"


async def test_a_client_that_goes_away_calls_its_invocation_off(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    asked = await rig.asked()
    client.close()
    await until(lambda: rig.node.cancelled == [asked.id])
    assert rig.door.answered[499] == 1


# Streams -----------------------------------------------------------------------------------------------------


async def begin_stream(rig: Rig, client: Client, kind: str = "text/event-stream") -> Asked:
    client.ask("/function/slow", "x")
    asked = await rig.asked(len(rig.node.asked) + 1)
    assert asked.pipe is not None
    asked.pipe.took(Head(asked.id, kind))
    return asked


async def test_a_result_in_pieces_goes_out_piece_by_piece(rig: Rig) -> None:
    client = await rig.client()
    asked = await begin_stream(rig, client)
    status, headers = await client.head()
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/event-stream", "no-cache")
    pieces = client.pieces()
    assert asked.pipe is not None
    for number in range(3):
        asked.pipe.took(Chunk(asked.id, f"data: {number}\n\n".encode()))
        assert await anext(pieces) == f"data: {number}\n\n".encode(), "before the next one is there"
    asked.answer(Answer(b"", "text/plain"))
    assert [piece async for piece in pieces] == []
    client.ask("/function/echo", "on")
    assert (await client.answer())[2] == b"on"


async def test_a_stream_that_fails_ends_without_its_last_chunk(rig: Rig) -> None:
    client = await rig.client()
    asked = await begin_stream(rig, client)
    assert asked.pipe is not None
    asked.pipe.took(Chunk(asked.id, b"part"))
    await client.head()
    asked.answer(Answer(b"", "", Fault("function_raised", "no")))
    assert not (await client.ends()).endswith(b"0\r\n\r\n")


async def test_a_client_that_does_not_read_holds_the_function_up_and_then_loses_it(rig: Rig) -> None:
    rig.door.idle_s = 0.3
    client = await rig.client(limit=1)
    asked = await begin_stream(rig, client, "application/octet-stream")
    pipe = asked.pipe
    assert pipe is not None
    sent = 0
    while pipe._allowed > 0:
        pipe.took(Chunk(asked.id, b"x" * CHUNK_BYTES))
        sent += CHUNK_BYTES
        await asyncio.sleep(0)
        assert sent < 64 << 20, "there is a bound to what is kept for a client"
    await until(lambda: rig.node.cancelled == [asked.id])


async def test_a_client_that_reads_slowly_gets_all_of_it(rig: Rig) -> None:
    client = await rig.client(limit=1 << 16)
    asked = await begin_stream(rig, client, "application/octet-stream")
    pipe = asked.pipe
    assert pipe is not None
    total = 24 << 20

    async def produce() -> None:
        sent = 0
        while sent < total:
            await until(lambda: pipe._allowed > 0)
            pipe.took(Chunk(asked.id, b"y" * CHUNK_BYTES))
            sent += CHUNK_BYTES
        asked.answer(Answer(b"", "text/plain"))

    task = asyncio.create_task(produce())
    await client.head()
    assert sum([len(piece) async for piece in client.pieces()]) == total
    await task


async def test_a_silent_stream_is_called_off(rig: Rig) -> None:
    rig.door.idle_s = 0.05
    client = await rig.client()
    asked = await begin_stream(rig, client)
    await client.head()
    assert await client.ends() == b""
    assert rig.node.cancelled == [asked.id]


async def test_a_client_of_http_1_0_gets_a_stream_up_to_the_end_of_the_connection(rig: Rig) -> None:
    client = await rig.client()
    client.send("GET /function/slow HTTP/1.0\r\n\r\n")
    asked = await rig.asked()
    assert asked.pipe is not None
    asked.pipe.took(Head(asked.id, "text/plain"))
    asked.pipe.took(Chunk(asked.id, b"all"))
    asked.answer(Answer(b"", ""))
    assert (await client.ends()).endswith(b"\r\nConnection: close\r\n\r\nall")


async def test_a_forged_head_of_a_stream_is_not_passed_on(rig: Rig) -> None:
    client = await rig.client()
    client.ask("/function/slow", "x")
    asked = await rig.asked()
    assert asked.pipe is not None
    asked.pipe.took(Head(asked.id, "text/plain", Response(200, [Header("A", "b\r\nC: d")])))
    status, headers, _ = await client.answer()
    assert status == 502
    assert "c" not in headers
    assert rig.node.cancelled == [asked.id]


async def test_a_body_in_pieces_reaches_the_function_while_it_comes(rig: Rig) -> None:
    rig.function("slow", body="stream")
    client = await rig.client()
    client.send(f"POST /function/slow HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    asked = await rig.asked()
    assert asked.request is not None
    assert asked.request.streams
    await until(lambda: asked.sent == [Chunk(asked.id, b"abc")])
    assert asked.pipe is not None
    asked.pipe.took(Head(asked.id, "text/plain"))
    asked.pipe.took(Chunk(asked.id, b"so far 3"))
    assert (await client.head())[0] == 200
    pieces = client.pieces()
    assert await anext(pieces) == b"so far 3", "both ways at the same time"
    client.send("2\r\nde\r\n0\r\n\r\n")
    await until(lambda: asked.sent[1:] == [Chunk(asked.id, b"de"), Chunk(asked.id, b"", last=True)])
    asked.answer(Answer(b"", ""))
    assert [piece async for piece in pieces] == []
    client.ask("/healthz")
    assert (await client.answer())[0] == 200


async def test_a_function_that_does_not_read_holds_the_client_up(rig: Rig) -> None:
    rig.function("slow", body="stream")
    rig.door.body_s = 30
    client = await rig.client()
    total = 64 << 20
    client.send(f"POST /function/slow HTTP/1.1\r\n{HOST}Content-Length: {total}\r\n\r\n")

    async def upload() -> None:
        for _ in range(total // 65536):
            client.send(b"z" * 65536)
            await client.writer.drain()

    task = asyncio.create_task(upload())
    asked = await rig.asked()
    pipe = asked.pipe
    assert pipe is not None
    await asyncio.sleep(0.1)
    assert not task.done()
    assert pipe.unsent < 4 * WINDOW_BYTES
    taken = 0
    while not any(isinstance(message, Chunk) and message.last for message in asked.sent):
        await until(lambda: asked.sent)
        for message in asked.sent.copy():
            if isinstance(message, Chunk) and message.data:
                asked.sent.remove(message)
                taken += len(message.data)
                pipe.took(Credit(asked.id, len(message.data)))
        await asyncio.sleep(0)
    await task
    taken += sum(len(message.data) for message in asked.sent if isinstance(message, Chunk))
    assert taken == total
    asked.answer(Answer(b"done", "text/plain"))
    assert (await client.answer())[2] == b"done"


async def test_a_function_that_answers_before_the_end_of_the_body_ends_the_connection(rig: Rig) -> None:
    rig.function("slow", body="stream")
    client = await rig.client()
    client.send(f"POST /function/slow HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nab")
    (await rig.asked()).answer(Answer(b"enough", "text/plain"))
    status, headers, body = await client.answer()
    assert (status, headers["connection"], body) == (200, "close", b"enough")
    assert await client.ends() == b""


# The door itself ---------------------------------------------------------------------------------------------


async def test_a_door_that_closes_lets_answers_go_out(node: FakeNode) -> None:
    async with Door(node, "127.0.0.1:0") as made:
        rig = Rig(node, made)
        idle, busy = await rig.client(), await rig.client()
        idle.ask("/healthz")
        await idle.answer()
        busy.ask("/function/slow", "x")
        asked = await rig.asked()
        closing = asyncio.create_task(made.close())
        assert await idle.ends() == b""
        asked.answer(Answer(b"late", "text/plain"))
        assert (await busy.answer())[2] == b"late"
        await closing
        with pytest.raises(OSError):
            await rig.client()
        for client in (idle, busy):
            client.close()
        await asyncio.sleep(0)


async def test_a_port_in_use_is_said_unless_it_was_nobodys_wish(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Door(node, "127.0.0.1:0") as first:
        with pytest.raises(Conflict, match="--http-listen"):
            await Door(node, first.address).__aenter__()
        monkeypatch.setattr(door, "DEFAULT_HTTP_LISTEN", first.address)
        async with Door(node) as second:
            assert second.address != first.address
    with pytest.raises(InvalidInput, match="--http-listen"):
        await Door(node, "no.such.host.invalid:1").__aenter__()


async def test_metrics_are_prometheus_own_form(rig: Rig) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    client = await rig.client()
    client.ask("/function/echo", "x")
    await client.answer()
    client.ask("/metrics")
    status, headers, body = await client.answer()
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    answered = {sample.labels["status"]: sample.value for sample in families["mee6_http_responses"].samples}
    assert answered["200"] == 1
    states = {sample.labels["state"]: sample.value for sample in families["mee6_workers"].samples}
    assert states["warm"] == 1
    (bound,) = families["mee6_http_inflight_bound"].samples
    assert bound.value == rig.node.config.http_inflight
    assert {"mee6_invocation_seconds", "mee6_waiting_invocations", "mee6_pool_workers"} <= families.keys()


async def test_the_description_names_the_functions(rig: Rig) -> None:
    rig.function("echo", methods=["POST"])
    client = await rig.client()
    client.ask("/openapi.json")
    document = json.loads((await client.answer())[2])
    assert document["openapi"].startswith("3.1")
    assert list(document["paths"]["/function/echo"]) == ["post"]
    assert document["servers"] == [{"url": f"http://{rig.door.address}"}]
    client.ask("/user/nobody/openapi.json")
    assert json.loads((await client.answer())[2])["paths"] == {}
