"""A runtime of somebody else's, which knows the Invokee service alone, serves functions of a real node.

The node, its scheduler and its gRPC server are the real ones; a driver that starts the runtime as a process
stands for what would put it into a container. There is no such test with the docker driver: its containers are of
our images and speak the lane, and a runtime of somebody else's is in a container of somebody else's.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.config import AgentConfig
from agent.drivers.base import WorkerSpec
from agent.drivers.fake import FakeDriver
from agent.node import Node
from agent.services.server import Server
from agent.substrate.local import LocalSubstrate
from mee6.client import Client
from mee6.errors import FunctionRaised, LoadFailed, TimedOut, WorkerLost
from runtimes.catalog import RUNTIMES
from tests.support.agents import temporary_state, until, write_function

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Rig:
    """A node whose workers are processes of the reference runtime."""

    client: Client
    driver: FakeDriver
    processes: dict[str, Process] = field(default_factory=dict)


@asynccontextmanager
async def running(state: Path) -> AsyncIterator[Rig]:
    config = AgentConfig(state, listen="127.0.0.1:0", prewarm={"python": 1}, linger_s=0.1, timeout_s=10)
    address = ""
    processes: dict[str, Process] = {}

    async def play(spec: WorkerSpec) -> None:
        await until(lambda: address, "the server listens")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.grpc_runtime", address, spec.token, cwd=Path(__file__).parents[2]
        )
        processes[spec.worker] = process
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    (state / "lane").mkdir()
    driver = FakeDriver(state / "workers", state / "lane" / "agent.sock", play)
    async with LocalSubstrate(state) as substrate:
        node = Node(config, driver, substrate, RUNTIMES)
        async with node.running(state / "lane" / "agent.sock"), Server(node, config.listen, state / "a.sock") as server:
            address = server.address
            async with Client(server.address) as client:
                yield Rig(client, driver, processes)
    assert all(process.returncode is not None for process in processes.values()), "all of them have ended"
    assert not driver.workers


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    state = temporary_state()
    try:
        async with running(state) as rig:
            yield rig
    finally:
        shutil.rmtree(state)


async def test_it_loads_and_runs_a_function_cold_and_warm(rig: Rig, tmp_path: Path) -> None:
    await rig.client.add(write_function(tmp_path, "f", "def main(arg):\n    return 'got ' + arg\n"))
    assert await rig.client.invoke("f", "one") == "got one"
    first = (await rig.client.trace()).steps[0]
    assert await rig.client.invoke("f", "two") == "got two"
    second = (await rig.client.trace()).steps[0]
    assert (second.worker, second.start, second.via) == (first.worker, "warm", "direct")
    assert first.via == "direct", "it never had a proxy"


async def test_its_function_calls_another_which_runs_in_another_worker(rig: Rig, tmp_path: Path) -> None:
    code = "async def main(arg):\n    return await invoke('low', arg) + await invoke('low', '!')\n"
    await rig.client.add(write_function(tmp_path, "top", code, calls={"low": ""}))
    await rig.client.add(write_function(tmp_path, "low", "def main(arg):\n    return arg.upper()\n"))
    assert await rig.client.invoke("top", "foo") == "FOO!"
    steps = (await rig.client.trace()).steps
    assert [step.function for step in steps] == ["top", "low", "low"]
    assert steps[1].worker != steps[0].worker
    assert steps[2].worker == steps[1].worker
    assert {step.state for step in steps} == {"succeeded"}


async def test_what_it_may_not_call_is_refused(rig: Rig, tmp_path: Path) -> None:
    code = "async def main(arg):\n    return await invoke('other', arg)\n"
    await rig.client.add(write_function(tmp_path, "top", code, calls={"low": ""}))
    with pytest.raises(FunctionRaised) as caught:
        await rig.client.invoke("top", "foo")
    assert "'top' may not call 'other': it is not among its dependencies (low)" in caught.value.message


async def test_its_errors_are_the_functions_with_their_traceback(rig: Rig, tmp_path: Path) -> None:
    await rig.client.add(write_function(tmp_path, "f", "def main(arg):\n    return 1 / 0\n"))
    with pytest.raises(FunctionRaised) as caught:
        await rig.client.invoke("f", "x")
    assert (caught.value.error_type, caught.value.message) == ("ZeroDivisionError", "division by zero")
    assert "in main" in caught.value.traceback
    await rig.client.add(write_function(tmp_path, "g", "import nothing_of_that_name\n"))
    with pytest.raises(LoadFailed) as refused:
        await rig.client.invoke("g", "x")
    assert "nothing_of_that_name" in refused.value.message


async def test_when_it_dies_the_caller_is_told_and_the_next_call_has_a_new_one(rig: Rig, tmp_path: Path) -> None:
    code = "import asyncio\nasync def main(arg):\n    await asyncio.sleep(float(arg))\n    return 'rested'\n"
    await rig.client.add(write_function(tmp_path, "nap", code))
    id_ = await rig.client.submit("nap", "30")

    async def runs() -> str:
        steps = (await rig.client.trace(id_)).steps
        return next((step.worker for step in steps if step.state == "running"), "")

    worker = await until(runs, "it runs")
    rig.processes[worker].kill()
    with pytest.raises(WorkerLost) as caught:
        await rig.client.result(id_, wait=20)
    assert caught.value.message.startswith(f"worker {worker} ")
    assert "\n" not in caught.value.message
    assert await rig.client.invoke("nap", "0") == "rested"


async def test_a_function_of_its_that_takes_too_long_is_stopped_with_its_process(rig: Rig, tmp_path: Path) -> None:
    code = "import time\ndef main(arg):\n    time.sleep(float(arg))\n"
    await rig.client.add(write_function(tmp_path, "hang", code))
    await rig.client.invoke("hang", "0")  # it is warm: the limit is not for starting it
    with pytest.raises(TimedOut):
        await rig.client.invoke("hang", "60", timeout=0.5)
    worker = (await rig.client.trace()).invocation.worker
    await until(lambda: rig.processes[worker].returncode is not None, "its process has ended")
