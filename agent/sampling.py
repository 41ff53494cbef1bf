"""What is measured while the node serves, and the node's own state, as they are published."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from agent.core import events as ev
from agent.drivers.base import Driver
from agent.feed import Feed, NodeView
from agent.meter import Meter, used
from agent.seats import Seat
from agent.shell import Shell
from agent.stats import Stats
from agent.views import worker_view

MEASURE_EVERY_S: Final = 2.0
"""What workers use, for the memory budget and for the choice of which to end."""
SAMPLE_EVERY_S: Final = 1.0
"""The same, and all else that is shown, while somebody watches."""


class Sampling:
    """Measures the workers of one shell, and the machine.

    Args:
        shown: the node as it is before anything was measured.
        info: the node as it is now.
    """

    def __init__(
        self, shell: Shell, driver: Driver, feed: Feed, stats: Stats, shown: NodeView, info: Callable[[], NodeView]
    ) -> None:
        self.meter = Meter()
        self.overall = (0.0, 0.0, 0.0)
        """Rate, p50 and p99 in ms, as sampled last."""
        self._shell = shell
        self._driver = driver
        self._feed = feed
        self._stats = stats
        self._shown = shown
        self._info = info

    async def go_on(self) -> None:
        """Measures again and again, more often while somebody watches."""
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S if self._feed.watched else MEASURE_EVERY_S)
            changed = [seat for seat in list(self._shell.seats.values()) if await self._measured(seat)]
            held = {
                seat.worker: seat.used.memory_bytes for seat in self._shell.seats.values() if seat.used.memory_bytes
            }
            self._shell.tell(ev.Measured(held))
            if self._feed.watched:
                self._sample(changed)
            else:
                self.meter.forget()
                self.overall = (0.0, 0.0, 0.0)

    async def _measured(self, seat: Seat) -> bool:
        """Looks what a worker uses; whether that is other than before."""
        await asyncio.sleep(0)  # many workers' files are not read in one go
        if seat.stopped:
            return False
        before = seat.used
        seat.used = used(self._driver.usage(seat.worker), before, time.monotonic_ns())
        self._shell.stores.measured(seat)
        return replace(before, at_ns=0) != replace(seat.used, at_ns=0)

    def _sample(self, changed: list[Seat]) -> None:
        """Publishes what was measured."""
        now = time.monotonic_ns()
        self.meter.read()
        self.overall = self._stats.overall(now)
        for seat in changed:
            if worker := self._shell.core.fleet.workers.get(seat.worker):
                self._feed.publish(now, worker_view(worker, seat))
        for view in self._stats.changed_figures(self._shell.jobs.values(), now):
            self._feed.publish(now, view)
        self.publish_node()

    def publish_node(self) -> None:
        """Publishes the node's own state."""
        if self._feed.watched:
            self._shown = self._info()
            self._feed.publish(self._shown.now_ns, self._shown)

    def publish_changed_node(self) -> None:
        """The same, unless nothing is new but the time; what is sampled is published with it."""
        if self._feed.watched:
            now = self._info()
            shown = self._shown
            clocks = {"now_ns": shown.now_ns, "wall_offset_ns": shown.wall_offset_ns}  # of these no two looks are alike
            if msgspec.structs.replace(now, rss_bytes=shown.rss_bytes, **clocks) != shown:
                self._shown = now
                self._feed.publish(now.now_ns, now)
