"""Requests whose head has come before, byte for byte: what they ask for is known, and is not found out again.

Who calls a function over a kept connection calls it again with the same head. What a head comes to follows from its
bytes and from its function's manifest alone, so it is remembered with the function's record, and is good for as long
as that is the current one. Only heads of plain requests are remembered: whole in what was read, with nothing that
needs a look at the body, and nothing of the connection but that it is kept.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agent.http.content import BATCHED, STRUCTURED
from agent.http.route import ToFunction
from agent.http.wire import Head
from agent.substrate.base import FunctionRecord
from mee6.lane.messages import Request

MOST_HEADS: Final = 512
MOST_BYTES: Final = 2048
"""Of one head; those of pages with large cookies are parsed each time."""

_END: Final = b"\r\n\r\n"


class Known(msgspec.Struct, frozen=True):
    """What the head of a request comes to."""

    head: Head
    target: ToFunction
    record: FunctionRecord
    """Of the function, as long as it is this one."""
    cors: tuple[tuple[str, str], ...]
    """What the answer says of the page that asks."""
    content_type: str
    """Of the argument."""
    request: Request
    """What the function is told of it."""

    @property
    def is_plain(self) -> bool:
        """Whether its answer has a body, and says nothing of the page that asks."""
        return self.head.method != "HEAD" and not self.cors


class Heads:
    """Those that were seen; all of them are forgotten where they become too many."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def find(self, data: bytes) -> tuple[Known, bytes] | None:
        """What is asked for by a request that is all of `data`, and its body; None for what is not known."""
        end = data.find(_END) + 4
        known = self._known.get(data[:end])
        if known is None or known.head.length != len(data) - end:
            return None
        return known, data[end:]

    def learn(self, data: bytes, known: Known) -> None:
        """Remembers a request that was all of `data`, unless it is one that has to be looked at each time."""
        head = known.head
        end = data.find(_END) + 4
        if end > MOST_BYTES or head.length != len(data) - end:
            return
        kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not head.keep_alive or head.is_old or "expect" in head.headers or kind in (STRUCTURED, BATCHED):
            return
        if len(self._known) >= MOST_HEADS:
            self._known.clear()
        self._known[data[:end]] = known
