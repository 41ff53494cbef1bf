"""The contract of a driver: what makes, pauses and ends workers.

Defined by the node, which needs it; passed by every driver in `tests/agent/drivers/contract.py`.

- `open` comes first and once; it removes whatever an earlier agent of the same id left behind, also after
  a kill -9. `close` comes last; after it no process, file, mount, cgroup or socket of any worker is left.
- `start` returns as soon as the worker's processes exist; the worker is of use when its proxy has connected
  to the lane with the token. A `start` that raises leaves nothing. Cancelling it leaves nothing either.
- `stop` ends all of a worker's processes at once, paused or not, and removes its storage. Idempotent.
- `pause` and `resume` act on all processes of the worker and return when it is so. The node serialises them
  per worker and never pauses a paused worker.
- `bind` comes before the `Load` or `Invoke` that needs it; it works on a paused worker too.
- `on_exit` is called once for every worker that ends without `stop`, `on_process_exit` for its
  proxy and each runtime that ends, and `on_output` with what a worker wrote past the SDK (raw descriptors 1 and 2).
  All three run on the event loop, and must not block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mee6.lane.messages import Stream
from mee6.manifest import NO_LIMITS, FunctionLimits


@dataclass(frozen=True, slots=True)
class PoolKey:
    """Workers of one key are interchangeable until a function is loaded."""

    runtime: str
    network: str = "none"
    limits: FunctionLimits = NO_LIMITS
    """Of a function that has limits of its own: its workers are made for it, and nobody else gets them."""

    def __str__(self) -> str:
        name = self.runtime if self.network == "none" else f"{self.runtime}+{self.network}"
        if self.limits is NO_LIMITS:
            return name  # nearly always, and asked for with each change of a worker
        return f"{name} {limits}" if (limits := str(self.limits)) else name


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What one worker may use."""

    memory_bytes: int = 512 << 20
    cpus: float = 0.0
    """Cores; 0 = all."""
    pids: int = 128
    open_files: int = 1024
    scratch_bytes: int = 256 << 20
    """Of `/act` and `/tmp` each."""

    def narrowed(self, asked: FunctionLimits) -> WorkerLimits:
        """These, or less where a function asks for less."""
        given = _in_our_units(asked)
        return replace(self, **{name: min(value, getattr(self, name) or value) for name, value in given.items()})

    def excess(self, asked: FunctionLimits) -> str:
        """What a function asks for beyond these, for people; empty where it does not."""
        names = dict(zip(_in_our_units(FunctionLimits(1, 1, 1, 1, 1)), asked.__struct_encode_fields__, strict=True))
        for name, value in _in_our_units(asked).items():
            most = getattr(self, name)
            if most and value > most:
                return f"{names[name]} may be {most >> 20 if name.endswith('_bytes') else most:g} at most on this agent"
        return ""


def _in_our_units(asked: FunctionLimits) -> dict[str, Any]:
    """What is given of it, by the names of `WorkerLimits`."""
    found = {
        "memory_bytes": asked.memory_mib and asked.memory_mib << 20,
        "cpus": asked.cpus,
        "pids": asked.pids,
        "open_files": asked.open_files,
        "scratch_bytes": asked.scratch_mib and asked.scratch_mib << 20,
    }
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker to make."""

    worker: str
    """Its id: `[a-z0-9]+`, unique for the agent's life."""
    pool: PoolKey
    token: str
    """One-time; the proxy proves with it that it is this worker's."""
    limits: WorkerLimits = field(default_factory=WorkerLimits)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a driver found it can do on this machine; printed at start and by `mee6 agent status`."""

    driver: str
    isolation: str
    """`namespaces` or `none` for the process driver."""
    pause: str
    """`cgroup2`, `cgroup1`, `signals` or `none`."""
    limits: str
    """`cgroup2`, `cgroup1`, `rlimits`."""
    starts_at_once: int = 4
    """How many workers may be started at the same time."""
    starts_per_s: float = 0.0
    """How many a second in the long run, so that a burst does not stampede; 0 = no bound."""
    notes: tuple[str, ...] = ()
    """One line for each thing that was tried and could not be had, with its reason."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a worker uses now."""

    memory_bytes: int
    cpu_ns: int
    processes: int


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a driver calls back."""

    on_exit: Callable[[str, str], None]
    """(worker, why in one line)."""
    on_process_exit: Callable[[str, int, int, str], None]
    """(worker, pid inside the worker, status as `os.waitstatus_to_exitcode`, cause: '' or 'out of memory (...)')."""
    on_output: Callable[[str, Stream, str], None]
    """(worker, stream, text)."""


def packages_name(function: str) -> str:
    """Under which name `Driver.bind` shows a function's packages; no function can have such a name."""
    return f"{function}@packages"


def record_name(driver: str) -> str:
    """The file in the state folder by which a driver of this name remembers that there may be things to sweep up."""
    return f"{driver}-driver.json"


@runtime_checkable
class KnowsLanguages(Protocol):
    """What a driver can say besides, if its workers' languages are not those of the agent's machine."""

    def language_version(self, runtime: str) -> str:
        """The version in its workers that packages are resolved for, as `3.12` or `20`; empty: the machine's."""
        ...


@runtime_checkable
class LimitsWorkers(Protocol):
    """A driver that can change the limits of a live worker."""

    async def set_limits(self, worker: str, memory_bytes: int, cpus: float) -> None:
        """Changes what it may use, paused or not.

        Args:
            cpus: cores; 0 = all.

        Raises:
            Conflict: it uses more memory than that now; nothing was changed.
            WorkerLost: it is gone.
        """
        ...


@runtime_checkable
class KnowsTrouble(Protocol):
    """A driver that relies on somebody who may fail."""

    def what_is_wrong(self) -> str:
        """What keeps it from making workers now, and the next step, in one line; empty while all is well."""
        ...


@runtime_checkable
class SweepsUp(Protocol):
    """A driver whose workers may leave something behind when the agent is killed; see `record_name`."""

    async def sweep(self) -> None:
        """Removes all that an earlier agent of this id left, as far as it concerns this driver; needs no `open`.

        Raises:
            Conflict: it cannot now; the message says what to do.
        """
        ...


class Driver(Protocol):
    """Makes workers. One instance serves one agent on one event loop."""

    async def open(self, hooks: Hooks) -> Capabilities:
        """Gets ready; see the module's first rule.

        Raises:
            Conflict: what the driver needs is not there; the message says what to do.
        """
        ...

    async def close(self) -> None:
        """Ends every worker and removes all traces. Idempotent."""
        ...

    async def start(self, spec: WorkerSpec) -> None:
        """Makes the worker.

        Raises:
            Exhausted: the machine has no room for it.
            Mee6Error: it could not be made; the message says why.
        """
        ...

    async def stop(self, worker: str) -> None:
        """Ends it, at once."""
        ...

    async def pause(self, worker: str) -> None:
        """Freezes every process of it."""
        ...

    async def resume(self, worker: str) -> None:
        """Undoes `pause`."""
        ...

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """Shows code and storage inside the worker.

        Args:
            code: name -> folder, which appears read-only as `rsc/NAME`: a function's unpacked bundle (under
                the state folder's `code/`) by its name, and the packages it depends on (under `deps/`,
                shared by many functions) by `packages_name` of it. Names bound before and not named now
                disappear.
            flow_of: the worker whose `flow` folder this worker sees as its own; itself for its own.
        """
        ...

    def code_path(self, worker: str, name: str, bundle: Path) -> str:
        """The path of a bound folder as seen from inside: of a function's code, or of its packages."""
        ...

    def act_path(self, worker: str) -> str:
        """The worker's storage as seen from inside: `/act` where it has a root of its own."""
        ...

    def lane_path(self, worker: str) -> str:
        """The agent's lane socket as seen from inside."""
        ...

    def store_path(self, worker: str) -> str:
        """The folder of the store that the worker's own workflows have, as the agent sees it.

        It lies beside its `flow`, is shown with that as `.store` in the worker's storage, and is not emptied between
        workflows: what is in it is memory that goes from one to the next of the same worker, as its processes do.
        """
        ...

    def clear_flow(self, worker: str) -> None:
        """Empties the worker's own `flow` folder; cheap when it is empty."""
        ...

    def owns(self, worker: str, pid: int) -> bool:
        """Whether the process with this pid (as the agent sees it) belongs to the worker."""
        ...

    def usage(self, worker: str) -> Usage:
        """What it uses now; zeros for a worker that is gone."""
        ...
