"""What does a warm call inside a worker cost over a direct lane and through the proxy, on one core and as placed?

Four agents that differ only in that take turns, and with them the floors. The callers are those of `step`. Beside the
times stand what the times come from: how often a process of the worker gave up its core to wait, for each call.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import floors
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.benchmarks.harness.processes import parts
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.benchmarks.step import CALLER

ROUNDS: Final = 5
WARM_UP: Final = 200
WAYS: Final = {
    "direct, one core": (True, True),
    "direct, as placed": (True, False),
    "proxy, one core": (False, True),
    "proxy, as placed": (False, False),
}
"""Way -> whether there are direct lanes, and whether a chain shares a core."""


async def measure(bench: Bench) -> None:
    """Rows: each pair of languages in each way."""
    count = bench.count(5000) // ROUNDS
    contenders = floors.lane(count)
    waits: dict[str, list[float]] = {}
    async with contextlib.AsyncExitStack() as stack:
        for way, (direct, one_core) in WAYS.items():
            agent = bench.agent(linger_s=600.0, prewarm={}, direct_lanes=direct, one_core=one_core)
            running = await stack.enter_async_context(agent)
            for callee in bench.languages:
                await running.function(f"callee-{callee}", ECHO[callee], runtime=callee)
            for caller in bench.languages:
                calls = {f"callee-{callee}": "" for callee in bench.languages}
                await running.function(f"caller-{caller}", CALLER[caller], runtime=caller, calls=calls)
                for callee in bench.languages:
                    name = f"{caller} -> {callee}, {way}"
                    contenders[name] = _calls(running, bench.driver, caller, callee, count, waits.setdefault(name, []))
        bench.add_rounds(await interleaved(ROUNDS, contenders), "us", floors.ONE_CORE)
    for way in WAYS:
        found = {name.partition(",")[0]: waited for name, waited in waits.items() if name.endswith(f", {way}")}
        told = ", ".join(f"{pair} {sorted(waited)[len(waited) // 2]:.1f}" for pair, waited in found.items())
        bench.notes.append(f"waits of the worker's processes for each call, {way}: {told}")


def _calls(running: Running, driver: str, caller: str, callee: str, count: int, waited: list[float]) -> Contender:
    async def take() -> list[int]:
        told = {"name": f"callee-{callee}", "arg": PAYLOAD, "count": WARM_UP}
        await running.client.invoke(f"caller-{caller}", told)
        (worker,) = [one for one in await running.client.workers() if one.function == f"caller-{caller}"]
        pids = [pid for kind in parts(running.agent, driver, worker.id).values() for pid in kind]
        before = _waits(pids)
        found: list[int] = await running.client.invoke(f"caller-{caller}", told | {"count": count})
        waited.append((_waits(pids) - before) / count)
        return found

    return take


def _waits(pids: list[int]) -> int:
    """How often the processes' first threads gave up their cores of their own accord."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total
