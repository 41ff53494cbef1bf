"""What does a warm invocation cost over HTTP, how many a second are there, and what becomes of more than that?"""

from __future__ import annotations

import asyncio
import json
from functools import partial

from tests.benchmarks.harness import floors
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running, timed
from tests.benchmarks.harness.http_client import Load, closed_loop, one_by_one, open_loop, request
from tests.benchmarks.harness.samples import Contender, interleaved

ROUNDS = 5
CONNECTIONS = (8, 32)
CLIENTS = 256
"""Of an open load: as many connections as the bound, at its most, lets in."""
FLOOR = "floor: the door's own answer"
"""An answer of the same process that asks no function: GET /healthz."""

LATE_S = 0.005
"""CoDel's target."""
TWICE = """\
import mee6

def main(arg):
    return mee6.invoke("echo-python", arg)
"""


async def measure(bench: Bench) -> None:
    """Rows: one at a time beside gRPC and the floors, in the same rounds; then load; then overload."""
    count = bench.count(2000) // ROUNDS
    async with (
        bench.agent(linger_s=600.0, prewarm={}, http_inflight=CLIENTS) as running,
        bench.agent(linger_s=600.0, prewarm={}, http_inflight=CLIENTS, http_late_s=LATE_S) as adaptive,
        running.client.stream() as stream,
        floors.over_grpc(count) as beside,
    ):
        address = http_of(running)
        contenders: dict[str, Contender] = {
            FLOOR: partial(asyncio.to_thread, one_by_one, address, request("/healthz"), count),
            floors.STREAM: beside[floors.STREAM],
        }
        for language in bench.languages:
            await running.function(f"echo-{language}", ECHO[language], runtime=language)
            asked = request(f"/function/echo-{language}", PAYLOAD.encode())
            contenders[f"{language}, HTTP"] = partial(asyncio.to_thread, one_by_one, address, asked, count)
        await running.function("twice", TWICE, calls={"echo-python": ""})
        asked = request("/function/twice", PAYLOAD.encode())
        contenders["python, a chain of two, HTTP"] = partial(asyncio.to_thread, one_by_one, address, asked, count)
        contenders["python, gRPC stream"] = partial(timed, count, partial(stream.invoke, "echo-python", PAYLOAD))
        bench.add_rounds(await interleaved(ROUNDS, contenders), "us", FLOOR)
        await adaptive.function("echo-python", ECHO["python"], runtime="python")
        await _overload(bench, http_of(adaptive), address, await _load(bench, address))


async def _load(bench: Bench, address: str) -> float:
    """Rows of closed loads; how many a second there were at best."""
    seconds = bench.count(30) // 10 + 1
    asked, nothing = request("/function/echo-python", PAYLOAD.encode()), request("/healthz")
    best = 0.0
    for connections in CONNECTIONS:
        await asyncio.to_thread(closed_loop, address, asked, connections, 1.0)
        rates, took, floor = [], [], []
        for _ in range(seconds):
            floor.append(len((await asyncio.to_thread(closed_loop, address, nothing, connections, 1.0)).took[200]))
            load = await asyncio.to_thread(closed_loop, address, asked, connections, 1.0)
            rates.append(len(load.took[200]))
            took += load.took[200]
        bench.add(f"{connections} connections, the door's own answer, a second", floor, "1/s")
        bench.add(f"{connections} connections, a second", rates, "1/s")
        bench.add(f"{connections} connections, latency", took, "us")
        best = max(best, sum(rates) / len(rates))
    return best


async def _overload(bench: Bench, adaptive: str, fixed: str, best: float) -> None:
    """Rows of open loads, whose time begins when a request is due: with the bound that adapts, and in turns without."""
    turns = bench.count(30) // 10 + 1
    asked = request("/function/echo-python", PAYLOAD.encode())
    for share in (0.5, 2.0):
        for start_s, after in ((0.0, ", its first half second"), (0.5, "")):
            loads = {f"{share:g} of that rate, fixed bound, open{after}": Load()}
            loads[f"{share:g} of that rate, open{after}"] = Load()
            seconds = 1.0 if start_s else 0.5
            for _ in range(turns):
                for load, address in zip(loads.values(), (fixed, adaptive), strict=True):
                    if start_s:
                        await asyncio.to_thread(open_loop, address, asked, CLIENTS, start_s, share * best)
                    load.add(await asyncio.to_thread(open_loop, address, asked, CLIENTS, seconds, share * best))
            for what, load in loads.items():
                _add_open(bench, what, load, turns * seconds)


def _add_open(bench: Bench, what: str, load: Load, seconds: float) -> None:
    taken, refused = load.took[200], load.took[429]
    note = f"{len(taken) / seconds:.0f} taken and {len(refused) / seconds:.0f} refused a second, {load.late} not sent"
    bench.add(f"{what}: taken", taken, "us", note=note)
    if refused:
        bench.add(f"{what}: refused", refused, "us")


def http_of(running: Running) -> str:
    """Where the agent serves HTTP."""
    facts: dict[str, str] = json.loads((running.agent.state / "agent.json").read_text())
    return facts["http"]
