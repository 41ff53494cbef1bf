"""Two agents on one machine: neither sees, sweeps, or stops anything of the other's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.agents import Agent, until, write_function

pytestmark = pytest.mark.slow

NAP = "import time\ndef main(arg):\n    time.sleep(float(arg or 0))\n    return 'rested'\n"


@pytest.mark.parametrize("isolation", ["", "none"])
async def test_one_may_come_and_go_and_be_killed_while_the_other_works(tmp_path: Path, isolation: str) -> None:
    function = write_function(tmp_path, "nap", NAP)
    with Agent.start(isolation=isolation, prewarm={"python": 1}) as stays:
        async with stays.client() as client:
            await client.add(function)
            await client.invoke("nap", "0")
            task = asyncio.create_task(client.invoke("nap", "2.5"))
            worker = (await client.trace()).steps[0].worker
            await until(lambda: alone(stays, worker), "its handover is over")
            found = stays.inside(worker)
            before = {*stays.launcher(), found.init, *found.runtimes}
            groups = {path for path in stays.groups() if path.name in (worker, stays.id)}
            other = Agent.start(isolation=isolation, prewarm={"python": 1})
            assert not other.processes() & before
            async with other.client() as second:
                assert await second.list() == (), "functions are each agent's own"
                await second.add(function)
                assert await second.invoke("nap", "0") == "rested"
            other.kill()
            other = other.restarted()
            async with other.client() as second:
                assert await second.invoke("nap", "0") == "rested", "it swept its own and only that"
            other.close()
            assert before <= stays.processes()
            assert groups <= set(stays.groups())
            assert await task == "rested"
            assert await client.invoke("nap", "0") == "rested"


def alone(agent: Agent, worker: str) -> bool:
    """Whether proxy and spare have left the worker's runtime alone."""
    found = agent.inside(worker)
    return not found.proxy and len(found.runtimes) == 1
