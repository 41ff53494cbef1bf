"""The service for watchers: what the node does, as it does it, and what it did. Thin over feed and history.

The only place where views become protobuf; nothing is converted while nobody watches.
"""

# ruff: noqa: N802 - RPCs are named by the proto

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc.aio
from msgspec.structs import asdict

from agent.core.circumstances import Circumstances
from agent.feed import (
    KINDS,
    Batch,
    Event,
    FiguresView,
    Filter,
    FunctionView,
    HandoverView,
    InvocationView,
    LogLine,
    NodeView,
    Snapshot,
    Stamped,
    WorkerView,
)
from agent.history import root_of
from agent.policy import Changes
from agent.services.api import NodeApi, user_name
from agent.usual import usual
from mee6.api.v1 import console_pb2 as pb
from mee6.api.v1.console_pb2_grpc import ConsoleServicer
from mee6.errors import Exhausted, FunctionNotFound, InvalidInput, InvocationNotFound
from mee6.lane.messages import Step

STALLED_S: Final = 30.0
"""A watcher that reads nothing for so long is cut off; until then it holds a batch, and gRPC's buffers for it."""

Context = grpc.aio.ServicerContext[Any, Any]
Fields = dict[str, Any]
"""Of a message that stands in another: made as one of its own it would be copied there, which costs as much again."""


class Console(ConsoleServicer):
    """The Console service of one node.

    Args:
        stalled_s: how long a watcher may read nothing while there is something to read.
    """

    def __init__(self, node: NodeApi, stalled_s: float = STALLED_S) -> None:
        self._node = node
        self._stalled_s = stalled_s
        self._last: tuple[list[Stamped], pb.WatchReply] = ([], pb.WatchReply())
        """What was converted last without a filter, and from what: most watchers are just as far and want all."""

    async def Watch(self, request: pb.WatchRequest, context: Context) -> None:
        """A snapshot, then batches, until the client leaves or the agent ends."""
        unknown = set(request.kinds) - set(KINDS.values())
        if unknown:
            raise InvalidInput(f"no events of kind {min(unknown)!r}; kinds are {', '.join(KINDS.values())}")
        wanted = Filter(frozenset(request.kinds), frozenset(request.functions), frozenset(request.workers))
        with self._node.feed.subscribe(wanted, skip_snapshot=request.skip_snapshot) as subscription:
            # At once, so that a client knows that from here on nothing escapes it.
            await context.send_initial_metadata(())
            async for item in subscription:
                try:
                    async with asyncio.timeout(self._stalled_s):
                        await context.write(self._reply(item, whole=wanted == Filter()))
                except TimeoutError:
                    raise Exhausted(
                        f"watcher too slow: it has read nothing for {self._stalled_s:g} s and is cut off; watch again"
                    ) from None

    async def Logs(self, request: pb.LogsRequest, context: Context) -> None:
        """Remembered output, then, where asked to follow, what comes."""
        user = user_name(request.username)
        history = self._node.history
        invocation = request.invocation
        if request.function and not history.knows(user, request.function):
            self._check_function(user, request.function)
        if not 0 <= request.since_s < float("inf"):
            raise InvalidInput(f"since_s is {request.since_s}; give seconds before now, or 0 for all")
        since_ns = time.monotonic_ns() - int(request.since_s * 1e9) if request.since_s else 0
        offset_ns = self._node.info().wall_offset_ns
        known = history.lines(
            user, function=request.function, invocation=invocation, tail=request.tail, since_ns=since_ns
        )
        if invocation and "." not in invocation:
            invocation = history.find(invocation).view.id  # it may have been a prefix
        if not request.follow:
            for line in known:
                await context.write(_log_reply(line, offset_ns))
            return
        functions = frozenset([request.function] if request.function else ())
        with self._node.feed.subscribe(Filter(frozenset(["log"]), functions), skip_snapshot=True) as subscription:
            for line in known:
                await context.write(_log_reply(line, offset_ns))
            last_ns = known[-1].at_ns if known else 0
            async for item in subscription:
                if isinstance(item, Snapshot):
                    # Too slow: the feed dropped lines; the history may still have them.
                    lines = history.lines(user, function=request.function, invocation=invocation)
                    lines = [line for line in lines if line.at_ns > last_ns]
                else:
                    lines = [event for _at, event in item.events if isinstance(event, LogLine)]
                    lines = [line for line in lines if self._concerns(line, user, invocation)]
                for line in lines:
                    await context.write(_log_reply(line, offset_ns))
                    last_ns = max(last_ns, line.at_ns)

    async def Trace(self, request: pb.TraceRequest, _context: Context) -> pb.TraceReply:
        """The steps of an invocation."""
        history = self._node.history
        user = user_name(request.username) if request.username else ""
        record = history.find(request.id) if request.id else history.latest(user)
        return pb.TraceReply(
            invocation=_invocation(record.view),
            steps=map(_step, record.trace),
            wall_offset_ns=self._node.info().wall_offset_ns,
            arg_bytes=record.arg_bytes,
            result_bytes=record.result_bytes,
            incomplete=record.incomplete,
            circumstances=(_circumstances(step, found) for step, found in record.circumstances.items()),
            usual=map(asdict, usual(record.trace, history.like(record)) if request.usual else ()),
        )

    async def Nodes(self, _request: pb.NodesRequest, _context: Context) -> pb.NodesReply:
        """The nodes of the cluster: this one."""
        return pb.NodesReply(nodes=[_node(self._node.info())])

    async def Workers(self, _request: pb.WorkersRequest, _context: Context) -> pb.WorkersReply:
        """The node's workers."""
        return pb.WorkersReply(workers=map(_worker, self._node.workers()))

    async def Configure(self, request: pb.ConfigureRequest, _context: Context) -> pb.ConfigureReply:
        """Changes how the node keeps its workers."""
        scalars = ("pause", "keep_alive_s", "linger_s", "look_ahead", "memory_budget_bytes", "wait_for_busy", "order")
        given = {name: getattr(request, name) for name in scalars if request.HasField(name)}
        view = self._node.configure(Changes(**given, prewarm=dict(request.prewarm), ceiling=dict(request.ceiling)))
        return pb.ConfigureReply(node=_node(view))

    async def SetLimits(self, request: pb.SetLimitsRequest, _context: Context) -> pb.SetLimitsReply:
        """Changes what one worker may use."""
        memory_bytes = request.memory_bytes if request.HasField("memory_bytes") else None
        cpus = request.cpus if request.HasField("cpus") else None
        limits = await self._node.set_limits(request.worker, memory_bytes, cpus)
        return pb.SetLimitsReply(memory_bytes=limits.memory_bytes, cpus=limits.cpus)

    async def Evict(self, request: pb.EvictRequest, _context: Context) -> pb.EvictReply:
        """Ends a worker."""
        self._node.evict(request.worker, force=request.force)
        return pb.EvictReply()

    async def Pause(self, request: pb.PauseRequest, _context: Context) -> pb.PauseReply:
        """Freezes an idle worker."""
        return pb.PauseReply(worker=_worker(await self._node.pause(request.worker)))

    async def Resume(self, request: pb.ResumeRequest, _context: Context) -> pb.ResumeReply:
        """Thaws a paused worker."""
        return pb.ResumeReply(worker=_worker(await self._node.resume(request.worker)))

    async def Drain(self, _request: pb.DrainRequest, _context: Context) -> pb.DrainReply:
        """Takes no more invocations."""
        return pb.DrainReply(node=_node(self._node.drain()))

    async def Undrain(self, _request: pb.UndrainRequest, _context: Context) -> pb.UndrainReply:
        """Takes invocations again."""
        return pb.UndrainReply(node=_node(self._node.undrain()))

    def _reply(self, item: Snapshot | Batch, *, whole: bool) -> pb.WatchReply:
        if isinstance(item, Snapshot):
            return _snapshot(item)
        if item.events is self._last[0]:
            return self._last[1]
        events = [{"at_ns": at_ns, KINDS[type(what)]: _CONVERT[type(what)](what)} for at_ns, what in item.events]
        reply = pb.WatchReply(batch={"seq": item.seq, "events": events})
        if whole:  # what a filter has left is nobody else's
            self._last = item.events, reply
        return reply

    def _check_function(self, user: str, name: str) -> None:
        if all(record.name != name for record in self._node.functions(user)):
            raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls")

    def _concerns(self, line: LogLine, user: str, invocation: str) -> bool:
        if invocation:
            return invocation in (line.invocation, root_of(line.invocation))
        try:
            return self._node.history.find(root_of(line.invocation)).view.user == user
        except InvocationNotFound:
            return False


def _snapshot(item: Snapshot) -> pb.WatchReply:
    picture = item.picture
    return pb.WatchReply(
        snapshot=pb.Snapshot(
            seq=item.seq,
            missed=item.missed,
            node=_node(picture.node),
            workers=map(_worker, picture.workers),
            functions=map(_function, picture.functions),
            invocations=map(_invocation, picture.invocations),
            figures=map(_figures, picture.figures),
            steps=map(_step, picture.steps),
            handovers=map(_handover, picture.handovers),
        )
    )


def _worker(view: WorkerView) -> Fields:
    return {
        "id": view.id,
        "pool": view.pool,
        "state": view.state,
        "username": view.user,
        "function": view.function,
        "version": view.version,
        "via": view.via,
        "invocation": view.invocation,
        "since_ns": view.since_ns,
        "invocations": view.invocations,
        "reason": view.reason,
        "runtime_pid": view.runtime_pid,
        "memory_bytes": view.memory_bytes,
        "cpu": view.cpu,
        "cpu_ns": view.cpu_ns,
        "processes": view.processes,
        "memory_limit_bytes": view.memory_limit_bytes,
        "cpus_limit": view.cpus_limit,
        "handover": view.handover,
        "proxy_pid": view.proxy_pid,
        "started_ns": view.started_ns,
    }


def _invocation(view: InvocationView) -> Fields:
    return {
        "id": view.id,
        "username": view.user,
        "function": view.function,
        "version": view.version,
        "state": view.state,
        "worker": view.worker,
        "start": view.start,
        "accepted_ns": view.accepted_ns,
        "ended_ns": view.ended_ns,
        "error": view.error,
    }


def _step(step: Step) -> Fields:
    return {
        "id": step.id,
        "parent": step.parent,
        "function": step.function,
        "version": step.version,
        "worker": step.worker,
        "start": step.start,
        "via": step.via,
        "state": step.state,
        "pid": step.pid,
        "error": step.error,
        "spans": [{"kind": span.kind, "start_ns": span.start_ns, "end_ns": span.end_ns} for span in step.spans],
        "invocation": root_of(step.id),
        "name": step.name,
    }


def _circumstances(step: str, found: Circumstances) -> Fields:
    return {
        "step": step,
        "holding": found.holding,
        "ended": found.ended,
        "ended_ago_ns": found.ended_ago,
        "ready": found.ready,
        "starting": found.starting,
        "floor": found.floor,
        "ahead": found.ahead,
        "leased": found.leased,
        "limit": found.limit,
        "hindered": found.hindered or "",
        "lost": found.lost,
        "held_ns": found.held,
        "held_by": found.held_by,
    }


def _log(line: LogLine) -> Fields:
    return {
        "invocation": line.invocation,
        "function": line.function,
        "worker": line.worker,
        "stream": line.stream,
        "text": line.text.encode("utf-8", "replace").decode(),  # a lone surrogate cannot travel
        "dropped_bytes": line.dropped_bytes,
    }


def _log_reply(line: LogLine, offset_ns: int) -> pb.LogsReply:
    return pb.LogsReply(at_ns=line.at_ns, log=_log(line), wall_ns=line.at_ns + offset_ns)


def _handover(view: HandoverView) -> Fields:
    return {
        "worker": view.worker,
        "state": view.state,
        "reason": view.reason,
        "runtime_pid": view.runtime_pid,
        "invocation": view.invocation,
        "username": view.user,
        "function": view.function,
        "proxy_pid": view.proxy_pid,
        "stages": [{"name": name, "at_ns": at_ns} for name, at_ns in view.stages],
    }


def _figures(view: FiguresView) -> Fields:
    fields = asdict(view)
    return {"username": fields.pop("user"), **fields}


def _function(view: FunctionView) -> Fields:
    return {
        "username": view.user,
        "name": view.name,
        "version": view.version,
        "runtime": view.runtime,
        "is_workflow": view.is_workflow,
        "removed": view.removed,
    }


def _node(view: NodeView) -> Fields:
    return asdict(view) | {"pools": list(map(asdict, view.pools))}


_CONVERT: Final[Mapping[type[Event], Callable[[Any], Fields]]] = {
    WorkerView: _worker,
    InvocationView: _invocation,
    Step: _step,
    LogLine: _log,
    HandoverView: _handover,
    FunctionView: _function,
    NodeView: _node,
    FiguresView: _figures,
}
