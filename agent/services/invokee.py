"""The service for whoever executes: the lane's contract over gRPC, for languages that mee6 has no runtime for.

`Listen` makes a peer of the node, which cannot tell it from one on a Unix socket: lane messages to it become
tasks on the stream, or answers to the RPC that waits for them. The stream's end is the peer's end.
"""

# ruff: noqa: N802 - RPCs are named by the proto

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any, Final, Literal, TypeVar

import grpc.aio

from agent.services.api import NodeApi
from mee6.api.v1 import invokee_pb2 as pb
from mee6.api.v1.invokee_pb2_grpc import InvokeeServicer
from mee6.errors import InvalidInput, NotAllowed, ProtocolError, WorkerLost
from mee6.faults import error_of
from mee6.lane.messages import (
    TEXT,
    AnyMessage,
    AskHandover,
    Call,
    Chunk,
    Credit,
    Fault,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Load,
    Report,
    Result,
)

TOKEN_KEY: Final = "mee6-token"  # noqa: S105 - the name of one
SESSION_KEY: Final = "mee6-session"
HANDOVER_WAIT_S: Final = 10.0
"""For the agent to grant or leave a handover."""

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class Listener:
    """A `Peer` on the other side of a gRPC stream."""

    def __init__(self, session: str, role: str) -> None:
        self.session = session
        self.role = role
        self.loads: dict[str, str] = {}
        """Outstanding `Load`s: id -> function."""
        self.calls: dict[str, asyncio.Future[Result]] = {}
        """Outstanding calls of its functions by id."""
        self.handover: asyncio.Future[str] | None = None
        """An outstanding question for a handover; its token."""
        self.handed_over = False
        """Its runtime has come to the agent."""
        self._tasks: deque[pb.Task] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def send(self, *messages: AnyMessage) -> None:
        """See `Peer.send`."""
        for message in messages:
            self._send(message)

    def _send(self, message: AnyMessage) -> None:
        if self._closed:
            return
        match message:
            case Load(id=id_, function=function):
                self.loads[id_] = function.name
                self._task(pb.Task(type=pb.LOAD, id=id_, arg=function.name, path=function.path))
            case Invoke():
                self._task(
                    pb.Task(
                        type=pb.INVOKE,
                        id=message.id,
                        arg=message.arg.decode("utf-8", "replace") if message.content_type == TEXT else "",
                        data=message.arg,
                        content_type=message.content_type,
                        chain=message.chain,
                    )
                )
            case Goodbye():
                self._task(pb.Task(type=pb.HANDOVER))
            case Handover(token=token):
                _settle(self.handover, token)
            case Result(id=id_):
                _settle(self.calls.get(id_), message)
            case Chunk() | Credit():
                pass  # such a peer takes no pieces: it was not told of any
            case _:  # nothing else goes to a peer
                raise ProtocolError(f"a {type(message).__name__} cannot be sent over gRPC")

    def close(self) -> None:
        """See `Peer.close`."""
        self._closed = True
        self._changed.set()

    def leave(self) -> None:
        """Ends what waits for the node; the peer is gone."""
        self.close()
        for waiting in (*self.calls.values(), self.handover):
            if waiting is not None and not waiting.done():
                waiting.set_exception(WorkerLost("the peer's Listen has ended"))
                waiting.exception()  # whoever awaited it may be gone too

    async def deliver(self, context: Context) -> None:
        """Writes tasks as they come, until `close`."""
        while True:
            while self._tasks:
                await context.write(self._tasks.popleft())
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()

    def _task(self, task: pb.Task) -> None:
        task.session = self.session
        self._tasks.append(task)
        self._changed.set()


class Invokee(InvokeeServicer):
    """The Invokee service of one node."""

    def __init__(self, node: NodeApi) -> None:
        self._node = node
        self._listeners: dict[str, Listener] = {}
        """By session."""
        self._granted: dict[str, Listener] = {}
        """Handover tokens that are out, with who asked."""

    async def Listen(self, request: pb.ListenRequest, context: Context) -> None:
        """Makes the caller a peer; its tasks follow until it leaves or is sent away."""
        token = _metadata(context, TOKEN_KEY)
        if not token:
            raise NotAllowed(f"Listen needs the worker's one-time token as {TOKEN_KEY!r} in its metadata")
        listener = Listener(secrets.token_urlsafe(18), role := _role(request.role))
        self._node.attach(listener, Hello(token, role, request.runtime), None)
        # A proxy's runtime that came over gRPC: what the proxy cannot say in its report is known here.
        if (proxy := self._granted.pop(token, None)) is not None:
            proxy.handed_over = True
        self._listeners[listener.session] = listener
        try:
            await context.send_initial_metadata(((SESSION_KEY, listener.session),))
            await listener.deliver(context)
        finally:
            del self._listeners[listener.session]
            self._granted = {token: asker for token, asker in self._granted.items() if asker is not listener}
            listener.leave()
            self._node.detach(listener, "")

    async def Report(self, request: pb.ReportRequest, context: Context) -> pb.ReportResponse:
        """Takes the outcome of a task."""
        listener = self._listener(context)
        function = listener.loads.pop(request.id, None)
        fault = None
        if request.isError:
            fault = Fault(
                "function_raised" if function is None else "load_failed",
                request.result or "it failed and did not say why",
                function=function or "",
                error_type=request.error_type,
                traceback=request.traceback,
            )
        self._received(
            listener,
            Report(
                request.id,
                b"" if fault else request.data if request.content_type else request.result.encode(),
                request.content_type or TEXT,
                fault,
                handed_over=function is not None and fault is None and listener.handed_over,
            ),
        )
        return pb.ReportResponse()

    async def Handover(self, _request: pb.HandoverRequest, context: Context) -> pb.HandoverResponse:
        """Asks the node to take the caller's runtime; the runtime may then `Listen` with the token."""
        listener = self._listener(context)
        if listener.handover is not None:
            raise InvalidInput("a handover has been asked for already")
        listener.handover = asyncio.get_running_loop().create_future()
        try:
            self._received(listener, AskHandover())
            token = await _bounded(listener.handover, HANDOVER_WAIT_S)
            self._granted[token] = listener
        finally:
            listener.handover = None
        return pb.HandoverResponse(token=token)

    async def Call(self, request: pb.CallRequest, context: Context) -> pb.CallResponse:
        """Runs another function for the caller's; its failure is the RPC's status."""
        listener = self._listener(context)
        id_ = f"{request.invocation}.{request.number}"
        if not request.invocation or not request.number:
            raise InvalidInput("a call names its invocation, and its number counts from 1")
        if id_ in listener.calls:
            raise InvalidInput(f"call {id_} is going on already; count up")
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        listener.calls[id_] = result
        try:
            content_type = request.content_type or TEXT
            self._received(listener, Call(id_, request.invocation, request.name, request.data, content_type))
            answer = await result  # bounded by the invocation's own limit: the node answers when it ends
        finally:
            del listener.calls[id_]
        if answer.fault is not None:
            raise error_of(answer.fault)
        return pb.CallResponse(data=answer.result, content_type=answer.content_type)

    def _listener(self, context: Context) -> Listener:
        listener = self._listeners.get(_metadata(context, SESSION_KEY))
        if listener is None:
            raise NotAllowed(f"no such session: {SESSION_KEY!r} comes from a Listen that goes on")
        return listener

    def _received(self, listener: Listener, message: AnyMessage) -> None:
        try:
            self._node.received(listener, message)
        except ProtocolError:
            listener.close()
            raise


def _role(role: str) -> Literal["proxy", "runtime"]:
    match role:
        case "" | "runtime":
            return "runtime"
        case "proxy":
            return "proxy"
        case _:
            raise InvalidInput(f"role {role!r} is neither 'proxy' nor 'runtime'")


def _metadata(context: Context, wanted: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == wanted:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""


async def _bounded(waiting: asyncio.Future[T], limit_s: float) -> T:
    try:
        return await asyncio.wait_for(waiting, limit_s)
    except TimeoutError as error:
        raise NotAllowed("the agent granted no handover; go on serving") from error


def _settle(waiting: asyncio.Future[T] | None, value: T) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(value)
