"""What the proxy asks of the worker's first process (`proxy.init`), which starts and reaps all others.

A datagram-like exchange on a Unix SEQPACKET socket pair, so each packet is one MessagePack message and may
carry one file descriptor. The proxy asks with `Spawn` and passes one end of a lane's socket pair along;
the answer is `Spawned` or `SpawnFailed`; `Exited` comes whenever a process it asked for has ended.
The first runtime is there before it is asked for: its lane comes with the proxy's own start.
"""

from __future__ import annotations

import socket
from typing import Final

import msgspec

from mee6.lane.control import close_all

MAX_PACKET_BYTES: Final = 64 << 10


class Spawn(msgspec.Struct, array_like=True, frozen=True, tag="spawn"):
    """proxy -> init, with one descriptor: start a runtime whose lane is that descriptor.

    Without one: which process is the runtime that was started together with the proxy?
    """

    id: int
    runtime: str


class Spawned(msgspec.Struct, array_like=True, frozen=True, tag="spawned"):
    """init -> proxy: it runs, as this pid of the worker."""

    id: int
    pid: int


class SpawnFailed(msgspec.Struct, array_like=True, frozen=True, tag="spawnfailed"):
    """init -> proxy: it could not be started."""

    id: int
    message: str


class Exited(msgspec.Struct, array_like=True, frozen=True, tag="exited"):
    """init -> proxy: the process has ended; status as `os.waitstatus_to_exitcode`: < 0 is a signal."""

    pid: int
    status: int


class Kill(msgspec.Struct, array_like=True, frozen=True, tag="kill"):
    """proxy -> init: end this process, at once. Answered by its `Exited`."""

    pid: int


Packet = Spawn | Spawned | SpawnFailed | Exited | Kill

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Packet).decode


def send(sock: socket.socket, packet: Packet, fd: int | None = None) -> None:
    """Sends one packet, with one descriptor where given; blocks."""
    socket.send_fds(sock, [_encode(packet)], [] if fd is None else [fd])


def receive(sock: socket.socket) -> tuple[Packet | None, int | None]:
    """The next packet and the descriptor it carried, the caller's to close; (None, None) at the end of the stream.

    Raises:
        OSError: it cannot be read.
        msgspec.MsgspecError: it is no packet. Its descriptor has been closed.
    """
    data, fds, _flags, _address = socket.recv_fds(sock, MAX_PACKET_BYTES, 1)
    packet: Packet | None = None
    try:
        packet = _decode(data) if data else None
    finally:
        if packet is None:
            close_all(fds)
    return packet, fds[0] if packet is not None and fds else None
