"""The Python runtime of a function that takes several invocations at once, on one event loop.

Each is a task with its own context variables, which tell `mee6.context`, `mee6.request`, `mee6.scratch`, calls and
output whose they are; what it starts with `asyncio.create_task` or `asyncio.to_thread` inherits them. A `Cancel`
cancels the task. There is no `mee6.flow` here and no `cur`: neither would be one invocation's own. What blocks the
loop blocks all, so the blocking `mee6.invoke` is refused on it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future as ThreadFuture
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

from mee6.content import unpack
from mee6.errors import CallRefused, Conflict, InvalidInput
from mee6.http import Body, Request, is_stream, whole_of
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import (
    AnyMessage,
    Call,
    Cancel,
    Chunk,
    Credit,
    Fault,
    Function,
    Goodbye,
    Handover,
    Introduce,
    Introduced,
    Invoke,
    Limits,
    Report,
    Result,
)
from mee6.sdk import CallTo, Context, Outcome, outside
from mee6.trees import remove_tree
from runtimes.python import faults
from runtimes.python.answers import parts, refused, report_of
from runtimes.python.attributed import WRITER, Attributed, Writer
from runtimes.python.calls import packed
from runtimes.python.receiving import outcome_of
from runtimes.python.streams import Streams, Unsendable

Settle = Callable[[Outcome], None]


class Running:
    """One invocation."""

    __slots__ = (
        "began",
        "body",
        "count",
        "deadline",
        "folder",
        "invocation",
        "is_called_off",
        "open",
        "request",
        "task",
        "writer",
    )

    def __init__(self, invocation: Invoke, function: Function, streams: Streams) -> None:
        self.invocation = invocation
        self.deadline = monotonic() + function.timeout_s
        self.body = streams
        self.writer = Writer(invocation.id)
        self.count = 0
        """Calls it has made."""
        self.open: set[str] = set()
        """Those that have not ended."""
        self.request: Request | None = None
        self.folder: Path | None = None
        self.task: asyncio.Task[None] | None = None
        self.began = False
        self.is_called_off = False


_RUNNING: Final[ContextVar[Running | None]] = ContextVar("mee6_running", default=None)


class Many:
    """The process's invocations, and the SDK's backend for them.

    Args:
        act: the worker's storage.
        full: says which of the worker's folders has no room left.
        hand_over: carries a `Handover` out, before anything runs; sets `lane`.
        leave: ends the process.
    """

    def __init__(
        self,
        lane: BlockingLane,
        limits: Limits,
        act: str,
        full: Callable[[], str],
        hand_over: Callable[[Handover], None],
        leave: Callable[[], NoReturn],
    ) -> None:
        self.lane = lane
        self.output = Attributed(lane, limits.log_bytes)
        self._result_bytes = limits.result_bytes
        self._act = act
        self._full = full
        self._hand_over = hand_over
        self._leave = leave
        self._function: Function | None = None
        self._main: Callable[[Any], Any] = lambda _arg: None
        self._running: dict[str, Running] = {}
        self._waiting: dict[str, Settle] = {}
        """Calls that have not ended -> who waits for them."""
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.get_ident()

    def serve(self, function: Function, main: Callable[[Any], Any], first: Iterable[AnyMessage]) -> NoReturn:
        """Serves until the lane ends."""
        self._function, self._main = function, main
        asyncio.set_event_loop(self._loop)
        for message in first:
            self._received(message)
        self._loop.add_reader(self.lane.fileno(), self._readable)
        self._loop.run_forever()
        self._leave()

    def _readable(self) -> None:
        messages = self.lane.receive_now()
        if messages is None:
            self._leave()
        for message in messages:
            self._received(message)

    def _received(self, message: AnyMessage) -> None:
        match message:
            case Invoke():
                self._invoke(message)
            case Result(id=number):
                with self._lock:
                    settle = self._waiting.pop(number, None)
                if settle is not None:
                    settle(outcome_of(message, message.fault))
            case Chunk(id=number) | Credit(id=number):
                if (running := self._running.get(number)) is not None:
                    running.body.came(message)
            case Cancel(id=number):
                if (running := self._running.get(number)) is not None and running.task is not None:
                    running.is_called_off = True
                    if running.began:  # else it would never come to its report
                        running.task.cancel()
            case Handover():
                self._loop.remove_reader(self.lane.fileno())
                self._hand_over(message)
                self.output.lane = self.lane
                self._loop.add_reader(self.lane.fileno(), self._readable)
            case Introduce(lane=number):
                self.lane.send(Introduced(number, ready=False))
            case Goodbye():
                self._leave()
            case _:
                return  # what no server sends to a runtime that has loaded

    # One invocation -------------------------------------------------------------------------------------

    def _invoke(self, message: Invoke) -> None:
        assert self._function is not None
        streams = Streams(self)
        streams.begin(message)
        running = self._running[message.id] = Running(message, self._function, streams)
        running.task = self._loop.create_task(self._run(running, self._function.name))

    async def _run(self, running: Running, name: str) -> None:
        _RUNNING.set(running)
        WRITER.set(running.writer)
        running.began = True
        message = running.invocation
        try:
            report = await self._outcome(running, name)
        except BaseException as error:
            fault = faults.of_exception(error, name, self._full)
            if running.is_called_off and isinstance(error, asyncio.CancelledError):
                fault = Fault("cancelled", "it was called off", function=name)
            report = Report(message.id, fault=fault)
        self._end(running)
        with suppress(OSError):  # the lane has ended, and with it this process soon
            self.lane.send(*self.output.end(running.writer), report)
        if running.folder is not None:
            self._loop.run_in_executor(None, remove_tree, str(running.folder))

    async def _outcome(self, running: Running, name: str) -> Report:
        message = running.invocation
        if running.is_called_off:
            raise asyncio.CancelledError
        try:
            arg = unpack(message.arg, message.content_type)
        except InvalidInput as error:
            fault = Fault(error.code, f"the argument of {name!r}: {error.message}", function=name)
            return Report(message.id, fault=fault)
        value = self._main(arg)
        if hasattr(value, "__await__"):
            value = await value
        value, content_type, response = parts(value)
        if is_stream(value):
            items = value if hasattr(value, "__anext__") else _one_by_one(value)
            if message.window:
                try:
                    await running.body.send_async(items, content_type, response)
                except Unsendable as error:
                    return refused(message.id, name, f"{name!r} gave what cannot be sent: {error}")
                return Report(message.id)
            value = whole_of([item async for item in items])
        return report_of(message.id, name, value, content_type, response, self._result_bytes)

    def _end(self, running: Running) -> None:
        del self._running[running.invocation.id]
        running.body.end()
        over = Outcome(error=CallRefused("the invocation has ended, and nobody waits for its calls any more"))
        with self._lock:
            left = [settle for number in running.open if (settle := self._waiting.pop(number, None)) is not None]
        for settle in left:
            settle(over)

    # The SDK's backend ----------------------------------------------------------------------------------

    def invoke(self, name: str, arg: Any, view: bool) -> Any:
        """See `mee6.sdk.Backend`; for threads other than the loop's. There is no store here, and so no view."""
        return self.run((CallTo(name, arg, view),))[0].unwrap()

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        """See `mee6.sdk.Backend`; for threads other than the loop's."""
        if threading.get_ident() == self._thread:
            raise CallRefused(
                "mee6.invoke and mee6.gather wait, and with them all that this process runs; "
                "use: await mee6.aio.invoke(name, arg)"
            )
        waiting: list[ThreadFuture[Outcome]] = [ThreadFuture() for _call in calls]
        self._send(calls, [future.set_result for future in waiting])
        return [future.result() for future in waiting]

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        """See `mee6.sdk.Backend`."""
        loop = asyncio.get_running_loop()
        waiting: list[asyncio.Future[Outcome]] = [loop.create_future() for _call in calls]
        self._send(calls, [partial(_resolve_soon, future) for future in waiting])
        return list(waiting)

    def _send(self, calls: Sequence[CallTo], waiting: Sequence[Callable[[Outcome], Any]]) -> None:
        running = self._current()
        if running is None:
            raise CallRefused("functions are called from main(arg) while it runs, not on import or after it returned")
        data = [packed(call.name, call.arg) for call in calls]
        invocation = running.invocation.id
        messages: list[Call] = []
        with self._lock:
            for call, (arg, kind), settle in zip(calls, data, waiting, strict=True):
                running.count += 1
                number = f"{invocation}.{running.count}"
                running.open.add(number)
                self._waiting[number] = settle
                messages.append(Call(number, invocation, call.name, arg, kind))
        self.lane.send(*messages)

    def flow(self) -> Path:
        """See `mee6.sdk.Backend`."""
        raise Conflict(
            "a function that takes several invocations at once has no mee6.flow; mee6.scratch is each one's own"
        )

    def scratch(self) -> Path:
        """See `mee6.sdk.Backend`."""
        running = self._expect("scratch")
        if running.folder is None:
            folder = Path(self._act, running.invocation.id)
            folder.mkdir()
            running.folder = folder
        return running.folder

    def context(self) -> Context:
        """See `mee6.sdk.Backend`."""
        running, function = self._expect("context"), self._function
        assert function is not None
        invocation = running.invocation
        return Context(invocation.id, function.name, function.version, tuple(invocation.chain), running.deadline)

    def request(self) -> Request:
        """See `mee6.sdk.Backend`."""
        running = self._expect("request")
        if running.request is None:
            came = running.invocation.request
            if came is None:
                running.request = Request(body=Body(running.invocation.arg))
            else:
                body = Body(source=running.body) if came.streams else Body(running.invocation.arg)
                running.request = Request(came.method, came.path, came.query, came.headers, body)
        return running.request

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits for a body's next piece: only where that keeps nobody waiting, which is nowhere here."""
        if not holds():
            raise Conflict("reading the body would wait, and with it all that this process runs; use: async for")

    def close(self) -> None:
        """Forgets the loop; for a fork."""
        self.lane.close()

    def _current(self) -> Running | None:
        running = _RUNNING.get()
        return running if running is not None and running.invocation.id in self._running else None

    def _expect(self, what: str) -> Running:
        running = self._current()
        if running is None:
            raise outside(what)
        return running


async def _one_by_one(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def _resolve_soon(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    future.get_loop().call_soon_threadsafe(_resolve, future, outcome)


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
