"""What do containers cost beside the process driver, and what does freezing them directly save over `docker pause`?

Agents of all kinds stand side by side and take turns, so that what the machine does hits all alike. Python only:
`--driver docker` asks every other question, and Node.js, of containers alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import Any, Final

from agent import images
from mee6.records import Worker
from tests.agent.drivers.engines import why_not
from tests.benchmarks.harness import floors, inside
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running, timed
from tests.benchmarks.harness.calls import FirstCalls, PausedCalls, ready
from tests.benchmarks.harness.processes import engine, group_bytes, parts, pss_bytes
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.support.agents import write_function

LANGUAGE: Final = "python"
WARM_ROUNDS: Final = 10
ROUNDS: Final = 5
SHORT_S: Final = 0.02
"""A linger after which the measured worker is paused soon."""
LONG_S: Final = 600.0
POOL: Final = 2
WORKERS: Final = 4
BURST: Final = 8
"""More than the driver starts at once, so that its pace shows."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of those that are compared."""

    driver: str
    env: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


PROCESS: Final = "process"
DIRECT: Final = "docker"
API: Final = "docker by API"
KINDS: Final = {
    PROCESS: Kind("process"),
    DIRECT: Kind("docker"),
    API: Kind("docker", {"MEE6_DOCKER_PAUSE": "api"}),
}


async def measure(bench: Bench) -> None:
    """Rows: warm and paused replies, first ones from prewarmed workers, the refill of a pool, and memory."""
    if missing := why_not(LANGUAGE):
        bench.notes.append(f"not measured: {missing}")
        return
    with images.connect() as api:
        if image := images.find_image(api, LANGUAGE):
            bench.notes.append(f"containers: of {image.name}, made from {image.base}, Python {image.python}")
    await _warm_and_paused(bench)
    await _driver_alone(bench)
    await _first(bench)
    await _refill(bench)
    await _memory(bench)


@contextlib.asynccontextmanager
async def _side_by_side(bench: Bench, kinds: dict[str, Kind], **settings: Any) -> AsyncIterator[dict[str, Running]]:
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                bench.agent(driver=kind.driver, env=kind.env, **settings | kind.settings)
            )
            for name, kind in kinds.items()
        }


async def _warm_and_paused(bench: Bench) -> None:
    async with (
        _side_by_side(bench, KINDS, linger_s=LONG_S, prewarm={}) as agents,
        contextlib.AsyncExitStack() as stack,
        floors.over_grpc(bench.count(2000) // WARM_ROUNDS) as beside,
    ):
        count = bench.count(2000) // WARM_ROUNDS
        warm: dict[str, Contender] = {floors.STREAM: beside[floors.STREAM]}
        paused: dict[str, PausedCalls] = {}
        for name, running in agents.items():
            (node,) = await running.client.nodes()
            bench.notes.append(f"{name}: pause by {node.pause}, policy {node.pause_policy}, limits by {node.limits}")
            stream = await stack.enter_async_context(running.client.stream())
            await running.function("echo", ECHO[LANGUAGE])
            await stream.invoke("echo", PAYLOAD)
            paused[f"paused to reply, {name}"] = PausedCalls(running, stream, "echo")
            warm[f"warm, {name}"] = partial(timed, count, partial(stream.invoke, "echo", PAYLOAD))
        bench.add_rounds(await interleaved(WARM_ROUNDS, warm), "us", f"warm, {PROCESS}")
        for running in agents.values():
            await running.client.configure(linger_s=SHORT_S)
        some = max(bench.count(60) // ROUNDS, 1)
        takes: dict[str, Contender] = {name: partial(calls.take, some) for name, calls in paused.items()}
        bench.add_rounds(await interleaved(ROUNDS, takes), "us", f"paused to reply, {PROCESS}")
        for name, calls in paused.items():
            bench.add(f"{name}: of it resume", calls.parts.spans["resume"], "us")


async def _driver_alone(bench: Bench) -> None:
    """Without gRPC, and each step of a pause by itself."""
    async with bench.agent(driver=PROCESS, prewarm={}) as running, contextlib.AsyncExitStack() as stack:
        folder = write_function(running.folder, "inside", ECHO[LANGUAGE])
        nodes = {
            name: await stack.enter_async_context(inside.node(folder, kind.driver, kind.env))
            for name, kind in KINDS.items()
        }
        count = bench.count(4000) // WARM_ROUNDS
        begins: dict[str, Contender] = {
            f"warm within the agent, {name}": partial(node.begin, count) for name, node in nodes.items()
        }
        bench.add_rounds(await interleaved(WARM_ROUNDS, begins), "us", f"warm within the agent, {PROCESS}")
        found: dict[str, list[int]] = {}

        def freezing(name: str, node: inside.Inside) -> Contender:
            async def take() -> list[int]:
                taken = await node.freeze(max(bench.count(60) // ROUNDS, 1))
                for what, samples in taken.items():
                    found.setdefault(f"{what}, {name}", []).extend(samples)
                return taken["answer"]

            return take

        await interleaved(ROUNDS, {name: freezing(name, node) for name, node in nodes.items()})
        shown = (
            ("pause", "pause", "until the kernel says so"),
            ("resume", "resume", "the call alone"),
            ("answer", "resume to answer", "without gRPC"),
        )
        for key, what, note in shown:
            for name in nodes:
                bench.add(f"{what}, {name}", found[f"{key}, {name}"], "us", note=note)


async def _first(bench: Bench) -> None:
    kept_paused = {"linger_s": SHORT_S, "pause": "always"}
    kinds = {
        f"{PROCESS}, paused": Kind("process", settings=kept_paused),
        f"{DIRECT}, paused": Kind("docker", settings=kept_paused),
        f"{DIRECT}, awake": Kind("docker"),
        f"{API}, paused": Kind("docker", KINDS[API].env, kept_paused),
        f"{API}, awake": Kind("docker", KINDS[API].env),  # its own policy, after-use
    }
    async with _side_by_side(bench, kinds, linger_s=LONG_S, prewarm={LANGUAGE: POOL}) as agents:
        calls = {
            f"first, {name}": FirstCalls(running, LANGUAGE, "paused" if name.endswith("paused") else "prewarmed", POOL)
            for name, running in agents.items()
        }
        some = max(bench.count(40) // ROUNDS, 1)
        takes: dict[str, Contender] = {name: partial(one.take, some) for name, one in calls.items()}
        bench.add_rounds(await interleaved(ROUNDS, takes), "ms", f"first, {PROCESS}, paused")
        for name, one in calls.items():
            one.parts.add_to(bench, name)


async def _refill(bench: Bench) -> None:
    """How long after a burst that took every prewarmed worker all of them are there again; the functions stay."""
    rounds = max(bench.count(10), 2)
    kinds = {name: KINDS[name] for name in (PROCESS, DIRECT)}
    async with _side_by_side(bench, kinds, linger_s=LONG_S, prewarm={LANGUAGE: BURST}) as agents:
        takes = {name: _burst(running) for name, running in agents.items()}
        found = await interleaved(rounds, takes)
    for name, taken in found.items():
        took = [sample for samples in taken for sample in samples]
        bench.add(f"refill of {BURST}, {name}", took, "ms", note="from the first of a burst of as many leases")
        bench.add(f"refill, {name}", [BURST * 1e9 / sample for sample in took], "1/s", note="workers a second")


def _burst(running: Running) -> Contender:
    burst = 0

    async def take() -> list[int]:
        nonlocal burst
        burst += 1
        names = [f"burst{burst}-{number}" for number in range(BURST)]
        for name in names:
            await running.function(name, f"{ECHO[LANGUAGE]}# {name}\n")
        await running.until_workers(partial(ready, "prewarmed", BURST), "all of them prewarmed")
        async with running.client.stream() as stream:
            began = monotonic_ns()
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(stream.invoke(name, PAYLOAD))
            await running.until_workers(_whole_again, "the pool whole")
            took = monotonic_ns() - began
        for name in names:
            await running.client.remove(name)
        await running.until_workers(partial(ready, "prewarmed", BURST), "the burst's workers gone")
        return [took]

    return take


def _whole_again(workers: tuple[Worker, ...]) -> bool:
    return sum(worker.state == "prewarmed" for worker in workers) == BURST


async def _memory(bench: Bench) -> None:
    kinds = {name: KINDS[name] for name in (PROCESS, DIRECT)}
    async with _side_by_side(bench, kinds, linger_s=SHORT_S, prewarm={LANGUAGE: WORKERS}) as agents:
        for name, running in agents.items():
            found = await running.until_workers(partial(ready, "paused", WORKERS), "all paused")
            whole = [parts(running.agent, KINDS[name].driver, worker.id) for worker in found]
            total = [sum(pss_bytes(pid) for pids in one.values() for pid in pids) for one in whole]
            bench.add(f"memory of a prewarmed worker, {name}", total, "MB", note="PSS of all of its processes")
            if KINDS[name].driver == "docker":
                shims = [pss_bytes(one["containerd-shim"][0]) for one in whole]
                bench.add(f"containerd-shim, {name}", shims, "MB", note="the engine's, outside of the control group")
            groups = [group_bytes(one["init"][0]) for one in whole]
            bench.add(f"its control group, {name}", groups, "MB", note="what counts against its limit")
        for name, pid in engine().items():
            bench.add(f"engine ({name})", [pss_bytes(pid)], "MB", note=f"PSS, with {WORKERS} containers of ours")
