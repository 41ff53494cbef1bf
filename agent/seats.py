"""What the shell holds for each worker and each invocation beside the core's record: peers and payloads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from agent.core.events import Pause, Resume
from agent.core.invocation import Invocation
from agent.drivers.base import PoolKey, WorkerLimits
from agent.peers import Peer
from agent.plan import Plan
from agent.streams import Pipe
from agent.substrate.base import FunctionRecord
from mee6.lane.messages import Block, Expect, Fault, Function, Limits, Request, Response
from mee6.outflow import Gate


class Answer(msgspec.Struct, frozen=True, gc=False):
    """How an invocation ended: a result, or the fault in its place."""

    result: bytes
    content_type: str
    fault: Fault | None = None
    response: Response | None = None
    """What the function said of its answer over HTTP."""
    stored: int = 0
    """Bytes of the result, if it lies in the room that its caller gave it."""


class Job(msgspec.Struct, eq=False):
    """An invocation's payload, and whom to tell; once it has ended, what is remembered of it.

    A struct of msgspec rather than a dataclass: one is made for each invocation, and it costs a fifth.
    """

    id: str
    user: str
    plan: Plan
    arg: bytes
    content_type: str
    chain: list[str]
    """Function names from the workflow's first down to this one."""
    timeout_s: float
    accepted_ns: int
    deadline: int
    flow_of: str
    """The worker whose storage the workflow shares; empty for a workflow's first, which brings its own."""
    answer: Callable[[Answer], None]
    """Called once, at its end; where nobody asked from inside, before its worker is free, so that it begins nothing."""
    stored: Block | None = None
    """Where the argument lies in the workflow's store, if it is not `arg`."""
    room: Block | None = None
    """Where there is room for the result."""
    parent: str = ""
    """The step that made the call; empty for a workflow's first."""
    caller: str = ""
    """The invocation in whose worker that step ran; empty for a workflow's first."""
    request: Request | None = None
    """Where it came over HTTP."""
    pipe: Pipe | None = None
    """Where the result, or the argument, may go in pieces."""
    seat: Seat | None = None
    """Where it runs, or ran."""
    held_by: str = ""
    """What kept it back before it was submitted: `parallelism` of its caller, or `fan-out` of the workflow."""
    held_ns: int = 0
    """How long."""
    record: Invocation | None = None
    """The core's record, which outlives its end here."""
    open_calls: dict[str, int] = msgspec.field(default_factory=dict)
    """Calls it made that have not ended, with the bytes of their arguments."""
    gate: Gate | None = None
    """Where its calls go, where its runtime is served directly."""
    held_calls: dict[str, Job] = msgspec.field(default_factory=dict)
    """Those that its gate has not let go yet."""
    step: str = ""
    """The step of a declared workflow that it is a call of."""
    part: bool = False
    """It is a part of a declared workflow, which its argument says."""
    teaches: bool = True
    """Whether its steps' times say which of them should share a worker: not where they run to be compared with."""
    master: bool = False
    """Of a declared workflow: the agent itself runs it, see `agent.flows`."""
    groups: dict[str, int] = {}
    """Of a declared workflow: which steps share a worker."""
    ended: Answer | None = None
    """None while it goes on."""
    ended_ns: int = 0
    via: str = ""
    """How its runtime was served when it ended; as `Step.via`."""
    pid: int = 0
    """Its runtime's process inside the worker, when it ended."""

    def end(self, answer: Answer, now: int) -> None:
        """Notes how it ended, and lets go of all that was for its run alone."""
        self.ended, self.ended_ns = answer, now
        if (seat := self.seat) is not None:
            self.via, self.pid = "direct" if seat.is_direct else "proxy", seat.runtime_pid
        self.arg, self.request, self.pipe, self.answer, self.seat = b"", None, None, told, None

    @property
    def root(self) -> str:
        """The workflow's invocation."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.plan.root.name


def told(_answer: Answer) -> None:
    """Whom an invocation tells that has told of its end."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a worker used when it was measured."""

    memory_bytes: int = 0
    cpu_ns: int = 0
    processes: int = 0
    cpu: float = 0.0
    """Cores, since the measurement before."""
    at_ns: int = 0


def declared(record: FunctionRecord) -> bytes:
    """A declared workflow's steps, as a proxy is told them; empty for a function with code."""
    declaration = record.manifest.declaration
    return msgspec.json.encode(declaration) if declaration is not None else b""


@dataclass(slots=True, eq=False)
class Seat:
    """A worker as the shell deals with it."""

    worker: str
    pool: PoolKey
    limits: Limits
    token: str = ""
    """The one-time token of what is to connect next; empty when nothing is."""
    proxy: Peer | None = None
    runtime: Peer | None = None
    """The runtime's own lane, after a handover or on the way to one."""
    is_direct: bool = False
    has_store: bool = False
    """Whoever takes its tasks knows what a `Block` is."""
    runtime_pid: int = 0
    proxy_pid: int = 0
    plan: Plan | None = None
    bound_flow: str = ""
    jobs: dict[str, Job] = field(default_factory=dict)
    """What it runs, or is loading for, by id."""
    ending: dict[str, Job] = field(default_factory=dict)
    """What was called off and has not said yet that it has ended."""
    takes_many: bool = False
    """Its runtime takes several invocations at once, if its function does."""
    last_job: Job | None = None
    """Whose output it is that comes after its end."""
    worker_limits: WorkerLimits = field(default_factory=WorkerLimits)
    """What the worker may use now."""
    freezer: deque[Pause | Resume] = field(default_factory=deque)
    """Pauses and resumes to carry out, in order."""
    freezing: asyncio.Task[None] | None = None
    starting: asyncio.Task[None] | None = None
    exits: dict[int, tuple[int, str]] = field(default_factory=dict)
    """pid inside -> (status, cause) of processes that ended."""
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: bool = False
    stages: list[tuple[str, int]] = field(default_factory=list)
    """How far its handover got when (ns, monotonic); the names stand in the proto."""
    expected: Expect | None = None
    """What its proxy was told to expect; None while that is nothing."""
    used: Used = field(default_factory=Used)
    """As measured last."""

    @property
    def peer(self) -> Peer | None:
        """Who takes its tasks."""
        return self.runtime if self.is_direct else self.proxy

    @property
    def job(self) -> Job | None:
        """What it runs; one of several."""
        return next(iter(self.jobs.values()), None)

    def job_of(self, step: str) -> Job | None:
        """What it runs that a step belongs to: itself, or one of a workflow that runs alone in the worker."""
        return self.jobs.get(step) or (None if self.is_direct else self.job)

    def writer(self, step: str = "") -> Job | None:
        """Whose output it is; None where that cannot be told of several.

        Args:
            step: as the runtime says; empty = it said nothing.
        """
        if found := self.jobs.get(step) or self.ending.get(step):
            return found
        return None if len(self.jobs) > 1 else self.job or self.last_job

    def functions(
        self,
        code_path: Callable[[FunctionRecord], str],
        packages_path: Callable[[FunctionRecord], str],
        timeout_s: float,
        store_bytes: Mapping[str, int],
    ) -> dict[str, Function]:
        """All that its plan reaches, as the worker needs them.

        Args:
            code_path: the folder of its code, as seen from inside.
            packages_path: that of what it depends on; empty for nothing.
            timeout_s: of functions that do not say.
            store_bytes: of those that may have a part of the workflow's store.
        """
        assert self.plan is not None
        return {
            name: Function(
                name=name,
                version=record.version,
                runtime=record.manifest.runtime,
                path=code_path(record),
                dependencies=record.manifest.outflows,
                max_parallelism=record.manifest.max_parallelism,
                timeout_s=record.manifest.timeout_s or timeout_s,
                env=record.manifest.env | record.env,
                packages=packages_path(record),
                store_bytes=store_bytes.get(name, 0),
                concurrency=record.manifest.concurrency if record is self.plan.root else 1,
                declaration=declared(record),
            )
            for name, record in self.plan.functions.items()
        }
