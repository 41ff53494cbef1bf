"""How long a declared workflow will take, from its steps: series by convolution, parallel by maximum.

Pure. A step's end is told from the step that all ways to it lead through (its dominator), so that two branches of
one fork do not count the fork's own delays as if each had them by a chance of its own. A `foreach` is played anew for
each run that was measured, with the items of that run, on as many workers as are asked about: so what made its items
slow together stays together, which ORION (OSDI '22) needs a correlated maximum for.

Between branches that join only partly (no dominator in common but the beginning) chance is taken for independent.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import correlation, covariance, mean
from typing import TYPE_CHECKING, Final

from mee6.declared.estimate import STEP_S
from mee6tui.planning.distribution import NOTHING, Distribution, measured

if TYPE_CHECKING:
    from mee6.declared.graph import Graph
    from mee6tui.planning.profile import Item, Profile, StepProfile

TELLING: Final = 0.1
"""The least correlation of an item's place with the number beside it, from which on the place tells anything."""


@dataclass(frozen=True, slots=True)
class Crowding:
    """How much longer an item runs for those beside it: `alone + each x running`, where more run than cores are."""

    alone: float
    each: float
    cores: int

    def factor(self, was: float, will: float) -> float:
        """By how much an item runs longer with so many at once, than with as many as it had."""
        before = self.alone + self.each * max(was, self.cores)
        return (self.alone + self.each * max(will, self.cores)) / before if before > 0 else 1.0


def crowding(step: StepProfile, cores: int) -> Crowding:
    """Of a `foreach`, over all its items; none gets faster by company.

    A long item has more others beside it for being long. So what is compared is the items that began early, among many,
    with those that began late, among few: an instrument, the place in the list, which has nothing to do with how long
    an item is. Where all began at once that tells nothing, and they are taken to share the cores.
    """
    placed = [(float(place), item) for fan in step.fans for place, item in enumerate(fan)]
    places = [place for place, _item in placed]
    counts = [max(item.beside + 1, float(cores)) for _place, item in placed]
    runs = [item.run for _place, item in placed]
    middle, usual = mean(counts), mean(runs)
    shared = usual / middle
    each = shared
    if len(set(places)) > 1 and len(set(counts)) > 1 and abs(correlation(places, counts)) >= TELLING:
        each = min(max(covariance(places, runs) / covariance(places, counts), 0.0), shared)
    return Crowding(usual - each * middle, each, cores)


class Predictor:
    """Predicts for one profile.

    Args:
        cores: of the node.
    """

    def __init__(self, graph: Graph, profile: Profile, cores: int) -> None:
        self._graph = graph
        self._profile = profile
        self._crowding = {name: crowding(step, max(cores, 1)) for name, step in profile.steps.items() if step.spreads}
        self._dominators = _dominators(graph)
        self._waits = {name: measured(step.waits) for name, step in profile.steps.items()}
        self._tail = measured(profile.tails)
        self._played: dict[tuple[str, int], Distribution] = {}

    def predict(self, widths: Mapping[str, int] | None = None) -> Distribution:
        """How long it will take, nanoseconds.

        Args:
            widths: of each `foreach` that spreads, the items at once; of one that is missing, as measured.
        """
        widths = widths or {}
        since: dict[str, Distribution] = {}
        """Step -> from the end of its dominator to its own."""
        for name, node in self._graph.nodes.items():
            latest = self._latest(frozenset(node.before), self._dominators[name], since)
            if name in self._profile.steps:
                latest = latest.after(self._waits[name]).after(self._takes(name, widths))
            since[name] = latest
        last = frozenset(name for name, after in self._graph.after.items() if not after)
        return self._latest(last, "", since).after(self._tail)

    def _latest(self, steps: frozenset[str], above: str, since: Mapping[str, Distribution]) -> Distribution:
        """From the end of `above`, which dominates them, to when all of these have ended."""
        found = NOTHING
        for name in sorted(steps - {above}):
            way, at = since[name], self._dominators[name]
            while at != above:
                way, at = way.after(since[at]), self._dominators[at]
            found = way if found is NOTHING else found.beside(way)
        return found

    def _takes(self, name: str, widths: Mapping[str, int]) -> Distribution:
        step = self._profile.steps[name]
        width = widths.get(name, step.width) if step.spreads else 0
        key = (name, width)
        if key not in self._played:
            if width:
                crowd = self._crowding[name]
                self._played[key] = measured(played(fan, width, crowd, step.width) for fan in step.fans)
            else:
                self._played[key] = measured(step.takes)
        return self._played[key]


def played(fan: tuple[Item, ...], width: int, crowd: Crowding, was: int) -> float:
    """How long a run's items take on so many workers, each taking the next item as it ends one.

    With one at a time they stay with the workflow, or share another worker (`mee6.declared.grouping`): no item has a
    way of its own then.
    """
    free = [0.0] * min(width, max(len(fan), 1))
    ends = 0.0
    for item in fan:
        # At another width as many run beside it as there were, in proportion; its way gets slower as its run does.
        factor = crowd.factor(item.beside + 1, (item.beside + 1) * width / was)
        lead = STEP_S * 1e9 if width == 1 else item.lead * factor
        end = heapq.heappop(free) + lead + item.run * factor
        heapq.heappush(free, end)
        ends = max(ends, end)
    return ends


def _dominators(graph: Graph) -> dict[str, str]:
    """Step -> the last step that all ways to it lead through; empty for the beginning."""
    found: dict[str, str] = {}
    depth = {"": 0}
    for name, node in graph.nodes.items():
        common: str | None = None
        for one in sorted(node.before):
            if common is None:
                common = one
                continue
            other = one
            while common != other:
                if depth[common] >= depth[other]:
                    common = found[common]
                else:
                    other = found[other]
        found[name] = common or ""
        depth[name] = depth[found[name]] + 1
    return found
