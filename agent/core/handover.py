"""The handover of a worker's runtime from its proxy to the agent.

proxied -> granted (the proxy asked, a token is out) -> connected (the runtime presented it) -> direct (the
proxy reported the load and was sent away) -> alone (the proxy's lane has closed). Until `direct` the proxy
serves; a handover that fails or runs out of time falls back to `proxied`, never to something in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from agent.core.machine import Machine


class HandoverState(StrEnum):
    """Who serves a worker's runtime."""

    PROXIED = "proxied"
    GRANTED = "granted"
    CONNECTED = "connected"
    DIRECT = "direct"
    ALONE = "alone"


class HandoverEvent(StrEnum):
    """What can happen on the way."""

    ASKED = "asked"
    RUNTIME_CONNECTED = "runtime connected"
    REPORTED = "reported"
    """The proxy says that the runtime is loaded and the agent's."""
    FAILED = "failed"
    """The proxy says that it keeps the runtime, or time ran out."""
    PROXY_LEFT = "proxy left"
    BORN_DIRECT = "born direct"
    """The worker never had a proxy: a runtime came with the worker's own token."""


S, E = HandoverState, HandoverEvent

TRANSITIONS: Final[Mapping[tuple[HandoverState, HandoverEvent], HandoverState]] = {
    (S.PROXIED, E.ASKED): S.GRANTED,
    (S.PROXIED, E.FAILED): S.PROXIED,
    (S.PROXIED, E.BORN_DIRECT): S.ALONE,
    (S.GRANTED, E.RUNTIME_CONNECTED): S.CONNECTED,
    (S.GRANTED, E.FAILED): S.PROXIED,
    (S.CONNECTED, E.FAILED): S.PROXIED,
    (S.CONNECTED, E.REPORTED): S.DIRECT,
    (S.DIRECT, E.PROXY_LEFT): S.ALONE,
}


class Handover(Machine[HandoverState, HandoverEvent]):
    """One worker's handover."""

    __slots__ = ()

    def __init__(self, worker: str) -> None:
        super().__init__(f"handover of worker {worker}", TRANSITIONS, HandoverState.PROXIED)

    @property
    def is_direct(self) -> bool:
        """Whether tasks go to the runtime and not to the proxy."""
        return self.state in (HandoverState.DIRECT, HandoverState.ALONE)
