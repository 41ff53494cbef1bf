"""kill -9 of every process there is, in the middle of an invocation: a clear error soon, and then all is well again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import AgentUnreachable, FunctionExited, FunctionRaised, Mee6Error, WorkerLost
from mee6.records import Step
from tests.e2e.conftest import Start
from tests.support.agents import Agent, alive, kill, until, write_function
from tests.support.docker_agents import DockerAgent

pytestmark = pytest.mark.slow

SOON_S = 10.0
NAP = "import time\ndef main(arg):\n    time.sleep(float(arg or 0))\n    return 'rested'\n"
CALLER = "import mee6\ndef main(arg):\n    return mee6.invoke('nap', arg)\n"
LONG = "60"


async def prepare(client: Client, base: Path, outflow: str = "no") -> None:
    # Not loaded ahead: a worker has one runtime that holds a function, the one to kill.
    await client.add(write_function(base, "nap", NAP, lookAhead=False))
    await client.add(write_function(base, "caller", CALLER, calls={"nap": outflow}))
    await client.add(write_function(base, "staying", NAP, calls={"nap": "no"}))


async def begun(client: Client, name: str, function: str = "") -> tuple[asyncio.Task[object], Step]:
    """Starts an invocation; returns once the step of `function` runs."""
    id_ = await client.submit(name, LONG)
    task = asyncio.create_task(client.result(id_, wait=LONG_WAIT_S))

    async def running() -> Step | None:
        steps = (await client.trace(id_)).steps
        return next((s for s in steps if s.function == (function or name) and s.state == "running"), None)

    step = await until(running, f"{function or name} runs")
    assert step is not None
    return task, step


LONG_WAIT_S = 60.0


async def fails(task: asyncio.Task[object], kind: type[Mee6Error]) -> Mee6Error:
    """The error that it ended with, soon."""
    with pytest.raises(kind) as caught:
        await asyncio.wait_for(task, SOON_S)
    assert type(caught.value) is kind
    assert "\n" not in caught.value.message
    return caught.value


async def healed(agent: Agent, client: Client, name: str, lost: str) -> None:
    assert await client.invoke(name, "0", timeout=20) == "rested"
    await until(lambda: lost not in agent.workers(), "the lost worker's groups are gone")

    async def pool_is_full() -> bool:
        async for item in client.watch():
            idle = [w for w in getattr(item, "workers", ()) if not w.function and w.state in {"prewarmed", "paused"}]
            return len(idle) >= 2
        return False

    await until(pool_is_full, "the pool has its workers again")


async def test_a_killed_runtime_after_a_handover(any_agent: Agent, any_client: Client, tmp_path: Path) -> None:
    await prepare(any_client, tmp_path)
    task, step = await begun(any_client, "nap")
    kill(any_agent.runtime(step.worker, step.pid))
    error = await fails(task, FunctionExited)
    assert error.message == "the process of 'nap' was killed by signal 9 (SIGKILL)"
    assert error.function == "nap"
    await healed(any_agent, any_client, "nap", step.worker)


async def test_a_killed_runtime_of_a_workflow(any_agent: Agent, any_client: Client, tmp_path: Path) -> None:
    await prepare(any_client, tmp_path)
    task, step = await begun(any_client, "staying")
    (runtime,) = busy(any_agent, step.worker)
    kill(runtime)
    error = await fails(task, FunctionExited)
    assert error.message == "the process of 'staying' was killed by signal 9 (SIGKILL)"
    assert await any_client.invoke("staying", "0") == "rested"


def busy(agent: Agent, worker: str) -> list[int]:
    """Runtimes that were given a function: those whose working folder is its code."""
    runtimes = agent.inside(worker).runtimes
    folders = {pid: str(Path(f"/proc/{pid}/cwd").readlink()) for pid in runtimes}
    return [pid for pid, folder in folders.items() if "code" in folder or "/rsc/" in folder]


async def test_a_killed_runtime_of_a_step_is_the_callers_error(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    await prepare(any_client, tmp_path)
    task, step = await begun(any_client, "caller", "nap")
    kill(any_agent.runtime(step.worker, step.pid))
    error = await fails(task, FunctionRaised)
    assert error.error_type == "FunctionExited"
    assert "the process of 'nap' was killed by signal 9 (SIGKILL)" in error.message
    assert await any_client.invoke("caller", "0") == "rested"


@pytest.mark.parametrize(("name", "function"), [("staying", "staying"), ("caller", "nap")])
async def test_a_killed_proxy(any_agent: Agent, any_client: Client, tmp_path: Path, name: str, function: str) -> None:
    await prepare(any_client, tmp_path)
    task, step = await begun(any_client, name, function)
    kill(any_agent.inside(step.worker).proxy)
    error = await fails(task, WorkerLost)
    assert error.message == f"worker {step.worker} was lost: the process of 'proxy' was killed by signal 9 (SIGKILL)"
    await healed(any_agent, any_client, name, step.worker)


@pytest.mark.parametrize(("name", "function"), [("nap", "nap"), ("staying", "staying"), ("caller", "nap")])
async def test_a_killed_init(any_agent: Agent, any_client: Client, tmp_path: Path, name: str, function: str) -> None:
    await prepare(any_client, tmp_path)
    task, step = await begun(any_client, name, function)
    kill(any_agent.inside(step.worker).init)
    error = await fails(task, WorkerLost)
    assert error.message == f"worker {step.worker} was lost: {any_agent.killed_init}"
    await healed(any_agent, any_client, name, step.worker)


@pytest.mark.parametrize(
    ("victim", "error_type"),
    [("runtime", "FunctionExited"), ("init", "WorkerLost")],
)
async def test_a_killed_callee_in_another_worker_is_the_callers_error(
    any_agent: Agent, any_client: Client, tmp_path: Path, victim: str, error_type: str
) -> None:
    await prepare(any_client, tmp_path, outflow="always")
    task, step = await begun(any_client, "caller", "nap")
    if victim == "init":
        kill(any_agent.inside(step.worker).init)
    else:
        kill(any_agent.runtime(step.worker, step.pid))
    error = await fails(task, FunctionRaised)
    assert error.error_type == error_type
    await healed(any_agent, any_client, "caller", step.worker)


async def test_when_a_callers_worker_dies_its_callees_elsewhere_are_ended(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    await prepare(any_client, tmp_path, outflow="always")
    task, callee = await begun(any_client, "caller", "nap")
    caller = (await any_client.trace()).steps[0]
    assert caller.worker != callee.worker
    kill(any_agent.inside(caller.worker).init)
    await fails(task, WorkerLost)
    await until(lambda: callee.worker not in any_agent.workers(), "the callee's worker is gone")


async def test_a_prewarmed_worker_that_dies_is_replaced_before_anybody_asks(
    any_agent: Agent, any_client: Client
) -> None:
    async def prewarmed() -> set[str]:
        async for item in any_client.watch():
            workers = getattr(item, "workers", ())
            return {w.id for w in workers if w.pool == "python" and not w.function and w.state == "paused"}
        return set()

    async def full() -> set[str]:
        found = await prewarmed()
        return found if len(found) == any_agent.settings["prewarm"]["python"] else set()

    before = await until(full, "the pool is full")
    victim = min(before)
    kill(any_agent.inside(victim).proxy)
    after = await until(lambda: changed(full, before), "another has come")
    assert victim not in after


async def changed(full: Callable[[], object], before: set[str]) -> set[str]:
    found = await full()  # type: ignore[misc]
    return found if found != before else set()


# Of the process driver alone: containers have no launcher, the engine makes each by itself.
@pytest.mark.parametrize("isolation", ["", "none"])
@pytest.mark.parametrize("name", ["nap", "staying"])
async def test_a_killed_launcher(tmp_path: Path, isolation: str, name: str) -> None:
    with Agent.start(isolation=isolation, prewarm={"python": 2}) as agent:
        async with agent.client() as client:
            await prepare(client, tmp_path)
            task, step = await begun(client, name)
            before = agent.processes()
            old = agent.launcher()
            kill(old[-1])
            error = await fails(task, WorkerLost)
            assert error.message.startswith(f"worker {step.worker} was lost: ")
            assert await client.invoke(name, "0", timeout=20) == "rested"
            await until(lambda: not (before - {old[0]}) & agent.processes(), "all that it had made is gone")
            assert step.worker not in agent.workers()


# Of the process driver alone, as above.
async def test_a_killed_outer_launcher_takes_all_with_it(tmp_path: Path) -> None:
    with Agent.start(prewarm={"python": 2}) as agent:
        async with agent.client() as client:
            await prepare(client, tmp_path)
            task, _step = await begun(client, "nap")
            before = agent.processes()
            kill(agent.launcher()[0])
            await fails(task, WorkerLost)
            assert await client.invoke("nap", "0", timeout=20) == "rested"
            await until(lambda: not before & agent.processes(), "all that it had made is gone")


@pytest.mark.parametrize("name", ["nap", "caller"])
async def test_a_killed_agent_leaves_nothing_and_its_next_life_knows_its_functions(
    any_start: Start, tmp_path: Path, name: str
) -> None:
    agent = any_start(prewarm={"python": 2}, linger_s=0.2, pause="always")
    try:
        try:
            async with agent.client() as client:
                await prepare(client, tmp_path, outflow="always")
                task, _ = await begun(client, name, "nap")
                await until(lambda: frozen(agent), "some workers are frozen")
                before = agent.processes()
                agent.kill()
                # Frozen processes die with their parents; a frozen container is removed by the agent's next life.
                last = frozen(agent) if isinstance(agent, DockerAgent) else ()
                stay = {pid for worker in last for pid in agent.processes_of(worker)}
                error = await fails(task, AgentUnreachable)
                assert "went away during the call" in error.message or "no agent answers" in error.message
            await until(lambda: not any(map(alive, before - stay)), "no process of it runs any more")
        finally:
            agent = agent.restarted()
        assert not any(map(alive, before)), "nor does a frozen one"
        await until(lambda: agent.marked() <= agent.processes(), "all that there is of it is of its new life")
        async with agent.client() as client:
            assert {function.name for function in await client.list()} == {"nap", "caller", "staying"}
            assert await client.invoke(name, "0", timeout=20) == "rested"
    finally:
        agent.close()


def frozen(agent: Agent) -> set[str]:
    return {worker for worker in agent.workers() if agent.is_frozen(worker)}
