from __future__ import annotations

import grpc
import grpc.aio
import msgspec
import pytest

from mee6.api.faults import FAULT_KEY, fault_from_pb, fault_to_pb, from_rpc_error, to_status
from mee6.errors import BY_CODE, AgentUnreachable, Mee6Error, NotFound, TimedOut, TooLarge, VersionMismatch
from mee6.faults import error_of, fault_of
from mee6.lane.messages import Fault

EXIT_CODES = {0, 1, 2, 3, 4, 5, 6, 7, 8, 124, 130}


def failed(
    code: grpc.StatusCode, details: str = "", trailing: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details=details)


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_every_error_crosses_the_wire_whole(cls: type[Mee6Error]) -> None:
    error = cls("something", function="f", traceback="Traceback\n", error_type="E")
    code, message, trailing = to_status(error)
    back = from_rpc_error(failed(code, message, trailing), "h:1")
    assert type(back) is cls
    assert fault_of(back) == fault_of(error)
    assert code.name == cls.grpc
    assert code is not grpc.StatusCode.OK
    assert cls.exit in EXIT_CODES - {0}


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_every_error_crosses_a_stream_whole(cls: type[Mee6Error]) -> None:
    fault = fault_of(cls("something", function="f", traceback="T" * 100_000, error_type="E"))
    back = error_of(fault_from_pb(fault_to_pb(fault)))
    assert type(back) is cls
    assert fault_of(back) == fault


def test_codes_are_unique_and_exit_codes_are_those_of_their_branch() -> None:
    assert len({cls.code for cls in BY_CODE.values()}) == len(BY_CODE)
    for cls in BY_CODE.values():
        parent = cls.__base__
        if parent not in {Mee6Error, Exception}:
            assert (cls.exit, cls.grpc) == (parent.exit, parent.grpc)  # type: ignore[union-attr]


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\U0001f600", "\ud800"])
def test_a_huge_traceback_is_cut_in_front_to_fit_the_metadata(letter: str) -> None:
    long = letter * 100_000
    code, message, trailing = to_status(Mee6Error(long, function=long, error_type=long, traceback=long + "the end"))
    ((_, packed),) = trailing
    assert len(packed) * 4 / 3 + 3 * len(message.encode()) < 7 << 10
    fault = msgspec.msgpack.decode(packed, type=Fault)
    assert fault.traceback.endswith("the end")
    assert "bytes cut" in fault.traceback
    assert code is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("code", "details", "error", "says"),
    [
        (
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect to all addresses",
            AgentUnreachable,
            "no agent answers at h:1",
        ),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", AgentUnreachable, "went away"),
        (grpc.StatusCode.CANCELLED, "", AgentUnreachable, "went away"),
        (grpc.StatusCode.UNIMPLEMENTED, "Method not found!", VersionMismatch, "mee6 version"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", TimedOut, "h:1"),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "Sent message larger than max (9 vs. 4)",
            TooLarge,
            "has 9 bytes, over the connection's limit of 4",
        ),
        (grpc.StatusCode.UNKNOWN, "Unexpected <class 'KeyError'>", Mee6Error, "failed"),
        (grpc.StatusCode.NOT_FOUND, "gone", NotFound, "gone"),
        (grpc.StatusCode.DATA_LOSS, "", Mee6Error, "data_loss"),
    ],
)
def test_a_bare_status_is_translated(code: grpc.StatusCode, details: str, error: type[Mee6Error], says: str) -> None:
    found = from_rpc_error(failed(code, details), "h:1")
    assert type(found) is error
    assert says in found.message


def test_a_broken_detail_falls_back_to_the_status() -> None:
    found = from_rpc_error(failed(grpc.StatusCode.NOT_FOUND, "gone", ((FAULT_KEY, b"\xc1"),)), "h:1")
    assert type(found) is NotFound


def test_a_code_of_a_later_version_is_a_general_error() -> None:
    found = error_of(Fault("invented_later", "hm"))
    assert (type(found), found.message) == (Mee6Error, "hm")
