"""An agent's gRPC face without an agent: the real stubs on a real Unix socket, in threads of this process.

It keeps functions in a dictionary and knows a few by name: `echo`, `binary`, `json`, `fail` raises, `slow`
runs until it is called off. Every request is kept in `requests`; called-off invocations in `called_off`.
"""

from __future__ import annotations

# ruff: noqa: N802 - the methods are named by the protos
import hashlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc

from mee6 import bundle
from mee6.api.faults import API_KEY, API_LEVEL, fault_to_pb, to_status
from mee6.api.v1 import console_pb2, console_pb2_grpc, invoker_pb2, invoker_pb2_grpc
from mee6.errors import (
    Cancelled,
    Conflict,
    FunctionNotFound,
    FunctionRaised,
    InvocationNotFound,
    Mee6Error,
    NotFound,
    TimedOut,
    VersionMismatch,
)
from mee6.faults import fault_of

KNOWN = ("echo", "binary", "json", "fail", "slow")
TRACEBACK = (
    'Traceback (most recent call last):\n  File "main.py", line 2, in main\nZeroDivisionError: division by zero\n'
)


class FakeAgent:
    """Serves until it leaves its `with` block.

    Args:
        folder: a short path; the socket and unpacked bundles go there.
    """

    def __init__(self, folder: Path, version: str = "0.1.0", api: int = API_LEVEL) -> None:
        self.folder = folder
        self.address = f"unix:{folder / 'agent.sock'}"
        self.version = version
        self.api = api
        self.functions: dict[tuple[str, str], invoker_pb2.Activity] = {}
        self.env: dict[tuple[str, str], dict[str, str]] = {}
        self.takes_uploads = threading.Event()
        self.takes_uploads.set()
        self.lines: list[str] = []
        """Said while a function is added."""
        self.refusals: dict[str, Mee6Error] = {}
        """Of functions that are to be added, by name."""
        self.packages: list[invoker_pb2.Package] = []
        """What all functions depend on."""
        self.known: dict[str, str] = {}
        """Of declared workflows, as `DescribeResponse.known`."""
        self.requests: list[Any] = []
        self.called_off: list[str] = []
        self.results: dict[str, bytes] = {}
        self.kinds: dict[str, str] = {}
        """Their content types; text where none is given."""
        self.busy = 0
        """What it says that runs when it is drained."""
        self.traces: dict[str, console_pb2.TraceReply] = {}
        self.logs: list[console_pb2.LogsReply] = []
        self.watched: list[console_pb2.WatchReply] = []
        self.started = threading.Event()
        """A `slow` invocation has begun."""
        self.unwound = threading.Event()
        """A `slow` invocation has been called off."""
        make: Any = grpc.server
        self._server = make(ThreadPoolExecutor(8))

    def __enter__(self) -> Self:
        add: Any = (invoker_pb2_grpc, console_pb2_grpc)
        add[0].add_InvokerServicer_to_server(_Invoker(self), self._server)
        add[1].add_ConsoleServicer_to_server(_Console(self), self._server)
        self._server.add_insecure_port(self.address)
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(5)

    def know(self, *names: str, user: str = "default") -> None:
        """Has functions without their having been added."""
        for name in names or KNOWN:
            self.functions[user, name] = invoker_pb2.Activity(
                username=user, name=name, runtime="python", version=1, sha256="0" * 64, size=2048, added_s=1.7e9
            )

    def run(self, request: invoker_pb2.InvokeRequest, called_off: threading.Event) -> invoker_pb2.InvokeResponse:
        """What a known function does."""
        if (request.username, request.actName) not in self.functions:
            raise FunctionNotFound(
                f"no function {request.actName!r} for user {request.username!r}; see: mee6 act ls",
                function=request.actName,
            )
        identity = f"inv{len(self.requests)}"
        match request.actName:
            case "fail":
                raise FunctionRaised(
                    "division by zero", function="fail", error_type="ZeroDivisionError", traceback=TRACEBACK
                )
            case "slow":
                self.started.set()
                if not called_off.wait(request.timeout_s or 10):
                    raise TimedOut("'slow' took longer than its limit and was stopped", function="slow")
                self.called_off.append(identity)
                self.unwound.set()
                raise Cancelled("it was called off")
            case "binary":
                data, kind = b"\x00\xff", "application/octet-stream"
            case "json":
                data, kind = b'{"b":[1,2],"a":"x"}', "application/json"
            case _:
                data, kind = request.data, request.content_type
        self.results[identity], self.kinds[identity] = data, kind
        return invoker_pb2.InvokeResponse(id=identity, data=data, content_type=kind)


def _abort(context: Any, error: Mee6Error) -> NoReturn:
    code, message, metadata = to_status(error)
    context.set_trailing_metadata(metadata)
    context.abort(code, message)
    raise AssertionError  # abort has raised


class _Checked:
    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent

    def take(self, request: Any, context: Any) -> None:
        self.agent.requests.append(request)
        if dict(context.invocation_metadata()).get(API_KEY) != str(self.agent.api):
            _abort(context, VersionMismatch("the agent speaks another version; see: mee6 version"))


class _Invoker(_Checked, invoker_pb2_grpc.InvokerServicer):
    def Invoke(self, request: invoker_pb2.InvokeRequest, context: Any) -> Any:
        self.take(request, context)
        called_off = threading.Event()
        context.add_callback(called_off.set)
        try:
            reply = self.agent.run(request, called_off)
        except Mee6Error as error:
            _abort(context, error)
        return invoker_pb2.InvokeResponse(id=reply.id) if request.detach else reply

    def InvokeStream(self, requests: Iterator[invoker_pb2.InvokeStreamRequest], context: Any) -> Iterator[Any]:
        replies: queue.Queue[invoker_pb2.InvokeStreamReply | None] = queue.Queue()
        offs: dict[int, threading.Event] = {}

        def one(message: invoker_pb2.InvokeStreamRequest) -> None:
            try:
                reply = self.agent.run(message.invoke, offs[message.seq])
                replies.put(invoker_pb2.InvokeStreamReply(seq=message.seq, response=reply))
            except Mee6Error as error:
                replies.put(invoker_pb2.InvokeStreamReply(seq=message.seq, fault=fault_to_pb(fault_of(error))))

        def read() -> None:
            try:
                for message in requests:
                    self.agent.requests.append(message)
                    if message.WhichOneof("what") == "cancel":
                        offs[message.seq].set()
                        continue
                    offs[message.seq] = threading.Event()
                    threading.Thread(target=one, args=(message,), daemon=True).start()
            except grpc.RpcError:
                pass  # the client left
            finally:
                replies.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (reply := replies.get()) is not None:
            yield reply

    def Upload(self, requests: Iterator[invoker_pb2.UploadRequest], context: Any) -> Any:
        header = next(requests).header
        self.agent.takes_uploads.wait(30)
        packed = self.agent.folder / "upload.tar"
        packed.write_bytes(b"".join(piece.chunk for piece in requests))
        assert hashlib.sha256(packed.read_bytes()).hexdigest() == header.sha256
        target = self.agent.folder / f"code-{len(self.agent.requests)}"
        self.take(header, context)
        try:
            manifest = bundle.unpack(packed, target)
        except Mee6Error as error:
            _abort(context, error)
        if manifest.name in self.agent.refusals:
            raise self.agent.refusals[manifest.name]
        before = self.agent.functions.get((header.username, manifest.name))
        unchanged = before is not None and before.sha256 == header.sha256
        version = (before.version if before else 0) + (not unchanged)
        activity = invoker_pb2.Activity(
            username=header.username, name=manifest.name, runtime=manifest.runtime, version=version,
            sha256=header.sha256, size=header.size, added_s=1.7e9, is_workflow=manifest.is_workflow,
        )  # fmt: skip
        self.agent.functions[header.username, manifest.name] = activity
        self.agent.env[header.username, manifest.name] = dict(header.env)
        missing = sorted(name for name in manifest.dependencies if (header.username, name) not in self.agent.functions)
        return invoker_pb2.AddResponse(activity=activity, unchanged=unchanged, missing=missing)

    def UploadStream(self, requests: Iterator[invoker_pb2.UploadRequest], context: Any) -> Iterator[Any]:
        yield from (invoker_pb2.UploadReply(progress=line) for line in self.agent.lines)
        try:
            yield invoker_pb2.UploadReply(added=self.Upload(requests, context))
        except Mee6Error as error:
            if error.traceback:
                yield invoker_pb2.UploadReply(fault=fault_to_pb(fault_of(error)))
            _abort(context, error)

    def List(self, request: invoker_pb2.ListRequest, context: Any) -> Any:
        self.take(request, context)
        mine = [found for (user, _), found in self.agent.functions.items() if user == request.username]
        return invoker_pb2.ListResponse(
            activities=[invoker_pb2.ManagedActivity(name=it.name, runtime=it.runtime, activity=it) for it in mine]
        )

    def Describe(self, request: invoker_pb2.DescribeRequest, context: Any) -> Any:
        self.take(request, context)
        found = self._found(request, context)
        env = self.agent.env.get((request.username, request.actName), {})
        shown = {name: value if request.show_env else "" for name, value in env.items()}
        key = "python-3.11-abc" if self.agent.packages else ""
        return invoker_pb2.DescribeResponse(
            activity=found,
            versions=[found],
            workers=["w1"],
            env=shown,
            packages=key,
            requirements=self.agent.packages,
            url="http://127.0.0.1:5123/function/" + request.actName,
            known=self.agent.known.get(request.actName, ""),
        )

    def Remove(self, request: invoker_pb2.RemoveRequest, context: Any) -> Any:
        self.take(request, context)
        self._found(request, context)
        del self.agent.functions[request.username, request.actName]
        return invoker_pb2.RemoveResponse()

    def Cancel(self, request: invoker_pb2.CancelRequest, context: Any) -> Any:
        self.take(request, context)
        self.agent.called_off.append(request.id)
        return invoker_pb2.CancelResponse()

    def Result(self, request: invoker_pb2.ResultRequest, context: Any) -> Any:
        self.take(request, context)
        if request.id not in self.agent.results:
            _abort(context, InvocationNotFound(f"no invocation {request.id!r}; see: mee6 trace"))
        kind = self.agent.kinds.get(request.id, "text/plain")
        return invoker_pb2.InvokeResponse(id=request.id, data=self.agent.results[request.id], content_type=kind)

    def _found(self, request: Any, context: Any) -> invoker_pb2.Activity:
        found = self.agent.functions.get((request.username, request.actName))
        if found is None:
            _abort(context, FunctionNotFound(f"no function {request.actName!r}; see: mee6 act ls"))
        return found


class _Console(_Checked, console_pb2_grpc.ConsoleServicer):
    def Nodes(self, request: console_pb2.NodesRequest, context: Any) -> Any:
        self.agent.requests.append(request)
        node = console_pb2.Node(
            id="n1", version=self.agent.version, api=self.agent.api, driver="process", isolation="namespaces",
            pause="cgroup2", limits="cgroup2", notes=["no bubblewrap"], runtimes=["python"],
            missing=["runtime 'nodejs' needs 'node', which is not on PATH"], listen=self.agent.address,
            workers=3, paused=2, busy=1, max_workers=64, rss_bytes=64 << 20, pid=4242, state_dir="/state",
            invocations=7, failures=1, http="127.0.0.1:5123",
        )  # fmt: skip
        return console_pb2.NodesReply(nodes=[node])

    def Trace(self, request: console_pb2.TraceRequest, context: Any) -> Any:
        self.take(request, context)
        if request.id == "" and self.agent.traces:
            return list(self.agent.traces.values())[-1]
        if request.id not in self.agent.traces:
            _abort(context, InvocationNotFound(f"no invocation {request.id!r}"))
        return self.agent.traces[request.id]

    def Logs(self, request: console_pb2.LogsRequest, context: Any) -> Iterator[Any]:
        self.take(request, context)
        yield from self.agent.logs

    def Evict(self, request: console_pb2.EvictRequest, context: Any) -> Any:
        self.take(request, context)
        if request.worker == "w9":
            _abort(context, NotFound("no worker 'w9'; see: mee6 worker ls"))
        if request.worker == "w3" and not request.force:
            _abort(context, Conflict("worker w3 runs an invocation; see: mee6 act cancel i1, or --force"))
        return console_pb2.EvictReply()

    def Pause(self, request: console_pb2.PauseRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.PauseReply(worker=console_pb2.Worker(id=request.worker, state="paused"))

    def Resume(self, request: console_pb2.ResumeRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.ResumeReply(worker=console_pb2.Worker(id=request.worker, state="warm"))

    def SetLimits(self, request: console_pb2.SetLimitsRequest, context: Any) -> Any:
        self.take(request, context)
        if request.memory_bytes and request.memory_bytes < 1 << 20:
            _abort(context, Conflict(f"worker {request.worker} uses 8.0 MiB now; give it more than that"))
        return console_pb2.SetLimitsReply(memory_bytes=request.memory_bytes, cpus=request.cpus)

    def Workers(self, request: console_pb2.WorkersRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.WorkersReply(workers=[console_pb2.Worker(id="w1", pool="python", state="warm")])

    def Configure(self, request: console_pb2.ConfigureRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.ConfigureReply(node=console_pb2.Node(id="n1", pause_policy=request.pause))

    def Drain(self, request: console_pb2.DrainRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.DrainReply(node=console_pb2.Node(id="n1", draining=True, busy=self.agent.busy))

    def Undrain(self, request: console_pb2.UndrainRequest, context: Any) -> Any:
        self.take(request, context)
        return console_pb2.UndrainReply(node=console_pb2.Node(id="n1"))

    def Watch(self, request: console_pb2.WatchRequest, context: Any) -> Iterator[Any]:
        self.take(request, context)
        yield from self.agent.watched
