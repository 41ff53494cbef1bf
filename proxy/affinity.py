"""When the runtimes of a chain of calls belong on one core, and when not.

Without I/O. Of two processes of which one always waits for the other, the second core only costs: waking it takes
longer than the call. So once short calls follow each other thickly, whoever takes part is put on one core; the proxy
with them if the calls go through it, and on the others if not, where it reads of them while they go on. All are let
go as soon as a step computes long, makes several calls at once, or nobody calls any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.events import Command, Pin, Unpin

WINDOW_NS: Final = 20_000_000
"""In so long ..."""
MANY: Final = 16
"""... so many calls are a chain."""
QUIET_NS: Final = 20_000_000
"""After so long without a call it is over."""
HOLD_NS: Final = 200_000_000
"""After a step that computes long, for so long nobody is put on one core."""
RENEW_NS: Final = 1_000_000_000
"""For so long at most a choice of the core stands: the scheduler gets a say again."""


class Affinity:
    """The runtimes of one worker, and whether they share a core.

    Args:
        do: takes the commands.
    """

    def __init__(self, do: Callable[[Command], None]) -> None:
        self.wanted = True
        self._do = do
        self._together: set[int] = set()
        self._callers: dict[int, None] = {}
        """Who took part in the window, the first caller first."""
        self._count = 0
        self._direct = 0
        """Of those, calls over direct lanes."""
        self._since_ns = 0
        self._pinned_ns = 0
        self._last_ns = 0
        self._not_before_ns = 0

    def called(self, caller: int, callee: int, now_ns: int, *, direct: bool) -> None:
        """Takes note of a short call that has ended, over a direct lane or through the proxy."""
        if not self.wanted or now_ns < self._not_before_ns:
            return
        self._last_ns = now_ns
        if self._together:
            if now_ns - self._pinned_ns > RENEW_NS:
                self.part()
            elif not self._together.issuperset((caller, callee)):
                self._pin([*self._together, caller, callee])
            return
        if now_ns - self._since_ns > WINDOW_NS:
            self._since_ns = now_ns
            self._count = self._direct = 0
            self._callers.clear()
        self._callers[caller] = self._callers[callee] = None
        self._count += 1
        self._direct += direct
        if self._count >= MANY:
            self._pinned_ns = now_ns
            self._pin(list(self._callers))

    def spread(self, now_ns: int) -> None:
        """A step computes long, or makes several calls at once: each may have a core."""
        self._not_before_ns = now_ns + HOLD_NS
        self.part()

    def settle(self, now_ns: int) -> None:
        """Lets go of a chain that is over."""
        if self._together and now_ns - self._last_ns > QUIET_NS:
            self.part()

    def gone(self, runtime: int) -> None:
        """Forgets a runtime that has ended."""
        self._together.discard(runtime)
        self._callers.pop(runtime, None)

    def part(self) -> None:
        """Lets go of all."""
        self._count = self._direct = 0
        self._callers.clear()
        if self._together:
            self._do(Unpin(sorted(self._together)))
            self._together.clear()

    def _pin(self, runtimes: list[int]) -> None:
        self._together = set(runtimes)
        self._do(Pin(runtimes, proxy=2 * self._direct < self._count))
