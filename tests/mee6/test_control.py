"""Packets with descriptors: whose they are, and that those of what is no packet do not stay."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from mee6.lane import control
from proxy import spawner

Pair = tuple[socket.socket, socket.socket]
RECEIVERS: dict[str, Callable[[socket.socket], tuple[Any, Any]]] = {
    "control": control.receive,
    "spawner": spawner.receive,
}


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("receiver", RECEIVERS)
@pytest.mark.parametrize(
    "data",
    [b"junk", msgspec.msgpack.encode(["nobody", 1]), b"\x92" * 200_000, b""],
    ids=["no MessagePack", "no packet of ours", "longer than a packet", "nothing"],
)
def test_descriptors_of_what_is_no_packet_are_closed(pair: Pair, receiver: str, data: bytes) -> None:
    ours, theirs = pair
    before = descriptors()
    for _ in range(50):
        socket.send_fds(theirs, [data], [0, 0])
        if data:
            with pytest.raises(msgspec.MsgspecError):
                RECEIVERS[receiver](ours)
        else:
            assert RECEIVERS[receiver](ours)[0] is None
    assert descriptors() == before


def test_descriptors_of_a_packet_are_the_callers(pair: Pair) -> None:
    ours, theirs = pair
    before = descriptors()
    control.send(theirs, control.Go(), (0, 1))
    packet, fds = control.receive(ours)
    assert (packet, len(fds), descriptors()) == (control.Go(), 2, before + 2)
    control.close_all(fds)
    spawner.send(theirs, spawner.Spawn(1, "python"), 0)
    asked, fd = spawner.receive(ours)
    assert asked == spawner.Spawn(1, "python")
    assert fd is not None
    os.close(fd)
    assert descriptors() == before
