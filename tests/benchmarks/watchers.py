"""Do watchers slow the agent: a warm invocation beside three consoles and beside none; what does a stalled one cost?"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from mee6.records import Snapshot
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running, timed
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.benchmarks.harness.terminal import terminal
from tests.support.agents import until

ROUNDS: Final = 10
CONSOLES: Final = 3
NONE: Final = "no console"


async def measure(bench: Bench) -> None:
    """Rows: interleaved; the consoles are `mee6 console` in terminals that are read, on this same machine."""
    calls = bench.count(3000) // ROUNDS
    async with bench.agent(linger_s=600.0, prewarm={}) as running:
        await running.function("echo", ECHO["python"])
        call = partial(running.client.invoke, "echo", PAYLOAD)
        contenders: dict[str, Contender] = {
            NONE: lambda: timed(calls, call),
            "three consoles": lambda: _beside_consoles(running, calls),
            "three watchers": lambda: _beside_watchers(running, calls),
        }
        bench.add_rounds(await interleaved(ROUNDS, contenders), "us", NONE)
        before = running.agent.rss_bytes()
        async with _console(running, read=False):
            await _attached(running, 1)
            grown = []
            for _ in range(ROUNDS):
                await timed(calls, call)
                grown.append(max(0, running.agent.rss_bytes() - before))
        bench.add("agent's memory beside a console that nobody reads, more than before", grown, "MB")


async def _beside_consoles(running: Running, calls: int) -> list[int]:
    async with AsyncExitStack() as stack:
        for _ in range(CONSOLES):
            await stack.enter_async_context(_console(running))
        await _attached(running, CONSOLES)
        found = await timed(calls, partial(running.client.invoke, "echo", PAYLOAD))
    await _attached(running, 0)
    return found


async def _beside_watchers(running: Running, calls: int) -> list[int]:
    async def watch() -> None:
        async with running.agent.client() as client:
            async for _item in client.watch():
                pass

    watching = [asyncio.create_task(watch()) for _ in range(CONSOLES)]
    try:
        await _attached(running, CONSOLES)
        return await timed(calls, partial(running.client.invoke, "echo", PAYLOAD))
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        with contextlib.suppress(AssertionError):
            await _attached(running, 0)


def _console(running: Running, *, read: bool = True) -> contextlib.AbstractAsyncContextManager[object]:
    return terminal("-m", "mee6tui.cli.main", "console", "--address", running.agent.address, read=read)


async def _attached(running: Running, consoles: int) -> None:
    """Returns when the agent has so many watchers, besides the one that asks."""

    async def probe() -> bool:
        async for item in (watching := running.client.watch()):
            if isinstance(item, Snapshot):
                await watching.aclose()
                return item.node.watchers - 1 == consoles
        return False

    await until(probe, f"{consoles} consoles are attached", 60)
