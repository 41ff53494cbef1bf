"""Do watchers slow the agent: a warm invocation beside three consoles and beside none; what does a stalled one cost?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import psutil

from mee6.records import Snapshot
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running, timed
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.benchmarks.harness.terminal import Terminal, terminal
from tests.support.agents import until

ROUNDS: Final = 10
CONSOLES: Final = 3
NONE: Final = "warm, no console"
WATCH: Final = """
import asyncio, sys
from mee6.client import Client

async def watch():
    async with Client(sys.argv[1]) as client:
        async for _item in client.watch():
            pass

async def main():
    await asyncio.gather(*(watch() for _ in range(int(sys.argv[2]))))

asyncio.run(main())
"""


async def measure(bench: Bench) -> None:
    """Rows: interleaved; the consoles are `mee6 console` in terminals that are read, on this same machine."""
    calls = bench.count(3000) // ROUNDS
    async with bench.agent(linger_s=600.0, prewarm={}) as running:
        await warm(bench, running, rounds=ROUNDS, calls=calls, beside=("three consoles", "three watchers"))
        before = running.agent.rss_bytes()
        async with console(running, read=False):
            await attached(running, 1)
            grown = []
            for _ in range(ROUNDS):
                await timed(calls, partial(running.client.invoke, "echo", PAYLOAD))
                grown.append(max(0, running.agent.rss_bytes() - before))
        bench.add("agent's memory beside a console that nobody reads, more than before", grown, "MB")


async def warm(bench: Bench, running: Running, *, rounds: int, calls: int, beside: Sequence[str]) -> None:
    """Rows of warm invocations, one after the other, and of the agent's CPU time for each, beside watchers and none.

    Args:
        beside: of `three consoles` and `three watchers`; the latter, in a process of their own, read and do no more.
    """
    await running.function("echo", ECHO["python"])
    process = psutil.Process(running.agent.pid)
    used: dict[str, list[list[int]]] = {}

    async def call(name: str) -> list[int]:
        await timed(20, partial(running.client.invoke, "echo", PAYLOAD))
        before = sum(process.cpu_times()[:2])
        found = await timed(calls, partial(running.client.invoke, "echo", PAYLOAD), warm_up=0)
        used.setdefault(name, []).append([int((sum(process.cpu_times()[:2]) - before) / calls * 1e9)])
        return found

    async def among(
        name: str, watchers: Callable[[Running], contextlib.AbstractAsyncContextManager[object]]
    ) -> list[int]:
        async with watchers(running):
            await attached(running, CONSOLES)
            await asyncio.sleep(1)  # until they have drawn themselves
            found = await call(name)
        await attached(running, 0)
        return found

    ways = {"three consoles": _consoles, "three watchers": _watchers}
    contenders: dict[str, Contender] = {NONE: partial(call, NONE)}
    contenders |= {f"warm, {name}": partial(among, f"warm, {name}", ways[name]) for name in beside}
    bench.add_rounds(await interleaved(rounds, contenders), "us", NONE)
    cpu = "agent's CPU of a call, "
    bench.add_rounds(
        {name.replace("warm, ", cpu): found for name, found in used.items()}, "us", NONE.replace("warm, ", cpu)
    )


def console(
    running: Running, *, read: bool = True, seen: Callable[[bytes], None] = lambda _written: None
) -> contextlib.AbstractAsyncContextManager[Terminal]:
    """`mee6 console` on the agent.

    Args:
        read: whether anybody reads its terminal.
        seen: given what it writes.
    """
    return terminal("-m", "mee6tui.cli.main", "console", "--address", running.agent.address, read=read, seen=seen)


@contextlib.asynccontextmanager
async def _consoles(running: Running) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for _ in range(CONSOLES):
            await stack.enter_async_context(console(running))
        yield


def _watchers(running: Running) -> contextlib.AbstractAsyncContextManager[Terminal]:
    return terminal("-c", WATCH, running.agent.address, str(CONSOLES))


async def attached(running: Running, consoles: int) -> None:
    """Returns when the agent has so many watchers, besides the one that asks."""

    async def probe() -> bool:
        async for item in (watching := running.client.watch()):
            if isinstance(item, Snapshot):
                await watching.aclose()
                return item.node.watchers - 1 == consoles
        return False

    await until(probe, f"{consoles} consoles are attached", 60)
