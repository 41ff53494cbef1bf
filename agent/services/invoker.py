"""The service for people and scripts: manage functions and invoke them. Thin over `NodeApi`.

Names and field numbers below 16 are those published by the first Mee6aaS: a request with `arg` gets `result`,
text for text; one with `data` and a content type gets `data` back.
"""

# ruff: noqa: N802 - RPCs are named by the proto

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

import grpc.aio
import msgspec

from agent.services.api import Added, NodeApi, function_name, silent, user_name
from agent.services.invocation import begin, hint, response
from agent.services.invoke_stream import InvokeStream
from agent.substrate.base import FunctionRecord
from mee6.api.faults import fault_to_pb
from mee6.api.v1 import invoker_pb2 as pb
from mee6.api.v1.invoker_pb2_grpc import InvokerServicer
from mee6.errors import InvalidBundle, InvalidInput, InvocationNotFound, Mee6Error, TooLarge
from mee6.faults import fault_of
from mee6.sizes import size_text

ALIVE_S: Final = 5.0
"""How long an upload stream is silent at most."""
SHOW_EVERY_S: Final = 0.1
READ_OUT_S: Final = 2.0
"""For a refused client to finish sending."""
MAX_WAIT_S: Final = 3600.0
"""Of `Result`."""

Context = grpc.aio.ServicerContext[Any, Any]


class Invoker(InvokerServicer):
    """The Invoker service of one node."""

    def __init__(self, node: NodeApi) -> None:
        self._node = node

    async def Invoke(self, request: pb.InvokeRequest, context: Context) -> pb.InvokeResponse:
        """Runs a function once; a client that hangs up calls it off."""
        ticket = begin(self._node, request)
        if request.detach:
            return pb.InvokeResponse(id=ticket.id)
        try:
            outcome = await ticket.outcome
            await hint(context, outcome)
            return response(outcome, as_text=not request.content_type)
        except asyncio.CancelledError:
            with contextlib.suppress(InvocationNotFound):
                self._node.cancel(ticket.id)
            raise

    async def InvokeStream(self, _requests: object, context: Context) -> None:
        """Runs many; see `agent.services.invoke_stream`."""
        await InvokeStream(self._node, context).run()

    async def Add(self, request: pb.AddRequest, _context: Context) -> pb.AddResponse:
        """Adds the function in a folder of the agent's machine."""
        if request.method == pb.GLOBAL:
            raise InvalidInput("method GLOBAL is not supported; add a folder of the agent's machine with LOCAL")
        folder = Path(request.path)
        if not folder.is_absolute():
            raise InvalidInput(f"path {request.path!r} is not absolute, and the agent's folder is not the client's")
        user, name = user_name(request.username), _act_name(request.actName)
        return _added(await self._node.add_folder(user, name, folder, dict(request.env), check=not request.no_check))

    async def Upload(self, _requests: object, context: Context) -> pb.AddResponse:
        """Adds the function in a bundle that comes in pieces."""
        return await self._upload(context, silent)

    async def UploadStream(self, _requests: object, context: Context) -> None:
        """Adds the function in a bundle that comes in pieces, telling how far it is."""
        latest: list[str] = []
        news = asyncio.Event()

        def say(line: str) -> None:
            latest[:] = [line]  # whoever waits wants the last of them, and a tool may say a thousand
            news.set()

        work = asyncio.create_task(self._upload(context, say))
        try:
            while not work.done():
                told = asyncio.create_task(news.wait())
                await asyncio.wait({work, told}, timeout=ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                told.cancel()
                if work.done():
                    break
                news.clear()
                await context.write(pb.UploadReply(progress=latest.pop() if latest else ""))
                await asyncio.wait({work}, timeout=SHOW_EVERY_S)
            await context.write(pb.UploadReply(added=await work))
        except Mee6Error as error:
            await _read_out(context)
            if error.traceback:
                await context.write(pb.UploadReply(fault=fault_to_pb(fault_of(error))))
            raise
        finally:
            if not work.done():  # the client has hung up: what is being resolved for it alone ends
                work.cancel()
                await asyncio.wait({work})

    async def _upload(self, context: Context, say: Callable[[str], None]) -> pb.AddResponse:
        first = await context.read()
        if first is grpc.aio.EOF or first.WhichOneof("what") != "header":
            raise InvalidInput("an upload begins with its header")
        header: pb.UploadHeader = first.header
        user, name = user_name(header.username), _act_name(header.actName)
        self._check_size(header.size)
        with _temporary(self._node.config.state_dir / "tmp") as (packed, file):
            await self._receive(context, header, file)
            return _added(
                await self._node.add(
                    user, name, packed, header.sha256, header.size, dict(header.env), say, check=not header.no_check
                )
            )

    async def List(self, request: pb.ListRequest, _context: Context) -> pb.ListResponse:
        """The user's functions by name."""
        records = sorted(self._node.functions(user_name(request.username)), key=lambda record: record.name)
        return pb.ListResponse(activities=[_managed(record) for record in records])

    async def Remove(self, request: pb.RemoveRequest, _context: Context) -> pb.RemoveResponse:
        """Removes a function with all its versions."""
        await self._node.remove(user_name(request.username), function_name(request.actName))
        return pb.RemoveResponse()

    async def Describe(self, request: pb.DescribeRequest, _context: Context) -> pb.DescribeResponse:
        """All there is to say about a function."""
        found = await self._node.describe(user_name(request.username), function_name(request.actName))
        stats = found.stats
        return pb.DescribeResponse(
            activity=activity(found.record),
            versions=map(activity, found.versions),
            missing=found.missing,
            workers=found.workers,
            stats=pb.FunctionStats(
                invocations=stats.invocations,
                failures=stats.failures,
                cold=stats.cold,
                prewarmed=stats.prewarmed,
                ahead=stats.ahead,
                warm=stats.warm,
                p50_ms=stats.p50_ms,
                p99_ms=stats.p99_ms,
                stored_blocks=stats.stored_blocks,
                stored_bytes=stats.stored_bytes,
                stored_over=stats.stored_over,
            ),
            env={name: value if request.show_env else "" for name, value in found.record.env.items()},
            packages=found.record.packages,
            requirements=[
                pb.Package(name=package.name, version=package.version, asked=package.asked)
                for package in found.requirements
            ],
            known=msgspec.json.encode(found.known).decode() if found.known is not None else "",
            url=found.url,
            foreseen=[
                pb.Foreseen(
                    function=one.function,
                    chance=one.chance,
                    after_ns=one.after_ns,
                    lead_ns=one.lead_ns,
                    runs=one.runs,
                    hits=one.hits,
                    misses=one.misses,
                    is_loaded_ahead=one.is_worth_it and found.looks_ahead,
                )
                for one in found.foreseen
            ],
            demand=pb.Demand(**asdict(found.demand)),
        )

    async def Cancel(self, request: pb.CancelRequest, _context: Context) -> pb.CancelResponse:
        """Calls an invocation off."""
        if not request.id:
            raise InvalidInput("give the id of an invocation; see: mee6 trace")
        self._node.cancel(request.id)
        return pb.CancelResponse()

    async def Result(self, request: pb.ResultRequest, context: Context) -> pb.InvokeResponse:
        """The outcome of an invocation, waiting for it at most `wait_s`."""
        if not 0 <= request.wait_s <= MAX_WAIT_S:
            raise InvalidInput(
                f"a result is waited for 0 to {MAX_WAIT_S:.0f} seconds, not {request.wait_s:g}; ask again after that"
            )
        if not request.id:
            raise InvalidInput("give the id of an invocation; see: mee6 trace")
        outcome = await self._node.history.outcome(request.id, request.wait_s)
        await hint(context, outcome)
        return response(outcome, as_text=False)

    async def _receive(self, context: Context, header: pb.UploadHeader, file: IO[bytes]) -> None:
        digest, size = hashlib.sha256(), 0

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            file.write(chunk)

        while (request := await context.read()) is not grpc.aio.EOF:
            chunk: bytes = request.chunk
            size += len(chunk)
            self._check_size(size)
            if size > header.size:
                raise InvalidBundle(f"the bundle is larger than the {header.size} bytes announced; send it again")
            # A thread, so that invocations do not wait for sums and disks.
            await asyncio.to_thread(take, chunk)
        if size != header.size:
            raise InvalidBundle(f"the bundle has {size} bytes, not {header.size} as announced; send it again")
        if digest.hexdigest() != header.sha256:
            raise InvalidBundle(f"the bundle's sum is {digest.hexdigest()}, not {header.sha256!r} as announced")
        file.close()

    def _check_size(self, size: int) -> None:
        limit = self._node.config.bundle_limit_bytes
        if size > limit:
            raise TooLarge(
                f"the bundle has {size_text(size)}, over the limit of {size_text(limit)}; "
                f"name what is not needed in .mee6ignore"
            )


async def _read_out(context: Context) -> None:
    """Lets a client finish sending: one whose write fails because the call has ended is never told why it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READ_OUT_S):
            while await context.read() is not grpc.aio.EOF:
                pass


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file in `folder`, open for writing; removed at the end, unless somebody has moved it away."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="upload-", delete=False) as file:
        path = Path(file.name)
        try:
            yield path, file
        finally:
            path.unlink(missing_ok=True)


def activity(record: FunctionRecord) -> pb.Activity:
    """A version on the wire."""
    return pb.Activity(
        username=record.user,
        name=record.name,
        runtime=record.manifest.runtime,
        version=record.version,
        sha256=record.sha256,
        size=record.size,
        added_s=record.added_s,
        is_workflow=record.manifest.is_workflow,
        manifest=msgspec.json.encode(record.manifest).decode(),
    )


def _managed(record: FunctionRecord) -> pb.ManagedActivity:
    added = datetime.fromtimestamp(record.added_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return pb.ManagedActivity(name=record.name, runtime=record.manifest.runtime, added=added, activity=activity(record))


def _added(added: Added) -> pb.AddResponse:
    return pb.AddResponse(activity=activity(added.record), unchanged=added.unchanged, missing=added.missing)


def _act_name(name: str) -> str:
    return function_name(name) if name else ""
