"""The floor under a lane: a msgspec request and its reply over a socketpair, between two pinned processes.

A program: `python -m tests.benchmarks.harness.lane_echo CORE CORE N` prints N round trips in nanoseconds as
JSON. Nothing of mee6 is in it: two structs, a length prefix, blocking sockets.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from time import monotonic_ns

import msgspec

WARM_UP = 200


class Ask(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """As large as an `Invoke` of 64 bytes."""

    id: str
    arg: bytes
    content_type: str
    chain: list[str]


class Answer(msgspec.Struct, array_like=True, tag=True, frozen=True, gc=False):
    """As large as its `Report`."""

    id: str
    result: bytes
    content_type: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ask | Answer).decode


def _send(sock: socket.socket, message: Ask | Answer) -> None:
    body = _encode(message)
    sock.sendall(struct.pack(">I", len(body)) + body)


def _receive(sock: socket.socket) -> Ask | Answer | None:
    data = sock.recv(4096)
    return _decode(data[4:]) if data else None


def _answer(sock: socket.socket) -> None:
    while isinstance(ask := _receive(sock), Ask):
        _send(sock, Answer(ask.id, ask.arg, ask.content_type))


def main(asking: int, answering: int, count: int) -> list[int]:
    """Round trips, in nanoseconds, between a process on core `asking` and one on core `answering`."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        os.sched_setaffinity(0, {answering})
        _answer(theirs)
        os._exit(0)
    theirs.close()
    os.sched_setaffinity(0, {asking})
    took = []
    for number in range(-WARM_UP, count):
        began = monotonic_ns()
        _send(ours, Ask("abcdefghijkl.1", b"x" * 64, "text/plain", ["echo"]))
        _receive(ours)
        if number >= 0:
            took.append(monotonic_ns() - began)
    ours.close()
    os.waitpid(pid, 0)
    return took


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(main(*map(int, sys.argv[1:4]))))
