"""That the harness measures what it says, a few times each, with either driver; never how long it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.drivers.engines import need_engine
from tests.benchmarks.harness import inside
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench
from tests.benchmarks.harness.calls import FirstCalls, PausedCalls
from tests.benchmarks.harness.processes import group_bytes, parts, pss_bytes
from tests.support.agents import write_function

pytestmark = pytest.mark.slow
DRIVERS = ["process", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "docker":
        need_engine()
    return name


async def test_first_and_paused_calls_are_what_they_are_called_and_a_workers_parts_are_found(driver: str) -> None:
    bench = Bench(quick=True, driver=driver)
    async with bench.agent(prewarm={"python": 1}, linger_s=0.1, pause="always") as running:
        first = FirstCalls(running, "python", "paused", 1)
        assert len(await first.take(1)) == 1
        assert (first.parts.how, "resume" in first.parts.spans) == ("prewarmed 1", True)
        (worker,) = await running.client.workers()
        found = parts(running.agent, driver, worker.id)
        assert found.keys() == {"init", "proxy", "runtime"} | ({"containerd-shim"} if driver == "docker" else set())
        assert all(pss_bytes(pid) > 0 for pids in found.values() for pid in pids)
        if driver == "docker":  # the process driver's may be limited otherwise
            assert group_bytes(found["init"][0]) > 0
        await running.function("echo", ECHO["python"])
        async with running.client.stream() as stream:
            await stream.invoke("echo", PAYLOAD)
            paused = PausedCalls(running, stream, "echo")
            assert len(await paused.take(2)) == len(paused.awake) == len(paused.parts.spans["resume"]) == 2
            assert paused.parts.how == "warm 2"


async def test_a_node_inside_answers_as_often_as_it_is_asked(driver: str, tmp_path: Path) -> None:
    async with inside.node(write_function(tmp_path, "echo", ECHO["python"]), driver) as node:
        assert len(await node.begin(3)) == 3
        assert {what: len(took) for what, took in (await node.freeze(2)).items()} == {
            "pause": 2,
            "resume": 2,
            "answer": 2,
        }


async def test_a_node_inside_that_has_ended_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with inside.node(tmp_path / "nowhere", "process") as node:
        with pytest.raises(RuntimeError, match="the node inside has ended"):
            await node.begin(1)
    assert "nowhere" in capfd.readouterr().err
