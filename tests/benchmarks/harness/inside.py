"""A node without its gRPC server, in a process of its own: what choosing, telling and hearing the workers costs.

A program: `python -m tests.benchmarks.harness.inside DRIVER FOLDER` adds the function in FOLDER, then answers each
line `begin N` or `freeze N` of its standard input with a line of JSON, name -> nanoseconds, until the input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from time import monotonic_ns
from typing import Final

import msgspec
import uvloop

from agent.config import AgentConfig
from agent.drivers.base import Driver
from agent.main import DRIVERS
from agent.node import Node, agent_id
from agent.substrate.local import LocalSubstrate
from mee6.lane.messages import TEXT
from runtimes.catalog import RUNTIMES

Found = dict[str, list[int]]
_WARM_UP: Final = 50
_LINE_BYTES: Final = 1 << 24


class Inside:
    """One such process, by its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def begin(self, count: int) -> list[int]:
        """Nanoseconds from `begin` to the outcome of warm invocations."""
        return (await self._ask("begin", count))["begin"]

    async def freeze(self, count: int) -> Found:
        """Nanoseconds of a worker's `pause`, its `resume`, and from that to its `answer`."""
        return await self._ask("freeze", count)

    async def _ask(self, what: str, count: int) -> Found:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {count}\n".encode())
        said = await self._process.stdout.readline()
        if not said:
            raise RuntimeError("the node inside has ended; what it said is above")
        return msgspec.json.decode(said, type=Found)


@contextlib.asynccontextmanager
async def node(folder: Path, driver: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Inside]:
    """A node with the function in `folder`, for as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        driver,
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None
    try:
        yield Inside(process)
    finally:
        process.stdin.close()
        await process.wait()


# The process itself


async def _serve(driver_name: str, folder: Path) -> None:
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    with tempfile.TemporaryDirectory(prefix="m6b") as base:
        state = Path(base)
        lane = state / "lane"
        lane.mkdir(mode=0o700)
        config = AgentConfig(state_dir=state, driver=driver_name, prewarm={}, linger_s=600.0)
        async with LocalSubstrate(state) as substrate:
            driver = DRIVERS[driver_name](agent_id(state), state, lane)
            node = Node(config, driver, substrate, RUNTIMES)
            async with node.running(lane / "agent.sock"):
                name = (await node.add_folder("default", "", folder)).record.name
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000, 20, 50)
                await _begin(node, name, _WARM_UP)
                while line := await commands.readline():
                    what, count = line.split()
                    found = {"begin": await _begin(node, name, int(count))} if what == b"begin" else {}
                    found = found or await _freeze(node, driver, name, int(count))
                    sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
                    sys.stdout.flush()


async def _begin(node: Node, name: str, count: int) -> list[int]:
    took = []
    for _ in range(count):
        began = monotonic_ns()
        await node.begin("default", name, b"x" * 64, TEXT, None).outcome
        took.append(monotonic_ns() - began)
    return took


async def _freeze(node: Node, driver: Driver, name: str, count: int) -> Found:
    """Pauses a worker that has just run, and resumes it up to an answer: only then has it left the freezer."""
    (worker,) = (await node.describe("default", name)).workers
    found: Found = {"pause": [], "resume": [], "answer": []}
    for _ in range(count):
        await node.begin("default", name, b"x" * 64, TEXT, None).outcome
        began = monotonic_ns()
        await driver.pause(worker)
        found["pause"].append(monotonic_ns() - began)
        await asyncio.sleep(0.001)  # frozen for a moment, as it would be
        began = monotonic_ns()
        await driver.resume(worker)
        found["resume"].append(monotonic_ns() - began)
        await node.begin("default", name, b"x" * 64, TEXT, None).outcome
        found["answer"].append(monotonic_ns() - began)
    return found


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve(sys.argv[1], Path(sys.argv[2])))
