"""The samples, a fan-out, pausing and kill -9 with a real agent whose workers are containers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import images
from mee6.client import Client
from tests.agent.drivers.engines import containers, need_engine
from tests.e2e.test_samples import EXPECTED, add_language, check
from tests.support.agents import Agent, until, write_function

pytestmark = [pytest.mark.slow, pytest.mark.docker]
LANGUAGES = ["python", pytest.param("nodejs", marks=pytest.mark.node)]


@pytest.fixture(scope="module")
def docker_agent() -> Iterator[Agent]:
    need_engine("python")
    need_engine("nodejs")
    with Agent.start(driver="docker", prewarm={"python": 2, "nodejs": 1}, linger_s=0.2) as agent:
        name = agent.id
        yield agent
    with images.connect() as api:
        assert containers(api, name) == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_sample_gives_what_is_expected_cold_and_warm(docker_agent: Agent, user: str, language: str) -> None:
    async with docker_agent.client(user) as client:
        await add_language(client, language)
        for case in EXPECTED:
            if language in case["languages"]:
                await check(client, case)
                await check(client, case)


async def test_parallel_steps_run_in_containers_of_their_own_and_share_one_flow(
    docker_agent: Agent, user: str, tmp_path: Path
) -> None:
    part = (
        "import socket, time\ndef main(arg):\n    open(f'/act/flow/{arg}', 'w').close()\n"
        "    time.sleep(0.5)\n    return socket.gethostname()\n"
    )
    whole = (
        "import os, mee6\ndef main(arg):\n    hosts = mee6.gather(('part', 'a'), ('part', 'b'))\n"
        "    return sorted({*hosts}), sorted(os.listdir('/act/flow'))\n"
    )
    async with docker_agent.client(user) as client:
        await client.add(write_function(tmp_path, "part", part))
        await client.add(write_function(tmp_path, "whole", whole, calls={"part": "always"}))
        hosts, files = await client.invoke("whole", "x")
    assert len(hosts) == 2
    assert files == ["a", "b"]
    async with docker_agent.client(user + "other") as client:
        look = "import os\ndef main(arg):\n    return os.listdir('/act/flow') + os.listdir('/act/rsc')\n"
        await client.add(write_function(tmp_path, "look", look))
        assert await client.invoke("look", "x") == ["look"]


async def test_the_engine_sees_a_container_paused_resumed_and_paused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_engine()
    monkeypatch.setenv("MEE6_DOCKER_PAUSE", "api")
    with Agent.start(driver="docker", prewarm={"python": 1}, linger_s=0.2, pause="after-use") as agent:
        slow = "import time, socket\ndef main(arg):\n    time.sleep(1)\n    return socket.gethostname()\n"
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "slow", slow))
            worker = await client.invoke("slow", "x")
            with images.connect() as api:

                def state() -> dict[str, Any]:
                    found = api.containers(all=True, filters={"label": f"mee6.worker={worker}"})
                    return dict(found[0])

                await until(lambda: "Paused" in state()["Status"], "paused after its linger")
                again = asyncio.create_task(_invoke(client, "slow"))
                await until(lambda: "Paused" not in state()["Status"], "resumed for an invocation")
                processes = api.top(state()["Id"])["Processes"]
                assert await again == worker
                await until(lambda: "Paused" in state()["Status"], "paused again")
        # pid 1 and its runtime: after a handover the proxy has left
        assert len(processes) == 2, processes


async def _invoke(client: Client, name: str) -> Any:
    return await client.invoke(name, "x")


async def test_a_killed_agents_twenty_containers_are_gone_after_the_next_start(tmp_path: Path) -> None:
    need_engine()
    agent = Agent.start(driver="docker", prewarm={"python": 20}, linger_s=0.1)
    name = agent.id
    with images.connect() as api:
        await until(lambda: len(containers(api, name)) >= 20, "twenty containers")
        agent.kill()
        before = {str(container["Id"]) for container in containers(api, name)}
        agent.settings["prewarm"] = {"python": 1}
        with agent.restarted():
            assert not before & {str(container["Id"]) for container in containers(api, name)}
        assert containers(api, name) == []
