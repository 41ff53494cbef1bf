"""A graph as numbers, for what looks at all of it many times: steps by their place in its order, sets of them as bits.

A set of some hundred steps in one integer is joined, met and compared at once, where a set of names is walked through.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Final

from mee6.declared.graph import Graph

_VAIN: Final = 64
"""After so many steps that may not join a part, the others are not tried."""


class Shape:
    """The steps of a graph, from 0, in an order in which they could run one after the other."""

    __slots__ = ("after", "ancestors", "before", "names", "needs", "number")

    def __init__(self, graph: Graph) -> None:
        self.names = list(graph.nodes)
        self.number = {name: n for n, name in enumerate(self.names)}
        self.before = [sorted(self.number[one] for one in node.before) for node in graph.nodes.values()]
        self.after = [sorted(self.number[one] for one in graph.after[name]) for name in self.names]
        self.needs = [sum(1 << one for one in before) for before in self.before]
        """Of each step, those that it waits for, as bits."""
        self.ancestors: list[int] = []
        """Of each step, all that must have ended before it can begin."""
        for before, needs in zip(self.before, self.needs, strict=True):
            self.ancestors.append(reduce(or_, (self.ancestors[one] for one in before), needs))

    def parts(self, members: Sequence[int]) -> list[list[int]]:
        """What of a group's steps, in ascending order, is sent to a worker as one, so that it delays nobody."""
        found: list[list[int]] = []
        left = list(members)
        while left:
            part = self._part(left)
            found.append(part)
            taken = set(part)
            left = [step for step in left if step not in taken]
        return found

    def _part(self, left: Sequence[int]) -> list[int]:
        """The first part: as many steps as may begin together with the first, and then as many as end together."""
        part, bits, needs, common = [left[0]], 1 << left[0], self.needs[left[0]], self.ancestors[left[0]]
        vain = 0
        for step in left[1:]:
            grown = bits | 1 << step
            # What each needs from outside, all must come after.
            wants, shared = needs | self.needs[step], common & self.ancestors[step]
            if not wants & ~grown & ~shared:
                part.append(step)
                bits, needs, common, vain = grown, wants, shared, 0
            elif (vain := vain + 1) > _VAIN:
                break
        while not self._is_whole(part, bits):
            bits ^= 1 << part.pop()
        return part

    def _is_whole(self, part: Sequence[int], bits: int) -> bool:
        """Whether whoever waits for one of its steps waits for all."""
        return all(
            bits >> follower & 1 or not bits & ~self.ancestors[follower]
            for step in part
            for follower in self.after[step]
        )
