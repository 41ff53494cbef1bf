"""What a connection waits for, and how long."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

HEAD_S: Final = 10.0
"""From the first byte of a head, or from the connection, to its last."""
IDLE_S: Final = 75.0
"""Between requests; longer than what proxies in front usually keep a connection for, so that theirs ends first."""
BODY_S: Final = 30.0
"""Between two pieces of a body."""
LINGER_S: Final = 2.0
"""For a client to read an answer after which it is not read any more."""
SLICE_S: Final = 0.002
"""Of the loop, for the requests that one client has sent at once."""
LINGER_BYTES: Final = 4 << 20


class Phase(StrEnum):
    """What a connection is waiting for."""

    IDLE = "idle"  # a request
    HEAD = "head"  # the rest of a head
    BODY = "body"  # more of a body
    RUN = "run"  # the invocation, whose own limit holds
    STREAM = "stream"  # a piece of a result, or the client taking one
    LINGER = "linger"  # the client's end, to be closed
