from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.core.circumstances import Circumstances, Hindrance
from agent.feed import RING_EVENTS, FiguresView, FunctionView, HandoverView, InvocationView, LogLine, WorkerView
from agent.history import Outcome
from agent.services import console
from agent.services.server import Server
from mee6.api.faults import from_rpc_error
from mee6.api.v1 import console_pb2 as pb
from mee6.api.v1 import invoker_pb2
from mee6.api.v1.console_pb2_grpc import ConsoleStub
from mee6.errors import (
    Conflict,
    Exhausted,
    FunctionNotFound,
    InvalidInput,
    InvocationNotFound,
    Mee6Error,
    NotFound,
)
from mee6.lane.messages import Span, Step
from tests.agent.services.conftest import Rig
from tests.agent.services.test_invoker import refused
from tests.support.fake_node import FakeNode
from tests.support.waiting import until


async def invoke(rig: Rig, name: str = "echo", **fields: object) -> str:
    reply = await rig.invoker.Invoke(invoker_pb2.InvokeRequest(actName=name, **fields))  # type: ignore[arg-type]
    return str(reply.id)


async def test_a_watcher_gets_a_snapshot_first(rig: Rig) -> None:
    id_ = await invoke(rig, arg="x")
    watch = rig.console.Watch(pb.WatchRequest())
    snapshot = (await watch.read()).snapshot
    assert (snapshot.node.id, snapshot.node.pid, list(snapshot.node.notes)) == ("n1", 42, ["a note"])
    assert [(worker.id, worker.state) for worker in snapshot.workers] == [("w1", "warm")]
    assert [(found.id, found.state) for found in snapshot.invocations] == [(id_, "succeeded")]
    assert snapshot.seq == rig.node.feed.seq
    watch.cancel()
    await until(lambda: not rig.node.feed.watched)


async def test_every_kind_of_event_reaches_a_watcher_whole(rig: Rig) -> None:
    watch = rig.console.Watch(pb.WatchRequest(skip_snapshot=True))
    await watch.initial_metadata()
    feed = rig.node.feed
    feed.publish(1, WorkerView("w1", "python", "gone", "ann", "echo", 2, "direct", "i1", 3, 4, "killed", 5))
    feed.publish(2, InvocationView("i1", "ann", "echo", 2, "failed", "w1", "warm", 3, 4, "no"))
    feed.publish(3, Step("i1.1", "i1", "echo", 2, "w1", "warm", "direct", "failed", 5, "no", [Span("run", 6, 7)]))
    feed.publish(4, LogLine(4, "i1.1", "echo", "w1", "err", "half \udcff\n", 9))
    feed.publish(5, HandoverView("w1", "direct", "why", 6, "i1", "ann", "echo", 7, (("requested", 8), ("granted", 9))))
    feed.publish(6, FunctionView("ann", "echo", 2, "python", True, True))
    feed.publish(7, rig.node.info())
    feed.publish(8, FiguresView("ann", "echo", 1.5, 2.5, 3.5, 4, 5, 6, 7, 8, 9, 10, 11))
    batch = (await watch.read()).batch
    assert batch.seq == 0
    worker, invocation, step, log, handover, function, node, figures = batch.events
    assert [event.at_ns for event in batch.events] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert worker.worker == pb.Worker(
        id="w1", pool="python", state="gone", username="ann", function="echo", version=2, via="direct",
        invocation="i1", since_ns=3, invocations=4, reason="killed", runtime_pid=5,
    )  # fmt: skip
    assert invocation.invocation == pb.Invocation(
        id="i1", username="ann", function="echo", version=2, state="failed", worker="w1", start="warm",
        accepted_ns=3, ended_ns=4, error="no",
    )  # fmt: skip
    assert step.step == pb.Step(
        id="i1.1", parent="i1", function="echo", version=2, worker="w1", start="warm", via="direct", state="failed",
        pid=5, error="no", spans=[pb.Span(kind="run", start_ns=6, end_ns=7)], invocation="i1",
    )  # fmt: skip
    assert log.log == pb.Log(
        invocation="i1.1", function="echo", worker="w1", stream="err", text="half ?\n", dropped_bytes=9
    )
    assert handover.handover == pb.Handover(
        worker="w1", state="direct", reason="why", runtime_pid=6, invocation="i1", username="ann", function="echo",
        proxy_pid=7, stages=[pb.Stage(name="requested", at_ns=8), pb.Stage(name="granted", at_ns=9)],
    )  # fmt: skip
    assert function.function == pb.Function(
        username="ann", name="echo", version=2, runtime="python", is_workflow=True, removed=True
    )
    assert node.node.id == "n1"
    assert figures.figures == pb.Figures(
        username="ann", function="echo", rate=1.5, p50_ms=2.5, p99_ms=3.5, invocations=4, failures=5, cold=6,
        prewarmed=7, warm=8, queued=9, running=10, ahead=11,
    )  # fmt: skip
    watch.cancel()


async def test_what_happens_is_converted_once_for_all_who_watch_everything(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[InvocationView] = []
    convert = console._CONVERT[InvocationView]

    def counted(view: InvocationView) -> object:
        converted.append(view)
        return convert(view)

    monkeypatch.setitem(console._CONVERT, InvocationView, counted)
    watches = [rig.console.Watch(pb.WatchRequest(skip_snapshot=True)) for _ in range(3)]
    some = rig.console.Watch(pb.WatchRequest(skip_snapshot=True, functions=["echo"]))
    for watch in (*watches, some):
        await watch.initial_metadata()
    for number in range(10):  # they are woken in any order
        rig.node.feed.publish(1, InvocationView(f"i{number}", "ann", "echo", 1, "running"))
        replies = [await watch.read() for watch in (*watches, some)]
        assert {reply.batch.events[0].invocation.id for reply in replies} == {f"i{number}"}
        assert len(converted) == 2 * (number + 1), "once for three, and once for whom a filter makes a batch of its own"
    for watch in (*watches, some):
        watch.cancel()


def test_every_field_of_a_node_has_its_place_in_the_proto(rig: Rig) -> None:
    assert set(rig.node.info().__struct_fields__) == {field.name for field in pb.Node.DESCRIPTOR.fields}


async def test_a_watcher_sees_only_what_it_asked_for(rig: Rig) -> None:
    watch = rig.console.Watch(pb.WatchRequest(kinds=["log"], functions=["slow"], skip_snapshot=True))
    await watch.initial_metadata()
    await invoke(rig, "slow", detach=True)
    rig.node.log("i1", "other's\n", function="other")
    rig.node.log("i1", "mine\n")
    assert [event.log.text for event in (await watch.read()).batch.events] == ["mine\n"]
    watch.cancel()


async def test_an_unknown_kind_is_refused(rig: Rig) -> None:
    error = await refused(rig.console.Watch(pb.WatchRequest(kinds=["log", "wrong"])).read())
    assert type(error) is InvalidInput
    assert "'wrong'" in error.message


@pytest.mark.slow
async def test_a_watcher_that_does_not_read_costs_nothing_and_gets_a_fresh_snapshot(rig: Rig) -> None:
    watch = rig.console.Watch(pb.WatchRequest())
    await watch.read()
    feed, lag = rig.node.feed, "x" * 500
    # Until gRPC's own buffers are full, what is published goes out; after that the ring overtakes the watcher.
    for _ in range(40):
        for number in range(RING_EVENTS // 8):
            feed.publish(1, InvocationView(f"i{number}", "ann", "echo", 1, "running", error=lag))
        await asyncio.sleep(0.03)
    for number in range(RING_EVENTS * 2):
        feed.publish(1, InvocationView(f"i{number}", "ann", "echo", 1, "running", error=lag))
    assert len(feed._ring) == RING_EVENTS
    async with asyncio.timeout(10):
        while not (await watch.read()).HasField("snapshot"):
            pass
        feed.publish(time.monotonic_ns(), WorkerView("w9", "python", "warm"))
        while not any(event.worker.id == "w9" for event in (await watch.read()).batch.events):
            pass
    watch.cancel()


@pytest.mark.slow
async def test_a_watcher_that_stops_reading_is_cut_off_with_its_reason_and_holds_little(folder: Path) -> None:
    node = FakeNode(folder)
    path, feed = folder / "grpc.sock", node.feed
    async with (
        Server(node, "127.0.0.1:0", path, grace_s=0.2, stalled_s=1.0),
        grpc.aio.insecure_channel(f"unix:{path}") as channel,
    ):
        console = ConsoleStub(channel)  # type: ignore[no-untyped-call]
        watch = console.Watch(pb.WatchRequest())
        await watch.read()
        published = 0
        async with asyncio.timeout(60):
            while feed.watched or published < 100_000:
                for number in range(RING_EVENTS // 4):
                    feed.publish(1, InvocationView(f"i{number}", "ann", "echo", 1, "running", error="x" * 500))
                published += RING_EVENTS // 4
                await asyncio.sleep(0.03)
        assert feed.watchers == 0
        assert all(slot is None for slot in feed._ring), "nothing is kept for it"
        delivered = 0
        error: Mee6Error | None = None
        while error is None:
            try:
                reply = await watch.read()
            except grpc.aio.AioRpcError as failure:
                error = from_rpc_error(failure, "here")
            else:
                delivered += len(reply.batch.events)
        assert type(error) is Exhausted
        assert "watcher too slow" in error.message
        assert delivered < published / 2, "what gRPC had taken before is all that was held for it"
        await (again := console.Watch(pb.WatchRequest())).read()
        again.cancel()


async def test_acts_reach_the_node(rig: Rig) -> None:
    error = await refused(rig.console.Evict(pb.EvictRequest(worker="w1")))
    assert type(error) is Conflict
    assert "--force" in error.message
    assert type(await refused(rig.console.Evict(pb.EvictRequest(worker="w9")))) is NotFound
    await rig.console.Evict(pb.EvictRequest(worker="w1", force=True))
    assert rig.node.evicted == ["w1"]
    assert (await rig.console.Pause(pb.PauseRequest(worker="w1"))).worker.state == "paused"
    assert (await rig.console.Resume(pb.ResumeRequest(worker="w1"))).worker.state == "warm"
    assert (await rig.console.Drain(pb.DrainRequest())).node.draining
    assert not (await rig.console.Undrain(pb.UndrainRequest())).node.draining


async def test_the_latest_trace_is_the_callers(rig: Rig) -> None:
    mine = await invoke(rig, arg="x", username="ann")
    await invoke(rig, arg="y", username="bob")
    assert (await rig.console.Trace(pb.TraceRequest(username="ann"))).invocation.id == mine
    assert type(await refused(rig.console.Trace(pb.TraceRequest(username="eve")))) is InvocationNotFound


async def test_output_of_an_unknown_function_is_refused(rig: Rig) -> None:
    error = await refused(rig.console.Logs(pb.LogsRequest(function="nosuch")).read())
    assert type(error) is FunctionNotFound
    assert [reply async for reply in rig.console.Logs(pb.LogsRequest(function="echo"))] == []


async def test_a_trace_shows_the_steps_of_an_invocation(rig: Rig) -> None:
    id_ = await invoke(rig, arg="four")
    for request in (pb.TraceRequest(id=id_), pb.TraceRequest()):
        reply = await rig.console.Trace(request)
        assert (reply.invocation.id, reply.invocation.state) == (id_, "succeeded")
        assert [(step.id, step.invocation) for step in reply.steps] == [(id_, id_)]
        assert (reply.arg_bytes, reply.result_bytes, reply.wall_offset_ns) == (4, 4, 7)


async def test_a_trace_tells_what_its_steps_found_and_where_it_is_asked_for_what_is_usual(rig: Rig) -> None:
    _first, _second, id_ = [await invoke(rig, arg="four") for _ in range(3)]
    rig.node.history.found(id_, Circumstances(1, "too old", 5, 2, 3, 4, 6, 7, 8, Hindrance.MEMORY, 9, 10, "fan-out"))
    reply = await rig.console.Trace(pb.TraceRequest(id=id_))
    assert list(reply.usual) == []
    assert list(reply.circumstances) == [
        pb.Circumstances(
            step=id_, holding=1, ended="too old", ended_ago_ns=5, ready=2, starting=3, floor=4, ahead=6, leased=7,
            limit=8, hindered="memory", lost=9, held_ns=10, held_by="fan-out",
        )
    ]  # fmt: skip
    usual = (await rig.console.Trace(pb.TraceRequest(id=id_, usual=True))).usual
    assert {(one.function, one.version, one.samples) for one in usual} == {("echo", 1, 2)}


async def test_a_trace_that_is_not_there_is_not_found(rig: Rig) -> None:
    assert type(await refused(rig.console.Trace(pb.TraceRequest()))) is InvocationNotFound
    assert type(await refused(rig.console.Trace(pb.TraceRequest(id="zz")))) is InvocationNotFound


async def test_the_node_tells_of_itself(rig: Rig) -> None:
    reply = await rig.console.Nodes(pb.NodesRequest())
    assert [(node.id, node.driver) for node in reply.nodes] == [("n1", "fake")]


async def test_remembered_output_is_read_and_ends(rig: Rig) -> None:
    await invoke(rig, "slow", detach=True)
    for number in range(5):
        rig.node.log("i1", f"line {number}\n")
    lines = [reply async for reply in rig.console.Logs(pb.LogsRequest(invocation="i1", tail=2))]
    assert [reply.log.text for reply in lines] == ["line 3\n", "line 4\n"]
    assert all(reply.at_ns > 0 for reply in lines)
    offset_ns = rig.node.info().wall_offset_ns
    assert [reply.wall_ns - reply.at_ns for reply in lines] == [offset_ns, offset_ns]
    recent = rig.console.Logs(pb.LogsRequest(invocation="i1", since_s=3600))
    assert len([reply async for reply in recent]) == 5
    assert [reply async for reply in rig.console.Logs(pb.LogsRequest(invocation="i1", since_s=1e-9))] == []
    for wrong in (-1.0, float("inf"), float("nan")):
        assert type(await refused(rig.console.Logs(pb.LogsRequest(since_s=wrong)).read())) is InvalidInput
    assert [reply async for reply in rig.console.Logs(pb.LogsRequest(username="bob"))] == []


async def test_output_is_followed_without_gap_or_double(rig: Rig) -> None:
    await invoke(rig, "slow", detach=True)
    await invoke(rig, "slow", detach=True, username="bob")
    rig.node.log("i1", "before\n")
    logs = rig.console.Logs(pb.LogsRequest(follow=True))
    assert (await logs.read()).log.text == "before\n"
    await until(lambda: rig.node.feed.watched)
    rig.node.log("i2", "bob's\n")
    rig.node.log("i1", "after\n")
    assert (await logs.read()).log.text == "after\n"
    logs.cancel()
    await until(lambda: not rig.node.feed.watched)


@pytest.mark.parametrize(("wanted", "expected"), [("ii", "root\n"), ("i1", "root\n"), ("i1.1", "step\n")])
async def test_one_invocation_or_step_is_followed(rig: Rig, wanted: str, expected: str) -> None:
    await invoke(rig, "slow", detach=True)
    logs = rig.console.Logs(pb.LogsRequest(invocation=wanted.replace("ii", "i"), follow=True))
    await until(lambda: rig.node.feed.watched)
    rig.node.log("i2", "other's\n")
    if wanted != "i1.1":
        rig.node.log("i1", "root\n")
    rig.node.log("i1.1", "step\n")
    assert (await logs.read()).log.text == expected
    logs.cancel()


async def test_output_of_an_unknown_invocation_is_refused(rig: Rig) -> None:
    logs = rig.console.Logs(pb.LogsRequest(invocation="zz"))
    assert type(await refused(logs.read())) is InvocationNotFound


async def test_ending_the_server_ends_its_watchers(rig: Rig) -> None:
    watch = rig.console.Watch(pb.WatchRequest())
    await watch.read()
    await invoke(rig, "slow", detach=True)
    rig.node.finish("i1", Outcome("i1", b"", "text/plain"))
    async with asyncio.timeout(20):
        await rig.server.close()
        while await watch.read() is not grpc.aio.EOF:
            pass
