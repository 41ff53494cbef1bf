"""What the machine gives at best, to be measured in the same rounds as mee6: the lane's and gRPC's round trips."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from time import monotonic_ns
from typing import Any, Final

import grpc
import grpc.aio
import msgspec

from tests.benchmarks.harness.grpc_echo import SERVICE
from tests.benchmarks.harness.samples import Contender

ONE_CORE: Final = "floor: msgspec, one core"
TWO_CORES: Final = "floor: msgspec, two cores"
UNARY: Final = "floor: grpc unary"
STREAM: Final = "floor: grpc stream"

_PAYLOAD: Final = b"x" * 64
_WARM_UP: Final = 20


def lane(count: int) -> dict[str, Contender]:
    """Contenders that take `count` round trips over a socketpair; two cores only where there are two."""
    cores = sorted(os.sched_getaffinity(0))

    async def take(answering: int) -> list[int]:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.harness.lane_echo",
            str(cores[0]),
            str(answering),
            str(count),
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _none = await process.communicate()
        return msgspec.json.decode(said, type=list[int])

    found: dict[str, Contender] = {ONE_CORE: lambda: take(cores[0])}
    if len(cores) > 1:
        found[TWO_CORES] = lambda: take(cores[1])
    return found


@contextlib.asynccontextmanager
async def over_grpc(count: int) -> AsyncIterator[dict[str, Contender]]:
    """Contenders that take `count` round trips to a gRPC server that does nothing else."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.harness.grpc_echo",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        address = (await server.stdout.readline()).decode().strip()
        async with grpc.aio.insecure_channel(address) as channel:
            yield {UNARY: lambda: _unary(channel, count), STREAM: lambda: _stream(channel, count)}
    finally:
        server.stdin.close()
        await server.wait()


async def _unary(channel: grpc.aio.Channel, count: int) -> list[int]:
    call: Any = channel.unary_unary(f"/{SERVICE}/Unary")
    took = []
    for number in range(-_WARM_UP, count):
        began = monotonic_ns()
        await call(_PAYLOAD)
        if number >= 0:
            took.append(monotonic_ns() - began)
    return took


async def _stream(channel: grpc.aio.Channel, count: int) -> list[int]:
    stream: Any = channel.stream_stream(f"/{SERVICE}/Stream")()
    took = []
    for number in range(-_WARM_UP, count):
        began = monotonic_ns()
        await stream.write(_PAYLOAD)
        await stream.read()
        if number >= 0:
            took.append(monotonic_ns() - began)
    await stream.done_writing()
    await stream.read()
    return took
