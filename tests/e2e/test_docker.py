"""What is Docker's own: containers as the engine sees them, one flow over several of them, and kill -9 with many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent import images
from mee6.client import Client
from mee6.records import Batch, Handover
from tests.agent.drivers.engines import containers, need_engine
from tests.e2e.conftest import user_of
from tests.support.agents import HELD, until, write_function
from tests.support.docker_agents import DockerAgent

pytestmark = [pytest.mark.slow, pytest.mark.docker]

PART = """
import os, socket, time, mee6
def main(arg):
    (mee6.flow / arg).write_text(f"{arg} of {user}")
    while len(os.listdir(mee6.flow)) < 2:
        time.sleep(0.005)
    return socket.gethostname()
"""
"""Notes that it ran, and waits until the other part has as well."""
LOOK = """
import os, socket
SECRET = "code of {user}"
def main(arg):
    found = set()
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/sys", "/usr", "/dev")]
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read(4096).decode("utf-8", "replace")
            except OSError:
                continue
            found.update(word for word in arg if word in text)
    return sorted(found), sorted(os.listdir("/act/rsc")), socket.gethostname()
"""
"""Looks through all that it can read for some texts."""
WHOLE = """
import mee6
def main(arg):
    hosts = mee6.gather(("part", "a"), ("part", "b"))
    seen = mee6.invoke("look", arg)
    mee6.invoke("held")
    return hosts, seen
"""


async def add_workflow(client: Client, base: Path) -> None:
    calls = {"part": "always", "look": "always", "held": "no"}
    await client.add(write_function(base, "whole", WHOLE, calls=calls))
    await client.add(write_function(base, "part", PART.replace("{user}", client.user)))
    await client.add(write_function(base, "held", HELD))
    await client.add(write_function(base, "look", LOOK.replace("{user}", client.user)))


async def test_parallel_steps_run_in_containers_of_their_own_and_share_one_flow_which_no_other_user_sees(
    docker_agent: DockerAgent, user: str, tmp_path: Path
) -> None:
    one, other = f"{user}-one", f"{user}-two"
    async with user_of(docker_agent, one) as mine, user_of(docker_agent, other) as theirs:
        await add_workflow(mine, tmp_path / "mine")
        await add_workflow(theirs, tmp_path / "theirs")
        of_mine = [f"a of {one}", f"b of {one}", f"code of {one}"]
        of_theirs = [text.replace(one, other) for text in of_mine]
        sought = [*of_mine, *of_theirs]
        sought = [*of_mine, *of_theirs]

        async def held(client: Client, id_: str) -> str:
            steps = (await client.trace(id_)).steps
            return next((step.worker for step in steps if step.function == "held" and step.state == "running"), "")

        runs = {client: await client.submit("whole", sought) for client in (mine, theirs)}
        homes = {client: await until(lambda c=client: held(c, runs[c]), "it is held") for client in runs}  # type: ignore[misc]
        # Both workflows have written and looked, and neither has ended.
        for home in homes.values():
            docker_agent.let_go(home)
        seen = {client: await client.result(id_, wait=20) for client, id_ in runs.items()}
    everywhere = set()
    for client, (hosts, (found, code, looker)) in seen.items():
        assert len({*hosts, looker, homes[client]}) == 4
        everywhere |= {*hosts, looker, homes[client]}
        assert code == ["look"], "of its own user's code it has what it can reach"
        assert found == (of_mine if client is mine else of_theirs), "its own workflow's, and nothing of another's"
    assert len(everywhere) == 8


async def test_a_trace_of_containers_tells_what_one_of_processes_does(
    docker_agent: DockerAgent, user: str, tmp_path: Path
) -> None:
    states: list[tuple[str, str]] = []
    ready = asyncio.Event()
    async with user_of(docker_agent, user) as client:

        async def all_paused() -> bool:
            states = [worker.state for worker in await client.workers() if not worker.function]
            return states == ["paused"] * sum(docker_agent.settings["prewarm"].values())

        async def watch() -> None:
            async for item in client.watch(kinds=["handover"]):
                if isinstance(item, Batch):
                    states.extend((e.what.worker, e.what.state) for e in item.events if isinstance(e.what, Handover))
                ready.set()

        await until(all_paused, "the pool is full, and all of it is paused")
        await client.add(write_function(tmp_path, "f", "def main(arg):\n    return arg\n"))
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            await ready.wait()
            assert await client.invoke("f", "one") == "one"
            first = (await client.trace()).steps[0]
            await until(lambda: (first.worker, "alone") in states, "the handover has ended")
            watching.cancel()
        assert (first.start, first.via) == ("prewarmed", "direct")
        assert [span.kind for span in first.spans] == ["queued", "resume", "load", "run"]
        ends = [span.end_ns for span in first.spans]
        assert ends == sorted(ends)
        await until(lambda: docker_agent.is_frozen(first.worker), "it is paused after its linger")
        assert await client.invoke("f", "two") == "two"
        second = (await client.trace()).steps[0]
        assert (second.worker, second.start, second.via) == (first.worker, "warm", "direct")
        assert [span.kind for span in second.spans] == ["queued", "resume", "run"]
        # The engine's own list: pid 1 and the runtime that served, no proxy and no spare.
        inside = docker_agent.inside(first.worker)
        rows = docker_agent.top(first.worker)
        assert {int(row[1]) for row in rows} == {inside.init, docker_agent.runtime(first.worker, second.pid)}

        code = "import mee6\ndef main(arg):\n    return mee6.invoke('f', arg)\n"
        await client.add(write_function(tmp_path, "flow", code, calls={"f": "no"}))
        assert await client.invoke("flow", "three") == "three"
        outer, step = (await client.trace()).steps
        assert (outer.via, step.via, step.worker) == ("proxy", "proxy", outer.worker)
        assert "load" in {span.kind for span in step.spans}
        assert docker_agent.inside(outer.worker).proxy in {int(row[1]) for row in docker_agent.top(outer.worker)}


async def test_the_engine_sees_a_container_paused_resumed_and_paused_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_engine()
    monkeypatch.setenv("MEE6_DOCKER_PAUSE", "api")
    with DockerAgent.start(prewarm={"python": 1}, linger_s=0.2, pause="after-use") as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "held", HELD))

            async def run() -> str:
                id_ = await client.submit("held")
                worker = await until(lambda: runs(client, id_), "it runs")
                assert not agent.is_paused_by_the_engine(worker)
                # Pid 1 and its runtime: after a handover the proxy has left.
                await until(lambda: len(agent.top(worker)) == 2, "no proxy is in the container")
                assert not agent.is_paused_by_the_engine(worker)
                agent.let_go(worker)
                assert await client.result(id_, wait=20) == "rested"
                return worker

            worker = await run()
            await until(lambda: agent.is_paused_by_the_engine(worker), "paused after its linger")
            assert await run() == worker, "resumed for an invocation"
            await until(lambda: agent.is_paused_by_the_engine(worker), "paused again")


async def runs(client: Client, id_: str) -> str:
    """The worker that runs the invocation; empty while none does."""
    return next((step.worker for step in (await client.trace(id_)).steps if step.state == "running"), "")


@pytest.mark.timeout(300)
async def test_a_killed_agents_twenty_containers_are_gone_after_the_next_start() -> None:
    need_engine()
    agent = DockerAgent.start(prewarm={"python": 20}, linger_s=0.1)
    name = agent.id
    with images.connect() as api:

        def ours() -> set[str]:
            return {str(container["Id"]) for container in containers(api, name)}

        await until(lambda: len(ours()) >= 20, "twenty containers", limit_s=150)
        agent.kill()
        before = ours()
        agent.settings["prewarm"] = {"python": 1}
        with agent.restarted():
            assert not before & ours()
        assert not ours()
