"""Addresses to listen on: what is one, and whether it can be had."""

from __future__ import annotations

import errno
import socket
from typing import Final

from mee6.errors import Conflict, InvalidInput, NotAllowed

SOCKET_PATH_BYTES: Final = 107
"""Of a Unix socket."""


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of an address to listen on.

    Raises:
        InvalidInput: it is none.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"{listen!r} is not an address; use host:port, as in 127.0.0.1:5122")
    return host.removeprefix("[").removesuffix("]"), int(port)


def probe(listen: str, host: str, port: int, option: str = "--listen") -> None:
    """Tries the address with a plain socket, since gRPC does not say why it could not bind.

    Args:
        option: chooses another, for messages.

    Raises:
        Conflict: the port is in use.
        NotAllowed: it is one that only root may take.
        InvalidInput: the address is not of this machine.
    """
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)  # with SO_REUSEADDR it is this that fails beside another listener
    except socket.gaierror as error:
        raise InvalidInput(f"cannot listen on {listen!r}: {error.strerror}") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise in_use(host, port, option) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotAllowed(f"port {port} is not for this user; choose one above 1023 with {option}") from error
        raise InvalidInput(f"cannot listen on {listen!r}: {error.strerror}") from error


def in_use(host: str, port: int, option: str = "--listen") -> Conflict:
    """The error for a port that another holds; `option` chooses another."""
    return Conflict(f"port {port} on {host} is in use; is another agent running? choose another with {option}")
