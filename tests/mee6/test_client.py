from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mee6.api.v1 import console_pb2
from mee6.client import Client
from mee6.errors import (
    AgentUnreachable,
    FunctionNotFound,
    FunctionRaised,
    InvalidManifest,
    InvocationNotFound,
    TimedOut,
    VersionMismatch,
)
from mee6.records import Batch, Event, Snapshot, Worker
from mee6.sync import SyncClient
from tests.support.fake_agent import TRACEBACK, FakeAgent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    with FakeAgent(tmp_path) as agent:
        agent.know()
        yield agent


async def until(event: object) -> None:
    await asyncio.to_thread(event.wait, 5)  # type: ignore[attr-defined]
    assert event.is_set()  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", ["foo", "", "gr\u00fc\u00df", b"\x00\xff", {"a": [1, 2.5, None]}, 7, None, [True]])
async def test_a_value_comes_back_as_it_was(agent: FakeAgent, value: object) -> None:
    async with Client(agent.address) as client:
        assert await client.invoke("echo", value) == value
        async with client.stream() as stream:
            assert await stream.invoke("echo", value) == value


async def test_a_call_carries_the_user_and_the_limit(agent: FakeAgent) -> None:
    agent.know("echo", user="ann")
    async with Client(agent.address, user="ann") as client:
        await client.invoke("echo", "x", timeout=3.5)
    request = agent.requests[-1]
    assert (request.username, request.timeout_s, request.content_type) == ("ann", 3.5, "text/plain")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_function_that_raises_brings_its_remote_traceback(agent: FakeAgent, streamed: bool) -> None:
    async with Client(agent.address) as client, client.stream() as stream:
        with pytest.raises(FunctionRaised) as caught:
            await (stream if streamed else client).invoke("fail")
    assert (caught.value.message, caught.value.error_type) == ("division by zero", "ZeroDivisionError")
    assert caught.value.traceback == TRACEBACK


async def test_a_function_that_does_not_exist_is_named(agent: FakeAgent) -> None:
    async with Client(agent.address) as client:
        with pytest.raises(FunctionNotFound, match="'nope'"):
            await client.invoke("nope")


async def test_cancelling_the_waiting_task_calls_the_invocation_off(agent: FakeAgent) -> None:
    async with Client(agent.address) as client:
        task = asyncio.create_task(client.invoke("slow"))
        await until(agent.started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(agent.unwound)


async def test_cancelling_one_of_a_stream_leaves_the_others(agent: FakeAgent) -> None:
    async with Client(agent.address) as client, client.stream() as stream:
        slow = asyncio.create_task(stream.invoke("slow"))
        await until(agent.started)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        await until(agent.unwound)
        assert await stream.invoke("echo", "still here") == "still here"


async def test_a_stream_carries_many_at_once_and_answers_out_of_order(agent: FakeAgent) -> None:
    async with Client(agent.address) as client, client.stream() as stream:
        slow = asyncio.create_task(stream.invoke("slow", timeout=60))
        await until(agent.started)
        replies = await asyncio.gather(*(stream.invoke("echo", n) for n in range(50)))
        assert replies == list(range(50))
        assert not slow.done()
        slow.cancel()


async def test_a_stream_ends_its_waiting_calls_when_the_agent_goes(tmp_path: Path) -> None:
    with FakeAgent(tmp_path) as agent:
        agent.know()
        async with Client(agent.address) as client, client.stream() as stream:
            slow = asyncio.create_task(stream.invoke("slow"))
            await until(agent.started)
            await asyncio.to_thread(agent.__exit__, None, None, None)
            with pytest.raises(AgentUnreachable):
                await asyncio.wait_for(slow, 5)
            with pytest.raises(AgentUnreachable):
                await stream.invoke("echo")


async def test_an_invocation_over_its_limit_times_out(agent: FakeAgent) -> None:
    async with Client(agent.address) as client:
        with pytest.raises(TimedOut, match="slow"):
            await client.invoke("slow", timeout=0.05)


@pytest.mark.parametrize("address", ["unix:{folder}/nobody.sock", "127.0.0.1:1"])
async def test_an_agent_that_does_not_run_is_named_with_the_next_step(tmp_path: Path, address: str) -> None:
    address = address.format(folder=tmp_path)
    async with Client(address) as client:
        with pytest.raises(AgentUnreachable) as caught:
            await client.list()
    assert caught.value.message == f"no agent answers at {address}; start one with: mee6 agent serve --detach"


async def test_an_agent_of_another_version_is_said_so(tmp_path: Path) -> None:
    with FakeAgent(tmp_path, api=99) as agent:
        async with Client(agent.address) as client:
            with pytest.raises(VersionMismatch):
                await client.list()


async def test_a_detached_invocation_is_found_again_by_its_id(agent: FakeAgent) -> None:
    async with Client(agent.address) as client:
        identity = await client.submit("echo", "later")
        assert await client.result(identity, wait=1) == "later"
        with pytest.raises(InvocationNotFound):
            await client.result("nothing")
        await client.cancel(identity)
    assert agent.called_off == [identity]


async def test_a_folder_is_added_listed_described_and_removed(agent: FakeAgent, tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": "hello", "runtime": "python", "dependencies": {"x": {}}}))
    (folder / "main.py").write_text("def main(arg): return arg\n" * 30_000)
    progress: list[tuple[int, int]] = []
    async with Client(agent.address) as client:
        added = await client.add(folder, on_progress=lambda sent, total: progress.append((sent, total)))
        assert (added.function.name, added.function.version, added.missing) == ("hello", 1, ("x",))
        assert progress[-1][0] == progress[-1][1] == added.function.size
        assert (await client.add(folder)).unchanged
        assert "hello" in [function.name for function in await client.list()]
        described = await client.describe("hello")
        assert (described.function.is_workflow, described.workers) == (True, ("w1",))
        await client.remove("hello")
        with pytest.raises(FunctionNotFound):
            await client.describe("hello")


async def test_a_broken_folder_is_refused_before_anything_is_sent(agent: FakeAgent, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "main.py").write_text("")
    async with Client(agent.address) as client:
        with pytest.raises(InvalidManifest):
            await client.add(tmp_path / "broken")
    assert agent.requests == []


async def test_watching_yields_a_snapshot_then_events(agent: FakeAgent) -> None:
    event = console_pb2.Event(at_ns=5, worker=console_pb2.Worker(id="w1", state="warm"))
    agent.watched = [
        console_pb2.WatchReply(snapshot=console_pb2.Snapshot(seq=3, workers=[console_pb2.Worker(id="w1")])),
        console_pb2.WatchReply(batch=console_pb2.Batch(seq=3, events=[event])),
    ]
    async with Client(agent.address) as client:
        snapshot, batch = [reply async for reply in client.watch(kinds=["worker"])]
    assert isinstance(snapshot, Snapshot)
    assert isinstance(batch, Batch)
    assert (snapshot.seq, snapshot.workers[0].id, batch.seq) == (3, "w1", 3)
    (first,) = batch.events
    assert isinstance(first, Event)
    assert isinstance(first.what, Worker)
    assert (first.at_ns, first.what.state) == (5, "warm")


def test_the_blocking_client_does_the_same(agent: FakeAgent) -> None:
    agent.logs = [console_pb2.LogsReply(at_ns=1, log=console_pb2.Log(text=f"line {n}")) for n in range(3)]
    with SyncClient(agent.address) as client:
        assert client.invoke("echo", {"a": 1}) == {"a": 1}
        assert client.result(client.submit("echo", "x")) == "x"
        assert [line.log.text for line in client.logs()] == ["line 0", "line 1", "line 2"]
        assert next(client.logs()).log.text == "line 0"
        assert client.nodes()[0].notes == ("no bubblewrap",)
        with pytest.raises(FunctionRaised):
            client.invoke("fail")
    client.close()


def test_a_closed_client_says_so(agent: FakeAgent) -> None:
    client = SyncClient(agent.address)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.invoke("echo")
