"""Makes a recording again: a real agent, the samples, every kind of invocation, and what it sends.

python -m tests.console.record busy    (or handed, which also tells the stages of handovers)
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path

from mee6.errors import FunctionError, Mee6Error
from mee6tui.console.recording import Recorder
from tests.support.agents import Agent

HERE = Path(__file__).parent / "recordings"
SAMPLES = Path(__file__).parents[2] / "samples" / "python"
FOLDERS = (
    "echo",
    "slow",
    "boom",
    "pingpong/pinger",
    "pingpong/ponger",
    "sequence/pipeline",
    "sequence/clean",
    "sequence/enrich",
    "sequence/publish",
    "wordcount/wordcount",
    "wordcount/count",
    "wordcount/merge",
)


async def record(agent: Agent, path: Path) -> int:
    """Writes what the agent sends while it is given work; returns how many items."""
    written = 0
    async with agent.client() as client:
        with Recorder(path) as recorder:

            async def watch() -> None:
                nonlocal written
                async for item in client.watch():
                    recorder.note("desk", item, time.monotonic())
                    written += 1

            watching = asyncio.create_task(watch())
            for folder in FOLDERS:
                await client.add(SAMPLES / folder)
            for number in range(6):
                await client.invoke("echo", f"message {number}")
            await client.invoke("pinger", "ponger")
            await client.invoke("pipeline", "apple, 2, 1.5\npear, 1, 2")
            await client.invoke("wordcount", "the quick brown fox jumps over the lazy dog " * 400)
            with contextlib.suppress(FunctionError):
                await client.invoke("boom", "x")
            called_off = asyncio.create_task(client.invoke("slow", "30"))
            await asyncio.gather(*(client.invoke("slow", "0.3") for _ in range(3)))
            called_off.cancel()
            with contextlib.suppress(asyncio.CancelledError, Mee6Error):
                await called_off
            still = [asyncio.create_task(client.invoke("slow", "30")) for _ in range(2)]
            await asyncio.sleep(2.5)  # idle workers are paused meanwhile
            watching.cancel()
            for task in still:
                task.cancel()
            await asyncio.gather(watching, *still, return_exceptions=True)
    return written


def main() -> None:
    """Records."""
    HERE.mkdir(exist_ok=True)
    with Agent.start(prewarm={"python": 2}) as agent:
        path = HERE / f"{sys.argv[1]}.jsonl"
        path.unlink(missing_ok=True)
        print(asyncio.run(record(agent, path)), "items,", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
