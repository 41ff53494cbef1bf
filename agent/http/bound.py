"""How many invocations may be under way over HTTP: as many as are answered in about their time. Pure: time comes in.

What is under way beyond what loop and workers can do waits (in the line, in sockets, for a core) and gives nobody an
answer sooner. No clock of ours sees all of these waits, but their sum shows: an invocation takes longer than the
function took at its quickest. Where most do for a window the bound falls, else it rises, as in TCP Vegas and
Netflix's concurrency-limits; a majority, so that functions whose calls differ are not taken for a load.

What takes long though next to nothing is under way takes long by itself: that is its quickest from then on. Starts
and loads are not counted, nor what comes so rarely that it is no load.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

WINDOW_NS: Final = 20_000_000
"""What is looked at together, at least."""
ENOUGH: Final = 16
"""Invocations that end in a window, at least."""
STALE_NS: Final = 1_000_000_000
"""A window that has not got enough by then says that there is no such load (any more)."""
LEAST: Final = 4
"""Keeps two cores at work: one invocation on its way in, one in a worker, one on its way out, and one to spare."""
TIMES: Final = 4
"""Times its quickest that an invocation may take, where that is more than quickest and goal together."""
KEPT: Final = 1 / 2
"""What is left of the bound after a window of too much, as in TCP: of 256 the machine keeps up with some 20, and each
window on the way there is of invocations that were let in too many."""
MOST_KNOWN: Final = 4096
"""Functions whose quickest is remembered."""


class Bound:
    """The bound on invocations under way.

    Args:
        most: what it is at first, and never above.
        goal_ns: how much longer than at its quickest an invocation may take; 0 = the bound stays as it is.
    """

    def __init__(self, most: int, goal_ns: int) -> None:
        self.most = most
        self.now = most
        """The bound that holds now."""
        self._goal_ns = goal_ns
        self._quickest: dict[Hashable, int] = {}
        self._since = 0
        self._ended = 0
        self._late = 0
        self._most_under_way = 0

    def ended(self, function: Hashable, took_ns: int, under_way: int, at: int) -> None:
        """A warm invocation has ended.

        Args:
            under_way: how many are, with it.
            at: when, monotonic, ns.
        """
        quickest = self._quickest.get(function, 0)
        if took_ns < quickest or not quickest or (under_way <= LEAST and self.now <= LEAST):
            if len(self._quickest) >= MOST_KNOWN:
                self._quickest.clear()
            self._quickest[function] = quickest = took_ns
        self._ended += 1
        if took_ns > quickest + self._goal_ns and took_ns > quickest * TIMES:
            self._late += 1
        self._most_under_way = max(self._most_under_way, under_way)
        if at - self._since >= WINDOW_NS:
            self._close(at)

    def refuses(self, under_way: int, at: int) -> bool:
        """Whether another is too many; where nothing has told of a load for a while, what was learnt is forgotten."""
        if under_way < self.now:
            return False
        if at - self._since > STALE_NS:
            self.now = self.most
            self._begin(at)
        return under_way >= self.now

    def _close(self, at: int) -> None:
        if at - self._since > STALE_NS:
            self.now = self.most
        elif self._ended < ENOUGH:
            return
        elif self._goal_ns and self._late * 2 > self._ended:
            self.now = max(int(min(self.now, self._most_under_way) * KEPT), min(LEAST, self.most))
        else:
            self.now = min(self.now + 1, self.most)
        self._begin(at)

    def _begin(self, at: int) -> None:
        self._since, self._ended, self._late, self._most_under_way = at, 0, 0, 0
