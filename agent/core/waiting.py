"""Invocations that wait for a worker: deeper calls first, then first come, first served, or by their deadlines.

Deeper first, because a caller holds a worker while it waits. Invocations of one plan and depth stand in one
queue, since one worker is as good for any of them; so a decision looks at a few heads, not at the whole line.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile

from agent.core.invocation import Invocation
from agent.core.settings import Order
from agent.drivers.base import PoolKey


@dataclass(slots=True)
class WaitingLine:
    """All that wait."""

    order: Order = Order.ARRIVAL
    """Of those that come from now on; who waits already keeps the place in its queue."""
    _queues: dict[tuple[int, str], OrderedDict[str, Invocation]] = field(default_factory=dict)

    def append(self, invocation: Invocation) -> None:
        """Takes an invocation in, behind the others of its kind, or before those with more time."""
        queue = self._queues.setdefault((invocation.depth, invocation.digest), OrderedDict())
        later: list[Invocation] = []
        if self.order is Order.DEADLINE:
            later = list(takewhile(lambda other: other.deadline > invocation.deadline, reversed(queue.values())))
        queue[invocation.id] = invocation
        for other in reversed(later):
            queue.move_to_end(other.id)

    def put_back(self, invocation: Invocation) -> None:
        """Takes an invocation in again, before the others of its kind."""
        self.append(invocation)
        self._queues[invocation.depth, invocation.digest].move_to_end(invocation.id, last=False)

    def remove(self, invocation: Invocation) -> None:
        """Lets an invocation go, wherever it stands."""
        key = (invocation.depth, invocation.digest)
        del self._queues[key][invocation.id]
        if not self._queues[key]:
            del self._queues[key]

    def rank(self, invocation: Invocation) -> tuple[int, int, str, Invocation]:
        """What decides who is served first, and the invocation; ids differ, so that two never compare equal."""
        since = invocation.deadline if self.order is Order.DEADLINE else invocation.accepted_at
        return -invocation.depth, since, invocation.id, invocation

    def heads(self) -> list[tuple[int, int, str, Invocation]]:
        """The first of each queue, in the order in which they are to be served: a heap of (rank..., invocation)."""
        return sorted(self.rank(next(iter(queue.values()))) for queue in self._queues.values())

    def behind(self, invocation: Invocation) -> Invocation | None:
        """Who is first now in the queue that this one stood in."""
        queue = self._queues.get((invocation.depth, invocation.digest))
        return next(iter(queue.values())) if queue else None

    def like(self, invocation: Invocation) -> int:
        """How many stand in the queue that this one stands in."""
        return len(self._queues[invocation.depth, invocation.digest])

    def overdue(self, invocation: Invocation, before: int, most: int) -> int:
        """How many of the first in this one's queue have waited since before a time.

        Args:
            most: how many are looked at.
        """
        queue = self._queues[invocation.depth, invocation.digest]
        return sum(one.waits_since <= before for one in islice(queue.values(), most))

    def of_pool(self, key: PoolKey) -> list[Invocation]:
        """All that wait for a worker of this pool."""
        queues = (queue for queue in self._queues.values() if next(iter(queue.values())).pool == key)
        return [invocation for queue in queues for invocation in queue.values()]

    def demand(
        self, heads: Iterable[Invocation], room: Callable[[int], int], wanted: Callable[[Invocation], int]
    ) -> dict[PoolKey, int]:
        """How many workers those in the queues with these heads could have at once if there were enough, by pool.

        In the order of the heads, so that a pool with few waiting does not starve.

        Args:
            room: depth -> how many of that depth may be leased.
            wanted: the head of a queue -> how many workers are worth having for it.
        """
        waiting: defaultdict[tuple[PoolKey, int], int] = defaultdict(int)
        for head in heads:
            waiting[head.pool, head.depth] += wanted(head)
        demand: defaultdict[PoolKey, int] = defaultdict(int)
        for (pool, depth), count in waiting.items():
            if (most := room(depth)) > 0:
                demand[pool] += min(count, most)
        return demand

    @property
    def deepest(self) -> int:
        """The greatest depth of those that wait; 0 when nobody does."""
        return max((depth for depth, _digest in self._queues), default=0)

    def length(self, depth: int) -> int:
        """How many of this depth wait."""
        return sum(len(queue) for (at, _digest), queue in self._queues.items() if at == depth)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __contains__(self, invocation: Invocation) -> bool:
        return invocation.id in self._queues.get((invocation.depth, invocation.digest), ())
