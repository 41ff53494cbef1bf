from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.history import History, Outcome
from mee6.api.faults import from_rpc_error
from mee6.api.v1 import invoker_pb2 as pb
from mee6.api.v1.invoker_pb2_grpc import InvokerStub
from mee6.errors import (
    Cancelled,
    Conflict,
    FunctionNotFound,
    FunctionRaised,
    InvalidBundle,
    InvalidInput,
    InvalidManifest,
    InvocationNotFound,
    Mee6Error,
    TooLarge,
    VersionMismatch,
)
from mee6.lane.messages import BINARY
from tests.agent.services.conftest import Rig
from tests.support.fake_node import TRACEBACK
from tests.support.waiting import until


async def refused(call: object) -> Mee6Error:
    """The error that a call ends with, as the client will see it."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return from_rpc_error(caught.value, "agent")


def an_invoke(name: str = "echo", **fields: object) -> pb.InvokeRequest:
    return pb.InvokeRequest(actName=name, **fields)  # type: ignore[arg-type]


# Invoke


async def test_text_is_answered_with_text_as_the_first_mee6aas_did(rig: Rig) -> None:
    reply = await rig.invoker.Invoke(an_invoke(arg="grüße"))
    assert (reply.result, reply.data, reply.content_type) == ("grüße", b"", "")
    assert reply.id == "i1"


async def test_bytes_are_answered_with_bytes_and_their_content_type(rig: Rig) -> None:
    reply = await rig.invoker.Invoke(an_invoke(data=b"\xff\0", content_type="application/octet-stream"))
    assert (reply.result, reply.data, reply.content_type) == ("", b"\xff\0", "application/octet-stream")


async def test_no_user_means_the_default_one_and_no_timeout_the_functions_own(rig: Rig) -> None:
    await rig.invoker.Invoke(an_invoke())
    await rig.invoker.Invoke(an_invoke(timeout_s=2.5, username="ann"))
    assert rig.node.timeouts == [None, 2.5]
    assert [view.user for view in rig.node.history.recent()] == ["default", "ann"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": "../etc"}, "'../etc'"),
        ({"name": ""}, "''"),
        ({"username": "a/b"}, "'a/b'"),
        ({"timeout_s": -1.0}, "-1.0"),
        ({"timeout_s": math.nan}, "nan"),
        ({"timeout_s": math.inf}, "inf"),
    ],
)
async def test_a_wrong_request_is_named_and_begins_nothing(rig: Rig, fields: dict[str, str], names: str) -> None:
    error = await refused(rig.invoker.Invoke(an_invoke(**fields)))
    assert type(error) is InvalidInput
    assert names in error.message
    assert rig.node.history.recent() == ()


async def test_an_unknown_function_is_not_found(rig: Rig) -> None:
    error = await refused(rig.invoker.Invoke(an_invoke("ponger")))
    assert type(error) is FunctionNotFound
    assert error.message == "no function 'ponger' for user 'default'; see: mee6 act ls"


async def test_a_function_that_raises_is_told_with_its_traceback(rig: Rig) -> None:
    error = await refused(rig.invoker.Invoke(an_invoke("fail")))
    assert type(error) is FunctionRaised
    assert (error.function, error.error_type, error.traceback) == ("fail", "ZeroDivisionError", TRACEBACK)


async def test_a_draining_agent_says_so(rig: Rig) -> None:
    rig.node.draining = True
    assert type(await refused(rig.invoker.Invoke(an_invoke()))) is Conflict


async def test_an_argument_over_the_limit_is_refused(rig: Rig) -> None:
    assert type(await refused(rig.invoker.Invoke(an_invoke(arg="x" * (2 << 20))))) is TooLarge


@pytest.mark.parametrize("again", [False, True], ids=["Invoke", "Result"])
async def test_a_client_that_refuses_a_big_answer_is_told_what_to_set_and_gets_it_then(rig: Rig, again: bool) -> None:
    big = bytes(5 << 20)
    rig.node.history = History(10, 64 << 20)  # as large as an agent's
    call = rig.invoker.Invoke(an_invoke("slow", data=b"", content_type=BINARY))
    await until(lambda: rig.node.running, "it runs")
    rig.node.finish("i1", Outcome("i1", big, BINARY))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    if again:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rig.invoker.Result(pb.ResultRequest(id="i1"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    hint = str(dict(caught.value.initial_metadata())["mee6-hint"])
    assert "this answer has 5242880 bytes" in hint
    assert hint.endswith("set grpc.max_receive_message_length, and get it by Result with the id i1")
    async with grpc.aio.insecure_channel(rig.address, [("grpc.max_receive_message_length", 32 << 20)]) as channel:
        stub = InvokerStub(channel)  # type: ignore[no-untyped-call]
        assert (await stub.Result(pb.ResultRequest(id="i1"))).data == big


async def test_an_answer_of_usual_size_comes_without_a_hint(rig: Rig) -> None:
    call = rig.invoker.Invoke(an_invoke("slow", data=b"", content_type=BINARY))
    await until(lambda: rig.node.running, "it runs")
    rig.node.finish("i1", Outcome("i1", bytes(4_190_000), BINARY))
    assert len((await call).data) == 4_190_000
    assert "mee6-hint" not in dict(await call.initial_metadata())


async def test_a_mistake_of_the_agents_shows_no_inside_and_is_logged_once(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "mee6.agent"):
        error = await refused(rig.invoker.Invoke(an_invoke("broken")))
    assert type(error) is Mee6Error
    assert "secret" not in error.message
    (record,) = caplog.records
    assert error.message.rpartition(" ")[2] in record.getMessage()
    assert record.exc_info is not None


async def test_a_client_that_hangs_up_calls_its_invocation_off(rig: Rig) -> None:
    call = rig.invoker.Invoke(an_invoke("slow"))
    task = asyncio.ensure_future(call)
    await until(lambda: rig.node.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: rig.node.cancelled == ["i1"])


async def test_a_detached_invocation_is_answered_at_once_and_found_later(rig: Rig) -> None:
    reply = await rig.invoker.Invoke(an_invoke("slow", detach=True))
    assert (reply.id, reply.result) == ("i1", "")
    waiting = asyncio.ensure_future(rig.invoker.Result(pb.ResultRequest(id="i1", wait_s=5)))
    await until(lambda: rig.node.history.find("i1").waiters)
    rig.node.finish("i1", Outcome("i1", b"done", "text/plain"))
    assert (await waiting).data == b"done"
    assert rig.node.cancelled == []


async def test_a_detached_invocation_that_fails_troubles_nobody_but_who_asks(rig: Rig) -> None:
    await rig.invoker.Invoke(an_invoke("fail", detach=True))
    for _ in range(2):
        assert type(await refused(rig.invoker.Result(pb.ResultRequest(id="i1")))) is FunctionRaised


async def test_a_result_that_is_not_there_yet_is_a_conflict(rig: Rig) -> None:
    await rig.invoker.Invoke(an_invoke("slow", detach=True))
    error = await refused(rig.invoker.Result(pb.ResultRequest(id="i1", wait_s=0.01)))
    assert type(error) is Conflict
    assert "i1 is still running" in error.message


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"id": "zz"}, InvocationNotFound),
        ({"id": ""}, InvalidInput),
        ({"id": "i1", "wait_s": -1}, InvalidInput),
        ({"id": "i1", "wait_s": 1e9}, InvalidInput),
    ],
)
async def test_a_wrong_question_for_a_result_is_refused(
    rig: Rig, fields: dict[str, object], kind: type[Mee6Error]
) -> None:
    assert type(await refused(rig.invoker.Result(pb.ResultRequest(**fields)))) is kind  # type: ignore[arg-type]


async def test_an_invocation_can_be_called_off_by_its_id(rig: Rig) -> None:
    call = asyncio.ensure_future(rig.invoker.Invoke(an_invoke("slow")))
    await until(lambda: rig.node.running)
    await rig.invoker.Cancel(pb.CancelRequest(id="i1"))
    assert type(await refused(call)) is Cancelled
    assert type(await refused(rig.invoker.Cancel(pb.CancelRequest(id="zz")))) is InvocationNotFound


# API levels


@pytest.mark.parametrize("level", ["2", "x", "-1", "1" * 5000], ids=["newer", "word", "negative", "endless"])
async def test_a_client_of_another_level_is_told_both(rig: Rig, level: str) -> None:
    error = await refused(rig.invoker.Invoke(an_invoke(), metadata=(("mee6-api", level),)))
    assert type(error) is VersionMismatch
    assert f"API level {level[:20]!r}, this agent speaks 1" in error.message


async def test_a_client_of_a_newer_level_is_refused_on_streams_too(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream(metadata=(("mee6-api", "2"),))
    assert type(await refused(stream.read())) is VersionMismatch


@pytest.mark.parametrize("metadata", [None, (("mee6-api", "1"),), (("mee6-api", "0"),)])
async def test_an_old_client_or_one_of_our_level_is_served(rig: Rig, metadata: object) -> None:
    assert (await rig.invoker.Invoke(an_invoke(arg="x"), metadata=metadata)).result == "x"


# InvokeStream


async def test_replies_on_a_stream_come_as_they_are_ready(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    await stream.write(pb.InvokeStreamRequest(seq=1, invoke=an_invoke("slow")))
    await stream.write(pb.InvokeStreamRequest(seq=2, invoke=an_invoke(arg="quick")))
    first = await stream.read()
    assert (first.seq, first.response.result) == (2, "quick")
    rig.node.finish("i1", Outcome("i1", b"late", "text/plain"))
    second = await stream.read()
    assert (second.seq, second.response.result) == (1, "late")
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_failures_on_a_stream_are_replies_and_the_stream_goes_on(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    replies = {}
    for seq, name in enumerate(("fail", "ponger", "no/name", "broken", "echo")):
        await stream.write(pb.InvokeStreamRequest(seq=seq, invoke=an_invoke(name, arg="x")))
        reply = await stream.read()
        assert reply.seq == seq
        replies[name] = reply
    assert replies["fail"].fault.traceback == TRACEBACK
    assert replies["ponger"].fault.code == "function_not_found"
    assert replies["no/name"].fault.code == "invalid_input"
    assert replies["broken"].fault.code == "internal"
    assert "secret" not in replies["broken"].fault.message
    assert replies["echo"].response.result == "x"
    stream.cancel()


async def test_a_stream_invocation_is_called_off_by_its_seq(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    await stream.write(pb.InvokeStreamRequest(seq=7, invoke=an_invoke("slow")))
    await stream.write(pb.InvokeStreamRequest(seq=8, cancel=True))  # unknown: ignored
    await stream.write(pb.InvokeStreamRequest(seq=7, cancel=True))
    reply = await stream.read()
    assert (reply.seq, reply.fault.code) == (7, "cancelled")
    stream.cancel()


async def test_a_stream_detaches_too(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    await stream.write(pb.InvokeStreamRequest(seq=1, invoke=an_invoke("slow", detach=True)))
    assert (await stream.read()).response.id == "i1"
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert rig.node.cancelled == []


async def test_a_client_that_half_closes_gets_what_is_outstanding(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    await stream.write(pb.InvokeStreamRequest(seq=1, invoke=an_invoke("slow")))
    await stream.done_writing()
    await until(lambda: rig.node.running)
    rig.node.finish("i1", Outcome("i1", b"late", "text/plain"))
    assert (await stream.read()).response.result == "late"
    assert await stream.read() is grpc.aio.EOF


async def test_a_stream_that_is_cut_calls_off_what_is_outstanding(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    for seq in range(3):
        await stream.write(pb.InvokeStreamRequest(seq=seq, invoke=an_invoke("slow")))
    await until(lambda: len(rig.node.running) == 3)
    stream.cancel()
    await until(lambda: sorted(rig.node.cancelled) == ["i1", "i2", "i3"])


async def test_a_seq_that_is_in_use_ends_the_stream(rig: Rig) -> None:
    stream = rig.invoker.InvokeStream()
    for _ in range(2):
        await stream.write(pb.InvokeStreamRequest(seq=1, invoke=an_invoke("slow")))
    error = await refused(stream.read())
    assert type(error) is InvalidInput
    assert "seq 1 is in use" in error.message
    await until(lambda: rig.node.cancelled == ["i1"])


async def test_a_stream_runs_a_bounded_number_at_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.services.invoke_stream.MAX_OUTSTANDING", 4)
    stream = rig.invoker.InvokeStream()
    for seq in range(10):
        await stream.write(pb.InvokeStreamRequest(seq=seq, invoke=an_invoke("slow")))
    seen = 0
    while seen < 10:
        await until(lambda: rig.node.running)
        assert len(rig.node.running) <= 4
        id_ = next(iter(rig.node.running))
        rig.node.finish(id_, Outcome(id_, b"", "text/plain"))
        await stream.read()
        seen += 1
    stream.cancel()


async def test_many_on_one_stream_all_come_back(rig: Rig) -> None:
    async def requests() -> AsyncIterator[pb.InvokeStreamRequest]:
        for seq in range(1200):
            yield pb.InvokeStreamRequest(seq=seq, invoke=an_invoke(arg=str(seq)))

    replies = {reply.seq: reply.response.result async for reply in rig.invoker.InvokeStream(requests())}
    assert replies == {seq: str(seq) for seq in range(1200)}


# Managing functions


async def test_a_folder_of_the_agents_machine_can_be_added(rig: Rig, folder: Path) -> None:
    (folder / "pong").mkdir()
    (folder / "pong" / "activity.json").write_text("{}")
    reply = await rig.invoker.Add(pb.AddRequest(method=pb.LOCAL, path=str(folder / "pong")))
    assert (reply.activity.name, reply.unchanged) == ("pong", True)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"path": "relative"}, InvalidInput),
        ({"path": ""}, InvalidInput),
        ({"path": "/nowhere/at/all"}, InvalidManifest),
        ({"path": "/", "actName": "a/b"}, InvalidInput),
        ({"path": "/", "method": pb.GLOBAL}, InvalidInput),
    ],
)
async def test_a_folder_that_cannot_be_added_is_refused(
    rig: Rig, fields: dict[str, object], kind: type[Mee6Error]
) -> None:
    assert type(await refused(rig.invoker.Add(pb.AddRequest(**fields)))) is kind  # type: ignore[arg-type]


async def test_functions_are_listed_by_name_with_what_the_first_mee6aas_told(rig: Rig) -> None:
    reply = await rig.invoker.List(pb.ListRequest())
    assert [entry.name for entry in reply.activities] == ["broken", "echo", "fail", "slow"]
    entry = reply.activities[1]
    assert (entry.runtime, entry.added) == ("python", "2023-11-14T22:13:20Z")
    assert entry.activity.manifest.startswith('{"name":"echo","runtime":"python"')
    assert list((await rig.invoker.List(pb.ListRequest(username="bob"))).activities) == []


async def test_a_function_is_removed_once(rig: Rig) -> None:
    await rig.invoker.Remove(pb.RemoveRequest(actName="echo"))
    assert type(await refused(rig.invoker.Remove(pb.RemoveRequest(actName="echo")))) is FunctionNotFound


async def test_a_function_is_described(rig: Rig) -> None:
    reply = await rig.invoker.Describe(pb.DescribeRequest(actName="echo"))
    assert (reply.activity.name, list(reply.missing), list(reply.workers)) == ("echo", ["ponger"], ["w1"])
    assert [version.version for version in reply.versions] == [1]
    assert (reply.stats.invocations, reply.stats.cold, reply.stats.p99_ms) == (5, 1, 1.5)
    assert type(await refused(rig.invoker.Describe(pb.DescribeRequest(actName="zz")))) is FunctionNotFound


# Upload


def an_upload(
    content: bytes, *, sha256: str = "", size: int = -1, piece: int = 1000, name: str = "new"
) -> list[pb.UploadRequest]:
    header = pb.UploadHeader(
        actName=name,
        sha256=sha256 or hashlib.sha256(content).hexdigest(),
        size=len(content) if size < 0 else size,
    )
    chunks = [content[start : start + piece] for start in range(0, len(content), piece)]
    return [pb.UploadRequest(header=header), *(pb.UploadRequest(chunk=chunk) for chunk in chunks)]


def left_behind(folder: Path) -> list[Path]:
    return list((folder / "tmp").glob("*"))


async def test_a_bundle_comes_in_pieces_and_leaves_no_file(rig: Rig, folder: Path) -> None:
    content = bytes(range(256)) * 100
    reply = await rig.invoker.Upload(iter(an_upload(content)))
    assert (reply.activity.name, reply.activity.version, list(reply.missing)) == ("new", 2, ["ponger"])
    assert rig.node.uploaded == [content]
    assert left_behind(folder) == []


async def test_an_upload_stream_tells_how_far_it_is_and_ends_with_what_it_led_to(rig: Rig, folder: Path) -> None:
    replies = [reply async for reply in rig.invoker.UploadStream(iter(an_upload(b"x" * 5000)))]
    assert replies[-1].added.activity.name == "new"
    assert {reply.progress for reply in replies[:-1]} <= {"resolving 1 package", ""}
    assert left_behind(folder) == []


async def test_a_stream_that_is_hung_up_on_ends_what_was_going_on_for_it(rig: Rig, folder: Path) -> None:
    call = rig.invoker.UploadStream(iter(an_upload(b"x" * 5000, name="endless")))
    assert (await call.read()).progress == "resolving 1 package"
    assert left_behind(folder)
    call.cancel()
    await until(lambda: not left_behind(folder))


async def test_a_broken_upload_stream_is_refused(rig: Rig, folder: Path) -> None:
    replies = aiter(rig.invoker.UploadStream(iter(an_upload(b"x" * 5000, size=10))))
    error = await refused(anext(replies))
    assert type(error) is InvalidBundle
    assert left_behind(folder) == []


async def test_a_bundle_announced_over_the_limit_is_refused_before_it_is_sent(rig: Rig, folder: Path) -> None:
    error = await refused(rig.invoker.Upload(iter(an_upload(b"", size=200 << 20))))
    assert type(error) is TooLarge
    assert "the bundle has 200.0 MiB, over the limit of 1.0 MiB" in error.message
    assert left_behind(folder) == []


@pytest.mark.parametrize(
    ("pieces", "kind", "says"),
    [
        (an_upload(b"x" * 5000, size=10), InvalidBundle, "larger than the 10 bytes announced"),
        (an_upload(b"x" * 5000, size=6000), InvalidBundle, "has 5000 bytes, not 6000"),
        (an_upload(b"x" * 5000, sha256="00" * 32), InvalidBundle, "the bundle's sum is"),
        (an_upload(b"x", name="a/b"), InvalidInput, "'a/b'"),
        (an_upload(b"x")[1:], InvalidInput, "begins with its header"),
        ([], InvalidInput, "begins with its header"),
    ],
)
async def test_a_broken_upload_is_refused_and_leaves_nothing(
    rig: Rig, folder: Path, pieces: list[pb.UploadRequest], kind: type[Mee6Error], says: str
) -> None:
    error = await refused(rig.invoker.Upload(iter(pieces)))
    assert type(error) is kind
    assert says in error.message
    assert left_behind(folder) == []
    assert rig.node.uploaded == []


async def test_an_upload_that_is_cut_leaves_nothing(rig: Rig, folder: Path) -> None:
    upload = rig.invoker.Upload()
    for request in an_upload(b"x" * 5000, size=6000):
        await upload.write(request)
    await until(lambda: left_behind(folder))
    upload.cancel()
    await until(lambda: not left_behind(folder))
    assert rig.node.uploaded == []
