"""Errors and gRPC statuses, both ways, in one place.

A server answers with `to_status`: the class's status, its message, and all the rest as a MessagePack
`Fault` in the trailing metadata `mee6-fault-bin`. A client turns what gRPC raises back with
`from_rpc_error`; a status without that metadata comes from gRPC itself, from something between, or from a
server that is not ours, and is translated by what it most likely means.
"""

from __future__ import annotations

import re
from typing import Final

import grpc
import grpc.aio
import msgspec

from mee6.api.v1 import invoker_pb2
from mee6.errors import AgentUnreachable, Mee6Error, TimedOut, TooLarge, VersionMismatch, by_grpc
from mee6.faults import error_of, fault_of
from mee6.lane.messages import Fault

API_LEVEL: Final = 1
"""Raised when a client that knows only the older number could not work any more."""
API_KEY: Final = "mee6-api"
"""Metadata of every call: the client's `API_LEVEL`."""
FAULT_KEY: Final = "mee6-fault-bin"

_DETAIL_BYTES: Final = 4300
"""Of the packed fault. A peer may refuse more than 8 KiB of metadata, which carries this in base64 (4/3)."""
_MESSAGE_BYTES: Final = 400
"""Of a message in the status line, where a byte may take three."""

_NOT_REACHED: Final = ("failed to connect", "connection refused", "no such file", "name resolution", "dns")

Metadata = tuple[tuple[str, bytes], ...]


def to_status(error: Mee6Error) -> tuple[grpc.StatusCode, str, Metadata]:
    """The status, message and trailing metadata that tell a client of `error`; under 7 KiB together."""
    fault = fault_of(error)
    message = _head(fault.message, _MESSAGE_BYTES)
    return grpc.StatusCode[error.grpc], message, ((FAULT_KEY, _packed(fault)),)


def from_rpc_error(error: grpc.aio.AioRpcError, address: str) -> Mee6Error:
    """The error that a failed call stands for.

    Args:
        address: of the agent, for messages.
    """
    code = error.code()
    detail = _detail(error)
    if detail is not None:
        return error_of(detail)
    said = error.details() or code.name.lower()
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(said, address)
        case grpc.StatusCode.UNIMPLEMENTED:
            return VersionMismatch(f"the agent at {address} does not know this request; see: mee6 version")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOut(f"the agent at {address} did not answer in time; see: mee6 agent status")
        case grpc.StatusCode.CANCELLED:  # not by this side, and not with a reason: the server is leaving
            return _unavailable(said, address)
        case grpc.StatusCode.RESOURCE_EXHAUSTED if found := re.search(
            r"message larger than max \((\d+) vs\. (\d+)", said
        ):
            return TooLarge(
                f"the message has {found[1]} bytes, over the connection's limit of {found[2]}; send less at once"
            )
        case grpc.StatusCode.UNKNOWN:  # the server's own failure; a function's carries its fault
            return Mee6Error(f"the agent at {address} failed: {said}; see its log")
        case _:
            return by_grpc(code.name)(said)


def unreachable(address: str) -> AgentUnreachable:
    """The error for an address where nothing answers."""
    return AgentUnreachable(f"no agent answers at {address}; start one with: mee6 agent serve --detach")


def fault_to_pb(fault: Fault) -> invoker_pb2.Fault:
    """A fault as `InvokeStream` carries it, whole."""
    return invoker_pb2.Fault(
        code=fault.code,
        message=fault.message,
        function=fault.function,
        error_type=fault.error_type,
        traceback=fault.traceback,
        invocation=fault.invocation,
    )


def fault_from_pb(fault: invoker_pb2.Fault) -> Fault:
    """The reverse of `fault_to_pb`."""
    return Fault(fault.code, fault.message, fault.function, fault.error_type, fault.traceback, fault.invocation)


def _unavailable(said: str, address: str) -> AgentUnreachable:
    if "resolving" in said or "lookup" in said:
        return AgentUnreachable(f"no machine is found by the name in {address}; see: mee6 context ls")
    if any(sign in said.lower() for sign in _NOT_REACHED):
        return unreachable(address)
    return AgentUnreachable(f"the agent at {address} went away during the call ({said}); see: mee6 agent status")


def _detail(error: grpc.aio.AioRpcError) -> Fault | None:
    for key, value in error.trailing_metadata() or ():
        if key == FAULT_KEY and isinstance(value, bytes):
            try:
                return msgspec.msgpack.decode(value, type=Fault)
            except msgspec.MsgspecError:
                return None
    return None


def _packed(fault: Fault) -> bytes:
    whole = msgspec.msgpack.encode(_cut(fault, 1 << 30))
    return whole if len(whole) <= _DETAIL_BYTES else msgspec.msgpack.encode(_cut(fault, 1300))


def _cut(fault: Fault, limit: int) -> Fault:
    return Fault(
        fault.code,
        _head(fault.message, limit),
        _head(fault.function, limit // 8),
        _head(fault.error_type, limit // 8),
        _tail(fault.traceback, 2 * limit - 200),
        _head(fault.invocation, 64),
    )


def _head(text: str, limit: int) -> str:
    raw = text.encode("utf-8", "replace")  # a lone surrogate cannot travel
    return raw.decode() if len(raw) <= limit else raw[:limit].decode("utf-8", "ignore") + "..."


def _tail(text: str, limit: int) -> str:
    """The end of a traceback: what was raised, and where, stands last."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit:
        return raw.decode()
    return f"... ({len(raw) - limit} bytes cut) ...\n" + raw[-limit:].decode("utf-8", "ignore")
