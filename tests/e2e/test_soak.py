"""Many callers, all kinds of invocations, random cancels: in the end the agent is as it was."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import Cancelled, FunctionError, Mee6Error, TimedOut
from tests.e2e.test_samples import SAMPLES, add_language
from tests.support.agents import HELD, Agent, until, write_function

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CALLERS = 8
INVOCATIONS = 300


def descriptors(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


async def settled(agent: Agent, client: Client) -> tuple[int, int, int]:
    """Descriptors, processes and groups once only idle, prewarmed workers are left."""
    for function in await client.list():
        await client.remove(function.name)

    async def idle() -> bool:
        async for item in client.watch():
            workers = getattr(item, "workers", ())
            states = [(worker.function, worker.state) for worker in workers]
            return len(states) == 2 and set(states) == {("", "paused")}
        return False

    await until(idle, "only the prewarmed are left")
    await until(lambda: len(agent.workers()) == 2, "no other groups are left")
    facts = (0, 0, 0)
    for _ in range(200):  # until two looks agree
        before, facts = facts, (descriptors(agent), len(agent.processes()), len(agent.groups()))
        if before == facts:
            break
        await asyncio.sleep(0.05)
    return facts


async def test_after_three_hundred_mixed_invocations_and_cancels_the_agent_is_as_it_was(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    ended: Counter[str] = Counter()
    text = (SAMPLES / "texts" / "licences.txt").read_text()[:20_000]
    calls = [
        ("echo", "foo", "foo"),
        ("pinger", "ponger", "ping to ponger...pong from ponger: ponged"),
        ("wordcount", text, None),
        ("pipeline", "tea, 1, 2\n", None),
        ("slow", "0.05", "slept for 0.05 s"),
        ("boom", "x", FunctionError),
        ("exits", "x", FunctionError),
    ]
    if shutil.which("node") is not None:
        calls.append(("announce", "Ada", "GOOD MORNING, ADA!"))

    async def one(client: Client) -> None:
        name, arg, expected = dice.choice(calls)
        off_after = dice.choice([None, None, None, 0.0, 0.002, 0.01, 0.05])
        try:
            if off_after is None:
                outcome = await client.invoke(name, arg, timeout=30)
                assert expected is None or outcome == expected
                ended["succeeded"] += 1
            else:
                async with asyncio.timeout(off_after):
                    await client.invoke(name, arg, timeout=30)
                ended["in time"] += 1
        except TimeoutError:
            ended["called off"] += 1
        except FunctionError:
            assert expected is FunctionError, name
            ended["failed"] += 1

    async def caller(client: Client, count: int) -> None:
        for _ in range(count):
            await one(client)

    with Agent.start(prewarm={"python": 2, "nodejs": 0}, linger_s=0.1, keep_alive_s=1.0) as agent:
        async with agent.client() as client:
            await client.add(SAMPLES / "python" / "echo")
            assert await client.invoke("echo", "first") == "first"
            before = await settled(agent, client)
            await add_language(client, "python")
            if shutil.which("node") is not None:
                await add_language(client, "mixed")
            await client.add(write_function(tmp_path, "exits", "import os\ndef main(arg):\n    os._exit(1)\n"))
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(CALLERS):
                        group.create_task(caller(client, INVOCATIONS // CALLERS))
            except ExceptionGroup as failures:
                raise AssertionError(f"seed {seed}: {failures.exceptions[0]!r}") from failures.exceptions[0]
            assert min(ended["succeeded"], ended["called off"], ended["failed"]) > 5, ended
            after = await settled(agent, client)
            (node,) = await client.nodes()
    assert node.busy == node.queued == 0
    descriptors_more = after[0] - before[0]
    assert after[1:] == before[1:], f"seed {seed}: processes and groups"
    assert descriptors_more <= 3, f"seed {seed}: {descriptors_more} descriptors more than before"


async def test_a_burst_beyond_what_may_run_waits_its_turn_and_all_is_done(tmp_path: Path) -> None:
    with Agent.start(prewarm={"python": 1}, max_workers=3) as agent:
        async with agent.client() as client:
            await client.add(
                write_function(tmp_path, "f", "import time\ndef main(n):\n    time.sleep(0.02)\n    return n\n")
            )
            results = await asyncio.gather(*(client.invoke("f", n, timeout=30) for n in range(60)))
            assert results == list(range(60))
            assert len(agent.workers()) <= 4


async def test_more_than_may_wait_are_refused_at_once_and_by_name(tmp_path: Path) -> None:
    with Agent.start(prewarm={"python": 1}, max_workers=1, queue_limit=2) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "f", HELD))
            first = await client.submit("f")

            async def runs() -> bool:
                return (await client.trace(first)).invocation.state == "running"

            await until(runs, "the first one has the worker")
            calls = [asyncio.create_task(client.invoke("f")) for _ in range(5)]
            await until(lambda: sum(call.done() for call in calls) >= 3, "three have been refused")

            async def go_on() -> bool:
                for worker in agent.workers():
                    with suppress(LookupError, OSError):  # it has just ended
                        agent.let_go(worker)
                return all(call.done() for call in calls)

            await until(go_on, "the others have run")
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Mee6Error)]
    assert len(refused) == 3
    assert {error.message for error in refused} == {"2 invocations wait for a worker already; try again later"}
    assert {error.code for error in refused} == {"exhausted"}
    assert not any(isinstance(outcome, Cancelled | TimedOut) for outcome in outcomes)
