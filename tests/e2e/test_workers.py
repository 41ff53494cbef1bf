"""A worker's life as the machine sees it: its proxy leaves after a handover, idle it is paused, used it is thawed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import InvocationNotFound
from mee6.records import Batch, Event, Handover, Invocation, Worker
from tests.e2e.test_samples import SAMPLES
from tests.support.agents import Agent, alive, kill, number_inside, until, write_function

pytestmark = pytest.mark.slow

NAP = "import time\ndef main(arg):\n    time.sleep(float(arg or 0))\n    return 'rested'\n"


async def last_worker(client: Client) -> str:
    return (await client.trace()).steps[0].worker


async def test_after_a_first_invocation_the_proxy_is_gone_and_the_second_goes_straight_to_the_runtime(
    any_agent: Agent, any_client: Client
) -> None:
    await any_client.add(SAMPLES / "python" / "echo")
    await any_client.invoke("echo", "one")
    first = (await any_client.trace()).steps[0]
    await until(lambda: not any_agent.inside(first.worker).proxy, "the proxy is gone")
    await until(lambda: len(any_agent.inside(first.worker).runtimes) == 1, "its spare is gone")
    assert await any_client.invoke("echo", "two") == "two"
    second = (await any_client.trace()).steps[0]
    assert (second.worker, second.via, second.start) == (first.worker, "direct", "warm")
    found = any_agent.inside(first.worker)
    assert (found.proxy, found.others) == (0, [])
    (runtime,) = found.runtimes
    assert number_inside(runtime) == second.pid, "nobody else is there that could have served"


async def test_a_workflow_keeps_its_proxy(any_agent: Agent, any_client: Client, tmp_path: Path) -> None:
    flow = write_function(
        tmp_path, "flow", "import mee6\ndef main(arg):\n    return mee6.invoke('nap', '0')\n", calls={"nap": ""}
    )
    await any_client.add(flow)
    await any_client.add(write_function(tmp_path, "nap", NAP))
    for _ in range(2):
        assert await any_client.invoke("flow") == "rested"
        step = (await any_client.trace()).steps[0]
        assert step.via == "proxy"
        assert any_agent.inside(step.worker).proxy


async def test_a_workflow_that_only_calls_elsewhere_is_handed_over_too(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    code = "import mee6\ndef main(arg):\n    return mee6.gather(('nap', '0'), ('nap', '0'))\n"
    await any_client.add(write_function(tmp_path, "flow", code, calls={"nap": "always"}))
    await any_client.add(write_function(tmp_path, "nap", NAP))
    for _ in range(2):
        assert await any_client.invoke("flow") == ["rested", "rested"]
    steps = (await any_client.trace()).steps
    assert {step.via for step in steps} == {"direct"}
    await until(lambda: not any_agent.inside(steps[0].worker).proxy, "the proxy is gone")


async def test_an_idle_worker_is_frozen_and_thawed_for_an_invocation(any_agent: Agent, any_client: Client) -> None:
    await any_client.add(SAMPLES / "python" / "echo")
    await any_client.invoke("echo", "one")
    worker = await last_worker(any_client)
    for _ in range(2):
        await until(lambda: any_agent.is_frozen(worker), "it is frozen")
        assert await any_client.invoke("echo", "again") == "again"
        step = (await any_client.trace()).steps[0]
        assert step.worker == worker
        assert "resume" in {span.kind for span in step.spans}


async def test_prewarmed_workers_are_frozen_too(any_agent: Agent, any_client: Client) -> None:
    async def all_frozen() -> bool:
        (node,) = await any_client.nodes()
        return node.workers >= 3 and node.paused == node.workers and all(map(any_agent.is_frozen, any_agent.workers()))

    await until(all_frozen, "every worker is frozen")


async def test_a_running_function_is_never_paused(any_agent: Agent, any_client: Client, tmp_path: Path) -> None:
    await any_client.add(write_function(tmp_path, "nap", NAP))
    began = asyncio.create_task(any_client.invoke("nap", "0.7"))
    await until(lambda: running_worker(any_client), "it runs")
    worker = await running_worker(any_client)
    frozen = False
    while not began.done():
        frozen = frozen or any_agent.is_frozen(worker)
        await asyncio.sleep(0.02)
    assert await began == "rested"
    assert not frozen


async def running_worker(client: Client) -> str:
    """The worker that runs the latest invocation; empty while none does."""
    try:
        trace = await client.trace()
    except InvocationNotFound:  # it has not been accepted yet
        return ""
    return trace.invocation.worker if trace.invocation.state == "running" else ""


async def test_the_pause_comes_after_the_reply(any_client: Client) -> None:
    await any_client.add(SAMPLES / "python" / "echo")
    events: list[Event] = []
    ready = asyncio.Event()

    async def watch() -> None:
        async for item in any_client.watch(kinds=["worker", "invocation"]):
            if isinstance(item, Batch):
                events.extend(item.events)
            ready.set()

    watching = asyncio.create_task(watch())
    await ready.wait()
    outcome = await any_client.invoke_raw("echo", b"x", "text/plain")
    worker = await last_worker(any_client)

    def paused_at() -> int:
        return next((e.at_ns for e in events if isinstance(e.what, Worker) and told(e.what, worker, "paused")), 0)

    await until(paused_at, "the worker was paused")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    ended = [e.at_ns for e in events if isinstance(e.what, Invocation) and e.what.id == outcome.id and e.what.ended_ns]
    states = [e.what.state for e in events if isinstance(e.what, Worker) and e.what.id == worker]
    assert ended[-1] + 150_000_000 < paused_at(), "it lingered before it was paused"
    assert states[-1] == "paused"


def told(view: Worker, worker: str, state: str) -> bool:
    return (view.id, view.state) == (worker, state)


async def test_a_handover_is_seen_step_by_step(any_client: Client, tmp_path: Path) -> None:
    await any_client.add(write_function(tmp_path, "nap", NAP))
    states: list[tuple[str, str]] = []
    ready = asyncio.Event()

    async def watch() -> None:
        async for item in any_client.watch(kinds=["handover"]):
            if isinstance(item, Batch):
                states.extend((e.what.worker, e.what.state) for e in item.events if isinstance(e.what, Handover))
            ready.set()

    watching = asyncio.create_task(watch())
    await ready.wait()
    await any_client.invoke("nap")
    worker = await last_worker(any_client)
    await until(lambda: (worker, "alone") in states, "the handover has ended")
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    order = ["granted", "connected", "direct", "alone"]
    seen = [order.index(state) for name, state in states if name == worker]
    assert seen == sorted(seen), "what was coalesced is missing, what is there is in order"


async def test_a_frozen_worker_that_is_killed_is_noticed_and_replaced_before_anybody_calls_it(
    any_agent: Agent, any_client: Client
) -> None:
    await any_client.add(SAMPLES / "python" / "echo")
    await any_client.invoke("echo", "one")
    worker = await last_worker(any_client)
    await until(lambda: any_agent.is_frozen(worker), "it is frozen")
    first = any_agent.inside(worker).init
    kill(first)
    await until(lambda: not alive(first), "it has ended")
    await until(lambda: worker not in any_agent.workers(), "its groups are gone")
    assert await any_client.invoke("echo", "two") == "two"
    assert await last_worker(any_client) != worker
