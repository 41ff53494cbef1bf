"""Many invocations over one gRPC stream: what a call costs is a message each way, not a stream each time.

One task writes and one reads; callers only queue a request and wait for the reply with their number. A
caller never touches the stream itself, since gRPC ends a stream whose write is cancelled half-way.
"""

from __future__ import annotations

# ruff: noqa: ASYNC109 - `timeout` is not the waiting's but the invocation's, kept by the agent
import asyncio
import contextlib
import itertools
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import grpc
import grpc.aio

from mee6 import content
from mee6.api import records as convert
from mee6.api.faults import fault_from_pb, from_rpc_error
from mee6.api.v1 import invoker_pb2
from mee6.errors import AgentUnreachable, Mee6Error, TimedOut
from mee6.faults import error_of
from mee6.records import Outcome

GRACE_S: Final = 5.0
"""Beyond an invocation's own limit, which the agent keeps."""

MakeRequest = Callable[[str, bytes, str, str | None, float | None], invoker_pb2.InvokeRequest]


class InvokeStream:
    """An open stream of invocations; an async context manager, made by `Client.stream`.

    Args:
        connect: opens the gRPC stream.
        request: makes a request of name, argument, content type, user and timeout.
        address: of the agent, for messages.
    """

    def __init__(self, connect: Callable[[], Any], request: MakeRequest, address: str) -> None:
        self._connect = connect
        self._request = request
        self._address = address
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[invoker_pb2.InvokeResponse]] = {}
        self._outbox: asyncio.Queue[invoker_pb2.InvokeStreamRequest] = asyncio.Queue()
        self._ended: Mee6Error | None = None
        self._tasks = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._call = self._connect()
        group = await self._tasks.enter_async_context(asyncio.TaskGroup())
        for task in (group.create_task(self._write()), group.create_task(self._read())):
            self._tasks.callback(task.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(AgentUnreachable("the stream was closed"))
        self._call.cancel()
        await self._tasks.aclose()

    async def invoke(self, name: str, arg: Any = None, *, user: str | None = None, timeout: float | None = None) -> Any:
        """As `Client.invoke`. Any number may be under way at once; replies come as they are ready."""
        return (await self.invoke_raw(name, *content.pack(arg), user=user, timeout=timeout)).value

    async def invoke_raw(
        self, name: str, data: bytes, content_type: str, *, user: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """As `Client.invoke_raw`."""
        if self._ended is not None:
            raise self._ended
        seq = next(self._numbers)
        reply = asyncio.get_running_loop().create_future()
        self._waiting[seq] = reply
        request = self._request(name, data, content_type, user, timeout)
        self._outbox.put_nowait(invoker_pb2.InvokeStreamRequest(seq=seq, invoke=request))
        try:
            if timeout is None:
                return convert.outcome(await reply)
            async with asyncio.timeout(timeout + GRACE_S):
                return convert.outcome(await reply)
        except TimeoutError as error:
            self._call_off(seq)
            raise TimedOut(f"{name!r} gave no result within {timeout:g} s", function=name) from error
        except asyncio.CancelledError:
            self._call_off(seq)
            raise
        finally:
            self._waiting.pop(seq, None)

    def _call_off(self, seq: int) -> None:
        if self._ended is None:
            self._outbox.put_nowait(invoker_pb2.InvokeStreamRequest(seq=seq, cancel=True))

    async def _write(self) -> None:
        # What broke the stream is told by the reader, which sees the status.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while self._ended is None:
                await self._call.write(await self._outbox.get())

    async def _read(self) -> None:
        try:
            while (reply := await self._call.read()) is not grpc.aio.EOF:
                self._deliver(reply)
            self._end(AgentUnreachable(f"the agent at {self._address} ended the stream; see: mee6 agent status"))
        except grpc.aio.AioRpcError as error:
            self._end(from_rpc_error(error, self._address))

    def _deliver(self, reply: invoker_pb2.InvokeStreamReply) -> None:
        waiting = self._waiting.get(reply.seq)
        if waiting is None or waiting.done():  # it was called off
            return
        if reply.HasField("fault"):
            waiting.set_exception(error_of(fault_from_pb(reply.fault)))
        else:
            waiting.set_result(reply.response)

    def _end(self, error: Mee6Error) -> None:
        if self._ended is None:
            self._ended = error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._ended)
