"""How far one workflow may spread over the node: bounds for its calls in other workers, and for those that wait.

Without it a function could call functions that call functions, 8 each, and take every worker there is until its time
is up. With it what is over the bound waits, first come first served, rather than fail: a wide fan-out is no mistake,
it only takes longer. Nobody waits for ever: a call waits only for calls of its own depth to end, and these only for
deeper ones, of which the deepest wait for none. What is kept of those that wait has a bound too, and past it a call
is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from agent.together import Together

C = TypeVar("C")

OPEN_CALLS: Final = 10_000
OPEN_CALL_BYTES: Final = 64 << 20
"""Calls of one workflow that have not ended, and their arguments."""


@dataclass(slots=True)
class FanOut(Generic[C]):
    """The calls between workers of one workflow.

    Args:
        most: how many may run at each depth.
    """

    most: int
    calls: int = 0
    """That have not ended."""
    arg_bytes: int = 0
    """Of their arguments."""
    together: Together = field(default_factory=Together)
    _running: dict[int, int] = field(default_factory=dict)
    _waiting: dict[int, deque[C]] = field(default_factory=dict)

    def refuses(self, size: int) -> str:
        """Why there may be no further call with an argument of `size` bytes; empty when there may."""
        if self.calls < OPEN_CALLS and self.arg_bytes + size <= OPEN_CALL_BYTES:
            return ""
        return (
            f"has {self.calls} calls under way, with {self.arg_bytes >> 20} MiB of arguments: at most {OPEN_CALLS} and "
            f"{OPEN_CALL_BYTES >> 20} MiB may be; wait for some of them first"
        )

    def opened(self, size: int) -> None:
        """Takes note of a call."""
        self.calls += 1
        self.arg_bytes += size

    def ended(self, size: int) -> None:
        """Takes note of the end of a call."""
        self.calls -= 1
        self.arg_bytes -= size

    def ask(self, depth: int, call: C) -> bool:
        """Whether a call may run now; else it waits, until `done` returns it."""
        if self._running.get(depth, 0) < self.most:
            self._running[depth] = self._running.get(depth, 0) + 1
            return True
        self._waiting.setdefault(depth, deque()).append(call)
        return False

    def done(self, depth: int) -> C | None:
        """Ends one that ran; the one that runs in its place."""
        if waiting := self._waiting.get(depth):
            return waiting.popleft()
        self._running[depth] -= 1
        return None

    def drop(self, gone: Callable[[C], bool]) -> None:
        """Forgets those of the waiting that are gone."""
        for depth, waiting in self._waiting.items():
            self._waiting[depth] = deque(call for call in waiting if not gone(call))
