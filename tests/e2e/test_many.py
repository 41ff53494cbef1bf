"""Functions of which one worker takes several invocations at once, and bursts that wait for workers in use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mee6.client import Client
from mee6.errors import Cancelled, LoadFailed, TimedOut, WorkerLost
from tests.support.agents import Agent, until, write_function

pytestmark = pytest.mark.slow

MANY = 8
PYTHON = """
import asyncio, os, mee6
gates = {}
async def main(arg):
    do, _, name = arg.partition(" ")
    gate = gates.setdefault(name, asyncio.Event())
    if do == "open":
        gate.set()
    elif do == "wait":
        print("begins", name)
        await gate.wait()
    elif do == "deaf":
        print("begins", name)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue
    elif do == "exit":
        os._exit(3)
    elif do == "call":
        return await mee6.aio.invoke("inner", name)
    return f"{os.getpid()} {mee6.context.invocation}"
"""
NODEJS = """
const Box = require("@m6s/box");
const gates = new Map();
const gate = (name) => {
  if (!gates.has(name)) {
    const made = {};
    made.promise = new Promise((resolve) => (made.open = resolve));
    gates.set(name, made);
  }
  return gates.get(name);
};
module.exports = async (arg) => {
  const [what, name] = arg.split(" ");
  if (what === "open") gate(name).open();
  else if (what === "wait") {
    console.log("begins", name);
    const off = new Promise((_, reject) => Box.signal.addEventListener("abort", () => reject(Box.signal.reason)));
    await Promise.race([gate(name).promise, off]);
  } else if (what === "deaf") {
    console.log("begins", name);
    await new Promise(() => {});
  }
  else if (what === "exit") process.exit(3);
  else if (what === "call") return Box.invoke("inner", name);
  return `${process.pid} ${Box.context.invocation}`;
};
"""
INNER = "def main(arg):\n    return arg.upper()\n"


@pytest.fixture(params=["python", "nodejs"])
def language(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


async def prepare(client: Client, base: Path, language: str, **more: Any) -> None:
    code = PYTHON if language == "python" else NODEJS
    await client.add(write_function(base, "inner", INNER))
    manifest: dict[str, Any] = {"runtime": language, "concurrency": MANY, **more}
    await client.add(write_function(base, "many", code, calls={"inner": "always"}, **manifest))


async def begun(client: Client, names: str, do: str = "wait") -> list[asyncio.Task[Any]]:
    """Invocations that wait in the function, one for each letter."""
    tasks = [asyncio.create_task(client.invoke("many", f"{do} {name}")) for name in names]
    for name in names:
        await until(lambda name=name: id_of(client, name), "it has begun")  # type: ignore[misc]
    return tasks


async def id_of(client: Client, name: str) -> str:
    """The invocation that said that it begins; empty for none."""
    logs = [line.log async for line in client.logs("many")]
    return next((log.invocation for log in logs if f"begins {name}\n" in log.text), "")


async def holding(client: Client) -> list[str]:
    return [worker.id for worker in await client.workers() if worker.function == "many"]


async def test_one_worker_takes_as_many_as_it_says_and_then_another(
    agent: Agent, client: Client, tmp_path: Path, language: str
) -> None:
    await prepare(client, tmp_path, language)
    await client.invoke("many", "hello x")  # its worker is there
    tasks = await begun(client, "abcdefg")
    assert len(await holding(client)) == 1
    await client.invoke("many", "hello x")
    assert len(await holding(client)) == 1
    tasks += await begun(client, "hi")  # the ninth finds no place
    workers = {(await client.trace(await id_of(client, name))).invocation.worker for name in "abcdefgh"}
    assert len(workers) == 1
    assert len(await holding(client)) == 2
    for name, task in zip("abcdefghi", tasks, strict=True):
        await client.cancel(await id_of(client, name))
        with pytest.raises(Cancelled):
            await task


async def test_one_that_is_called_off_or_late_ends_alone(
    agent: Agent, client: Client, tmp_path: Path, language: str
) -> None:
    await prepare(client, tmp_path, language, timeoutS=5)
    await client.invoke("many", "hello x")
    stays, off = await begun(client, "so")
    worker = await holding(client)
    off.cancel()
    with pytest.raises(asyncio.CancelledError):
        await off
    assert await client.invoke("many", "call abc") == "ABC"
    await client.invoke("many", "open s")
    await stays
    with pytest.raises(TimedOut):
        await client.invoke("many", "wait never")
    assert worker[0] in await holding(client)


async def test_one_that_does_not_end_takes_its_neighbours_along_who_are_told(
    agent: Agent, client: Client, tmp_path: Path, language: str
) -> None:
    await prepare(client, tmp_path, language)
    await client.invoke("many", "hello x")
    (neighbour,) = await begun(client, "n")
    (deaf,) = await begun(client, "d", "deaf")
    id_ = await id_of(client, "d")
    await client.cancel(id_)
    with pytest.raises(Cancelled):
        await deaf
    with pytest.raises(WorkerLost, match=f"{id_} was called off and did not end within 1 s"):
        await neighbour
    assert await client.invoke("many", "call again") == "AGAIN"


async def test_when_the_process_exits_all_are_told_that_it_was_shared(
    agent: Agent, client: Client, tmp_path: Path, language: str
) -> None:
    await prepare(client, tmp_path, language)
    await client.invoke("many", "hello x")
    tasks = await begun(client, "ab")
    for task in [asyncio.create_task(client.invoke("many", "exit x")), *tasks]:
        with pytest.raises(WorkerLost, match="several at once"):
            await task
    assert await client.invoke("many", "call again") == "AGAIN"


async def test_the_demand_that_the_rule_goes_by_is_shown(agent: Agent, client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "inner", INNER))
    for _ in range(3):
        await client.invoke("inner", "x")
    demand = (await client.describe("inner")).demand
    assert demand is not None
    assert (demand.samples, demand.executing) == (3, 0)
    assert 0 < demand.rate < 3
    assert 0 < demand.time_s < 1
    assert demand.tau == pytest.approx(demand.rate * demand.time_s)


async def test_output_is_told_by_invocation(agent: Agent, client: Client, tmp_path: Path, language: str) -> None:
    await prepare(client, tmp_path, language)
    await client.invoke("many", "hello x")
    tasks = await begun(client, "ab")
    for name in "ba":
        await client.invoke("many", f"open {name}")
    for name, task in zip("ab", tasks, strict=True):
        invocation = (await task).split()[1]
        lines = [line.log.text async for line in client.logs(invocation=invocation)]
        assert "".join(lines) == f"begins {name}\n"


async def test_a_python_function_that_would_take_one_at_a_time_is_refused(
    agent: Agent, client: Client, tmp_path: Path
) -> None:
    await client.add(write_function(tmp_path, "many", INNER, concurrency=4))
    with pytest.raises(LoadFailed, match="its main is not async"):
        await client.invoke("many", "x")
