"""Adding over, and removing, while invocations run: each finishes on what it began with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import FunctionNotFound
from tests.support.agents import HELD, Agent, until, write_function

pytestmark = pytest.mark.slow


def says(text: str, held: bool = False) -> str:
    """A function that returns `text`, at once or when it is let go."""
    return HELD.replace('"rested"', repr(text)) if held else f"def main(arg):\n    return {text!r}\n"


async def running(client: Client, id_: str, function: str) -> str:
    """The worker that runs a step of `function`; empty while none does."""
    steps = (await client.trace(id_)).steps
    return next((step.worker for step in steps if step.function == function and step.state == "running"), "")


async def test_adding_again_makes_the_next_version_and_the_same_content_does_not(
    client: Client, tmp_path: Path
) -> None:
    folder = write_function(tmp_path, "f", says("one"))
    first = await client.add(folder)
    assert (first.function.version, first.unchanged) == (1, False)
    again = await client.add(folder)
    assert (again.function.version, again.unchanged) == (1, True)
    assert await client.invoke("f") == "one"
    write_function(tmp_path, "f", says("two"))
    second = await client.add(folder)
    assert (second.function.version, second.unchanged) == (2, False)
    assert await client.invoke("f") == "two"
    assert [function.version for function in (await client.describe("f")).versions] == [2, 1]
    write_function(tmp_path, "f", says("one"))
    assert (await client.add(folder)).function.version == 3, "going back is a change too"
    assert await client.invoke("f") == "one"


async def test_a_running_invocation_finishes_on_its_version_and_the_next_runs_the_new_one(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    client = any_client
    await client.add(write_function(tmp_path, "f", says("one", held=True)))
    old = await client.submit("f")
    worker = await until(lambda: running(client, old, "f"), "version 1 runs")
    await client.add(write_function(tmp_path, "f", says("two")))
    new = await client.submit("f")
    assert await client.result(new, wait=20) == "two"
    assert (await client.trace(old)).invocation.state == "running"
    any_agent.let_go(worker)
    assert await client.result(old, wait=20) == "one"
    assert [(await client.trace(id_)).invocation.version for id_ in (old, new)] == [1, 2]


async def test_a_replaced_functions_workers_are_ended(agent: Agent, client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", says("one")))
    await client.invoke("f")
    worker = (await client.trace()).steps[0].worker
    await client.add(write_function(tmp_path, "f", says("two")))
    await until(lambda: worker not in agent.workers(), "the old version's worker is gone")
    assert await client.invoke("f") == "two"


@pytest.mark.parametrize("outflow", ["no", "always"])
async def test_a_running_workflow_keeps_its_dependencies_and_the_next_gets_the_new_one(
    any_agent: Agent, any_client: Client, tmp_path: Path, outflow: str
) -> None:
    client = any_client
    code = says("", held=True).replace("def main(arg):", "def main(arg):\n    first = mee6.invoke('f')")
    code = code.replace("return ''", "return [first, mee6.invoke('f'), mee6.invoke('g')]")
    await client.add(write_function(tmp_path, "flow", code, calls={"f": outflow, "g": outflow}))
    await client.add(write_function(tmp_path, "f", says("f one")))
    await client.add(write_function(tmp_path, "g", says("g one")))
    old = await client.submit("flow")
    old_worker = await until(lambda: running(client, old, "flow"), "the workflow runs")
    await client.add(write_function(tmp_path, "f", says("f two")))
    await client.add(write_function(tmp_path, "g", says("g two")))
    new = await client.submit("flow")
    any_agent.let_go(await until(lambda: running(client, new, "flow"), "the next one runs"))
    assert await client.result(new, wait=20) == ["f two", "f two", "g two"]
    any_agent.let_go(old_worker)
    assert await client.result(old, wait=20) == ["f one", "f one", "g one"]


async def test_a_removed_function_is_gone_and_what_ran_of_it_finishes(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    client = any_client
    await client.add(write_function(tmp_path, "f", says("one", held=True)))
    old = await client.submit("f")
    worker = await until(lambda: running(client, old, "f"), "it runs")
    await client.remove("f")
    with pytest.raises(FunctionNotFound) as caught:
        await client.invoke("f")
    assert caught.value.message == f"no function 'f' for user '{client.user}'; see: mee6 act ls"
    assert await client.list() == ()
    any_agent.let_go(worker)
    assert await client.result(old, wait=20) == "one"
    again = await client.add(write_function(tmp_path, "f", says("new")))
    assert again.function.version == 2, "versions go on after a removal"
    assert await client.invoke("f") == "new"


async def test_removing_what_is_not_there_says_so(client: Client) -> None:
    with pytest.raises(FunctionNotFound) as caught:
        await client.remove("ghost")
    assert caught.value.message == f"no function 'ghost' for user '{client.user}'; see: mee6 act ls"


async def test_users_do_not_see_each_others_functions(agent: Agent, client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", says("mine")))
    async with agent.client("somebody-else") as other:
        assert "f" not in {function.name for function in await other.list()}
        with pytest.raises(FunctionNotFound):
            await other.invoke("f")
        await other.add(write_function(tmp_path / "other", "f", says("theirs")))
        assert await other.invoke("f") == "theirs"
    assert await client.invoke("f") == "mine"


async def test_many_versions_added_while_it_is_invoked_never_fail_a_call(any_client: Client, tmp_path: Path) -> None:
    client = any_client
    await client.add(write_function(tmp_path, "f", says("0")))
    seen: list[int] = []

    async def call() -> None:
        while len(seen) < 60:
            seen.append(int(await client.invoke("f")))

    async def replace() -> None:
        for n in range(1, 6):
            await client.add(write_function(tmp_path, "f", says(str(n))))
            await asyncio.sleep(0.03)

    await asyncio.gather(call(), call(), replace())
    assert int(await client.invoke("f")) == 5
    assert seen[0] == 0
