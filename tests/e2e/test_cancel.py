"""Calling off, and running out of time: what runs ends with its worker, down to nested calls; others do not notice."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mee6.client import Client
from mee6.errors import Cancelled, Conflict, InvocationNotFound, TimedOut
from tests.e2e.conftest import Start
from tests.support.agents import HELD, Agent, until, write_function

pytestmark = pytest.mark.slow

NAP = "import time\ndef main(arg):\n    time.sleep(float(arg or 0))\n    return 'rested'\n"
CALLER = "import mee6\ndef main(arg):\n    return mee6.invoke('nap', arg)\n"


async def running(client: Client, function: str) -> str:
    """The worker that runs a step of `function` for the latest invocation; empty while none does."""
    try:
        steps = (await client.trace()).steps
    except InvocationNotFound:
        return ""
    return next((step.worker for step in steps if step.function == function and step.state == "running"), "")


async def prepare(client: Client, base: Path, outflow: str = "no", **more: Any) -> None:
    await client.add(write_function(base, "nap", NAP))
    await client.add(write_function(base, "caller", CALLER, calls={"nap": outflow}, **more))


async def state(client: Client, id_: str) -> str:
    return (await client.trace(id_)).invocation.state


async def test_a_client_that_leaves_calls_its_invocation_off_and_others_go_on(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    await prepare(any_client, tmp_path)
    await any_client.add(write_function(tmp_path, "held", HELD))
    other = asyncio.create_task(any_client.invoke("held"))
    other_worker = await until(lambda: running(any_client, "held"), "the other runs")
    mine = asyncio.create_task(any_client.invoke("caller", "30"))

    async def mine_runs() -> str:
        trace = await any_client.trace()
        return trace.invocation.id if trace.invocation.function == "caller" and len(trace.steps) == 2 else ""

    id_ = await until(mine_runs, "mine runs")
    worker = (await any_client.trace(id_)).steps[1].worker
    assert worker != other_worker
    mine.cancel()
    with pytest.raises(asyncio.CancelledError):
        await mine
    await until(lambda: worker not in any_agent.workers(), "its worker has ended")
    assert await state(any_client, id_) == "cancelled"
    any_agent.let_go(other_worker)
    assert await other == "rested"


async def test_the_same_on_a_stream_where_only_the_call_is_called_off(
    agent: Agent, client: Client, tmp_path: Path
) -> None:
    await prepare(client, tmp_path)
    async with client.stream() as stream:
        mine = asyncio.create_task(stream.invoke("nap", "30"))
        worker = await until(lambda: running(client, "nap"), "it runs")
        mine.cancel()
        await until(lambda: worker not in agent.workers(), "its worker has ended")
        assert await stream.invoke("nap", "0") == "rested"


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_cancel_reaches_down_to_nested_calls(
    any_agent: Agent, any_client: Client, tmp_path: Path, outflow: str
) -> None:
    await prepare(any_client, tmp_path, outflow)
    id_ = await any_client.submit("caller", "30")
    callee = await until(lambda: running(any_client, "nap"), "the callee runs")
    caller = (await any_client.trace(id_)).steps[0].worker
    assert (callee == caller) == (outflow == "no")
    await any_client.cancel(id_)
    with pytest.raises(Cancelled) as caught:
        await any_client.result(id_, wait=20)
    assert "\n" not in caught.value.message
    await until(lambda: not {caller, callee} & any_agent.workers(), "both workers have ended")
    assert await any_client.invoke("caller", "0") == "rested"


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_a_timeout_reaches_down_to_nested_calls(
    any_agent: Agent, any_client: Client, tmp_path: Path, outflow: str
) -> None:
    await prepare(any_client, tmp_path, outflow)
    assert await any_client.invoke("caller", "0") == "rested"  # both are warm: the limit is not for making workers
    with pytest.raises(TimedOut) as caught:
        await any_client.invoke("caller", "1000", timeout=2)
    assert caught.value.message == "'caller' took longer than its limit of 2 s and was stopped"
    (callee,) = [step.worker for step in (await any_client.trace()).steps if step.function == "nap"]
    await until(lambda: callee not in any_agent.workers(), "the callee's worker has ended")


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_a_steps_own_limit_is_an_error_that_its_caller_may_catch(
    any_client: Client, tmp_path: Path, outflow: str
) -> None:
    code = """
import mee6
def main(arg):
    try:
        mee6.invoke("nap", "30")
    except mee6.errors.TimedOut as error:
        return [error.function, mee6.invoke("rest", "0")]
"""
    await any_client.add(write_function(tmp_path, "caller", code, calls={"nap": outflow, "rest": outflow}))
    await any_client.add(write_function(tmp_path, "rest", NAP))
    await any_client.add(write_function(tmp_path, "nap", NAP, timeoutS=0.4))
    assert await any_client.invoke("caller") == ["nap", "rested"]


async def test_a_detached_invocation_goes_on_without_its_client(agent: Agent, client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "held", HELD))
    async with agent.client(client.user) as other:
        id_ = await other.submit("held")
    with pytest.raises(Conflict) as caught:
        await client.result(id_)
    assert caught.value.message.startswith(f"invocation {id_} is still ")
    agent.let_go(await until(lambda: running(client, "held"), "it runs"))
    assert await client.result(id_, wait=20) == "rested"
    assert await client.result(id_) == "rested", "it is remembered"


async def test_the_result_of_what_never_was(client: Client) -> None:
    with pytest.raises(InvocationNotFound) as caught:
        await client.result("nothere")
    assert caught.value.message.startswith("no invocation 'nothere'")


async def test_calling_off_what_has_ended_changes_nothing(client: Client, tmp_path: Path) -> None:
    await prepare(client, tmp_path)
    id_ = await client.submit("nap", "0")
    assert await client.result(id_, wait=20) == "rested"
    await client.cancel(id_)
    assert await client.result(id_) == "rested"


SCRIPT = """
import sys
from mee6.sync import SyncClient
with SyncClient(sys.argv[1], user=sys.argv[2]) as client:
    print("begun", flush=True)
    client.invoke("nap", "30")
"""


async def test_ctrl_c_in_a_script_calls_its_invocation_off(agent: Agent, client: Client, tmp_path: Path) -> None:
    await prepare(client, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, agent.address, client.user],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as script:
        worker = await until(lambda: mine(client), "it runs")
        id_ = (await client.trace()).invocation.id
        script.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(script.wait, 20) == -signal.SIGINT
        assert b"KeyboardInterrupt" in script.communicate()[1]
    await until(lambda: worker not in agent.workers(), "its worker has ended")
    assert await state(client, id_) == "cancelled"


async def mine(client: Client) -> str:
    """As `running`, once the latest invocation is this user's."""
    worker = await running(client, "nap")
    return worker if worker and (await client.trace()).invocation.username == client.user else ""


async def test_a_stop_of_the_agent_waits_for_what_runs(start: Start, tmp_path: Path) -> None:
    agent = start(prewarm={"python": 1})
    try:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "held", HELD))
            await client.add(write_function(tmp_path, "caller", CALLER.replace("nap", "held"), calls={"held": ""}))
            task = asyncio.create_task(client.invoke("caller"))
            worker = await until(lambda: running(client, "held"), "it runs")
            stopping = asyncio.create_task(asyncio.to_thread(agent.stop))

            async def draining() -> bool:
                return (await client.nodes())[0].draining

            await until(draining, "the stop has begun")
            agent.let_go(worker)
            assert await task == "rested"
            assert await stopping == 0
    finally:
        agent.close()


async def test_a_stop_ends_what_does_not_end_in_time(start: Start, tmp_path: Path) -> None:
    agent = start(prewarm={"python": 1}, drain_s=0.3)
    try:
        async with agent.client() as client:
            await prepare(client, tmp_path)
            task = asyncio.create_task(client.invoke("caller", "1000", timeout=100))
            await until(lambda: running(client, "nap"), "it runs")
            stopping = asyncio.create_task(asyncio.to_thread(agent.stop))
            with pytest.raises(Cancelled) as caught:
                await task
            assert caught.value.message == "the agent was stopped"
            assert await stopping == 0
    finally:
        agent.close()
