"""How fast workers are begun: some at once, then one in each interval, so that a burst never stampedes the machine.

The generic cell rate algorithm: `_paid_until` is when all starts so far would have had their interval. No clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Counts starts against an allowance."""

    at_once: int
    """How many may begin in a row."""
    interval: int
    """Nanoseconds for each beyond; 0 = no bound."""
    _paid_until: int = 0

    def free(self, now: int) -> int:
        """How many starts may begin now."""
        if not self.interval:
            return self.at_once
        owed = max(0, self._paid_until - now)
        return max(0, self.at_once - -(-owed // self.interval))

    def take(self, now: int) -> None:
        """Counts a start."""
        self._paid_until = max(self._paid_until, now) + self.interval

    def next_at(self) -> int:
        """When the next one may begin, where none is free now; nanoseconds."""
        return self._paid_until - (self.at_once - 1) * self.interval
