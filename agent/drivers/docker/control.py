"""The control socket: where the first process of a container says whose it is, with a one-time token.

It is in the lane's folder, which every container sees, so that anybody inside may connect. Who connects and has not
said whose he is yet is a stranger; there are only so many of them, and the oldest goes first.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mee6.lane import control as wire

NAME: Final = "control.sock"
_MAX_STRANGERS: Final = 64
_CREDENTIALS: Final = struct.Struct("3i")


class ControlSocket:
    """Listens, and gives away what has proved itself.

    Args:
        folder: the lane's.
        claimed: told of the first packet's token, the sender's pid by the kernel's word, and the connection;
            says whether it takes the connection.
    """

    def __init__(self, folder: Path, claimed: Callable[[str, int, socket.socket], bool]) -> None:
        self._folder = folder
        self._claimed = claimed
        self._listener: socket.socket | None = None
        self._strangers: dict[socket.socket, None] = {}
        """Oldest first."""

    def open(self) -> None:
        """Listens, with a socket that everybody may connect to."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o711)  # the state folder around it stays closed
        path = self._folder / NAME
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(_MAX_STRANGERS)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Listens no more. Idempotent; connections that were given away stay."""
        for sock in [*self._strangers]:
            self._dismiss(sock)
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            (self._folder / NAME).unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self._strangers[sock] = None
        asyncio.get_running_loop().add_reader(sock, self._hear, sock)
        if len(self._strangers) > _MAX_STRANGERS:
            self._dismiss(next(iter(self._strangers)))

    def _hear(self, sock: socket.socket) -> None:
        pid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
        try:
            packet = receive(sock)
        except BlockingIOError:
            return
        except msgspec.MsgspecError:
            packet = None
        asyncio.get_running_loop().remove_reader(sock)
        token = packet.token if isinstance(packet, wire.Claim) else ""
        if token and self._claimed(token, pid, sock):
            del self._strangers[sock]
        else:
            self._dismiss(sock)

    def _dismiss(self, sock: socket.socket) -> None:
        self._strangers.pop(sock, None)
        hang_up(sock)


def receive(sock: socket.socket) -> wire.AnyPacket | None:
    """The next packet; None at the end. Descriptors that come along are nobody's, and closed.

    Raises:
        BlockingIOError: there is none yet.
        msgspec.MsgspecError: it is none.
    """
    try:
        packet, fds = wire.receive(sock)
    except BlockingIOError:
        raise
    except OSError:
        return None
    wire.close_all(fds)
    return packet


def hang_up(sock: socket.socket) -> None:
    """Closes a connection that the loop may read. Idempotent."""
    if sock.fileno() >= 0:
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()
