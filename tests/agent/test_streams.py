"""The windows of what flows in pieces."""

from __future__ import annotations

import pytest

from agent.streams import WINDOW_BYTES, Pipe
from mee6.errors import ProtocolError
from mee6.lane.messages import CHUNK_BYTES, Chunk, Credit, Head

PIECE = b"x" * CHUNK_BYTES


class Taking:
    """Who asked for the invocation."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.heads = 0
        self.rooms = 0

    def head(self, head: Head) -> None:
        self.heads += 1

    def piece_of_result(self, data: bytes) -> None:
        self.pieces.append(data)

    def room(self) -> None:
        self.rooms += 1


class Rig:
    def __init__(self) -> None:
        self.taker = Taking()
        self.sent: list[Chunk | Credit] = []
        self.pipe = Pipe(self.taker)

    def open(self) -> None:
        assert self.pipe.open("1", self.sent.append) == WINDOW_BYTES
        self.pipe.called()


@pytest.fixture
def rig() -> Rig:
    one = Rig()
    one.open()
    return one


def test_pieces_of_a_result_come_through_and_their_room_is_given_back(rig: Rig) -> None:
    rig.pipe.took(Head("1", "text/plain"))
    for _ in range(20):
        rig.pipe.took(Chunk("1", PIECE))
        rig.pipe.taken(len(PIECE))
    given = sum(message.size for message in rig.sent if isinstance(message, Credit))
    assert len(rig.taker.pieces) == 20
    assert 20 * CHUNK_BYTES - WINDOW_BYTES < given <= 20 * CHUNK_BYTES
    assert len(rig.sent) <= 10


def test_a_worker_that_sends_more_than_its_window_is_cut_off(rig: Rig) -> None:
    rig.pipe.took(Head("1", "text/plain"))
    for _ in range(WINDOW_BYTES // CHUNK_BYTES):
        rig.pipe.took(Chunk("1", PIECE))
    with pytest.raises(ProtocolError, match="no room"):
        rig.pipe.took(Chunk("1", PIECE))


@pytest.mark.parametrize(
    "messages",
    [
        [Chunk("1", b"x")],
        [Head("1", "t"), Head("1", "t")],
        [Head("1", "t"), Chunk("1", PIECE + b"x")],
        [Credit("1", -1)],
        [Credit("1", WINDOW_BYTES + CHUNK_BYTES)],
    ],
)
def test_what_is_out_of_order_or_out_of_bounds_cuts_the_worker_off(
    rig: Rig, messages: list[Head | Chunk | Credit]
) -> None:
    *before, last = messages
    for message in before:
        rig.pipe.took(message)
    with pytest.raises(ProtocolError):
        rig.pipe.took(last)


def test_a_body_waits_for_the_call_and_then_for_room() -> None:
    rig = Rig()
    rig.pipe.give(b"ab")
    assert rig.pipe.unsent == 2
    rig.open()
    assert rig.sent == [Chunk("1", b"ab")]
    rig.sent.clear()
    rig.pipe.give(b"x" * (2 * WINDOW_BYTES), last=True)
    sent = sum(len(message.data) for message in rig.sent if isinstance(message, Chunk))
    assert WINDOW_BYTES - 2 <= sent <= WINDOW_BYTES + CHUNK_BYTES
    assert rig.pipe.unsent == 2 * WINDOW_BYTES - sent
    rig.pipe.took(Credit("1", WINDOW_BYTES))
    rig.pipe.took(Credit("1", WINDOW_BYTES))
    assert rig.pipe.unsent == 0
    assert rig.sent[-1] == Chunk("1", b"", last=True)
    assert rig.taker.rooms == 2


def test_an_empty_body_ends_at_once(rig: Rig) -> None:
    rig.pipe.give(b"", last=True)
    assert rig.sent == [Chunk("1", b"", last=True)]
