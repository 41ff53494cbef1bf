"""The lane's framing and its asyncio end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.lanes import LaneServer
from agent.peers import Peer
from mee6.errors import NotAllowed, ProtocolError
from mee6.lane import codec
from mee6.lane.codec import Decoder, encode
from mee6.lane.messages import (
    AnyMessage,
    Call,
    Chunk,
    Credit,
    Fault,
    Goodbye,
    Head,
    Header,
    Hello,
    Invoke,
    Log,
    Report,
    Response,
    Welcome,
)

MESSAGES = st.one_of(
    st.builds(Invoke, st.text(), st.binary(), st.text(), st.lists(st.text(), max_size=4)),
    st.builds(Call, st.text(), st.text(), st.text(), st.binary(), st.text(), st.just([])),
    st.builds(Report, st.text(), st.binary(), st.text(), st.none() | st.builds(Fault, st.text(), st.text())),
    st.builds(Log, st.text(), st.sampled_from(["out", "err"]), st.text(), st.integers(0, 1 << 62)),
    st.builds(
        Head, st.text(), st.text(), st.none() | st.builds(Response, st.integers(200, 599), st.just([Header("a", "b")]))
    ),
    st.builds(Chunk, st.text(), st.binary(), st.booleans()),
    st.builds(Credit, st.text(), st.integers(0, 1 << 40)),
    st.just(Goodbye()),
)


@given(st.lists(MESSAGES, max_size=8), st.data())
def test_messages_survive_any_cut_of_the_stream(messages: list[AnyMessage], data: st.DataObject) -> None:
    stream = b"".join(map(bytes, map(encode, messages)))
    decoder, seen, at = Decoder(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        seen += decoder.feed(stream[at : at + size])
        at += size
    assert seen == messages
    assert not decoder.pending


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_waited_for_and_nothing_else(junk: bytes) -> None:
    decoder = Decoder(limit=64)
    with contextlib.suppress(ProtocolError):
        for message in decoder.feed(junk):
            assert isinstance(message, AnyMessage)


def test_a_frame_over_the_limit_is_refused_before_it_is_there() -> None:
    with pytest.raises(ProtocolError, match="over the lane's limit"):
        Decoder(limit=1024).feed(struct.pack(">I", 1025))
    with pytest.raises(ProtocolError, match="over the lane's limit"):  # and no less when all of it is
        Decoder(limit=1024).feed(struct.pack(">I", 1025) + bytes(1025))


def test_a_message_keeps_its_bytes_when_the_buffer_it_was_read_into_is_used_again() -> None:
    sent = Invoke("1", b"x" * 64, "text/plain", ["echo"])
    buffer = encode(sent)
    (message,) = Decoder().feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert message == sent


def test_a_message_over_the_limit_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_FRAME_BYTES", 100)
    with pytest.raises(ProtocolError, match="a Report of"):
        encode(Report("1", b"x" * 100))


def test_an_older_peers_shorter_message_is_read_with_defaults() -> None:
    body = b"\x92\xa6report\xa11"
    assert Decoder().feed(struct.pack(">I", len(body)) + body) == [Report("1")]


class Host:
    """Notes what the lanes bring."""

    def __init__(self) -> None:
        self.seen: list[AnyMessage] = []
        self.gone = asyncio.Event()
        self.pid: int | None = None

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        if hello.token != "good":
            raise NotAllowed("no")
        self.pid = pid
        return Welcome("w1")

    def received(self, peer: Peer, message: AnyMessage) -> None:
        if isinstance(message, Goodbye):
            raise ProtocolError("not yours to send")
        self.seen.append(message)

    def detach(self, peer: Peer, reason: str) -> None:
        self.seen.append(Log("", "err", reason))
        self.gone.set()


@contextlib.asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Host, asyncio.StreamReader, asyncio.StreamWriter]]:
    host, path = Host(), tmp_path / "a.sock"
    async with LaneServer(path, host):
        reader, writer = await asyncio.open_unix_connection(str(path))
        yield host, reader, writer
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert not path.exists()


async def test_the_kernel_vouches_for_who_says_hello(tmp_path: Path) -> None:
    async with served(tmp_path) as (host, reader, writer):
        writer.write(encode(Hello("good", "proxy", "python")) + encode(Report("7")))
        assert Decoder().feed(await reader.read(1 << 16)) == [Welcome("w1")]
        writer.close()
        await asyncio.wait_for(host.gone.wait(), 5)
        assert host.pid == os.getpid()
        assert host.seen[0] == Report("7")


@pytest.mark.parametrize(
    "first",
    [encode(Hello("bad", "proxy", "python")), encode(Report("7")), b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n"],
    ids=["bad token", "no hello", "garbage", "http"],
)
async def test_a_stranger_is_shown_the_door(tmp_path: Path, first: bytes) -> None:
    async with served(tmp_path) as (host, reader, writer):
        writer.write(first)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert host.seen == []


async def test_a_peer_that_breaks_the_rules_is_cut_and_said_why(tmp_path: Path) -> None:
    async with served(tmp_path) as (host, _reader, writer):
        writer.write(encode(Hello("good", "proxy", "python")) + encode(Goodbye()))
        await asyncio.wait_for(host.gone.wait(), 5)
        assert host.seen == [Log("", "err", "not yours to send")]


async def test_who_never_says_hello_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.lanes.HELLO_TIMEOUT_S", 0.05)
    async with served(tmp_path) as (_host, reader, _writer):
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
