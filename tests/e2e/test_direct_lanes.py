"""Direct lanes with whole agents: what goes wrong in a chain of processes that the proxy does not see."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import Cancelled, FunctionRaised, Mee6Error, TimedOut
from mee6.records import Trace
from tests.e2e.conftest import Start
from tests.support.agents import Agent, alive, kill, until, write_function

pytestmark = pytest.mark.slow

FIRST = "import mee6\ndef main(arg):\n    return [mee6.invoke('second', one) for one in arg]\n"
SECOND = "import mee6\ndef main(arg):\n    return mee6.invoke('third', arg)\n"
THIRD = """\
import time
def main(arg):
    if arg == 'nap':
        time.sleep(30)
    return arg
"""
MANY = list(range(100))


@pytest.fixture
async def chain(any_client: Client, tmp_path: Path) -> Client:
    """A client of a workflow that calls in turn, two deep, over direct lanes."""
    await prepare(any_client, tmp_path)
    return any_client


async def prepare(client: Client, base: Path) -> None:
    await client.add(write_function(base, "first", FIRST, calls={"second": "no"}))
    await client.add(write_function(base, "second", SECOND, calls={"third": "no"}, timeoutS=20))
    await client.add(write_function(base, "third", THIRD, timeoutS=3))
    await introduced(client)


async def introduced(client: Client, *, killed: bool = False) -> Trace:
    """The trace of an invocation all of whose calls went directly; of those before it one may fail by a kill."""
    may_fail = killed

    async def probe() -> Trace | None:
        nonlocal may_fail
        try:
            assert await client.invoke("first", [1]) == [1]
        except Mee6Error:
            assert may_fail
            may_fail = False
            return None
        trace = await client.trace()
        return trace if {step.via for step in trace.steps[1:]} == {"lane"} else None

    found = await until(probe, "all calls go directly")
    assert found is not None
    return found


async def test_a_trace_has_every_direct_call(chain: Client) -> None:
    assert await chain.invoke("first", MANY) == MANY
    steps = (await chain.trace()).steps
    assert len(steps) == 1 + 2 * len(MANY)
    assert {step.state for step in steps} == {"succeeded"}
    assert len({step.pid for step in steps}) == 3
    assert len({step.worker for step in steps}) == 1


async def test_a_cancel_reaches_whoever_runs(any_agent: Agent, chain: Client) -> None:
    mine = asyncio.create_task(chain.invoke("first", [1, "nap"]))

    async def napping() -> str:
        steps = (await chain.trace()).steps
        return next((step.worker for step in steps if step.function == "third" and step.state == "running"), "")

    worker = await until(napping, "it runs")
    inside = any_agent.inside(worker)
    await chain.cancel((await chain.trace()).invocation.id)
    with pytest.raises(Cancelled):
        await mine
    await until(lambda: not any(alive(pid) for pid in (inside.proxy, *inside.runtimes)), "all of it has ended")
    await introduced(chain)


async def test_a_time_out_ends_whoever_runs_and_the_worker_serves_on(chain: Client) -> None:
    with pytest.raises(FunctionRaised) as caught:
        await chain.invoke("first", ["nap"])
    assert "TimedOut" in caught.value.message
    states = {step.function: step.state for step in (await chain.trace()).steps[1:]}
    assert "timed out" in states.values()
    assert "running" not in states.values()
    await introduced(chain)


async def test_a_worker_that_is_paused_in_between_goes_on_directly(any_agent: Agent, chain: Client) -> None:
    worker = (await introduced(chain)).steps[0].worker

    async def paused() -> bool:
        return any(one.state == "paused" for one in await chain.workers() if one.id == worker)

    for _ in range(2):
        await until(paused, "it is paused")
        assert await chain.invoke("first", MANY) == MANY
        steps = (await chain.trace()).steps
        assert {(step.worker, step.via) for step in steps[1:]} == {(worker, "lane")}


async def test_a_new_version_in_between_is_the_one_that_runs(chain: Client, tmp_path: Path) -> None:
    await chain.add(write_function(tmp_path, "third", "def main(arg):\n    return -arg\n"))
    assert await chain.invoke("first", MANY) == [-one for one in MANY]


@pytest.mark.parametrize("seed", range(2))
async def test_whoever_is_killed_whenever_each_invocation_is_answered_and_the_next_succeeds(
    any_agent: Agent, chain: Client, seed: int
) -> None:
    chance = random.Random(seed)
    failed = 0
    for _ in range(12):
        trace = await introduced(chain, killed=True)
        inside = any_agent.inside(trace.steps[0].worker)
        victim = chance.choice([inside.proxy, *inside.runtimes, *inside.runtimes])
        mine = asyncio.create_task(chain.invoke("first", MANY))
        await asyncio.sleep(chance.uniform(0, 0.02))
        kill(victim)
        try:
            assert await asyncio.wait_for(mine, 20) == MANY
        except TimedOut:
            raise
        except Mee6Error:
            failed += 1
            steps = (await chain.trace()).steps
            assert "running" not in {step.state for step in steps}
    assert failed


async def test_an_agent_can_do_without(any_start: Start, tmp_path: Path) -> None:
    with any_start(prewarm={"python": 1}, direct_lanes=False) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "second", THIRD))
            await client.add(write_function(tmp_path, "first", FIRST, calls={"second": "no"}))
            assert await client.invoke("first", MANY) == MANY
            assert {step.via for step in (await client.trace()).steps} == {"proxy"}
