"""A runtime as a third party would write it: Python functions served over gRPC, with the stubs alone.

It knows nothing of mee6 but `invokee.proto`. `serve` listens with a one-time token, loads a function by
executing `main.py` of the folder it is told, runs it for each INVOKE, and leaves when it is sent away. A
function calls another with `await invoke(name, arg)`, text for text, which it finds among its globals.

As a program: `python -m tests.support.grpc_runtime ADDRESS TOKEN`.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import grpc.aio

from mee6.api.v1 import invokee_pb2 as pb
from mee6.api.v1.invokee_pb2_grpc import InvokeeStub

_current: ContextVar[tuple[str, itertools.count[int]]] = ContextVar("current")


async def serve(address: str, token: str, runtime: str = "python", role: str = "runtime") -> None:
    """Serves one worker until it is sent away or the stream ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = InvokeeStub(channel)  # type: ignore[no-untyped-call]
        await Runtime(stub).run(token, runtime, role)


class Runtime:
    """One session with the agent."""

    def __init__(self, stub: InvokeeStub) -> None:
        self._stub = stub
        self._session: tuple[tuple[str, str], ...] = ()
        self._main: Callable[[str], Any] | None = None

    async def run(self, token: str, runtime: str, role: str) -> None:
        tasks = self._stub.Listen(pb.ListenRequest(role=role, runtime=runtime), metadata=(("mee6-token", token),))
        async for task in tasks:
            self._session = (("mee6-session", task.session),)
            match task.type:
                case pb.LOAD:
                    await self._report(task.id, self._load(task))
                case pb.INVOKE:
                    await self._report(task.id, self._invoke(task))
                case _:  # HANDOVER: sent away
                    return

    async def _load(self, task: pb.Task) -> str:
        scope: dict[str, Any] = {"invoke": self._call}
        exec(compile((Path(task.path) / "main.py").read_text(), "main.py", "exec"), scope)
        self._main = scope["main"]
        return ""

    async def _invoke(self, task: pb.Task) -> str:
        assert self._main is not None
        _current.set((task.id, itertools.count(1)))
        result = self._main(task.data.decode())
        return str(await result if inspect.isawaitable(result) else result)

    async def _report(self, id_: str, work: Awaitable[str]) -> None:
        try:
            report = pb.ReportRequest(id=id_, data=(await work).encode(), content_type="text/plain")
        except Exception as error:
            report = pb.ReportRequest(
                id=id_,
                isError=True,
                result=str(error),
                error_type=type(error).__name__,
                traceback=traceback.format_exc(),
            )
        await self._stub.Report(report, metadata=self._session)

    async def _call(self, name: str, arg: str) -> str:
        invocation, numbers = _current.get()
        request = pb.CallRequest(
            invocation=invocation, number=next(numbers), name=name, data=arg.encode(), content_type="text/plain"
        )
        try:
            answer: pb.CallResponse = await self._stub.Call(request, metadata=self._session)
        except grpc.aio.AioRpcError as error:
            raise RuntimeError(error.details()) from error
        return answer.data.decode()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
