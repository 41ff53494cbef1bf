"""An agent's node in this process, without gRPC: what the part between the services and the workers costs.

A program: `python -m tests.benchmarks.harness.inside FOLDER N [pause]` adds the function in FOLDER, calls it N
times and prints the nanoseconds from `begin` to its outcome as JSON; with `pause` also of freezing and thawing
its worker by the driver.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from pathlib import Path
from time import monotonic_ns

import msgspec
import uvloop

from agent.config import AgentConfig
from agent.drivers.process.driver import ProcessDriver
from agent.node import Node, agent_id
from agent.substrate.local import LocalSubstrate
from mee6.lane.messages import TEXT
from runtimes.catalog import RUNTIMES

WARM_UP = 50


async def _measure(folder: Path, count: int, pausing: bool) -> dict[str, list[int]]:
    with tempfile.TemporaryDirectory(prefix="m6b") as base:
        state = Path(base)
        lane = state / "lane"
        lane.mkdir(mode=0o700)
        config = AgentConfig(state_dir=state, prewarm={}, linger_s=600.0)
        async with LocalSubstrate(state) as substrate:
            driver = ProcessDriver(agent_id(state), state, lane)
            node = Node(config, driver, substrate, RUNTIMES)
            async with node.running(lane / "agent.sock"):
                name = (await node.add_folder("default", "", folder)).record.name
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000, 20, 50)
                found: dict[str, list[int]] = {"begin": [], "pause": [], "resume": [], "answer": []}
                for number in range(-WARM_UP, count):
                    began = monotonic_ns()
                    await node.begin("default", name, b"x" * 64, TEXT, None).outcome
                    if number >= 0:
                        found["begin"].append(monotonic_ns() - began)
                (worker,) = (await node.describe("default", name)).workers
                for _ in range(count // 10 if pausing else 0):
                    await _freeze_and_thaw(node, driver, name, worker, found)
                return found


async def _freeze_and_thaw(
    node: Node, driver: ProcessDriver, name: str, worker: str, found: dict[str, list[int]]
) -> None:
    """One pause of a worker that has just run, and its resume up to an answer: only then has it left the freezer."""
    began = monotonic_ns()
    await driver.pause(worker)
    found["pause"].append(monotonic_ns() - began)
    await asyncio.sleep(0.001)  # frozen for a moment, as it would be
    began = monotonic_ns()
    await driver.resume(worker)
    found["resume"].append(monotonic_ns() - began)
    await node.begin("default", name, b"x" * 64, TEXT, None).outcome
    found["answer"].append(monotonic_ns() - began)


async def samples(folder: Path, count: int, *options: str) -> dict[str, list[int]]:
    """What a process of this program measures."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(folder), str(count), *options, stdout=asyncio.subprocess.PIPE
    )
    said, _none = await process.communicate()
    return msgspec.json.decode(said, type=dict[str, list[int]])


def main(folder: str, count: str, *options: str) -> None:
    """Prints what was measured."""
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        found = runner.run(_measure(Path(folder), int(count), "pause" in options))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
