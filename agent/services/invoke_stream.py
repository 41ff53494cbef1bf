"""Many invocations on one gRPC stream: the fast way in from outside of the node.

No task is made for an invocation: a callback on its outcome queues the reply, and one writer sends what is
queued. At most `MAX_OUTSTANDING` run at once for a stream; beyond that it is not read, and the client feels
HTTP/2's flow control. A client that half-closes gets its remaining replies; one that goes away calls off
what is outstanding.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import Any, Final

import grpc.aio

from agent.services.api import NodeApi, Outcome
from agent.services.invocation import begin, response
from mee6.api.faults import fault_to_pb
from mee6.api.v1 import invoker_pb2 as pb
from mee6.errors import Cancelled, InvalidInput, InvocationNotFound, Mee6Error
from mee6.faults import fault_of

MAX_OUTSTANDING: Final = 1024


class InvokeStream:
    """One stream's life."""

    def __init__(self, node: NodeApi, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._node = node
        self._context = context
        self._running: dict[int, str] = {}
        """seq -> invocation id."""
        self._replies: deque[pb.InvokeStreamReply] = deque()
        self._changed = asyncio.Event()
        """There are replies, or the client has half-closed."""
        self._room = asyncio.Event()
        self._half_closed = False

    async def run(self) -> None:
        """Serves the stream until both sides are done.

        Raises:
            InvalidInput: the client used a `seq` twice at the same time.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write())
                await self._read()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            for id_ in self._running.values():
                with contextlib.suppress(InvocationNotFound):
                    self._node.cancel(id_)

    async def _read(self) -> None:
        read = self._context.read
        while (request := await read()) is not grpc.aio.EOF:
            if request.HasField("invoke"):
                self._begin(request.seq, request.invoke)
            elif request.seq in self._running:
                self._node.cancel(self._running[request.seq])
            # A cancel for what has just ended, or never was, is none of the client's faults.
            while len(self._running) + len(self._replies) >= MAX_OUTSTANDING:
                self._room.clear()
                await self._room.wait()
        self._half_closed = True
        self._changed.set()

    def _begin(self, seq: int, request: pb.InvokeRequest) -> None:
        if seq in self._running:
            raise InvalidInput(f"seq {seq} is in use by an invocation that has not ended; count up")
        try:
            ticket = begin(self._node, request)
        except Mee6Error as error:
            self._reply(pb.InvokeStreamReply(seq=seq, fault=fault_to_pb(fault_of(error))))
            return
        if request.detach:
            self._reply(pb.InvokeStreamReply(seq=seq, response=pb.InvokeResponse(id=ticket.id)))
            return
        self._running[seq] = ticket.id
        ticket.outcome.add_done_callback(partial(self._ended, seq, not request.content_type))

    def _ended(self, seq: int, as_text: bool, outcome: asyncio.Future[Outcome]) -> None:
        self._running.pop(seq, None)
        self._reply(_reply_of(seq, as_text, outcome))

    def _reply(self, reply: pb.InvokeStreamReply) -> None:
        self._replies.append(reply)
        self._changed.set()

    async def _write(self) -> None:
        write, replies = self._context.write, self._replies
        while True:
            while replies:
                await write(replies.popleft())
                self._room.set()
            if self._half_closed and not self._running:
                return
            self._changed.clear()
            await self._changed.wait()


def _reply_of(seq: int, as_text: bool, outcome: asyncio.Future[Outcome]) -> pb.InvokeStreamReply:
    error = Cancelled("the invocation was called off") if outcome.cancelled() else outcome.exception()
    if error is None:
        return pb.InvokeStreamReply(seq=seq, response=response(outcome.result(), as_text=as_text))
    if not isinstance(error, Mee6Error):
        error = Mee6Error(f"the agent failed inside: {type(error).__name__}; see its log")
    return pb.InvokeStreamReply(seq=seq, fault=fault_to_pb(fault_of(error)))
