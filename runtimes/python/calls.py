"""Calls of a running function, over the lane: what `mee6.invoke` does inside a worker.

Any thread may call; how it comes by its result is `receiving`'s business. A call goes over a direct lane where there
is one, if it is the only one under way: two at once are the proxy's to order. What the proxy must be told of such calls
is gathered by `direct.Untold`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from mee6.content import pack
from mee6.content import packed as looked_at
from mee6.errors import CallRefused, ProtocolError, TooLarge
from mee6.faults import bounded
from mee6.http import Body, Request
from mee6.lane.blocking import BlockingLane
from mee6.lane.codec import MAX_FRAME_BYTES
from mee6.lane.messages import (
    AnyMessage,
    Block,
    Call,
    Function,
    Introduce,
    Introduced,
    Invoke,
    Log,
    Report,
    Stored,
)
from mee6.outflow import MAX_DEPTH
from mee6.sdk import CallTo, Context, Outcome, outside
from runtimes.python.direct import Edge, Inlets, Untold
from runtimes.python.receiving import Receiver
from runtimes.python.streams import Streams

MAX_ARG_BYTES: Final = MAX_FRAME_BYTES - (64 << 10)
ALONE_BYTES: Final = 1 << 20
"""With a larger result nothing else rides to a direct caller: a frame has a limit."""


class LaneBackend(Receiver):
    """The SDK's backend in a runtime process.

    Args:
        lane: to the proxy or the agent.
        on_end: is called when the lane ends while a call waits, or when a `Goodbye` comes; does not return.
    """

    def __init__(self, lane: BlockingLane, on_end: Callable[[], NoReturn]) -> None:
        super().__init__(lane, on_end)
        self.loop: asyncio.AbstractEventLoop | None = None
        """The one that reads the lane while async code runs."""
        self._edges: dict[str, Edge] = {}
        """To those who can be called directly."""
        self._watched: set[int] = set()
        """Those of their descriptors that the loop reads."""
        self._untold = Untold()
        self._sweeping = False
        self._thread_calls = False
        """A thread waits for the answer to the direct call."""
        self._function: Function | None = None
        self._began_ns = 0
        self._count = 0
        self.streams = Streams(self)
        self._request: Request | None = None

    def begin(self, invocation: Invoke, function: Function, edge: Edge | None) -> None:
        """An invocation begins, called over a direct lane or by the proxy."""
        self._count = 0
        if self._open:
            self._open.clear()
        self._untold.begin(invocation, edge.number if edge is not None else 0)
        self._function = function
        self._began_ns = self._untold.began_ns
        self._invocation = invocation
        self._is_moved = False
        self._request = None
        self.store.begin()

    def end(self) -> None:
        """It has ended; calls made from now on are refused, and whoever still waits for one is told so."""
        self._invocation = None
        if self.streams.is_used:
            self.streams.end()
        if not self._outcomes and not self._futures:
            return
        with self._lock:
            over = Outcome(error=CallRefused("the invocation has ended, and nobody waits for its calls any more"))
            for number, outcome in self._outcomes.items():
                if outcome is None:
                    self._outcomes[number] = over
            for future in self._futures.values():
                future.get_loop().call_soon_threadsafe(_settle, future, over)
            self._futures.clear()
            self._turn.notify_all()

    def report(self, report: Report, logs: list[Log], edge: Edge | None) -> None:
        """Sends an invocation's outcome to whoever called, after the direct calls that it left running."""
        untold = self._untold
        if self._open and (edge is not None or untold.call is not None):
            self._drain()
        said: list[Stored | Log] = [*self.store.told(report.id), *logs] if logs or self.store.has_news else []
        is_back = self.folders is not None and self.folders.put_back()
        if edge is None:
            if is_back:
                report = msgspec.structs.replace(report, put_back=True)
            self.lane.send(*untold.take(), *said, report)
            return
        if said:
            self.preface()
            self.lane.send(*said)
        if len(report.result) > ALONE_BYTES:
            with self._lock:
                self._tell()
        below = untold.take_below() if untold.below else []
        told = Report(
            report.id,
            report.result,
            report.content_type,
            report.fault,
            below=below,
            told=untold.told,
            put_back=is_back,
            stored=report.stored,
        )
        try:
            edge.send(told)
        except OSError:  # the caller has gone, and the proxy will see to it
            return

    def preface(self) -> None:
        """Tells the proxy what it must know before output of a direct call reaches it."""
        untold = self._untold
        if untold.above and not untold.told:
            with self._lock:
                self._tell()

    def rest(self) -> list[AnyMessage]:
        """What has come and was not taken; for whoever reads the lane from now on."""
        messages = [message for message, _edge in self._tasks]
        self._tasks.clear()
        return messages

    def close(self) -> None:
        """Closes all direct lanes; for a fork."""
        for edge in self._edges.values():
            edge.close()
        if self._inlets is not None:
            self._inlets.close()

    def invoke(self, name: str, arg: Any, view: bool) -> Any:
        """See `mee6.sdk.Backend`."""
        edge = self._edges.get(name)
        outcome = None if edge is None else self._run_directly(edge, name, arg, view)
        if outcome is None:
            outcome = self._run((CallTo(name, arg, view),))[0]
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        """See `mee6.sdk.Backend`."""
        if len(calls) == 1 and (edge := self._edges.get(calls[0].name)) is not None:
            outcome = self._run_directly(edge, *calls[0])
            if outcome is not None:
                return [outcome]
        return self._run(calls)

    def _run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        with self._lock:
            messages = self._messages(calls, together=len(calls) > 1)
            outcomes = self._outcomes
            for message in messages:
                outcomes[message.id] = None
            self.lane.send(*self._untold.take(), *messages)
        wanted = [message.id for message in messages]
        self.until(lambda: all(outcomes[number] is not None for number in wanted))
        self._restore()
        return [outcomes.pop(message.id) or Outcome() for message in messages]

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        """See `mee6.sdk.Backend`."""
        loop = asyncio.get_running_loop()
        if len(calls) == 1 and (edge := self._edges.get(calls[0].name)) is not None and loop is self.loop:
            begun = self._start_directly(edge, calls[0], loop)
            if begun is not None:
                return [begun]
        futures: list[asyncio.Future[Outcome]] = []
        with self._lock:
            messages = self._messages(calls)
            for message in messages:
                future: asyncio.Future[Outcome] = loop.create_future()
                self._futures[message.id] = future
                futures.append(future)
            self.lane.send(*self._untold.take(), *messages)
        return list(futures)

    def flow(self) -> Path:
        """See `mee6.sdk.Backend`."""
        if self.folders is None:
            raise outside("flow")
        return self.folders.flow()

    def scratch(self) -> Path:
        """See `mee6.sdk.Backend`."""
        if self._invocation is None or self.folders is None:
            raise outside("scratch")
        return self.folders.named(self._invocation.id)

    def context(self) -> Context:
        """See `mee6.sdk.Backend`."""
        invocation, function = self._invocation, self._function
        if invocation is None or function is None:
            raise outside("context")
        if self.folders is not None:
            self.folders.named(invocation.id)  # who knows the id may look for the folder of that name
        deadline = self._began_ns / 1e9 + function.timeout_s
        return Context(invocation.id, function.name, function.version, tuple(invocation.chain), deadline)

    def request(self) -> Request:
        """See `mee6.sdk.Backend`."""
        invocation = self._invocation
        if invocation is None:
            raise outside("request")
        if self._request is None:
            came = invocation.request
            if came is None:
                self._request = Request(body=Body(invocation.arg))
            else:
                body = Body(source=self.streams) if came.streams else Body(invocation.arg)
                self._request = Request(came.method, came.path, came.query, came.headers, body)
        return self._request

    def _messages(self, calls: Sequence[CallTo], *, together: bool = False) -> list[Call]:
        invocation = self._invocation
        if invocation is None:
            raise CallRefused("functions are called from main(arg) while it runs, not on import or after it returned")
        messages: list[Call] = []
        group = f"{invocation.id}.{self._count + 1}" if together else ""
        for name, arg, view in calls:
            data, kind = looked_at(arg)
            self._count += 1
            number = f"{invocation.id}.{self._count}"
            stored, room = self.store.offer(name, number, data, view=view)
            sent = self._to_send(name, number, data, stored)
            call = Call(number, invocation.id, name, sent, kind, group=group, stored=stored, room=room)
            messages.append(call)
        self._open.update([message.id for message in messages])
        return messages

    def _to_send(self, name: str, number: str, data: bytes | memoryview, stored: Block | None) -> bytes:
        """What of an argument travels."""
        if stored is not None:
            return b""
        if len(data) > MAX_ARG_BYTES:
            self.store.failed(number, "call_refused")
            raise TooLarge(f"the argument for {name!r} is {len(data)} bytes, over the limit of {MAX_ARG_BYTES}")
        return bytes(data)

    # Direct calls ---------------------------------------------------------------------------------------

    def _begin_directly(self, edge: Edge, name: str, arg: Any, view: bool) -> str:
        """Sends a call over a direct lane; empty where it may not be used now."""
        invocation = self._invocation
        if invocation is None or self._open or name in invocation.chain or len(invocation.chain) >= MAX_DEPTH:
            return ""
        data, kind = looked_at(arg)
        self._count += 1
        number = f"{invocation.id}.{self._count}"
        stored, room = self.store.offer(name, number, data, view=view)
        sent, chain = self._to_send(name, number, data, stored), [*invocation.chain, name]
        untold = self._untold
        untold.calls(edge.number, number)
        try:
            edge.send(Invoke(number, sent, kind, chain, above=untold.above, stored=stored, room=room))
        except OSError:  # the callee had ended before
            self.store.failed(number, "call_refused")
            untold.call = None
            self._drop(edge)
            return ""
        self._open.add(number)
        return number

    def _run_directly(self, edge: Edge, name: str, arg: Any, view: bool) -> Outcome | None:
        """Makes a call over a direct lane; None where that may not be now."""
        with self._lock:
            number = self._begin_directly(edge, name, arg, view)
            if not number:
                return None
            self._thread_calls = True
        report = self._reply(edge)
        with self._lock:
            self._thread_calls = False
            outcome = self._answered(edge, number, report)
            if outcome is None:
                self._outcomes[number] = None
        if outcome is None:
            self.until(lambda: self._outcomes[number] is not None)
            outcome = self._outcomes.pop(number) or Outcome()
        if self._is_moved:
            self._restore()
        return outcome

    def _reply(self, edge: Edge) -> Report | None:
        """Waits for the answer to the direct call, and has the proxy know of it if that takes long."""
        while True:
            try:
                answer = edge.reply()
                return answer if isinstance(answer, Report) else None
            except ProtocolError:
                return None
            except BlockingIOError:
                with self._lock:
                    self._tell()
                edge.wait()

    def _answered(self, edge: Edge, number: str, report: Report | None) -> Outcome | None:
        """Takes the answer to the direct call; None where there is none, and its result comes from the proxy."""
        untold = self._untold
        if report is None or report.id != number:
            self._tell(lost=True)
            untold.call = None
            self._drop(edge)
            return None
        fault = None if report.fault is None else bounded(report.fault)
        self._is_moved = self._is_moved or not report.put_back
        self._open.discard(number)
        if untold.ended(fault, report.below, report.told):
            self._tell()
        if self._sleepers:
            self._turn.notify_all()
        return self._outcome_of(report, fault)

    def _start_directly(
        self, edge: Edge, call: CallTo, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[Outcome] | None:
        with self._lock:
            number = self._begin_directly(edge, *call)
            if not number:
                return None
            future: asyncio.Future[Outcome] = loop.create_future()
            self._futures[number] = future
        if edge.fileno() not in self._watched:
            self._watched.add(edge.fileno())
            loop.add_reader(edge.fileno(), self._answer_readable, edge)
        if not self._sweeping:
            self._sweep(loop)
        return future

    def _answer_readable(self, edge: Edge) -> None:
        with self._lock:
            call = self._untold.call
            if self._thread_calls or call is None or call.lane != edge.number:
                if not self._thread_calls:
                    self._unwatch(edge)  # it has ended while nobody called
                return
            try:
                answer = edge.reply(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ProtocolError:
                answer = None
            self._settle_call(edge, answer if isinstance(answer, Report) else None)

    def _settle_call(self, edge: Edge, report: Report | None) -> None:
        """Hands the answer to the direct call to the future that waits for it."""
        call = self._untold.call
        assert call is not None
        outcome = self._answered(edge, call.id, report)
        if outcome is not None and (future := self._futures.pop(call.id, None)) is not None:
            future.get_loop().call_soon_threadsafe(self._resolve, future, outcome)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has the proxy know of a direct call that takes long; one timer for many calls."""
        with self._lock:
            left_s = self._untold.due_s()
            self._sweeping = left_s is not None and left_s > 0
            if left_s is not None and left_s > 0:
                loop.call_later(left_s, self._sweep, loop)
            elif left_s is not None:
                self._tell()

    def _tell(self, *, lost: bool = False) -> None:
        with suppress(OSError):  # the lane has ended, and with it this process soon
            self.lane.send(*self._untold.take(lost=lost))

    def _drain(self) -> None:
        """Waits until all calls have ended: a step ends after them."""
        while True:
            with self._lock:
                if not self._open:
                    return
                call = self._untold.call
                if self._reading or self._thread_calls:
                    self._sleepers += 1
                    self._turn.wait()
                    self._sleepers -= 1
                    continue
                if call is None:
                    self._reading = True
                else:
                    self._thread_calls = True
            if call is None:
                if not self._read():
                    self._on_end()
                continue
            over = next(edge for edge in self._edges.values() if edge.number == call.lane)
            report = self._reply(over)
            with self._lock:
                self._thread_calls = False
                self._settle_call(over, report)

    def _introduced(self, message: Introduce) -> None:
        number = message.lane
        if not message.address:
            if self._inlets is not None:
                self._inlets.forget(number)
            call = self._untold.call
            for known in list(self._edges.values()):
                if known.number == number and (call is None or call.lane != number):
                    self._drop(known)
        elif message.function:
            edge = Edge.connect(number, message.address)
            if edge is None:
                self.lane.send(Introduced(number, ready=False))
            else:
                self._edges[message.function] = edge
        else:
            inlets = self._inlets = self._inlets or Inlets()
            self.lane.send(Introduced(number, inlets.expect(number, message.address)))

    def _drop(self, edge: Edge) -> None:
        """Gives a direct lane up, from which nothing is to come any more."""
        self._edges = {name: one for name, one in self._edges.items() if one is not edge}
        self._unwatch(edge)
        edge.close()
        with suppress(OSError):
            self.lane.send(*self._untold.take(), Introduced(edge.number, ready=False))

    def _unwatch(self, edge: Edge) -> None:
        fd = edge.fileno()
        if fd in self._watched and self.loop is not None:
            self._watched.discard(fd)
            self.loop.remove_reader(fd)


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def packed(name: str, arg: Any) -> tuple[bytes, str]:
    """A call's argument as it travels, and its content type.

    Raises:
        TooLarge: it is over the limit.
        InvalidInput: there is no form in which it could travel.
    """
    data, kind = pack(arg)
    if len(data) > MAX_ARG_BYTES:
        raise _too_large(name, data)
    return data, kind


def _too_large(name: str, data: bytes) -> TooLarge:
    return TooLarge(f"the argument for {name!r} is {len(data)} bytes, over the limit of {MAX_ARG_BYTES}")
