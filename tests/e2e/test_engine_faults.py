"""An engine that is killed, hangs, is full or loses images, under a real agent: a clear answer, then all is well.

The engine is a private one, so that nothing that happens to it is anybody else's business. No test goes by how long a
thing takes; each wait has a limit that only says that it does not take for ever.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from agent import images
from agent.drivers.docker.engine import STARTS_AT_ONCE
from mee6.client import Client
from mee6.errors import Exhausted, Mee6Error, WorkerLost
from mee6.records import Node, Worker
from tests.agent.drivers.engines import mounts_below, need_engine
from tests.support.agents import Agent, StartFailed, temporary_state, until, write_function
from tests.support.engine import PrivateEngine, Tap, private_engine, save_image, why_not

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(600)]

LIMIT_S = 90.0
"""Of a wait that must end; an engine that starts again may take 15 s to end what it finds running."""
SETTINGS: dict[str, Any] = {"driver": "docker", "prewarm": {"python": 2, "nodejs": 0}, "linger_s": 0.1}
ECHO = "def main(arg):\n    return arg\n"
HOLD = (  # runs until the file says that it may end
    "import os, time\ndef main(arg):\n    open('/act/flow/begun', 'w').close()\n"
    "    while not os.path.exists('/act/flow/go'): time.sleep(0.02)\n    return 'done'\n"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_engine("python")
    if reason := why_not():
        pytest.skip(reason)
    return save_image(images.image_name("python"), tmp_path_factory.mktemp("image") / "python.tar")


@pytest.fixture(scope="module")
def shared(image: Path) -> Iterator[PrivateEngine]:
    with private_engine() as engine:
        engine.load(image)
        yield engine


@pytest.fixture
def engine(shared: PrivateEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateEngine]:
    monkeypatch.setenv("DOCKER_HOST", shared.url)
    if not shared.is_running:
        shared.start()
    yield shared
    if not shared.is_running:
        shared.start()
    shared.resume()
    assert shared.containers() == [], "containers are left"


async def node_of(client: Client) -> Node:
    return (await client.nodes())[0]


async def ready(client: Client, floor: int = 2) -> Node:
    """Waits until the pool is full."""

    async def full() -> Node | None:
        node = await node_of(client)
        pool = next((pool for pool in node.pools if pool.name == "python"), None)
        return node if pool is not None and pool.ready >= floor and not pool.failure else None

    found = await until(full, "the pool is full", LIMIT_S)
    assert found is not None
    return found


async def worker_of(client: Client, name: str) -> Worker:
    async def found() -> Worker | None:
        return next((one for one in await client.workers() if one.function == name and one.state == "busy"), None)

    worker = await until(found, f"{name} runs", LIMIT_S)
    assert worker is not None
    return worker


async def begun(agent: Agent, client: Client, name: str) -> tuple[asyncio.Task[Any], str]:
    """Starts a function that holds until `let_go`; returns once it runs."""
    task = asyncio.create_task(client.invoke(name, "x"))
    worker = (await worker_of(client, name)).id
    await until((agent.state / "mnt" / worker / "flow" / "begun").exists, "it has begun", LIMIT_S)
    return task, worker


def let_go(agent: Agent, worker: str) -> None:
    (agent.state / "mnt" / worker / "flow" / "go").touch()


async def end_of(task: asyncio.Task[Any]) -> Mee6Error:
    with pytest.raises(Mee6Error) as caught:
        await asyncio.wait_for(task, LIMIT_S)
    assert "\n" not in caught.value.message
    return caught.value


def container_of(engine: PrivateEngine, worker: str) -> str:
    (found,) = engine.containers(label=f"mee6.worker={worker}")
    return str(found["Id"])


def status(agent: Agent) -> str:
    command = [sys.executable, "-m", "mee6tui.cli.main", "agent", "status", "--address", agent.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    return done.stdout


async def test_an_engine_that_is_killed_and_started_again(engine: PrivateEngine, tmp_path: Path) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "echo", ECHO))
            await client.add(write_function(tmp_path, "hold", HOLD))
            await ready(client)
            assert await client.invoke("echo", "one") == "one"
            running, holder = await begun(agent, client, "hold")
            await ready(client)
            engine.kill()
            # What needs no engine goes on: the function that runs, and a warm one, paused meanwhile or not.
            assert await client.invoke("echo", "two") == "two"
            await until(lambda: "does not answer" in status(agent), "status says what is wrong", LIMIT_S)
            let_go(agent, holder)
            assert await running == "done"
            other, _ = await begun(agent, client, "hold")
            engine.start()  # which ends all that ran in its name
            error = await end_of(other)
            assert isinstance(error, WorkerLost)
            await ready(client)
            assert "does not answer" not in status(agent)
            assert await client.invoke("echo", "three") == "three"
            await until(lambda: len(engine.containers()) <= 4, "those of before are gone", LIMIT_S)


async def test_an_engine_that_is_stopped_in_good_order(engine: PrivateEngine, tmp_path: Path) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "echo", ECHO))
            await client.add(write_function(tmp_path, "hold", HOLD))
            await ready(client)
            running, _ = await begun(agent, client, "hold")
            await asyncio.to_thread(engine.stop)
            assert isinstance(await end_of(running), WorkerLost)
            error = await end_of(asyncio.create_task(client.invoke("echo", "x")))
            assert isinstance(error, Exhausted), error
            assert "does not answer" in error.message
            engine.start()
            await ready(client)
            assert await client.invoke("echo", "x") == "x"


async def test_an_engine_that_hangs_costs_new_workers_only(engine: PrivateEngine, tmp_path: Path) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "echo", ECHO))
            await ready(client)
            assert await client.invoke("echo", "one") == "one"
            await ready(client)
            engine.hang()
            for _ in range(20):
                assert await client.invoke("echo", "warm") == "warm"
            await until(lambda: "it hangs" in status(agent), "status says what is wrong", LIMIT_S)
            # New workers cannot be had: whoever needs one is told so, sooner than its own limit would.
            names = [f"new{number}" for number in range(4)]
            for name in names:
                await client.add(write_function(tmp_path, name, ECHO))
            answers = await asyncio.gather(*(client.invoke(name, name) for name in names), return_exceptions=True)
            served = [answer for answer in answers if isinstance(answer, str)]
            failed = [answer for answer in answers if isinstance(answer, Mee6Error)]
            assert len(served) == 2, answers  # as many as were prewarmed
            assert all(isinstance(error, Exhausted) and "it hangs" in error.message for error in failed), failed
            engine.resume()
            await ready(client)
            assert await asyncio.gather(*(client.invoke(name, name) for name in names)) == names


async def test_an_agent_stops_while_its_engine_hangs_and_the_next_one_removes_what_it_left(
    engine: PrivateEngine,
) -> None:
    agent = Agent.start(**SETTINGS)
    try:
        async with agent.client() as client:
            await ready(client)
        engine.hang()
        agent._process.terminate()
        assert await asyncio.to_thread(agent._process.wait, LIMIT_S) == 0
        agent._release()
        assert "containers may be left" in agent.log()
        engine.resume()
        # They were killed without its help; what it was asked to remove before, it may do now.
        await until(lambda: all(one["State"] != "running" for one in engine.containers()), "nothing runs", LIMIT_S)
        agent = agent.restarted()
        async with agent.client() as client:
            await ready(client)
        assert len(engine.containers()) == 2
    finally:
        engine.resume()
        agent.close()


async def test_a_removed_image_is_named_with_what_makes_it_and_taken_up_again(
    engine: PrivateEngine, image: Path, tmp_path: Path
) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "echo", ECHO))
            await ready(client)
            with engine.client() as api:
                api.remove_image(images.image_name("python"), force=True)
            for worker in await client.workers():  # a pool that is full asks for nothing
                with engine.client() as api:
                    api.remove_container(container_of(engine, worker.id), force=True)

            async def failure() -> str:
                return next(pool.failure for pool in (await node_of(client)).pools if pool.name == "python")

            said = await until(failure, "the pool says why", LIMIT_S)
            assert "mee6 image build python" in said
            assert "mee6 image build python" in status(agent)
            error = await end_of(asyncio.create_task(client.invoke("echo", "x")))
            assert "mee6 image build python" in error.message
            await asyncio.to_thread(engine.load, image)
            await ready(client)
            assert await client.invoke("echo", "x") == "x"


@pytest.fixture(params=["direct", "api"])
def _means_of_pausing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "api":
        monkeypatch.setenv("MEE6_DOCKER_PAUSE", "api")


HANDS = {
    "removed": lambda api, container: api.remove_container(container, force=True),
    "killed": lambda api, container: api.kill(container),
    "paused": lambda api, container: api.pause(container),
}


@pytest.mark.usefixtures("_means_of_pausing")
@pytest.mark.parametrize("hand", HANDS)
async def test_a_busy_container_that_somebody_takes_away(engine: PrivateEngine, tmp_path: Path, hand: str) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "hold", HOLD, timeoutS=3600))
            await ready(client)
            running, worker = await begun(agent, client, "hold")
            with engine.client() as api:
                HANDS[hand](api, container_of(engine, worker))
            error = await end_of(running)
            assert isinstance(error, WorkerLost)
            assert worker in error.message
            await ready(client)
            await until(lambda: not engine.containers(label=f"mee6.worker={worker}"), "its container is gone", LIMIT_S)


@pytest.mark.usefixtures("_means_of_pausing")
@pytest.mark.parametrize("hand", HANDS)
async def test_idle_containers_that_somebody_takes_away_are_replaced_and_no_call_fails(
    engine: PrivateEngine, tmp_path: Path, hand: str
) -> None:
    with Agent.start(**SETTINGS) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "echo", ECHO))
            await ready(client)
            workers = {worker.id for worker in await client.workers()}
            with engine.client() as api:
                for worker in workers:
                    HANDS[hand](api, container_of(engine, worker))
            assert await asyncio.wait_for(client.invoke("echo", "x"), LIMIT_S) == "x"
            await ready(client)

            async def replaced() -> bool:
                return not workers & {worker.id for worker in await client.workers()}

            await until(replaced, "all were replaced", LIMIT_S)


async def test_a_full_disk_is_said_and_outlived(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_engine(data_bytes=600 << 20) as engine:
        engine.load(image)
        monkeypatch.setenv("DOCKER_HOST", engine.url)
        with Agent.start(**SETTINGS) as agent:
            async with agent.client() as client:
                await client.add(write_function(tmp_path, "echo", ECHO))
                await ready(client)
                filler = engine.data / "filler"
                with suppress(OSError), filler.open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(1 << 20))
                with suppress(OSError), filler.open("ab", buffering=0) as file:
                    while True:
                        file.write(b"\0")
                answers = []
                for number in range(6):  # those kept ready serve first
                    await client.add(write_function(tmp_path, f"f{number}", ECHO))
                    answers.append(await _answer(client, f"f{number}"))
                errors = [answer for answer in answers if isinstance(answer, Mee6Error)]
                assert errors, answers
                assert all(isinstance(error, Exhausted) for error in errors), errors
                assert "the disk of the Docker Engine is full" in errors[-1].message
                assert "disk" in status(agent)
                filler.unlink()
                await ready(client)
                assert await client.invoke("echo", "x") == "x"
        assert engine.containers() == []


async def _answer(client: Client, name: str) -> Any:
    try:
        return await asyncio.wait_for(client.invoke(name, "x"), LIMIT_S)
    except Mee6Error as error:
        return error


def test_without_an_engine_the_agent_names_the_process_driver_and_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the docker driver needs root")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    state = temporary_state()
    with pytest.raises(StartFailed) as caught:
        Agent.start(state, driver="docker")
    assert caught.value.code == 7
    assert "--driver process" in caught.value.said
    assert "mee6 doctor --driver docker" in caught.value.said
    assert "Traceback" not in caught.value.said
    with Agent.start(state, driver="auto", prewarm={"python": 0, "nodejs": 0}) as agent:
        assert "--driver auto takes process: no Docker Engine answers" in agent.log()


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_killed_agents_containers_are_gone_after_destroy(engine: PrivateEngine, restarted: bool) -> None:
    agent = Agent.start(**{**SETTINGS, "prewarm": {"python": 20, "nodejs": 0}})
    try:
        await until(lambda: len(engine.containers(status="running")) == 20, "twenty containers", 2 * LIMIT_S)
        agent.kill()
        if restarted:
            agent.settings["prewarm"] = {"python": 1, "nodejs": 0}
            agent = agent.restarted()
        done = await asyncio.to_thread(_mee6, "agent", "destroy", "-y", "--state-dir", str(agent.state))
        assert done.returncode == 0, done.stderr
        assert engine.containers() == []
        assert engine.shims() == []
        assert not agent.state.exists()
    finally:
        if agent._process.poll() is None:
            agent.kill()
        else:
            agent._release()
    assert mounts_below(agent.state) == []


def _mee6(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mee6tui.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


async def test_destroy_says_so_when_it_cannot_reach_what_is_left(engine: PrivateEngine) -> None:
    agent = Agent.start(**SETTINGS)
    await until(lambda: len(engine.containers(status="running")) == 2, "two containers", LIMIT_S)
    agent.kill()
    engine.kill()
    done = _mee6("agent", "destroy", "-y", "--state-dir", str(agent.state))
    assert done.returncode == 7
    assert "containers of this agent may be left" in done.stderr
    engine.start()
    done = _mee6("agent", "destroy", "-y", "--state-dir", str(agent.state))
    assert done.returncode == 0, done.stderr
    assert engine.containers() == []


async def test_a_burst_does_not_stampede(
    engine: PrivateEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, start = "POST /containers/create", "POST /containers/start"
    gate = threading.Event()
    folder = temporary_state()
    with Tap(folder / "tap.sock", engine.socket, lambda asked: gate.wait() and 0 if asked == create else 0) as tap:
        monkeypatch.setenv("DOCKER_HOST", tap.url)
        try:
            with Agent.start(**{**SETTINGS, "prewarm": {"python": 0, "nodejs": 0}}) as agent:
                async with agent.client() as client:
                    await client.add(write_function(tmp_path, "echo", ECHO))
                    calls = [asyncio.create_task(client.invoke("echo", "x")) for _ in range(40)]
                    await until(lambda: tap.under_way[create] == STARTS_AT_ONCE, "as many as may", LIMIT_S)
                    assert tap.asked[create] == STARTS_AT_ONCE
                    gate.set()
                    assert await asyncio.gather(*calls) == ["x"] * 40
                    # Whoever waits is served by whatever becomes free first, not by a worker each.
                    assert tap.asked[create] < 40
                    assert max(tap.most[create], tap.most[start]) <= STARTS_AT_ONCE
        finally:
            gate.set()
    shutil.rmtree(folder)
