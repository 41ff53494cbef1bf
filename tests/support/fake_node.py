"""A node in memory for tests of the gRPC services: real feed and history, functions of a few lines.

`echo` answers at once with its argument, `fail` raises, `broken` fails as no node should, `slow` runs until it
is called off or `finish` is called. Peers attach with the token `token-1`, or with a handover token once granted.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.config import AgentConfig
from agent.drivers.base import WorkerLimits
from agent.feed import Feed, InvocationView, LogLine, NodeView, Picture, WorkerView
from agent.history import History, Outcome
from agent.peers import Peer
from agent.policy import Changes, changed
from agent.seats import Answer
from agent.services.api import NO_ENV, Added, Described, FunctionStats, Ticket, silent
from agent.stats import Stats
from agent.streams import Pipe
from agent.substrate.base import FunctionRecord
from mee6.errors import (
    Cancelled,
    Conflict,
    Exhausted,
    FunctionNotFound,
    FunctionRaised,
    InvalidManifest,
    Mee6Error,
    NotAllowed,
    NotFound,
    ProtocolError,
    TooLarge,
)
from mee6.faults import error_of
from mee6.lane.messages import (
    JSON,
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
    Request,
    Result,
    Step,
    Welcome,
)
from mee6.lane.messages import Function as LaneFunction
from mee6.manifest import Manifest

TRACEBACK = 'Traceback (most recent call last):\n  File "main.py", line 2, in main\nZeroDivisionError: no\n'


@dataclass
class Asked:
    """An invocation over HTTP, for a test to answer."""

    id: str
    arg: bytes
    content_type: str
    answer: Callable[[Answer], None]
    request: Request | None
    pipe: Pipe | None
    sent: list[Chunk | Credit] = field(default_factory=list)
    """What the function was sent in pieces."""


class FakeNode:
    """Implements `NodeApi`."""

    def __init__(self, state_dir: Path) -> None:
        self.config = AgentConfig(state_dir, bundle_limit_bytes=1 << 20, arg_limit_bytes=1 << 20)
        self.history = History(100, 1 << 20)
        self.feed = Feed(lambda: Picture(self.info(), (WorkerView("w1", "python", "warm"),), (), self.history.recent()))
        self.records = {name: self.record(name) for name in ("echo", "fail", "broken", "slow")}
        self.running: dict[str, asyncio.Future[Outcome]] = {}
        self.views: dict[str, InvocationView] = {}
        self.cancelled: list[str] = []
        self.uploaded: list[bytes] = []
        self.timeouts: list[float | None] = []
        self.draining = False
        self.evicted: list[str] = []
        self.peers: list[Peer] = []
        self.hellos: list[Hello] = []
        self.detached: list[str] = []
        self.reports: dict[str, asyncio.Future[Report]] = {}
        self.grants = True
        self.tokens = {"token-1"}
        self.asked: dict[str, Asked] = {}
        """Over HTTP, by id."""
        self.stats = Stats()
        self._ids = itertools.count(1)

    def record(self, name: str, version: int = 1, user: str = "default") -> FunctionRecord:
        return FunctionRecord(user, name, version, "0" * 64, 10, Manifest(name, "python"), 1_700_000_000.5)

    def submit(
        self,
        user: str,
        name: str,
        arg: bytes,
        content_type: str,
        answer: Callable[[Answer], None],
        timeout_s: float | None = None,
        request: Request | None = None,
        pipe: Pipe | None = None,
    ) -> str:
        self.function(user, name)
        id_ = f"h{next(self._ids)}"
        asked = Asked(id_, arg, content_type, answer, request, pipe)
        self.history.accepted(InvocationView(id_, user, name, 1, "running"), len(arg))
        self.asked[id_] = asked
        if pipe is not None:
            assert pipe.open(id_, asked.sent.append)
            pipe.called()
        match name:
            case "echo":
                asyncio.get_running_loop().call_soon(asked.answer, Answer(arg, content_type))
            case "fail":
                fault = Fault("function_raised", "no", "fail", "ZeroDivisionError", TRACEBACK)
                asyncio.get_running_loop().call_soon(asked.answer, Answer(b"", "", fault))
            case "full":
                asked.answer(Answer(b"", "", Fault("exhausted", "too many wait")))
            case _:  # goes on
                pass
        return id_

    def function(self, user: str, name: str) -> FunctionRecord:
        if name not in self.records:
            raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls")
        return self.records[name]

    def totals(self) -> Stats:
        return self.stats

    def begin(
        self, user: str, name: str, arg: bytes, content_type: str, timeout_s: float | None, schedule: str = ""
    ) -> Ticket:
        if self.draining:
            raise Conflict("the agent drains; try again later")
        if name not in self.records:
            raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls")
        if name == "full":
            raise Exhausted("too many wait")
        if len(arg) > self.config.arg_limit_bytes:
            raise TooLarge(f"the argument has {len(arg)} bytes")
        self.timeouts.append(timeout_s)
        id_ = f"i{next(self._ids)}"
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        view = InvocationView(id_, user, name, 1, "running", accepted_ns=time.monotonic_ns())
        self.views[id_] = view
        self.history.accepted(view, len(arg))
        self.feed.publish(time.monotonic_ns(), view)
        self.running[id_] = outcome
        match name:
            case "echo":
                self.finish(id_, Outcome(id_, arg, content_type))
            case "fail":
                self.finish(
                    id_, FunctionRaised("no", function="fail", traceback=TRACEBACK, error_type="ZeroDivisionError")
                )
            case "broken":
                outcome.set_exception(ValueError("a secret of the agent's"))
            case _:  # goes on
                pass
        return Ticket(id_, outcome)

    def finish(self, id_: str, outcome: Outcome | Mee6Error) -> None:
        future = self.running.pop(id_)
        now = time.monotonic_ns()
        old = self.views.pop(id_)
        state = "succeeded" if isinstance(outcome, Outcome) else "failed"
        view = InvocationView(
            id_, old.user, old.function, 1, state, worker="w1", accepted_ns=old.accepted_ns, ended_ns=now
        )
        self.history.step(Step(id_, "", old.function, 1, "w1", "warm", "direct", state))
        self.history.ended(view, outcome)
        self.feed.publish(now, view)
        if future.done():
            return
        if isinstance(outcome, Outcome):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)

    def log(self, invocation: str, text: str, function: str = "slow") -> None:
        line = LogLine(time.monotonic_ns(), invocation, function, "w1", "out", text)
        self.history.log(line)
        self.feed.publish(line.at_ns, line)

    def cancel(self, id: str) -> None:  # noqa: A002
        self.history.find(id)
        if id in self.asked:
            self.cancelled.append(id)
            self.asked[id].answer(Answer(b"", "", Fault("cancelled", "it was called off")))
        if id in self.running:
            self.cancelled.append(id)
            self.finish(id, Cancelled(f"invocation {id} was called off"))

    async def add(
        self,
        user: str,
        act_name: str,
        packed: Path,
        sha256: str,
        size: int,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
        check: bool = True,
    ) -> Added:
        say("resolving 1 package")
        if act_name == "endless":
            await asyncio.Event().wait()
        content = await asyncio.to_thread(packed.read_bytes)
        assert len(content) == size
        assert hashlib.sha256(content).hexdigest() == sha256
        self.uploaded.append(content)
        record = self.records[act_name] = self.record(act_name, 2, user)
        return Added(record, missing=("ponger",))

    async def add_folder(
        self,
        user: str,
        act_name: str,
        folder: Path,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
        check: bool = True,
    ) -> Added:
        if not (folder / "activity.json").exists():
            raise InvalidManifest(f"no activity.json in {folder}")
        return Added(self.record(act_name or folder.name, 1, user), unchanged=True)

    def functions(self, user: str) -> list[FunctionRecord]:
        return [record for record in self.records.values() if record.user == user]

    async def remove(self, user: str, name: str) -> None:
        if self.records.pop(name, None) is None:
            raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls")

    async def describe(self, user: str, name: str) -> Described:
        if name not in self.records:
            raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls")
        record = self.records[name]
        return Described(record, [record], ("ponger",), ("w1",), FunctionStats(5, 1, 1, 2, 2, 0.5, 1.5))

    def workers(self) -> list[WorkerView]:
        return list(self.feed.picture().workers)

    async def set_limits(self, worker: str, memory_bytes: int | None, cpus: float | None) -> WorkerLimits:
        return WorkerLimits(memory_bytes=memory_bytes or 512 << 20, cpus=cpus or 0.0)

    def evict(self, worker: str, *, force: bool) -> None:
        if worker != "w1":
            raise NotFound(f"no worker {worker!r}; see: mee6 worker ls")
        if not force:
            raise Conflict("worker w1 runs an invocation; see: mee6 act cancel i1, or --force")
        self.evicted.append(worker)

    async def pause(self, worker: str) -> WorkerView:
        return WorkerView(worker, "python", "paused")

    async def resume(self, worker: str) -> WorkerView:
        return WorkerView(worker, "python", "warm")

    def drain(self) -> NodeView:
        self.draining = True
        return self.info()

    def undrain(self) -> NodeView:
        self.draining = False
        return self.info()

    def configure(self, changes: Changes) -> NodeView:
        self.config = changed(self.config, changes, {"python", "nodejs"})
        return self.info()

    def info(self) -> NodeView:
        return NodeView(
            "n1", "0.1.0", 1, driver="fake", notes=("a note",), wall_offset_ns=7, pid=42, draining=self.draining
        )

    # What peers see. `run` is the node's side of an invocation.

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        if hello.token not in self.tokens:
            raise NotAllowed("the token is unknown or has been used")
        self.tokens.remove(hello.token)
        self.hellos.append(hello)
        self.peers.append(peer)
        return Welcome("w1")

    def received(self, peer: Peer, message: AnyMessage) -> None:
        match message:
            case Report(id=id_):
                if id_ not in self.reports:
                    raise ProtocolError(f"nobody asked for {id_!r}")
                self.reports[id_].set_result(message)
            case Call(id=id_, name="echo"):
                peer.send(Result(id_, message.arg, message.content_type))
            case Call(id=id_, name="never"):
                pass
            case Call(id=id_):
                peer.send(Result(id_, fault=Fault("call_refused", f"no {message.name!r}", function=message.name)))
            case AskHandover():
                if self.grants:
                    self.tokens.add("token-2")
                    peer.send(Handover("token-2", ""))
            case _:
                raise ProtocolError("it had no business sending that")

    def detach(self, peer: Peer, reason: str) -> None:
        self.peers.remove(peer)
        self.detached.append(reason)

    async def load(self, peer: Peer, name: str, path: str) -> Report:
        self.reports["load-1"] = asyncio.get_running_loop().create_future()
        peer.send(Load("load-1", LaneFunction(name, 1, "python", path)))
        return await asyncio.wait_for(self.reports["load-1"], 5)

    async def run(self, peer: Peer, id_: str, arg: bytes, content_type: str = JSON) -> bytes:
        self.reports[id_] = asyncio.get_running_loop().create_future()
        peer.send(Invoke(id_, arg, content_type, ["root"]))
        report = await asyncio.wait_for(self.reports[id_], 5)
        if report.fault is not None:
            raise error_of(report.fault)
        return report.result

    def dismiss(self, peer: Peer) -> None:
        peer.send(Goodbye())
        peer.close()
