"""The agent's functions from Python: `async with Client() as client: await client.invoke("echo", "foo")`.

One client is one connection, made when first used; it belongs to the event loop it is used in. What fails
raises a class of `mee6.errors`: a function that raised is `FunctionRaised` with the remote traceback, an
agent that does not answer `AgentUnreachable`. Cancelling the task that waits calls the invocation off.
`mee6.sync.SyncClient` is the same for scripts without an event loop.
"""

from __future__ import annotations

# ruff: noqa: ASYNC109 - `timeout` is not the waiting's but the invocation's, kept by the agent
import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
import grpc.aio

from mee6 import config, content
from mee6.api import records as convert
from mee6.api.faults import API_KEY, API_LEVEL, fault_from_pb, from_rpc_error
from mee6.api.v1 import console_pb2, console_pb2_grpc, invoker_pb2, invoker_pb2_grpc
from mee6.errors import ProtocolError, TimedOut
from mee6.faults import error_of
from mee6.manifest import MAX_TIMEOUT_S
from mee6.records import Added, Batch, Description, Function, LogLine, Node, Outcome, Snapshot, Trace, Worker
from mee6.stream import InvokeStream

if TYPE_CHECKING:
    from mee6.bundle import Bundle

MESSAGE_LIMIT_BYTES: Final = 32 << 20
METADATA: Final = ((API_KEY, str(API_LEVEL)),)
ANSWER_S: Final = 30.0
"""How long an agent may take to answer what it has at hand."""
GRACE_S: Final = 5.0
"""Beyond an invocation's own limit, which the agent keeps."""
PIECE_BYTES: Final = 256 << 10

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.enable_http_proxy", 0),  # an agent is never behind the web's proxy, and loopback must not go there
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
)

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with the bytes sent so far and all bytes."""
Line = Callable[[str], None]
"""Called with a line for people."""


class Client:
    """A connection to one agent as one user.

    Args:
        address: `host:port` or `unix:/path`; None = as `mee6.config` resolves it, and so for `user`.
        context: a named context of the configuration file.
    """

    def __init__(self, address: str | None = None, *, user: str | None = None, context: str | None = None) -> None:
        settings = config.resolve(address=address, user=user, context=context)
        self.address = settings.address.value
        self.user = settings.user.value
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection; calls under way are called off. Idempotent."""
        self._closed = True
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    # Invocations

    async def invoke(self, name: str, arg: Any = None, *, user: str | None = None, timeout: float | None = None) -> Any:
        """Runs a function and waits for its result.

        Args:
            arg: text, bytes, or anything that JSON holds.
            timeout: seconds from acceptance to the result; None = the function's own limit.
        """
        return (await self.invoke_raw(name, *content.pack(arg), user=user, timeout=timeout)).value

    async def invoke_raw(
        self,
        name: str,
        data: bytes,
        content_type: str,
        *,
        user: str | None = None,
        timeout: float | None = None,
        schedule: str = "",
    ) -> Outcome:
        """As `invoke`, with bytes both ways.

        Args:
            schedule: who runs a declared workflow: `worker`, `spread`, `master`, or as the agent is set.
        """
        request = self._invocation(name, data, content_type, user, timeout)
        request.schedule = schedule
        limit = None if timeout is None else min(timeout, MAX_TIMEOUT_S) + GRACE_S
        return convert.outcome(await self._answer(self._invoker.Invoke, request, limit))

    async def submit(self, name: str, arg: Any = None, *, user: str | None = None, timeout: float | None = None) -> str:
        """Starts a function and returns the invocation's id; `result` gets what came of it."""
        return await self.submit_raw(name, *content.pack(arg), user=user, timeout=timeout)

    async def submit_raw(
        self,
        name: str,
        data: bytes,
        content_type: str,
        *,
        user: str | None = None,
        timeout: float | None = None,
        schedule: str = "",
    ) -> str:
        """As `submit`, with bytes; `schedule` as in `invoke_raw`."""
        request = self._invocation(name, data, content_type, user, timeout)
        request.schedule = schedule
        request.detach = True
        reply: invoker_pb2.InvokeResponse = await self._answer(self._invoker.Invoke, request)
        return reply.id

    async def result(self, invocation: str, *, wait: float = 0.0) -> Any:
        """The result of an earlier invocation, waiting for it at most `wait` seconds."""
        return (await self.result_raw(invocation, wait=wait)).value

    async def result_raw(self, invocation: str, *, wait: float = 0.0) -> Outcome:
        """As `result`, with bytes."""
        request = invoker_pb2.ResultRequest(id=invocation, wait_s=wait)
        return convert.outcome(await self._answer(self._invoker.Result, request, wait + ANSWER_S))

    async def cancel(self, invocation: str) -> None:
        """Calls an invocation off; one that has ended stays as it is."""
        await self._answer(self._invoker.Cancel, invoker_pb2.CancelRequest(id=invocation))

    def stream(self) -> InvokeStream:
        """Many invocations over one stream, the fastest way: `async with client.stream() as stream`."""
        return InvokeStream(lambda: self._invoker.InvokeStream(metadata=METADATA), self._invocation, self.address)

    # Functions

    async def add(
        self,
        folder: str | Path,
        *,
        name: str = "",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        on_progress: Progress | None = None,
        on_line: Line | None = None,
    ) -> Added:
        """Adds the function in `folder`, or the next version of it, with the packages it depends on.

        Args:
            name: must be the manifest's where it is given.
            env: goes over the manifest's.
            check: has the agent look whether its code can be read; nothing of it is run.
            on_line: told how far the packages are.
        """
        from mee6 import bundle

        try:
            async with bundle.packed_aside(Path(folder)) as packed:
                pieces = _pieces(packed, name, user or self.user, env or {}, check, on_progress)
                replies = self._replies(self._invoker.UploadStream(pieces, metadata=METADATA))
                patience_s = ANSWER_S + packed.size / (1 << 20)
                try:
                    while True:  # resolving may take minutes, but not in silence
                        async with asyncio.timeout(patience_s):
                            reply = await anext(replies)
                        patience_s = ANSWER_S
                        if reply.WhichOneof("what") == "added":
                            return convert.added(reply.added)
                        if reply.WhichOneof("what") == "fault":
                            raise error_of(fault_from_pb(reply.fault))
                        if reply.progress and on_line is not None:
                            on_line(reply.progress)
                finally:
                    await replies.aclose()
        except TimeoutError as error:
            raise TimedOut(f"the agent at {self.address} did not answer in time; see: mee6 agent status") from error
        except StopAsyncIteration as error:
            raise ProtocolError(f"the agent at {self.address} ended the upload without a word; see its log") from error

    async def list(self, *, user: str | None = None) -> tuple[Function, ...]:
        """The user's functions in their current versions, by name."""
        reply = await self._answer(self._invoker.List, invoker_pb2.ListRequest(username=user or self.user))
        found = (convert.function(listed.activity) for listed in reply.activities)
        return tuple(sorted(found, key=lambda function: function.name))

    async def describe(self, name: str, *, user: str | None = None, show_env: bool = False) -> Description:
        """All about one function.

        Args:
            show_env: with the values of its environment.
        """
        request = invoker_pb2.DescribeRequest(username=user or self.user, actName=name, show_env=show_env)
        return convert.description(await self._answer(self._invoker.Describe, request))

    async def remove(self, name: str, *, user: str | None = None) -> None:
        """Removes a function with all its versions; what runs of it finishes."""
        request = invoker_pb2.RemoveRequest(username=user or self.user, actName=name)
        await self._answer(self._invoker.Remove, request)

    # Watching

    async def trace(self, invocation: str = "", *, user: str | None = None, usual: bool = False) -> Trace:
        """What an invocation did: by its id or the beginning of it; the user's latest for an empty one.

        Args:
            usual: with how long each part of its functions' runs usually takes.
        """
        request = console_pb2.TraceRequest(id=invocation, username=user or self.user, usual=usual)
        return convert.trace(await self._answer(self._console.Trace, request))

    async def nodes(self) -> tuple[Node, ...]:
        """The agents and how they stand."""
        reply = await self._answer(self._console.Nodes, console_pb2.NodesRequest())
        return tuple(convert.node(found) for found in reply.nodes)

    async def workers(self) -> tuple[Worker, ...]:
        """The agent's workers."""
        reply = await self._answer(self._console.Workers, console_pb2.WorkersRequest())
        return tuple(convert.worker(found) for found in reply.workers)

    async def set_limits(
        self, worker: str, *, memory_bytes: int | None = None, cpus: float | None = None
    ) -> tuple[int, float]:
        """Changes what a live worker may use; what is not given stays as it is.

        Args:
            cpus: cores; 0 = all.

        Returns:
            What it may use now: memory in bytes, and cores.

        Raises:
            Conflict: it uses more memory than that now; nothing was changed.
        """
        request = console_pb2.SetLimitsRequest(worker=worker, memory_bytes=memory_bytes, cpus=cpus)
        reply = await self._answer(self._console.SetLimits, request)
        return reply.memory_bytes, reply.cpus

    async def evict(self, worker: str, *, force: bool = False) -> None:
        """Ends a worker.

        Args:
            force: also where it runs an invocation, which is lost then.

        Raises:
            NotFound: there is no such worker.
            Conflict: it runs an invocation, and `force` was not given.
        """
        await self._answer(self._console.Evict, console_pb2.EvictRequest(worker=worker, force=force))

    async def pause(self, worker: str) -> Worker:
        """Freezes an idle worker until it is leased or resumed; returns once it is frozen.

        Raises:
            NotFound: there is no such worker.
            Conflict: it is not idle, or this agent cannot pause workers.
        """
        return convert.worker((await self._answer(self._console.Pause, console_pb2.PauseRequest(worker=worker))).worker)

    async def resume(self, worker: str) -> Worker:
        """Thaws a paused worker; returns once it runs.

        Raises:
            NotFound: there is no such worker.
            Conflict: it is not paused.
        """
        reply = await self._answer(self._console.Resume, console_pb2.ResumeRequest(worker=worker))
        return convert.worker(reply.worker)

    async def drain(self) -> Node:
        """Has the agent take no new invocations while what runs finishes, until `undrain`."""
        return convert.node((await self._answer(self._console.Drain, console_pb2.DrainRequest())).node)

    async def undrain(self) -> Node:
        """Undoes `drain`.

        Raises:
            Conflict: the agent is about to end.
        """
        return convert.node((await self._answer(self._console.Undrain, console_pb2.UndrainRequest())).node)

    async def configure(
        self,
        *,
        pause: str | None = None,
        keep_alive_s: float | None = None,
        linger_s: float | None = None,
        look_ahead: str | None = None,
        memory_budget_bytes: int | None = None,
        prewarm: Mapping[str, int] | None = None,
        ceiling: Mapping[str, int] | None = None,
        wait_for_busy: bool | None = None,
        order: str | None = None,
    ) -> Node:
        """Changes how the agent keeps its workers, until it ends; what is not given stays as it is.

        Args:
            pause: `always`, `after-use` or `never`.
            look_ahead: `off`, `declared` or `learnt`.
            memory_budget_bytes: of all workers together; 0 = none.
            prewarm: runtime -> workers kept ready.
            ceiling: runtime -> workers at most; 0 = no ceiling.
            wait_for_busy: whether invocations wait for a worker in use that will be free before another would be ready.
            order: who is served first of those that wait: `arrival` or `deadline`.
        """
        request = console_pb2.ConfigureRequest(
            pause=pause,
            keep_alive_s=keep_alive_s,
            linger_s=linger_s,
            look_ahead=look_ahead,
            memory_budget_bytes=memory_budget_bytes,
            prewarm=prewarm,
            ceiling=ceiling,
            wait_for_busy=wait_for_busy,
            order=order,
        )
        return convert.node((await self._answer(self._console.Configure, request)).node)

    async def watch(
        self,
        *,
        kinds: Iterable[str] = (),
        functions: Iterable[str] = (),
        workers: Iterable[str] = (),
        snapshot: bool = True,
    ) -> AsyncGenerator[Snapshot | Batch, None]:
        """How things stand, then what happens, as it happens; ends with the connection.

        Args:
            kinds: of events, as in the proto; empty = all. So for `functions` and `workers`.
        """
        request = console_pb2.WatchRequest(
            kinds=kinds, functions=functions, workers=workers, skip_snapshot=not snapshot
        )
        async for reply in self._replies(self._console.Watch(request, metadata=METADATA)):
            yield convert.watched(reply)

    async def logs(
        self,
        function: str = "",
        *,
        invocation: str = "",
        follow: bool = False,
        tail: int = 0,
        since_s: float = 0.0,
        user: str | None = None,
    ) -> AsyncGenerator[LogLine, None]:
        """What functions wrote: of one function, one invocation, or all of the user's.

        Args:
            follow: goes on with what they write from now on.
            tail: at most so many of the remembered lines; 0 = all.
            since_s: of the remembered lines only those of the last so many seconds; 0 = all.
        """
        request = console_pb2.LogsRequest(
            username=user or self.user,
            function=function,
            invocation=invocation,
            follow=follow,
            tail=tail,
            since_s=since_s,
        )
        limit = None if follow else ANSWER_S
        async for reply in self._replies(self._console.Logs(request, metadata=METADATA, timeout=limit)):
            yield convert.log_line(reply)

    # The wire

    def _invocation(
        self, name: str, data: bytes, content_type: str, user: str | None, timeout: float | None
    ) -> invoker_pb2.InvokeRequest:
        return invoker_pb2.InvokeRequest(
            username=user or self.user, actName=name, data=data, content_type=content_type, timeout_s=timeout or 0.0
        )

    def _connected(self) -> grpc.aio.Channel:
        if self._closed:
            raise RuntimeError("the client is closed")
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
            stubs: tuple[Any, Any] = invoker_pb2_grpc, console_pb2_grpc  # generated, without types
            self._stubs = stubs[0].InvokerStub(self._channel), stubs[1].ConsoleStub(self._channel)
        return self._channel

    @property
    def _invoker(self) -> Any:  # the generated stubs are made for blocking channels
        self._connected()
        return self._stubs[0]

    @property
    def _console(self) -> Any:
        self._connected()
        return self._stubs[1]

    async def _answer(self, method: Any, request: Any, timeout: float | None = ANSWER_S) -> Any:
        return await self._translated(method(request, timeout=timeout, metadata=METADATA))

    async def _translated(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.address) from error

    async def _replies(self, call: Any) -> AsyncGenerator[Any, None]:
        try:
            async for reply in call:
                yield reply
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self.address) from error
        finally:
            call.cancel()


def _pieces(
    packed: Bundle, name: str, user: str, env: Mapping[str, str], check: bool, on_progress: Progress | None
) -> Iterator[invoker_pb2.UploadRequest]:
    header = invoker_pb2.UploadHeader(
        username=user, actName=name, sha256=packed.sha256, size=packed.size, env=env, no_check=not check
    )
    yield invoker_pb2.UploadRequest(header=header)
    sent = 0
    with packed.path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield invoker_pb2.UploadRequest(chunk=piece)
            sent += len(piece)
            if on_progress is not None:
                on_progress(sent, packed.size)
