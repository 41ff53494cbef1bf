"""What the gRPC services ask of the node.

The services translate and nothing more: names and limits are checked here or in the node, decisions are the
node's. All plain methods return at once; the node runs on the services' event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from agent.config import AgentConfig
from agent.core.patterns import Foreseen
from agent.dependencies.listing import Package
from agent.drivers.base import WorkerLimits
from agent.feed import Feed, NodeView, WorkerView
from agent.history import History, Outcome
from agent.peers import PeerHost
from agent.plan import DEFAULT_USER
from agent.policy import Changes
from agent.seats import Answer
from agent.streams import Pipe
from agent.substrate.base import FunctionRecord
from mee6.declared.grouping import Known
from mee6.errors import InvalidInput
from mee6.lane.messages import Request
from mee6.manifest import NAME_RULE, is_name, is_variable

__all__ = [
    "NO_ENV",
    "Added",
    "Demand",
    "Described",
    "FunctionStats",
    "NodeApi",
    "Outcome",
    "Ticket",
    "check_env",
    "function_name",
    "silent",
    "user_name",
]

MAX_ENV_BYTES: Final = 64 << 10
"""Of what is given at an add, names and values together."""
NO_ENV: Final[Mapping[str, str]] = {}


def silent(_line: str) -> None:
    """For who does not want to hear how far something is."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """An accepted invocation."""

    id: str
    outcome: asyncio.Future[Outcome]
    """Its end: an outcome or a `Mee6Error`. Who awaits it may have cancelled it: the node looks before it sets."""


@dataclass(frozen=True, slots=True)
class Added:
    """What an add led to."""

    record: FunctionRecord
    unchanged: bool = False
    """The same content was the current version already."""
    missing: tuple[str, ...] = ()
    """Declared dependencies that have not been added yet."""


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """Since the agent started; percentiles in milliseconds from acceptance to result."""

    invocations: int = 0
    failures: int = 0
    cold: int = 0
    prewarmed: int = 0
    warm: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    ahead: int = 0
    stored_blocks: int = 0
    """Arguments and results that passed by the stores of workflows that it began, and their bytes."""
    stored_bytes: int = 0
    stored_over: int = 0
    """Those for which a store had no room, and which went over sockets."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is estimated of a function's invocations; see `agent.core.concurrency`."""

    rate: float = 0.0
    """A second."""
    time_s: float = 0.0
    tau: float = 0.0
    samples: int = 0
    executing: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """All there is to say about a function."""

    record: FunctionRecord
    versions: list[FunctionRecord]
    """Newest first."""
    missing: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    """Those that hold it now."""
    stats: FunctionStats = field(default_factory=FunctionStats)
    requirements: tuple[Package, ...] = ()
    """The packages that the current version depends on."""
    url: str = ""
    """Where it is reached over HTTP; empty for nowhere."""
    foreseen: tuple[Foreseen, ...] = ()
    """What it is expected to call."""
    looks_ahead: bool = True
    """Whether that is loaded ahead, where it is worth it."""
    demand: Demand = field(default_factory=Demand)
    known: Known | None = None
    """Of a declared workflow: how its steps do, and which share a worker."""


class Counted(Protocol):
    """What is counted of a function; see `agent.stats.Counts`."""

    invocations: int
    failures: int
    starts: dict[str, int]
    total_ns: int
    buckets: list[int]


class Totals(Protocol):
    """What is counted of a node."""

    handovers: int

    @property
    def functions(self) -> Mapping[tuple[str, str], Counted]:
        """By (user, function)."""
        ...


class NodeApi(PeerHost, Protocol):
    """The node, as the services see it."""

    @property
    def config(self) -> AgentConfig:
        """What the agent was told."""
        ...

    @property
    def feed(self) -> Feed:
        """What happens."""
        ...

    @property
    def history(self) -> History:
        """What happened."""
        ...

    def begin(
        self, user: str, name: str, arg: bytes, content_type: str, timeout_s: float | None, schedule: str = ""
    ) -> Ticket:
        """Accepts an invocation.

        Args:
            timeout_s: from now to the result; None = the function's own limit.
            schedule: who runs it, if it is a declared workflow: `worker` or `master`; empty = as the agent is set.

        Raises:
            FunctionNotFound: no such function.
            TooLarge: the argument is over its limit.
            Exhausted: too many wait already.
            Conflict: the agent drains.
        """
        ...

    def submit(
        self,
        user: str,
        name: str,
        arg: bytes,
        content_type: str,
        answer: Callable[[Answer], None],
        timeout_s: float | None = None,
        request: Request | None = None,
        pipe: Pipe | None = None,
    ) -> str:
        """As `begin`, for who is called back in place of waiting for a future; returns the invocation's id.

        Args:
            answer: called once with how it ended, maybe before this returns.
            request: what it came with.
            pipe: where the result may go in pieces, and the argument, if the request says that it streams.
        """
        ...

    def function(self, user: str, name: str) -> FunctionRecord:
        """The current version of a function.

        Raises:
            FunctionNotFound: no such function.
        """
        ...

    def cancel(self, id: str) -> None:  # noqa: A002 - the API's word
        """Calls an invocation off; nothing for one that has ended and is remembered.

        Raises:
            InvocationNotFound: no such invocation.
        """
        ...

    async def add(
        self,
        user: str,
        act_name: str,
        packed: Path,
        sha256: str,
        size: int,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
        check: bool = True,
    ) -> Added:
        """Adds the function in a packed bundle.

        Args:
            act_name: empty, or what the manifest's name must be.
            packed: taken over: moved away, or left for the caller to remove.
            env: goes over the manifest's.
            say: told in a line how far its packages are, while they are being resolved.
            check: whether to look if its code can be read.

        Raises:
            InvalidInput: bundle, manifest, sum, runtime or environment is wrong, or its packages cannot be had.
            TimedOut, Exhausted: its packages took more than they may.
        """
        ...

    async def add_folder(
        self,
        user: str,
        act_name: str,
        folder: Path,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
        check: bool = True,
    ) -> Added:
        """Adds the function in a folder of this machine; raises as `add`, and TooLarge."""
        ...

    def functions(self, user: str) -> list[FunctionRecord]:
        """The user's functions in their current versions."""
        ...

    async def remove(self, user: str, name: str) -> None:
        """Removes a function.

        Raises:
            FunctionNotFound: no such function.
        """
        ...

    async def describe(self, user: str, name: str) -> Described:
        """All there is to say about a function.

        Raises:
            FunctionNotFound: no such function.
        """
        ...

    def workers(self) -> list[WorkerView]:
        """The workers as they are now."""
        ...

    async def set_limits(self, worker: str, memory_bytes: int | None, cpus: float | None) -> WorkerLimits:
        """Changes what a worker may use; None = as it is. Returns what it may now.

        Raises:
            NotFound: no such worker.
            Conflict: it uses more memory than that now, or the driver cannot; nothing was changed.
        """
        ...

    def evict(self, worker: str, *, force: bool) -> None:
        """Ends a worker.

        Raises:
            NotFound: no such worker.
            Conflict: it runs an invocation, and `force` is not given, by which the invocation is lost.
        """
        ...

    async def pause(self, worker: str) -> WorkerView:
        """Freezes an idle worker, until it is leased or resumed; returns once it is frozen.

        Raises:
            NotFound: no such worker.
            Conflict: it is not idle, or this driver cannot.
        """
        ...

    async def resume(self, worker: str) -> WorkerView:
        """Thaws a paused worker, which lingers anew then; returns once it runs.

        Raises:
            NotFound: no such worker.
            Conflict: it is not paused.
        """
        ...

    def drain(self) -> NodeView:
        """Takes no more invocations and makes no workers for later; what runs goes on. Idempotent."""
        ...

    def undrain(self) -> NodeView:
        """Undoes `drain`. Idempotent.

        Raises:
            Conflict: the agent is about to end.
        """
        ...

    def configure(self, changes: Changes) -> NodeView:
        """Changes how workers are kept; the node afterwards.

        Raises:
            InvalidInput: a change that cannot be; nothing was changed.
        """
        ...

    @property
    def draining(self) -> bool:
        """Whether it takes no invocations."""
        ...

    def totals(self) -> Totals:
        """What has been counted since it started."""
        ...

    def info(self) -> NodeView:
        """The node as it is now."""
        ...


def check_env(env: Mapping[str, str]) -> None:
    """Checks what is to be a function's environment.

    Raises:
        InvalidInput: a name is no variable's, a value cannot be one, or it is too much.
    """
    for name, value in env.items():
        if not is_variable(name):
            raise InvalidInput(f"env {name!r} is not a variable's name; use letters, digits and '_'")
        if "\0" in value:
            raise InvalidInput(f"env {name!r} holds a zero byte, which no variable can")
    size = sum(len(name) + len(value.encode("utf-8", "replace")) for name, value in env.items())
    if size > MAX_ENV_BYTES:
        raise InvalidInput(f"env has {size} bytes, over the limit of {MAX_ENV_BYTES}; put it into a file of the folder")


def user_name(username: str) -> str:
    """The user a request is for; empty means the default one.

    Raises:
        InvalidInput: it is no name.
    """
    if not username:
        return DEFAULT_USER
    if not is_name(username):
        raise InvalidInput(f"username {username!r} is not allowed: {NAME_RULE}")
    return username


def function_name(name: str) -> str:
    """The function a request names.

    Raises:
        InvalidInput: it is no name.
    """
    if not is_name(name):
        raise InvalidInput(f"function {name!r} is not allowed: {NAME_RULE}")
    return name
