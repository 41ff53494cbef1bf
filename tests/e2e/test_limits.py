"""Limits that a function asks for in its manifest hold for its workers, and for nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import images
from mee6.client import Client
from mee6.errors import FunctionExited, InvalidManifest
from tests.agent.drivers.engines import containers, need_engine
from tests.support.agents import Agent, write_function

pytestmark = pytest.mark.slow

MIB = 1 << 20
ASKED = {"memoryMib": 96, "cpus": 0.5, "pids": 40, "openFiles": 80, "scratchMib": 8}
LOOK = (
    "import os, resource, socket\ndef main(arg):\n"
    "    sizes = [v.f_blocks * v.f_frsize for v in map(os.statvfs, ('/act', '/tmp'))]\n"
    "    return [resource.getrlimit(resource.RLIMIT_NOFILE)[1], sizes, socket.gethostname()]\n"
)
TAKE = "def main(arg):\n    return len(bytearray(int(arg) << 20))\n"


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def some_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    if request.param == "docker":
        need_engine("python")
    with Agent.start(driver=request.param, prewarm={"python": 1, "nodejs": 0}) as agent:
        yield agent


async def worker_of(client: Client, name: str) -> str:
    return next(worker.id for worker in await client.workers() if worker.function == name)


async def test_every_limit_reaches_the_worker(some_agent: Agent, user: str, tmp_path: Path) -> None:
    async with some_agent.client(user) as client:
        node = (await client.nodes())[0]
        if node.isolation == "none":
            pytest.skip("without namespaces there is no storage of limited size")
        await client.add(write_function(tmp_path, "look", LOOK, limits=ASKED))
        await client.add(write_function(tmp_path, "plain", LOOK))
        files, sizes, worker = await client.invoke("look", "x")
        assert (files, sizes) == (80, [8 * MIB, 8 * MIB])
        assert await client.invoke("plain", "x") != [files, sizes, worker]
        shown = next(one for one in await client.workers() if one.id == worker)
        assert shown.pool == "python memoryMib=96 cpus=0.5 pids=40 openFiles=80 scratchMib=8"
        if node.driver == "docker":
            with images.connect() as api:
                (found,) = [one for one in containers(api, some_agent.id) if one["Labels"]["mee6.worker"] == worker]
                host = api.inspect_container(found["Id"])["HostConfig"]
            assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (96 * MIB, 5 * 10**8, 40)
        elif node.limits != "rlimits":
            groups = [path for path in some_agent.groups() if path.name == worker]
            assert {"40"} == {file.read_text().strip() for path in groups if (file := path / "pids.max").exists()}


async def test_a_function_is_held_to_its_memory_and_its_neighbours_are_not(
    some_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with some_agent.client(user) as client:
        await client.add(write_function(tmp_path, "narrow", TAKE, limits={"memoryMib": 64}))
        await client.add(write_function(tmp_path, "wide", TAKE))
        assert await client.invoke("narrow", "4") == 4 * MIB
        with pytest.raises(FunctionExited, match=r"out of memory \(limit 64 MiB\)"):
            await client.invoke("narrow", "200")
        assert await client.invoke("wide", "200") == 200 * MIB
        # Never one worker for both, however often they take turns.
        for _ in range(3):
            await asyncio.gather(client.invoke("narrow", "1"), client.invoke("wide", "1"))
            assert await worker_of(client, "narrow") != await worker_of(client, "wide")


async def test_more_than_the_agent_gives_is_refused_when_it_is_added(
    some_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with some_agent.client(user) as client:
        with pytest.raises(InvalidManifest, match=r"limits\.memoryMib may be 512 at most on this agent"):
            await client.add(write_function(tmp_path, "greedy", TAKE, limits={"memoryMib": 4096}))
        assert not await client.list()
