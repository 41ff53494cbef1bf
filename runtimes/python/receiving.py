"""The lane of a runtime process, read by whoever waits: an idle process, threads with calls, an event loop.

Whoever waits while nobody reads becomes the reader, and hands every result to its call; the others sleep until
theirs is there. In async code the event loop reads, and results become futures.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

from mee6.content import unpack
from mee6.errors import InvalidInput, ProtocolError
from mee6.faults import error_of
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import AnyMessage, Chunk, Credit, Fault, Goodbye, Introduce, Invoke, Report, Result
from mee6.sdk import Outcome
from runtimes.python.direct import Edge, Inlets
from runtimes.python.scratch import Scratch
from runtimes.python.store import Store
from runtimes.python.streams import Streams


class Receiver:
    """What comes to this process, and who waits for it.

    Args:
        lane: to the proxy or the agent.
        on_end: is called when the lane ends while a call waits, or when a `Goodbye` comes; does not return.
    """

    def __init__(self, lane: BlockingLane, on_end: Callable[[], NoReturn]) -> None:
        self.lane = lane
        self.folders: Scratch | None = None
        self._is_moved = False
        """A callee may have left `cur` pointing at its own folder."""
        self._on_end = on_end
        self._invocation: Invoke | None = None
        self._inlets: Inlets | None = None
        """From those who may call this process directly; None while there is nobody."""
        self._open: set[str] = set()
        """Calls that have not ended, whether or not somebody waits."""
        self._tasks: deque[tuple[AnyMessage, Edge | None]] = deque()
        """What came and is no result, and the direct lane that it came on."""
        self._lock = threading.RLock()  # a finalizer that prints may run while it is held
        self._turn = threading.Condition(self._lock)
        self._reading = False
        self._sleepers = 0
        self._outcomes: dict[str, Outcome | None] = {}
        """Of blocking calls: None until it is there."""
        self._futures: dict[str, asyncio.Future[Outcome]] = {}
        self.streams: Streams
        self.store = Store()

    def receive(self) -> tuple[AnyMessage, Edge | None] | None:
        """The next message that is no result, with the direct lane that it came on; None at the end of the lane.

        A thread that an earlier invocation left waiting may be the lane's reader: then it passes on what comes.
        """
        tasks, turn = self._tasks, self._turn
        while not tasks:  # which nobody else takes from
            with self._lock:
                while self._reading and not tasks:
                    self._sleepers += 1
                    turn.wait()
                    self._sleepers -= 1
                if tasks:
                    break
                self._reading = True
            if not self._read():
                return None
        return tasks.popleft()

    def readable(self) -> None:
        """Takes what the lane has, without waiting; for an event loop."""
        with self._lock:
            if self._reading:  # a thread does it
                return
            messages = self.lane.receive_now()
            if messages is None:
                self._on_end()
            else:
                self._dispatch(messages)

    def until(self, holds: Callable[[], bool]) -> None:
        """Reads, or waits while another thread does, until something holds that what is read brings about."""
        turn = self._turn
        while True:
            with self._lock:
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
        inlets = self._inlets
        calls: Sequence[tuple[Invoke, Edge]] = ()
        try:
            if inlets is None:
                messages = self.lane.receive_all()
            else:
                messages, calls = inlets.receive(self.lane)
        except ProtocolError:
            return False
        finally:
            with self._lock:
                self._reading = False
                if messages is not None:
                    if messages:
                        self._dispatch(messages)
                    if calls:
                        self._tasks.extend(calls)
                if self._sleepers:
                    self._turn.notify_all()
        return messages is not None

    def _dispatch(self, messages: list[AnyMessage]) -> None:
        for message in messages:
            if isinstance(message, Goodbye):
                self._on_end()
            elif isinstance(message, Introduce):
                self._introduced(message)
            elif isinstance(message, Chunk | Credit):
                self.streams.came(message)
            elif not isinstance(message, Result):
                if isinstance(message, Invoke) and message.window:
                    self.streams.begin(message)  # what follows it may be pieces of its body
                self._tasks.append((message, None))
            else:
                self._open.discard(message.id)
                self._is_moved = self._is_moved or not message.put_back
                outcome = self._outcome_of(message, message.fault)
                if message.id in self._outcomes:
                    self._outcomes[message.id] = outcome
                elif (future := self._futures.pop(message.id, None)) is not None:
                    future.get_loop().call_soon_threadsafe(self._resolve, future, outcome)

    def _resolve(self, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        if not future.done():
            self._restore()
            future.set_result(outcome)

    def _restore(self) -> None:
        if self._is_moved and self._invocation is not None and self.folders is not None:
            self._is_moved = False
            self.folders.enter()

    def _introduced(self, message: Introduce) -> None:
        """Does what an `Introduce` says."""
        raise NotImplementedError

    def _outcome_of(self, result: Result | Report, fault: Fault | None) -> Outcome:
        """The outcome of a call, from the message that brought it."""
        if fault is not None:
            self.store.failed(result.id, fault.code)
            return Outcome(error=error_of(fault))
        try:
            return Outcome(self.store.result(result))
        except InvalidInput as error:
            return Outcome(error=error)


def outcome_of(result: Result | Report, fault: Fault | None) -> Outcome:
    """The outcome of a call whose result came along, from the message that brought it."""
    if fault is not None:
        return Outcome(error=error_of(fault))
    try:
        return Outcome(unpack(result.result, result.content_type))
    except InvalidInput as error:
        return Outcome(error=error)
