"""How many workers may be leased, and exist, at each depth of calls: the rule that makes deadlock impossible.

Depth 1 is a workflow's first function, 2 what it calls, and so on. Whoever waits for a call holds a worker, so
with one limit for all, callers could take every worker and wait for ever. The rule: at every depth d, at most
`max_workers * d` workers are leased at d or less. Proof that somebody can always go on: let d be the greatest
depth at which a worker is leased; at most `max_workers * d` are, so a call that one of those waits for, deeper
than d, fits below `max_workers * (d + 1)` and below every greater bound.

A lease must keep the bounds of the deeper levels too, not its own alone: else shallow callers could come in
behind deep ones until these find theirs filled.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Capacity:
    """What is leased at which depth."""

    max_workers: int
    leased: dict[int, int] = field(default_factory=dict)
    """Depth -> workers leased at it; only depths with any."""

    def take(self, depth: int) -> None:
        """Counts a lease."""
        self.leased[depth] = self.leased.get(depth, 0) + 1

    def give_back(self, depth: int) -> None:
        """Counts the end of a lease."""
        self.leased[depth] -= 1
        if not self.leased[depth]:
            del self.leased[depth]

    def room(self, depth: int) -> int:
        """How many more workers may be leased at this depth now. Never less for a greater depth."""
        room = self.max_workers * depth
        held = 0
        for at in sorted(self.leased):
            held += self.leased[at]
            room = min(room, self.max_workers * max(at, depth) - held)
        return room

    @property
    def deepest(self) -> int:
        """The greatest depth at which a worker is leased; 0 when none is."""
        return max(self.leased, default=0)
