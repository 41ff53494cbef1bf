"""Stands for the agent: the other end of a worker's lane, real sockets and real processes.

`Worker` runs a proxy and its runtimes, `Bare` one runtime without a proxy. Both answer `task` with the messages
that came back, so that one suite can be run against either.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from mee6.content import pack
from mee6.lane.blocking import BlockingLane
from mee6.lane.messages import (
    AnyMessage,
    AskHandover,
    Call,
    Chunk,
    Credit,
    Function,
    Handover,
    Head,
    Hello,
    Invoke,
    Limits,
    Load,
    Log,
    Report,
    Request,
    Result,
    Step,
    Steps,
    Welcome,
)
from proxy import spawner as wire
from tests.support.places import WAIT_S, Here, Place

M = TypeVar("M", bound=AnyMessage)
HERE = Here()
WINDOW = 256 << 10


class Server:
    """One end of a lane, with what came over it kept in order."""

    def __init__(self, act: Path, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.act = act
        self.limits = limits
        self.lane: BlockingLane
        self.hello: Hello
        self.seen: list[AnyMessage] = []
        self._unread: deque[AnyMessage] = deque()
        self._numbers = itertools.count(1)
        (act / "flow").mkdir(parents=True, exist_ok=True)
        for folder in (act, act / "flow"):  # a container's processes are another user's
            folder.chmod(0o777)

    def welcome(self) -> Welcome:
        return Welcome("w1", self.limits, str(self.act))

    def receive(self, timeout_s: float = WAIT_S) -> AnyMessage | None:
        message = self.lane.receive(timeout_s)
        if message is not None:
            self.seen.append(message)
        return message

    def until(self, kind: type[M], matches: Callable[[M], bool] = lambda _m: True) -> M:
        """The next message of a kind; what comes before it stays in `seen`."""
        while True:
            message = self.receive()
            assert message is not None, f"the lane ended while waiting for a {kind.__name__}"
            if isinstance(message, kind) and matches(message):
                return message

    def load(self, function: Function, functions: Sequence[Function] = ()) -> Report:
        number = f"load{next(self._numbers)}"
        reachable = {one.name: one for one in (function, *functions)}
        self.lane.send(Load(number, function, reachable))
        return self.until(Report, lambda report: report.id == number)

    def begin(self, arg: object = None, chain: Sequence[str] = ("f",), number: str = "") -> str:
        number = number or f"i{next(self._numbers)}"
        data, kind = pack(arg)
        self.lane.send(Invoke(number, data, kind, list(chain)))
        return number

    def begin_http(self, arg: object, request: Request | None = None, window: int = WINDOW) -> str:
        """Begins an invocation whose result may come in pieces."""
        number = f"h{next(self._numbers)}"
        data, kind = pack(arg)
        self.lane.send(Invoke(number, data, kind, ["f"], request or Request("POST", "", ""), window))
        return number

    def pieces(self, number: str, *, credit: bool = True) -> tuple[Head, list[bytes], Report]:
        """What comes of it; room is given back for each piece."""
        head = self.until(Head, lambda head: head.id == number)
        pieces: list[bytes] = []
        while True:
            message = self.receive()
            assert message is not None, "the lane ended in the middle of a stream"
            if isinstance(message, Chunk) and message.id == number:
                pieces.append(message.data)
                if credit:
                    self.lane.send(Credit(number, len(message.data)))
            elif isinstance(message, Report) and message.id == number:
                return head, pieces, message

    def report(self, number: str) -> Report:
        return self.until(Report, lambda report: report.id == number)

    def invoke(self, arg: object = None, chain: Sequence[str] = ("f",)) -> Report:
        return self.report(self.begin(arg, chain))

    def answer(self, call: Call, value: object = None) -> None:
        data, kind = pack(value)
        self.lane.send(Result(call.id, data, kind))

    def printed(self, stream: str = "out") -> str:
        return "".join(log.text for log in self.seen if isinstance(log, Log) and log.stream == stream)

    def steps(self) -> dict[str, Step]:
        return {step.id: step for batch in self.seen if isinstance(batch, Steps) for step in batch.steps}


class _Processes(Server):
    """A server that also runs the other side."""

    def _run(self, place: Place, languages: Sequence[str], *more: str) -> None:
        self.init = place.start(",".join(languages), *more)
        self.control = self.init.control
        self.control.settimeout(WAIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "lane"):
            self.lane.close()
        self.control.close()
        self.init.wait()


class Bare(_Processes):
    """A runtime alone, its lane straight to the test."""

    def __init__(
        self,
        language: str,
        act: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        place: Place = HERE,
    ) -> None:
        super().__init__(act, limits)
        self._run(place, [language])
        ours, theirs = socket.socketpair()
        with theirs:
            wire.send(self.control, wire.Spawn(1, language), theirs.fileno())
        self.lane = BlockingLane(ours)
        spawned, _ = wire.receive(self.control)
        assert isinstance(spawned, wire.Spawned), spawned
        self.pid = spawned.pid
        self.hello = self.until(Hello)
        self.lane.send(self.welcome())

    def exited(self) -> int:
        """The runtime's exit status, once it has ended."""
        packet, _ = wire.receive(self.control)
        assert isinstance(packet, wire.Exited)
        assert packet.pid == self.pid
        return packet.status


class Worker(_Processes):
    """A proxy with its runtimes."""

    def __init__(
        self,
        languages: Sequence[str],
        act: Path,
        folder: Path,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        grants: bool = False,
        place: Place = HERE,
    ) -> None:
        super().__init__(act, limits)
        self.path = str(folder / "agent.sock")
        self.grants = grants
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(WAIT_S)
        self._listener.bind(self.path)
        Path(self.path).chmod(0o666)
        self._listener.listen()
        self._run(place, languages, self.path, "token", languages[0])
        self.lane, self.hello = self.accept()

    def accept(self) -> tuple[BlockingLane, Hello]:
        """The next connection, greeted."""
        sock, _ = self._listener.accept()
        lane = BlockingLane(sock)
        hello = lane.receive(WAIT_S)
        assert isinstance(hello, Hello)
        lane.send(self.welcome())
        return lane, hello

    def receive(self, timeout_s: float = WAIT_S) -> AnyMessage | None:
        message = super().receive(timeout_s)
        if isinstance(message, AskHandover) and not self.grants:
            self.lane.send(Handover("", ""))
        return message

    def close(self) -> None:
        super().close()
        self._listener.close()


def end(pid: int) -> None:
    """kill -9."""
    os.kill(pid, 9)
