"""What would more than one core give: HTTP read by processes of its own, or lanes leased to them in advance?

Measured is what a call takes of a processor in each process, which holds for as many cores as there are; from that
follows what 16 and 64 of them would carry. The functions rest for the time that they are said to compute, so that
a machine with two cores can have 64 workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.harness.bench import Bench
from tests.benchmarks.harness.http_client import Load, closed_loop, request
from tests.benchmarks.harness.processes import cpu_ns
from tests.benchmarks.harness.samples import percentile
from tests.benchmarks.harness.shards import Shard, shard
from tests.support.agents import write_function

REST: Final = """\
import time

def main(rest_s):
    if rest_s != "0":
        time.sleep(float(rest_s))
    return rest_s
"""
WAYS: Final = {
    "as it is": ("", 0),
    "1 door": ("door", 1),
    "2 doors": ("door", 2),
    "1 relay": ("relay", 1),
    "2 relays": ("relay", 2),
}
"""Way -> the role of the processes in front of the core, and how many."""
LOADS: Final = (("0", 32), ("0.01", 16), ("0.01", 64))
"""Seconds that a function rests, and how many callers wait for their answers: as many workers, or cores."""
CORES: Final = (4, 16, 64)
FORETOLD: Final = ("as it is", "2 doors", "2 relays")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call takes of processors, in microseconds.

    Args:
        core: in the one process that decides, of which there can be no more than one.
        front: in those before it, of which there can be as many as one likes.
        worker: in the worker, besides what the function itself computes.
    """

    core: float
    front: float
    worker: float

    def ceiling(self, cores: int, computes_us: float = 0.0) -> float:
        """Calls a second at most, with perfect balance and nothing else on the machine.

        Either the core is busy all the time, or all of the machine's cores are. What processes cost each other by
        sharing caches and memory is not in it (the third term of the Universal Scalability Law), so it is too kind.

        Args:
            computes_us: what the function itself takes of a processor.
        """
        return 1e6 / max(self.core, (self.core + self.front + self.worker + computes_us) / cores)

    def enough_us(self, cores: int) -> float:
        """What functions compute at least where the one process is no bound: the machine's cores are all busy first."""
        return max(self.core * (cores - 1) - self.front - self.worker, 0.0)


async def measure(bench: Bench) -> None:
    """Rows: of each way, calls a second and processor a call, and what follows for more cores."""
    rounds = 1 if bench.quick else 2
    found: dict[str, list[Cost]] = {way: [] for way in WAYS}
    rates: dict[tuple[str, str, int], list[int]] = {}
    late: dict[tuple[str, str, int], list[int]] = {}
    async with contextlib.AsyncExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="m6b")))
        ways = {way: await _started(stack, base / f"{n}", *WAYS[way]) for n, way in enumerate(WAYS)}
        for number in range(-1, rounds):  # the first makes the workers
            for way in list(WAYS)[number % len(WAYS) :] + list(WAYS)[: number % len(WAYS)]:
                for rest, callers in LOADS:
                    cost, load = await _load(ways[way], rest, callers)
                    if number < 0:
                        continue
                    rates.setdefault((way, rest, callers), []).append(len(load.took[200]))
                    late.setdefault((way, rest, callers), []).extend(load.took[200])
                    if rest == "0":
                        found[way].append(cost)
    for (way, rest, callers), each in rates.items():
        p99_ms = percentile(sorted(late[way, rest, callers]), 0.99) / 1e6
        note = (
            f"p99 {p99_ms:.1f} ms; {callers / float(rest):.0f} if only the functions took time" if rest != "0" else ""
        )
        what = f"{way}: {callers} callers, {float(rest) * 1000:g} ms of rest, a second"
        bench.add(what, each, "1/s", note=note or f"p99 {p99_ms:.1f} ms")
    for way, costs in found.items():
        _tell(bench, way, costs)


def _tell(bench: Bench, way: str, costs: list[Cost]) -> None:
    for part in ("core", "front", "worker"):
        bench.add(f"{way}: {part}, processor a call", [getattr(cost, part) * 1e3 for cost in costs], "us")
    for cores in CORES if way in FORETOLD else ():
        bench.add(f"{way}: foretold for {cores} cores, a second", [cost.ceiling(cores) for cost in costs], "1/s")
        enough = [cost.enough_us(cores) * 1e3 for cost in costs]
        bench.add(f"{way}: enough for {cores} cores if functions compute", enough, "ms")


@dataclass(frozen=True, slots=True)
class Started:
    """One way's processes."""

    core: Shard
    fronts: list[Shard]

    @property
    def addresses(self) -> str:
        """Of HTTP."""
        return ",".join(one.address for one in self.fronts or [self.core])

    @property
    def workers(self) -> list[int]:
        """Processes below them, theirs and the driver's."""
        roots = [self.core, *self.fronts]
        return [child.pid for one in roots for child in psutil.Process(one.pid).children(recursive=True)]


async def _started(stack: contextlib.AsyncExitStack, base: Path, role: str, count: int) -> Started:
    folder = write_function(base, "rest", REST)
    at = str(base / "core")
    core = await stack.enter_async_context(shard("core", str(folder), at))
    most = max(callers for _rest, callers in LOADS)
    told = [at] if role != "relay" else [at, str(most // count)]
    return Started(core, [await stack.enter_async_context(shard(role, *told)) for _ in range(count)])


async def _load(way: Started, rest: str, callers: int) -> tuple[Cost, Load]:
    """A second of it."""
    asked = request("/function/rest", rest.encode())
    await asyncio.to_thread(closed_loop, way.addresses, asked, callers, 0.3)
    kinds = [way.core.pid], [one.pid for one in way.fronts], way.workers
    before = {pid: cpu_ns(pid) for pids in kinds for pid in pids}
    load = await asyncio.to_thread(closed_loop, way.addresses, asked, callers, 1.0)
    used = [sum(max(cpu_ns(pid) - before[pid], 0) for pid in pids) for pids in kinds]  # a proxy may have left
    calls = max(len(load.took[200]), 1)
    return Cost(*(each / calls / 1e3 for each in used)), load
