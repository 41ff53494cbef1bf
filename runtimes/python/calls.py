"""Calls of a running function, over the lane: what `mee6.invoke` does inside a worker.

Any thread may call. Whoever waits while nobody reads becomes the reader, and hands every result to its call;
the others sleep until theirs is there. In async code the event loop reads, and results become futures.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn

from mee6.content import pack, unpack
from mee6.errors import CallRefused, InvalidInput, ProtocolError, TooLarge
from mee6.faults import error_of
from mee6.http import Body, Request
from mee6.lane.blocking import BlockingLane
from mee6.lane.codec import MAX_FRAME_BYTES
from mee6.lane.messages import AnyMessage, Call, Chunk, Credit, Function, Goodbye, Invoke, Result
from mee6.sdk import CallTo, Context, Outcome, outside
from runtimes.python.scratch import Scratch
from runtimes.python.streams import Streams

MAX_ARG_BYTES: Final = MAX_FRAME_BYTES - (64 << 10)


class LaneBackend:
    """The SDK's backend in a runtime process.

    Args:
        lane: to the proxy or the agent.
        on_end: is called when the lane ends while a call waits, or when a `Goodbye` comes; does not return.
    """

    def __init__(self, lane: BlockingLane, on_end: Callable[[], NoReturn]) -> None:
        self.lane = lane
        self.folders: Scratch | None = None
        self._tasks: deque[AnyMessage] = deque()
        """What came on the lane and is no result."""
        self._on_end = on_end
        self._invocation: Invoke | None = None
        self._function: Function | None = None
        self._deadline = 0.0
        self._count = 0
        self._turn = threading.Condition(threading.Lock())
        self._reading = False
        self._sleepers = 0
        self._outcomes: dict[str, Outcome | None] = {}
        """Of blocking calls: None until it is there."""
        self.streams = Streams(self)
        self._request: Request | None = None
        self._futures: dict[str, asyncio.Future[Outcome]] = {}

    def begin(self, invocation: Invoke, function: Function) -> None:
        """An invocation begins."""
        self._count = 0
        self._function = function
        self._deadline = monotonic() + function.timeout_s
        self._invocation = invocation
        self._request = None

    def end(self) -> None:
        """It has ended; calls made from now on are refused, and whoever still waits for one is told so."""
        self._invocation = None
        self.streams.end()
        if not self._outcomes and not self._futures:
            return
        with self._turn:
            over = Outcome(error=CallRefused("the invocation has ended, and nobody waits for its calls any more"))
            for number, outcome in self._outcomes.items():
                if outcome is None:
                    self._outcomes[number] = over
            for future in self._futures.values():
                future.get_loop().call_soon_threadsafe(_settle, future, over)
            self._futures.clear()
            self._turn.notify_all()

    def receive(self) -> AnyMessage | None:
        """The next message that is no result; None at the end of the lane.

        A thread that an earlier invocation left waiting may be the lane's reader: then it passes on what comes.
        """
        tasks, turn = self._tasks, self._turn
        while True:
            with turn:
                while self._reading and not tasks:
                    self._sleepers += 1
                    turn.wait()
                    self._sleepers -= 1
                if tasks:
                    return tasks.popleft()
                self._reading = True
            if not self._read():
                return None

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        """See `mee6.sdk.Backend`."""
        messages = self._messages(calls)
        outcomes = self._outcomes
        for message in messages:
            outcomes[message.id] = None
        self.lane.send(*messages)
        wanted = [message.id for message in messages]
        self.until(lambda: all(outcomes[number] is not None for number in wanted))
        self._restore()
        return [outcomes.pop(message.id) or Outcome() for message in messages]

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        """See `mee6.sdk.Backend`."""
        loop = asyncio.get_running_loop()
        messages = self._messages(calls)
        futures: list[asyncio.Future[Outcome]] = []
        for message in messages:
            future: asyncio.Future[Outcome] = loop.create_future()
            self._futures[message.id] = future
            futures.append(future)
        self.lane.send(*messages)
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
        return Context(invocation.id, function.name, function.version, tuple(invocation.chain), self._deadline)

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

    def readable(self) -> None:
        """Takes what the lane has, without waiting; for an event loop."""
        with self._turn:
            if self._reading:  # a thread does it
                return
            messages = self.lane.receive_now()
            if messages is None:
                self._on_end()
            else:
                self._dispatch(messages)

    def _messages(self, calls: Sequence[CallTo]) -> list[Call]:
        invocation = self._invocation
        if invocation is None:
            raise CallRefused("functions are called from main(arg) while it runs, not on import or after it returned")
        messages: list[Call] = []
        for name, arg in calls:
            data, kind = pack(arg)
            if len(data) > MAX_ARG_BYTES:
                raise TooLarge(f"the argument for {name!r} is {len(data)} bytes, over the limit of {MAX_ARG_BYTES}")
            self._count += 1
            messages.append(Call(f"{invocation.id}.{self._count}", invocation.id, name, data, kind))
        return messages

    def until(self, holds: Callable[[], bool]) -> None:
        """Reads, or waits while another thread does, until something holds that what is read brings about."""
        turn = self._turn
        while True:
            with turn:
                while True:
                    if holds():
                        return
                    if not self._reading:
                        break
                    self._sleepers += 1
                    turn.wait()
                    self._sleepers -= 1
                self._reading = True
            if not self._read():
                self._on_end()

    def _read(self) -> bool:
        """Reads once, for all; whoever calls it has made itself the reader. False at the end of the lane."""
        messages = None
        try:
            messages = self.lane.receive_all()
        except ProtocolError:
            return False
        finally:
            with self._turn:
                self._reading = False
                if messages is not None:
                    self._dispatch(messages)
                if self._sleepers:
                    self._turn.notify_all()
        return messages is not None

    def _dispatch(self, messages: list[AnyMessage]) -> None:
        for message in messages:
            if isinstance(message, Goodbye):
                self._on_end()
            elif isinstance(message, Chunk | Credit):
                self.streams.came(message)
            elif not isinstance(message, Result):
                if isinstance(message, Invoke) and message.window:
                    self.streams.begin(message)  # what follows it may be pieces of its body
                self._tasks.append(message)
            elif message.id in self._outcomes:
                self._outcomes[message.id] = _outcome(message)
            elif (future := self._futures.pop(message.id, None)) is not None:
                future.get_loop().call_soon_threadsafe(self._resolve, future, message)

    def _resolve(self, future: asyncio.Future[Outcome], result: Result) -> None:
        if not future.done():
            self._restore()
            future.set_result(_outcome(result))

    def _restore(self) -> None:
        if self._invocation is not None and self.folders is not None:
            self.folders.enter()


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _outcome(result: Result) -> Outcome:
    if result.fault is not None:
        return Outcome(error=error_of(result.fault))
    try:
        return Outcome(unpack(result.result, result.content_type))
    except InvalidInput as error:
        return Outcome(error=error)
