"""Two agents on one machine: neither sees, sweeps, or stops anything of the other's."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support.agents import HELD, Agent, running_worker, until, write_function

pytestmark = pytest.mark.slow


async def test_one_may_come_and_go_and_be_killed_while_the_other_works(any_start: Start, tmp_path: Path) -> None:
    function = write_function(tmp_path, "rest", "def main(arg):\n    return 'rested'\n")
    with any_start(prewarm={"python": 1}) as stays:
        async with stays.client() as client:
            await client.add(function)
            await client.add(write_function(tmp_path, "held", HELD))
            task = asyncio.create_task(client.invoke("held"))
            worker = await until(lambda: running_worker(client), "it runs")
            await until(lambda: alone(stays, worker), "its handover is over")
            found = stays.inside(worker)
            before = {*stays.launcher(), found.init, *found.runtimes}
            groups = {path for path in stays.groups() if path.name in (worker, stays.id)}
            other = any_start(prewarm={"python": 1})
            assert not other.processes() & before
            async with other.client() as second:
                assert await second.list() == (), "functions are each agent's own"
                await second.add(function)
                assert await second.invoke("rest") == "rested"
            other.kill()
            other = other.restarted()
            async with other.client() as second:
                assert await second.invoke("rest") == "rested", "it swept its own and only that"
            other.close()
            assert before <= stays.processes()
            assert groups <= set(stays.groups())
            stays.let_go(worker)
            assert await task == "rested"
            assert await client.invoke("rest") == "rested"


def alone(agent: Agent, worker: str) -> bool:
    """Whether proxy and spare have left the worker's runtime alone."""
    found = agent.inside(worker)
    return not found.proxy and len(found.runtimes) == 1
