"""The floor under a call from outside: a grpc.aio server that gives back the bytes it gets, on uvloop as the agent is.

A program: `python -m tests.benchmarks.harness.grpc_echo` prints its address and serves until its standard
input ends. No protobuf and nothing of mee6 is in it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import grpc.aio
import uvloop

SERVICE: Final = "floor.Echo"


async def _unary(request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return request


async def _stream(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
    async for request in requests:
        await context.write(request)


async def _serve() -> None:
    server = grpc.aio.server()
    make: Any = grpc  # its makers of handlers have no types
    handlers = {
        "Unary": make.unary_unary_rpc_method_handler(_unary),
        "Stream": make.stream_stream_rpc_method_handler(_stream),
    }
    server.add_generic_rpc_handlers((make.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), lambda: gone.set() if not os.read(sys.stdin.fileno(), 4096) else None)
    await gone.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve())
