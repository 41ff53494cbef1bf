"""The Python runtime: one process, one function, one invocation after the other; of several at once, see `many`.

`serve` runs in a fork of the worker's first process, which has imported this module and all it needs. It
speaks the lane with whoever holds the other end, the proxy at first and the agent after a handover, and ends
the process when that end goes away.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from traceback import format_exc
from typing import Any, Final, NoReturn

from mee6 import aio as _aio  # noqa: F401 - so that the fork has it, and importing it costs a function nothing
from mee6 import sdk
from mee6.content import packed
from mee6.errors import InvalidInput, LoadFailed, ProtocolError
from mee6.http import is_stream
from mee6.lane.blocking import BlockingLane
from mee6.lane.codec import MAX_FRAME_BYTES
from mee6.lane.messages import (
    Fault,
    Function,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Limits,
    Load,
    Report,
    Welcome,
)
from runtimes.python import faults, loading
from runtimes.python.answers import parts, refused
from runtimes.python.attributed import WRITER, Writer
from runtimes.python.calls import LaneBackend
from runtimes.python.direct import Edge
from runtimes.python.isolation import isolate
from runtimes.python.many import Many
from runtimes.python.output import Output
from runtimes.python.scratch import Scratch
from runtimes.python.streams import Unsendable

EXIT_BROKEN: Final = 70
PLAIN: Final = frozenset({str, bytes, int, float, bool, type(None), dict, list, tuple})
"""Of most results, which need not be looked at more closely."""
HANDOVER_S: Final = 0.8
"""For reaching the agent and being welcomed; less than the proxy waits."""


def serve(lane: socket.socket) -> NoReturn:
    """Runs the runtime over `lane`; ends the process."""
    isolate()
    try:
        _Runtime(lane).run()
    except BaseException:  # an error of this runtime's: its own streams lead into a lane that may be the reason
        os.write(2, format_exc().encode(errors="replace"))
        os._exit(EXIT_BROKEN)


class _Runtime:
    def __init__(self, sock: socket.socket) -> None:
        self._lane = BlockingLane(sock)
        self._result_bytes = Limits().result_bytes
        self._backend = LaneBackend(self._lane, self._leave)
        self._output = Output(self._lane, Limits().log_bytes)
        self._output.preface = self._backend.preface
        self._loop: asyncio.AbstractEventLoop | None = None
        self._function: Function | None = None
        self._main: Callable[[Any], Any] | None = None
        self._takes_view = False
        """Its argument is wanted as a view, where it is bytes."""
        self._loaded_as = ""
        self._scratch: Scratch | None = None
        self._many: Many | None = None
        """Of a function that takes several invocations at once."""
        self._watched_fd = -1
        sdk.install(self._backend)
        self._output.install()
        os.register_at_fork(after_in_child=self._disown)

    def run(self) -> NoReturn:
        """Serves until the lane ends."""
        self._lane.send(Hello("", "runtime", "python", os.getpid(), direct=True, many=True, store=True))
        receive = self._backend.receive
        while True:
            message, edge = receive() or (None, None)
            if isinstance(message, Invoke):
                self._invoke(message, edge)
            elif isinstance(message, Load):
                self._load(message)
            elif isinstance(message, Handover):
                self._hand_over(message)
            elif isinstance(message, Welcome):
                self._welcomed(message)
            elif isinstance(message, Goodbye) or message is None:
                self._leave()

    def _leave(self) -> NoReturn:
        os._exit(0)

    def _disown(self) -> None:
        self._lane.close()
        self._backend.close()
        sdk.install(None)

    def _welcomed(self, welcome: Welcome) -> None:
        self._result_bytes = min(welcome.limits.result_bytes, MAX_FRAME_BYTES - (64 << 10))
        self._output.limit = welcome.limits.log_bytes
        if self._scratch is None:  # the agent's welcome, after a handover, is about the same worker
            self._scratch = self._backend.folders = Scratch(welcome.act)
            self._backend.store.welcomed(welcome.worker, welcome.act)

    # Tasks ----------------------------------------------------------------------------------------------

    def _load(self, message: Load) -> None:
        function = message.function
        if function.concurrency > 1:
            self._load_for_many(message)
            return
        self._output.begin(message.id)
        fault, main = self._loaded(function)
        if main is not None:
            self._main, self._function, self._loaded_as = main, function, message.id
            self._takes_view = loading.takes_view(main)
            self._backend.store.quota = function.store_bytes
        self._lane.send(*self._output.end(), Report(message.id, fault=fault))

    def _load_for_many(self, message: Load) -> None:
        """Loads a function that takes several at once, and serves it; returns where it could not be loaded."""
        many = self._many = Many(
            self._lane,
            Limits(self._result_bytes, self._output.limit),
            self._scratch.act if self._scratch is not None else "/act",
            lambda: self._scratch.full() if self._scratch is not None else "",
            self._hand_over,
            self._leave,
        )
        many.output.install()
        writer = Writer(message.id)
        WRITER.set(writer)
        fault, main = self._loaded(message.function)
        WRITER.set(None)
        self._lane.send(*many.output.end(writer), Report(message.id, fault=fault))
        if main is not None:
            self._loaded_as = message.id
            sdk.install(many)
            many.serve(message.function, main, self._backend.rest())

    def _loaded(self, function: Function) -> tuple[Fault | None, Callable[[Any], Any] | None]:
        try:
            return None, loading.load(function)
        except LoadFailed as error:
            return Fault(error.code, error.message, function=function.name), None
        except BaseException as error:
            return faults.of_load(error, function.name), None

    def _invoke(self, message: Invoke, edge: Edge | None) -> None:
        function, main = self._function, self._main
        if function is None or main is None:
            self._lane.send(Report(message.id, fault=Fault("conflict", "no function is loaded")))
            return
        self._backend.begin(message, function, edge)
        try:
            arg = self._backend.store.argument(message, view=self._takes_view)
        except InvalidInput as error:
            fault = Fault(error.code, f"the argument of {function.name!r}: {error.message}", function=function.name)
            self._backend.end()
            self._backend.report(Report(message.id, fault=fault), [], edge)
            return
        if self._scratch is not None:
            if edge is None and len(message.chain) == 1:
                self._scratch.enter()
            else:
                self._scratch.swap_in()
        self._output.begin(message.id)
        try:
            value = main(arg)
            if type(value) not in PLAIN and hasattr(value, "__await__"):
                value = self._awaited(value)
            report = self._answer(message, function.name, value)
        except BaseException as error:
            full = self._scratch.full if self._scratch is not None else str
            report = Report(message.id, fault=faults.of_exception(error, function.name, full))
        self._backend.end()
        self._backend.report(report, self._output.end(), edge)
        if self._scratch is not None:
            self._scratch.leave()

    def _answer(self, message: Invoke, name: str, value: Any) -> Report:
        number = message.id
        value, content_type, response = parts(value)
        if type(value) not in PLAIN and is_stream(value):
            streams = self._backend.streams
            if message.window:
                try:
                    streams.send(value, content_type, response, self._awaited)
                except Unsendable as error:
                    return refused(number, name, f"{name!r} gave what cannot be sent: {error}")
                return Report(number)
            value = streams.gathered(value, self._awaited)
        try:
            data, kind = packed(value)
        except InvalidInput as error:
            return refused(number, name, f"{name!r} returned what cannot be sent: {error.message}")
        if stored := self._backend.store.put(message.room, data):
            return Report(number, b"", content_type or kind, response=response, stored=stored)
        if len(data) > self._result_bytes:
            why = f"the result of {name!r} is {len(data)} bytes, over the limit of {self._result_bytes}"
            if message.room is not None:
                why += f", and its caller's store has no room for more than {message.room.size}"
            return refused(number, name, why)
        return Report(number, bytes(data), content_type or kind, response=response)

    def _awaited(self, value: Any) -> Any:
        loop = self._loop
        if loop is None:
            loop = self._loop = self._backend.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
        fd = self._lane.fileno()
        if self._watched_fd != fd:
            loop.add_reader(fd, self._backend.readable)
            self._watched_fd = fd
        coroutine: Coroutine[Any, Any, Any] = value if asyncio.iscoroutine(value) else _await(value)
        return loop.run_until_complete(coroutine)

    # Handover -------------------------------------------------------------------------------------------

    def _hand_over(self, message: Handover) -> None:
        old = self._lane
        new = self._reach(message)
        old.send(Report(self._loaded_as, handed_over=new is not None))
        if new is None:
            return
        if self._loop is not None and self._watched_fd >= 0:
            self._loop.remove_reader(self._watched_fd)
            self._watched_fd = -1
        self._lane = self._backend.lane = self._output.lane = new
        if self._many is not None:
            self._many.lane = new
        if self._scratch is not None:
            self._scratch.alone = True
        old.close()

    def _reach(self, message: Handover) -> BlockingLane | None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(HANDOVER_S)
            sock.connect(message.address)
            lane = BlockingLane(sock)
            lane.send(Hello(message.token, "runtime", "python", os.getpid(), many=True, store=True))
            welcome = lane.receive(HANDOVER_S)
        except (OSError, ProtocolError):
            sock.close()
            return None
        if not isinstance(welcome, Welcome):
            sock.close()
            return None
        self._welcomed(welcome)
        return lane


async def _await(value: Any) -> Any:
    return await value
