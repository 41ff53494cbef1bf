from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest

from agent.peers import Peer
from mee6.api.v1 import invokee_pb2 as pb
from mee6.errors import CallRefused, FunctionRaised, InvalidInput, Mee6Error, NotAllowed, ProtocolError
from mee6.lane.messages import Function as LaneFunction
from mee6.lane.messages import Invoke, Load
from tests.agent.services.conftest import Rig
from tests.agent.services.test_invoker import refused
from tests.support import grpc_runtime
from tests.support.waiting import until

TOKEN = (("mee6-token", "token-1"),)


@asynccontextmanager
async def a_runtime(rig: Rig, token: str = "token-1") -> AsyncIterator[tuple[Peer, asyncio.Task[None]]]:
    serving = asyncio.create_task(grpc_runtime.serve(rig.address, token))
    try:
        await until(lambda: rig.node.peers)
        yield rig.node.peers[0], serving
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await until(lambda: not rig.node.peers)


@pytest.fixture
def code(folder: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        (folder / "main.py").write_text(text)
        return str(folder)

    return write


# The reference runtime of a third party


async def test_a_third_partys_runtime_loads_runs_calls_and_leaves(rig: Rig, code: Callable[[str], str]) -> None:
    path = code("async def main(arg):\n    return 'got ' + await invoke('echo', arg) + await invoke('echo', '!')\n")
    async with a_runtime(rig) as (peer, serving):
        assert (await rig.node.load(peer, "caller", path)).fault is None
        assert await rig.node.run(peer, "i1", b"foo") == b"got foo!"
        assert await rig.node.run(peer, "i2", b"bar") == b"got bar!"
        rig.node.dismiss(peer)
        await asyncio.wait_for(serving, 5)
    assert rig.node.hellos[0].role == "runtime"
    assert rig.node.hellos[0].runtime == "python"
    assert len(rig.node.detached) == 1


async def test_its_function_that_raises_is_an_answer_with_a_traceback(rig: Rig, code: Callable[[str], str]) -> None:
    async with a_runtime(rig) as (peer, _serving):
        await rig.node.load(peer, "failing", code("def main(arg): return 1 / 0\n"))
        with pytest.raises(FunctionRaised, match="division by zero") as caught:
            await rig.node.run(peer, "i1", b"")
        assert caught.value.error_type == "ZeroDivisionError"
        assert "line 1, in main" in caught.value.traceback


async def test_its_code_that_cannot_be_loaded_is_a_failed_load(rig: Rig, code: Callable[[str], str]) -> None:
    async with a_runtime(rig) as (peer, _serving):
        report = await rig.node.load(peer, "broken", code("import nothing_of_that_name\n"))
        assert report.fault is not None
        assert (report.fault.code, report.fault.function) == ("load_failed", "broken")
        assert report.fault.error_type == "ModuleNotFoundError"


async def test_a_call_that_is_refused_reaches_its_function(rig: Rig, code: Callable[[str], str]) -> None:
    async with a_runtime(rig) as (peer, _serving):
        await rig.node.load(peer, "caller", code("async def main(arg): return await invoke('other', arg)\n"))
        with pytest.raises(FunctionRaised, match="no 'other'"):
            await rig.node.run(peer, "i1", b"")


async def test_a_runtime_that_dies_is_detached(rig: Rig) -> None:
    async with a_runtime(rig) as (_peer, serving):
        serving.cancel()
        await until(lambda: rig.node.detached == [""])


async def test_what_is_sent_to_a_peer_that_is_gone_is_dropped(rig: Rig) -> None:
    async with a_runtime(rig) as (peer, serving):
        serving.cancel()
        await until(lambda: rig.node.detached)
        peer.send(Invoke("i1", b"", "text/plain", []))
        peer.close()


# The wire itself


async def test_tasks_carry_what_the_published_contract_promises_and_more(rig: Rig) -> None:
    listen = rig.invokee.Listen(pb.ListenRequest(), metadata=TOKEN)
    session = dict(await listen.initial_metadata())["mee6-session"]
    peer = rig.node.peers[0]
    peer.send(Load("l1", LaneFunction("echo", 1, "python", "/act/rsc/echo")))
    peer.send(Invoke("i1", b"hi", "text/plain", ["root", "echo"]))
    peer.send(Invoke("i2", b"\xff", "application/octet-stream", ["echo"]))
    assert await listen.read() == pb.Task(type=pb.LOAD, id="l1", arg="echo", path="/act/rsc/echo", session=session)
    assert await listen.read() == pb.Task(
        type=pb.INVOKE,
        id="i1",
        arg="hi",
        data=b"hi",
        content_type="text/plain",
        chain=["root", "echo"],
        session=session,
    )
    assert (await listen.read()).data == b"\xff"
    rig.node.dismiss(peer)
    assert await listen.read() == pb.Task(type=pb.HANDOVER, session=session)
    assert await listen.read() is grpc.aio.EOF


async def test_a_report_in_the_published_form_is_text(rig: Rig) -> None:
    listen = rig.invokee.Listen(pb.ListenRequest(), metadata=TOKEN)
    session = (("mee6-session", dict(await listen.initial_metadata())["mee6-session"]),)
    running = asyncio.ensure_future(rig.node.run(rig.node.peers[0], "i1", b""))
    await listen.read()
    await rig.invokee.Report(pb.ReportRequest(id="i1", result="grüße"), metadata=session)
    assert await running == "grüße".encode()
    listen.cancel()


@pytest.mark.parametrize("metadata", [None, (("mee6-token", ""),), (("mee6-token", "wrong"),)])
async def test_listening_needs_a_token_that_is_known(rig: Rig, metadata: object) -> None:
    error = await refused(rig.invokee.Listen(pb.ListenRequest(), metadata=metadata).read())
    assert type(error) is NotAllowed
    assert rig.node.peers == []
    assert rig.node.detached == []


async def test_a_token_is_good_once(rig: Rig) -> None:
    listen = rig.invokee.Listen(pb.ListenRequest(), metadata=TOKEN)
    await listen.initial_metadata()
    assert type(await refused(rig.invokee.Listen(pb.ListenRequest(), metadata=TOKEN).read())) is NotAllowed
    listen.cancel()


async def test_an_unknown_role_is_refused_and_does_not_use_the_token_up(rig: Rig) -> None:
    error = await refused(rig.invokee.Listen(pb.ListenRequest(role="boss"), metadata=TOKEN).read())
    assert type(error) is InvalidInput
    assert rig.node.tokens == {"token-1"}


@pytest.mark.parametrize("rpc", ["Report", "Handover", "Call"])
async def test_without_a_session_nothing_is_taken(rig: Rig, rpc: str) -> None:
    request = getattr(pb, f"{rpc}Request")()
    for metadata in (None, (("mee6-session", "guessed"),)):
        assert type(await refused(getattr(rig.invokee, rpc)(request, metadata=metadata))) is NotAllowed


async def a_session(rig: Rig, role: str = "") -> tuple[grpc.aio.UnaryStreamCall[object, pb.Task], object]:
    listen = rig.invokee.Listen(pb.ListenRequest(role=role), metadata=TOKEN)
    return listen, (("mee6-session", dict(await listen.initial_metadata())["mee6-session"]),)


async def test_a_peer_that_breaks_the_rules_is_closed(rig: Rig) -> None:
    listen, session = await a_session(rig)
    error = await refused(rig.invokee.Report(pb.ReportRequest(id="nobody's"), metadata=session))
    assert type(error) is ProtocolError
    assert await listen.read() is grpc.aio.EOF
    await until(lambda: rig.node.detached)


@pytest.mark.parametrize(
    "request_", [pb.CallRequest(invocation="i1", name="x"), pb.CallRequest(number=1, name="x")], ids=["0", "none"]
)
async def test_a_call_without_its_number_or_invocation_is_refused(rig: Rig, request_: pb.CallRequest) -> None:
    listen, session = await a_session(rig)
    assert type(await refused(rig.invokee.Call(request_, metadata=session))) is InvalidInput
    listen.cancel()


async def test_a_call_number_cannot_be_used_twice_at_once(rig: Rig) -> None:
    listen, session = await a_session(rig)
    request = pb.CallRequest(invocation="i1", number=1, name="never")
    first = asyncio.ensure_future(rig.invokee.Call(request, metadata=session))
    second = asyncio.ensure_future(rig.invokee.Call(request, metadata=session))
    done, _waiting = await asyncio.wait([first, second], timeout=5, return_when=asyncio.FIRST_COMPLETED)
    assert type(await refused(done.pop())) is InvalidInput
    listen.cancel()
    await asyncio.wait([first, second], timeout=5)


async def test_a_refused_call_is_the_rpcs_status(rig: Rig) -> None:
    listen, session = await a_session(rig)
    request = pb.CallRequest(invocation="i1", number=1, name="undeclared")
    error = await refused(rig.invokee.Call(request, metadata=session))
    assert type(error) is CallRefused
    assert error.function == "undeclared"
    listen.cancel()


async def test_calls_of_a_peer_that_leaves_end_in_bounded_time(rig: Rig) -> None:
    listen, session = await a_session(rig)
    call = asyncio.ensure_future(
        rig.invokee.Call(pb.CallRequest(invocation="i1", number=1, name="never"), metadata=session)
    )
    await until(lambda: rig.node.peers[0].calls)  # type: ignore[attr-defined]
    listen.cancel()
    error = await asyncio.wait_for(refused(call), 5)
    assert isinstance(error, Mee6Error)
    assert "Listen has ended" in error.message


async def test_a_handover_gives_a_token_and_the_load_is_then_reported_as_handed_over(rig: Rig) -> None:
    listen, session = await a_session(rig, "proxy")
    proxy = rig.node.peers[0]
    loading = asyncio.ensure_future(rig.node.load(proxy, "echo", "/x"))
    task = await listen.read()
    assert isinstance(task, pb.Task)
    token = (await rig.invokee.Handover(pb.HandoverRequest(), metadata=session)).token
    runtime = rig.invokee.Listen(pb.ListenRequest(runtime="python"), metadata=(("mee6-token", token),))
    await runtime.initial_metadata()
    await rig.invokee.Report(pb.ReportRequest(id=task.id), metadata=session)
    assert (await loading).handed_over
    assert [hello.role for hello in rig.node.hellos] == ["proxy", "runtime"]
    listen.cancel()
    runtime.cancel()


async def test_a_load_without_a_handover_is_not_reported_as_one(rig: Rig) -> None:
    listen, session = await a_session(rig, "proxy")
    loading = asyncio.ensure_future(rig.node.load(rig.node.peers[0], "echo", "/x"))
    await listen.read()
    await rig.invokee.Handover(pb.HandoverRequest(), metadata=session)
    await rig.invokee.Report(pb.ReportRequest(id="load-1"), metadata=session)
    assert not (await loading).handed_over
    listen.cancel()


async def test_a_handover_that_is_not_granted_is_refused_in_bounded_time(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.services.invokee.HANDOVER_WAIT_S", 0.01)
    rig.node.grants = False
    listen, session = await a_session(rig, "proxy")
    error = await refused(rig.invokee.Handover(pb.HandoverRequest(), metadata=session))
    assert type(error) is NotAllowed
    listen.cancel()
