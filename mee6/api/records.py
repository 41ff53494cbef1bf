"""Protobuf messages to the records of `mee6.records`; no message passes beyond here and `mee6.client`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final, TypeVar

import msgspec

from mee6 import records
from mee6.api.v1 import console_pb2, invoker_pb2
from mee6.errors import ProtocolError

R = TypeVar("R", bound=msgspec.Struct)


def _maker(record: type[R], **special: Callable[[Any], Any]) -> Callable[[Any], R]:
    """Copies the fields of one name; `special` says how those that are not scalars are turned."""
    names = record.__struct_fields__
    take = attrgetter(*names)
    if not special:
        return lambda message: record(*take(message))
    turns = [special.get(name) for name in names]
    return lambda message: record(
        *(turn(value) if turn else value for turn, value in zip(turns, take(message), strict=True))
    )


def _each(make: Callable[[Any], R]) -> Callable[[Iterable[Any]], tuple[R, ...]]:
    return lambda messages: tuple(make(message) for message in messages)


_worker: Final = _maker(records.Worker)
_invocation: Final = _maker(records.Invocation)
_span: Final = _maker(records.Span)
_step: Final = _maker(records.Step, spans=_each(_span))
_log: Final = _maker(records.Log)
_stage: Final = _maker(records.Stage)
_handover: Final = _maker(records.Handover, stages=_each(_stage))
_figures: Final = _maker(records.Figures)
_change: Final = _maker(records.FunctionChange)
_stats: Final = _maker(records.FunctionStats)
_package: Final = _maker(records.Package)
_foreseen: Final = _maker(records.Foreseen)

_pool: Final = _maker(records.Pool)
worker: Final = _worker
node: Final = _maker(records.Node, notes=tuple, runtimes=tuple, missing=tuple, pools=_each(_pool), load=tuple)
_circumstances: Final = _maker(records.Circumstances)
_usual: Final = _maker(records.Usual)
trace: Final = _maker(
    records.Trace,
    invocation=_invocation,
    steps=_each(_step),
    circumstances=_each(_circumstances),
    usual=_each(_usual),
)
log_line: Final = _maker(records.LogLine, log=_log)
_snapshot: Final = _maker(
    records.Snapshot,
    node=node,
    workers=_each(_worker),
    functions=_each(_change),
    invocations=_each(_invocation),
    figures=_each(_figures),
    steps=_each(_step),
    handovers=_each(_handover),
)

_WHAT: Final[dict[str, Callable[[Any], records.What]]] = {
    "worker": _worker,
    "invocation": _invocation,
    "step": _step,
    "log": _log,
    "handover": _handover,
    "function": _change,
    "node": node,
    "figures": _figures,
}


def function(message: invoker_pb2.Activity) -> records.Function:
    """One version of a function."""
    return records.Function(
        user=message.username,
        name=message.name,
        runtime=message.runtime,
        version=message.version,
        sha256=message.sha256,
        size=message.size,
        added_s=message.added_s,
        is_workflow=message.is_workflow,
        manifest=message.manifest,
    )


def added(message: invoker_pb2.AddResponse) -> records.Added:
    """What adding did."""
    return records.Added(function(message.activity), message.unchanged, tuple(message.missing))


def description(message: invoker_pb2.DescribeResponse) -> records.Description:
    """All about a function."""
    return records.Description(
        function=function(message.activity),
        versions=tuple(function(version) for version in message.versions),
        missing=tuple(message.missing),
        workers=tuple(message.workers),
        stats=_stats(message.stats),
        env=dict(message.env),
        packages=message.packages,
        requirements=tuple(_package(package) for package in message.requirements),
        url=message.url,
        foreseen=tuple(_foreseen(one) for one in message.foreseen),
        demand=_demand(message.demand) if message.HasField("demand") else None,
        known=message.known,
    )


def _demand(message: invoker_pb2.Demand) -> records.Demand:
    return records.Demand(message.rate, message.time_s, message.tau, message.samples, message.executing)


def outcome(message: invoker_pb2.InvokeResponse) -> records.Outcome:
    """A result; one from an agent that knows only text is text."""
    if message.content_type:
        return records.Outcome(message.id, message.data, message.content_type)
    return records.Outcome(message.id, message.result.encode(), "text/plain")


def watched(message: console_pb2.WatchReply) -> records.Snapshot | records.Batch:
    """A snapshot or a batch; events of kinds that this version does not know are left out."""
    kind = message.WhichOneof("what")
    if kind == "snapshot":
        return _snapshot(message.snapshot)
    if kind == "batch":
        known = (event for event in map(_event, message.batch.events) if event is not None)
        return records.Batch(message.batch.seq, tuple(known))
    raise ProtocolError("the agent sent neither a snapshot nor events; see: mee6 version")


def _event(message: console_pb2.Event) -> records.Event | None:
    kind = message.WhichOneof("what")
    if kind is None:
        return None
    return records.Event(message.at_ns, _WHAT[kind](getattr(message, kind)))
