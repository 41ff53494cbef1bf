"""What a driver, its launcher and a worker's first process say to each other.

Over Unix SEQPACKET sockets, one MessagePack value a packet, so that nothing needs framing. The driver sends
`Start` to the launcher together with one end of a socket pair, over which it then speaks with that worker's
first process (`proxy.init`) alone: the end of that stream means that the agent is gone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from mee6.lane.messages import Frame, Stream

MAX_PACKET_BYTES: Final = 128 << 10
MAX_DESCRIPTORS: Final = 16
"""A worker's control socket, and a door to each of its control groups."""


class RuntimePlan(Frame, frozen=True, gc=False):
    """How a language is started: a row of `runtimes.catalog`, resolved on this machine."""

    kind: Literal["fork", "exec"]
    entry: str = ""
    argv: list[str] = msgspec.field(default_factory=list)


class Setup(Frame, frozen=True, gc=False):
    """What a worker's first process has to know."""

    worker: str
    token: str
    runtime: str
    lane: str
    """Path of the agent's lane socket, as seen from inside."""
    act: str
    tmp: str
    proxy: str
    """`module:callable`, see `proxy.init`."""
    runtimes: dict[str, RuntimePlan]
    network: str = "none"
    open_files: int = 1024
    scratch_bytes: int = 256 << 20
    data_bytes: int = 0
    """Memory each process may take, where no cgroup holds the worker; 0 = no such limit."""
    agent_id: str = ""


class Packet(Frame, frozen=True, gc=False, tag=lambda name: name.lower()):
    """What travels as a packet of its own."""


class Start(Packet, frozen=True, gc=False):
    """driver -> launcher, with descriptors: fork a worker whose control socket is the first.

    The others are its control groups': at first folders of version 2, which it is forked into, then version 1's
    `tasks`, to each of which it writes a 0 before anything else.
    """

    setup: Setup
    folders: int = 0
    """How many of them are folders; there is one such tree at most."""


class End(Packet, frozen=True, gc=False):
    """driver -> launcher: kill this worker's first process. Answered by `Reaped`."""

    worker: str


class Ready(Packet, frozen=True, gc=False):
    """launcher -> driver, first; with the folder that holds the workers' flow folders where it made one."""

    isolation: str


class Refused(Packet, frozen=True, gc=False):
    """launcher -> driver: the worker could not be forked."""

    worker: str
    message: str


class Reaped(Packet, frozen=True, gc=False):
    """launcher -> driver: the worker's first process has ended, and all of the worker with it."""

    worker: str
    status: int


class Claim(Packet, frozen=True, gc=False):
    """a container's first process -> driver, first: which worker's it is. Answered by `Start`, or not at all."""

    token: str


class Up(Packet, frozen=True, gc=False):
    """init -> driver: I am in my groups, the sandbox stands and nothing runs in it yet; the credentials say my pid."""


class Failed(Packet, frozen=True, gc=False):
    """init or launcher -> driver: it could not be made ready; it exits."""

    message: str


class Go(Packet, frozen=True, gc=False):
    """driver -> init: all is known of you that I need, start the proxy."""


class Stop(Packet, frozen=True, gc=False):
    """driver -> init: stop every process of yours. Answered by `Done`."""


class Continue(Packet, frozen=True, gc=False):
    """driver -> init: undo `Stop`. Answered by `Done`."""


class Done(Packet, frozen=True, gc=False):
    """init -> driver: the last `Stop` or `Continue` has come about."""

    running: int
    """Processes that would not stop in time."""


class Output(Packet, frozen=True, gc=False):
    """init -> driver: what the worker's processes wrote to their descriptors 1 and 2."""

    stream: Stream
    data: bytes
    dropped_bytes: int = 0
    """Discarded before `data`, because there was too much of it."""


class Ended(Packet, frozen=True, gc=False):
    """init -> driver: the proxy or a runtime has ended; status as `os.waitstatus_to_exitcode`."""

    pid: int
    what: str
    """`proxy`, or the runtime's name."""
    status: int


AnyPacket = Claim | Start | End | Ready | Refused | Reaped | Up | Failed | Go | Stop | Continue | Done | Output | Ended

encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder(AnyPacket).decode


def send(sock: socket.socket, packet: AnyPacket, fds: tuple[int, ...] = ()) -> None:
    """Sends one packet with its descriptors.

    Raises:
        OSError: the other end is gone, or `BlockingIOError` where the socket does not block and is full.
    """
    if fds:
        socket.send_fds(sock, [encode(packet)], list(fds))
    else:
        sock.send(encode(packet))


def receive(sock: socket.socket) -> tuple[AnyPacket | None, list[int]]:
    """The next packet and its descriptors, which are the caller's to close; (None, []) at the end of the stream.

    Raises:
        OSError: it cannot be read; `BlockingIOError` where the socket does not block and there is none yet.
        msgspec.MsgspecError: it is no packet. Its descriptors have been closed.
    """
    data, fds, _flags, _address = socket.recv_fds(sock, MAX_PACKET_BYTES, MAX_DESCRIPTORS)
    packet: AnyPacket | None = None
    try:
        packet = decode(data) if data else None
    finally:
        if packet is None:
            close_all(fds)
    return packet, fds if packet is not None else []


def close_all(fds: Iterable[int]) -> None:
    """Closes descriptors that came with a packet and are nobody's."""
    for fd in fds:
        os.close(fd)
