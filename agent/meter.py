"""What the machine, the agent and its workers use: read from /proc and control groups, never asked of an engine.

Readings are differences, so each is since the one before. Nothing here is timed; whoever wants figures reads.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

import msgspec
import psutil

from agent.drivers.base import Usage
from agent.seats import Used

_TICK_NS: Final = 10_000_000
"""The grain of what the kernel counts in /proc: differences over less time than some of it mean nothing."""


class Reading(msgspec.Struct, frozen=True):
    """The machine and the agent; fields as in `agent.feed.NodeView`."""

    cpu_percent: float = 0.0
    cores: int = 0
    load: tuple[float, ...] = ()
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    agent_cpu: float = 0.0
    loop_lag_ms: float = 0.0


class Meter:
    """Reads the machine and the agent itself."""

    def __init__(self) -> None:
        self.reading = Reading()
        """The last one."""
        self._process = psutil.Process()
        self._cores = os.cpu_count() or 1
        self._busy, self._total = _machine_times()
        self._own_s, self._at_ns = self._own(), time.monotonic_ns()
        self._lag_ms = 0.0

    @property
    def rss_bytes(self) -> int:
        """The agent's resident memory."""
        return int(self._process.memory_info().rss)

    def late(self, lag_s: float) -> None:
        """Takes note of how late the event loop came to something."""
        self._lag_ms = max(self._lag_ms, lag_s * 1e3)

    def read(self) -> Reading:
        """Reads all of it."""
        busy, total = _machine_times()
        own_s, at_ns = self._own(), time.monotonic_ns()
        memory = psutil.virtual_memory()
        passed_ns = at_ns - self._at_ns
        far_enough = total > self._total and passed_ns > 10 * _TICK_NS
        self.reading = Reading(
            cpu_percent=_rounded(100 * (busy - self._busy) / (total - self._total)) if far_enough else 0.0,
            cores=self._cores,
            load=_load(),
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            agent_cpu=_rounded((own_s - self._own_s) * 1e9 / passed_ns) if far_enough else 0.0,
            loop_lag_ms=_rounded(self._lag_ms),
        )
        self._busy, self._total, self._own_s, self._at_ns, self._lag_ms = busy, total, own_s, at_ns, 0.0
        return self.reading

    def _own(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def used(usage: Usage, before: Used, now: int) -> Used:
    """A worker's use, with the cores it took since the measurement before."""
    cpu = 0.0
    if before.at_ns and usage.cpu_ns >= before.cpu_ns and now > before.at_ns:
        cpu = _rounded((usage.cpu_ns - before.cpu_ns) / (now - before.at_ns))
    return Used(usage.memory_bytes, usage.cpu_ns, usage.processes, cpu, now)


def _rounded(figure: float) -> float:
    """To a thousandth: what is less is noise, and would have everything published again."""
    return round(max(figure, 0.0), 3)


def _machine_times() -> tuple[float, float]:
    """(seconds that cores were busy, all seconds) since the machine started."""
    times = psutil.cpu_times()
    total = float(sum(times[:8]))  # what comes after are guests' times, which `user` holds already
    idle = float(times.idle + getattr(times, "iowait", 0.0))
    return total - idle, total


def _load() -> tuple[float, ...]:
    with contextlib.suppress(OSError):
        return tuple(round(average, 2) for average in os.getloadavg())
    return ()
