"""What a watcher is told by a real agent: a snapshot, numbered batches, every state on the way, and all output."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.records import Batch, FunctionChange, Invocation, LogLine, Snapshot, Step, What, Worker
from tests.e2e.conftest import Start
from tests.support.agents import HELD, Agent, running_worker, until, write_function

pytestmark = pytest.mark.slow


class Watcher:
    """All that a watcher was told, in order."""

    def __init__(self) -> None:
        self.items: list[Snapshot | Batch] = []

    def of(self, kind: type[What]) -> list[What]:
        batches = [item for item in self.items if isinstance(item, Batch)]
        return [event.what for batch in batches for event in batch.events if isinstance(event.what, kind)]


@asynccontextmanager
async def watching(client: Client, *kinds: str) -> AsyncIterator[Watcher]:
    watcher = Watcher()

    async def watch() -> None:
        async for item in client.watch(kinds=kinds):
            watcher.items.append(item)

    task = asyncio.create_task(watch())
    try:
        await until(lambda: watcher.items, "a snapshot")
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watcher_gets_a_snapshot_and_then_batches_whose_numbers_join(client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", "def main(arg):\n    return arg\n"))
    async with watching(client) as watcher:
        (snapshot,) = watcher.items
        assert isinstance(snapshot, Snapshot)
        assert ("f", client.user) in {(function.name, function.username) for function in snapshot.functions}
        assert snapshot.node.pid
        assert len(snapshot.workers) == snapshot.node.workers
        for n in range(5):
            await client.invoke("f", str(n))
        done = lambda: sum(isinstance(i, Invocation) and i.ended_ns > 0 for i in watcher.of(Invocation)) >= 5  # noqa: E731
        await until(done, "all five have ended")
        batches = watcher.items[1:]
        assert all(isinstance(batch, Batch) for batch in batches)
        numbers = [batch.seq for batch in batches if isinstance(batch, Batch)]
        assert numbers[0] == snapshot.seq
        assert numbers == sorted(set(numbers))


async def test_cold_prewarmed_and_warm_starts_are_told_apart(start: Start, tmp_path: Path) -> None:
    function = write_function(tmp_path, "f", HELD)
    with start(prewarm={"python": 0}, linger_s=0.2) as agent:
        async with agent.client() as client, watching(client, "worker", "invocation", "step") as watcher:
            await client.add(function)

            async def told_and_let_go(state: str) -> None:
                worker = await until(lambda: running_worker(client), "it runs")
                await until(lambda: state in states(watcher, worker), f"{state} is told")
                agent.let_go(worker)

            # A state that is over before the next batch goes out is not told: only the last of several is.
            await asyncio.gather(client.invoke("f"), told_and_let_go("busy"))
            cold = await client.trace()
            await until(lambda: "warm" in states(watcher, cold.steps[0].worker), "it is told that it is warm")
            await asyncio.gather(client.invoke("f"), told_and_let_go("busy"))
            warm = await client.trace()
            await until(lambda: "paused" in states(watcher, cold.steps[0].worker), "it is paused")
            seen = [found.state for found in watcher.of(Invocation) if isinstance(found, Invocation)]
    assert [span.kind for span in cold.steps[0].spans] == ["queued", "start", "load", "run"]
    assert (cold.steps[0].start, warm.steps[0].start) == ("cold", "warm")
    assert [span.kind for span in warm.steps[0].spans] == ["queued", "run"]
    assert seen[-1] == "succeeded"
    assert "running" in seen
    quick = write_function(tmp_path, "quick", "def main(arg):\n    return arg\n")
    with start(prewarm={"python": 1}, linger_s=0.2, pause="always") as agent:
        async with agent.client() as client:
            await client.add(quick)

            async def paused() -> bool:
                return (await client.nodes())[0].paused == 1

            await until(paused, "the worker waits, paused")
            await client.invoke("quick")
            prewarmed = (await client.trace()).steps[0]
    assert prewarmed.start == "prewarmed"
    assert [span.kind for span in prewarmed.spans] == ["queued", "resume", "load", "run"]


def states(watcher: Watcher, worker: str) -> set[str]:
    return {found.state for found in watcher.of(Worker) if isinstance(found, Worker) and found.id == worker}


async def test_the_steps_of_a_workflow_are_told_while_they_run(agent: Agent, client: Client, tmp_path: Path) -> None:
    code = """
import mee6
def main(arg):
    mee6.invoke("one")
    (mee6.flow / "go").unlink()
    mee6.invoke("two")
"""
    await client.add(write_function(tmp_path, "flow", code, calls={"one": "", "two": ""}))
    await client.add(write_function(tmp_path, "one", HELD))
    await client.add(write_function(tmp_path, "two", HELD))
    async with watching(client, "step") as watcher:
        id_ = await client.submit("flow")

        def of(step: str) -> list[Step]:
            return [s for s in watcher.of(Step) if isinstance(s, Step) and s.id == f"{id_}{step}"]

        async def told_and_let_go(number: str) -> None:
            await until(lambda: "running" in {step.state for step in of(number)}, f"{number} is told to run")
            agent.let_go(of(number)[-1].worker)
            await until(lambda: of(number)[-1].state == "succeeded", f"the end of {number} is told")

        await told_and_let_go(".1")
        await told_and_let_go(".2")
        await until(lambda: of("") and of("")[-1].state == "succeeded", "the workflow's end is told")


async def test_adding_and_removing_functions_is_told(client: Client, tmp_path: Path) -> None:
    async with watching(client, "function") as watcher:
        folder = write_function(tmp_path, "f", "def main(arg):\n    return 1\n")
        await client.add(folder)
        write_function(tmp_path, "f", "def main(arg):\n    return 2\n")
        await client.add(folder)
        await client.remove("f")

        def changes() -> list[tuple[int, bool]]:
            mine = [
                f for f in watcher.of(FunctionChange) if isinstance(f, FunctionChange) and f.username == client.user
            ]
            return [(change.version, change.removed) for change in mine]

        await until(lambda: (2, True) in changes(), "the removal is told")
        assert changes()[-1] == (2, True)


PRINTS = """
import os, subprocess, sys, mee6
def main(arg):
    print("to out")
    print("to err", file=sys.stderr)
    mee6.log.warning("to the log")
    sys.stdout.flush()
    subprocess.run(["/bin/sh", "-c", "echo from a program; echo its complaint >&2"], check=True)
    os.write(1, b"past the SDK\\n")
    return "done"
"""


def texts(lines: list[LogLine], stream: str) -> str:
    return "".join(line.log.text for line in lines if line.log.stream == stream)


async def lines_of(client: Client, invocation: str) -> list[LogLine]:
    return [line async for line in client.logs(invocation=invocation)]


async def test_all_that_a_function_writes_is_in_its_invocations_log(any_client: Client, tmp_path: Path) -> None:
    await any_client.add(write_function(tmp_path, "prints", PRINTS))
    for _ in range(2):
        outcome = await any_client.invoke_raw("prints", b"", "text/plain")

        async def all_there(invocation: str = outcome.id) -> bool:
            lines = await lines_of(any_client, invocation)
            out, err = texts(lines, "out"), texts(lines, "err")
            return all(text in out for text in ("to out\n", "from a program\n", "past the SDK\n")) and all(
                text in err for text in ("to err\n", "to the log", "its complaint\n")
            )

        await until(all_there, "all that was written")
        assert {line.log.invocation for line in await lines_of(any_client, outcome.id)} == {outcome.id}


async def test_output_of_a_step_belongs_to_the_step(client: Client, tmp_path: Path) -> None:
    code = "import mee6\ndef main(arg):\n    print('before')\n    mee6.invoke('low')\n    print('after')\n"
    await client.add(write_function(tmp_path, "top", code, calls={"low": ""}))
    await client.add(write_function(tmp_path, "low", "def main():\n    print('below')\n"))
    outcome = await client.invoke_raw("top", b"", "text/plain")
    lines = await lines_of(client, outcome.id)
    assert [(line.log.function, line.log.text) for line in lines] == [
        ("top", "before\n"),
        ("low", "below\n"),
        ("top", "after\n"),
    ]
    assert [line.log.text for line in await lines_of(client, f"{outcome.id}.1")] == ["below\n"]


async def test_logs_can_be_followed_while_the_function_runs(agent: Agent, client: Client, tmp_path: Path) -> None:
    code = HELD.replace("def main(arg):", "def main(arg):\n    print('first', flush=True)")
    code = code.replace("return", "print('second')\n    return")
    await client.add(write_function(tmp_path, "slowly", code))
    running = asyncio.create_task(client.invoke("slowly"))
    seen: list[tuple[str, bool]] = []
    async for line in client.logs("slowly", follow=True):
        seen.append((line.log.text, running.done()))
        if line.log.text == "second\n":
            break
        agent.let_go(await until(lambda: running_worker(client), "it runs"))
    await running
    assert seen[0] == ("first\n", False)
