"""What a client gets to see: plain frozen records, the same in the console, the command line and scripts.

`mee6.api.records` makes them of the protobuf messages of the same names; the protos say what each field is.
Times in `_ns` are the agent's monotonic clock; adding `wall_offset_ns` gives nanoseconds since 1970, UTC. Another one
with some fields changed is made by `msgspec.structs.replace`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mee6 import content


def asdict(record: msgspec.Struct) -> dict[str, Any]:
    """The record as dictionaries, the records within it too."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


class Outcome(msgspec.Struct, frozen=True):
    """An invocation's result as bytes."""

    id: str
    data: bytes
    content_type: str

    @property
    def value(self) -> Any:
        """The result as a value: text, what JSON holds, or bytes."""
        return content.unpack(self.data, self.content_type)


class Function(msgspec.Struct, frozen=True):
    """One version of a function."""

    user: str
    name: str
    runtime: str
    version: int
    sha256: str
    size: int
    added_s: float
    """Seconds since 1970, UTC."""
    is_workflow: bool
    manifest: str
    """JSON, normalised."""


class Added(msgspec.Struct, frozen=True):
    """What adding a folder did."""

    function: Function
    unchanged: bool
    """The same content was there already."""
    missing: tuple[str, ...]
    """Declared dependencies that have not been added yet."""


class FunctionStats(msgspec.Struct, frozen=True):
    """Since the agent started."""

    invocations: int
    failures: int
    cold: int
    prewarmed: int
    warm: int
    p50_ms: float
    p99_ms: float
    ahead: int = 0
    stored_blocks: int = 0
    """Arguments and results that passed by the stores of workflows that it began, and their bytes."""
    stored_bytes: int = 0
    stored_over: int = 0
    """Those for which a store had no room, and which went over sockets."""


class Foreseen(msgspec.Struct, frozen=True):
    """A function that another is expected to call."""

    function: str
    chance: float
    """0 to 1."""
    after_ns: int
    """When the first call comes, early rather than late; 0 = at once, or not known."""
    lead_ns: int
    """What it takes to start a runtime and load it."""
    runs: float
    """That this was learnt from, old ones counting less; 0 = it is only declared."""
    hits: float
    misses: float
    is_loaded_ahead: bool


class Demand(msgspec.Struct, frozen=True):
    """How many of a function's invocations are under way on average where nobody waits: an estimate."""

    rate: float
    """Invocations that come, a second."""
    time_s: float
    """From the call to the end, without the time that its own calls waited for a worker."""
    tau: float
    """Their product."""
    samples: int
    """Runs that have been measured."""
    executing: int
    """Under way now."""


class Package(msgspec.Struct, frozen=True):
    """One package that a function depends on."""

    name: str
    version: str
    asked: bool
    """By the function itself, not by another package."""


class Description(msgspec.Struct, frozen=True):
    """All about one function."""

    function: Function
    versions: tuple[Function, ...]
    """Newest first."""
    missing: tuple[str, ...]
    workers: tuple[str, ...]
    stats: FunctionStats
    env: dict[str, str]
    """Given when it was added; values are empty unless they were asked for."""
    packages: str
    """The key of the packages it depends on; empty for none."""
    requirements: tuple[Package, ...] = ()
    """What they are; those asked for first."""
    url: str = ""
    """Where it is reached over HTTP; empty where the agent does not serve that."""
    foreseen: tuple[Foreseen, ...] = ()
    """What it is expected to call."""
    demand: Demand | None = None
    """None from an older agent."""
    known: str = ""
    """Of a declared workflow, as JSON: `mee6.declared.grouping.Known`."""


class Node(msgspec.Struct, frozen=True):
    """One agent."""

    id: str
    version: str
    api: int
    driver: str
    isolation: str
    pause: str
    limits: str
    notes: tuple[str, ...]
    runtimes: tuple[str, ...]
    missing: tuple[str, ...]
    """Languages it cannot run, with the reason."""
    listen: str
    started_ns: int
    wall_offset_ns: int
    now_ns: int
    workers: int
    paused: int
    busy: int
    queued: int
    max_workers: int
    rss_bytes: int
    draining: bool
    pid: int
    state_dir: str
    invocations: int
    failures: int
    pause_policy: str
    """Which idle workers are paused: `always`, `after-use`, `never`."""
    keep_alive_s: float
    linger_s: float
    memory_bytes: int
    """Of all workers, as measured last."""
    memory_budget_bytes: int
    """0 = none."""
    pools: tuple[Pool, ...]
    cpu_percent: float = 0.0
    """Of the machine, 0 to 100; like all below but the last measured only while somebody watches."""
    cores: int = 0
    load: tuple[float, ...] = ()
    """Over 1, 5 and 15 minutes."""
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    agent_cpu: float = 0.0
    """Cores."""
    workers_cpu: float = 0.0
    """Cores."""
    loop_lag_ms: float = 0.0
    watchers: int = 0
    rate: float = 0.0
    """Invocations a second."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    stopping: bool = False
    http: str = ""
    """Where it serves HTTP, as host:port; empty for nowhere."""
    look_ahead: str = ""
    """By what functions are loaded ahead of their calls: `off`, `declared`, `learnt`; empty from an older agent."""
    ahead_hits: int = 0
    """Functions loaded ahead and called before their invocation ended; since the agent started."""
    ahead_misses: int = 0
    ahead_saved_ns: int = 0
    """That callers did not wait for starts and loads."""
    wait_for_busy: bool = False
    """Invocations wait for a worker in use that will be free before another would be ready."""
    order: str = ""
    """Who is served first of those that wait: `arrival` or `deadline`."""
    stored_blocks: int = 0
    """Arguments and results that passed by the stores of workflows since it started, and their bytes."""
    stored_bytes: int = 0
    stored_over: int = 0
    """Those for which a store had no room, and which went over sockets."""


class Pool(msgspec.Struct, frozen=True):
    """The workers of one kind that no function has been loaded into."""

    name: str
    ready: int
    starting: int
    floor: int
    ceiling: int
    """0 = none."""
    failure: str


class Worker(msgspec.Struct, frozen=True):
    """One sandbox."""

    id: str
    pool: str
    state: str
    username: str
    function: str
    version: int
    via: str
    invocation: str
    since_ns: int
    invocations: int
    reason: str
    runtime_pid: int
    memory_bytes: int
    cpu: float = 0.0
    """Cores it used, as measured last; 1.0 = all of one."""
    cpu_ns: int = 0
    processes: int = 0
    memory_limit_bytes: int = 0
    """0 = none."""
    cpus_limit: float = 0.0
    """0 = all."""
    handover: str = ""
    proxy_pid: int = 0
    started_ns: int = 0


class Invocation(msgspec.Struct, frozen=True):
    """One call from outside."""

    id: str
    username: str
    function: str
    version: int
    state: str
    worker: str
    start: str
    accepted_ns: int
    ended_ns: int
    error: str


class Span(msgspec.Struct, frozen=True):
    """A part of a step's life: `queued start resume load run`.

    There is none for the lease, which takes no time of its own, nor for the handover, which goes on beside these:
    see `Handover.stages`.
    """

    kind: str
    start_ns: int
    end_ns: int
    """0 while it is going on."""


class Step(msgspec.Struct, frozen=True):
    """One function's run within an invocation."""

    id: str
    parent: str
    function: str
    version: int
    worker: str
    start: str
    via: str
    state: str
    pid: int
    error: str
    spans: tuple[Span, ...]
    invocation: str
    name: str = ""
    """In a declared workflow, the step's own name."""

    @property
    def title(self) -> str:
        """What it is called in a picture: its function, and the step's own name where that is another."""
        return f"{self.name}: {self.function}" if self.name not in {"", self.function} else self.function


class Trace(msgspec.Struct, frozen=True):
    """An invocation with all its steps; the first step first, then by start."""

    invocation: Invocation
    steps: tuple[Step, ...]
    wall_offset_ns: int
    arg_bytes: int
    result_bytes: int
    incomplete: bool = False
    """It had more steps than are remembered."""
    circumstances: tuple[Circumstances, ...] = ()
    usual: tuple[Usual, ...] = ()
    """Only where it was asked for."""


class Circumstances(msgspec.Struct, frozen=True):
    """What a step found that was accepted while no idle worker held its function."""

    step: str
    holding: int = 0
    """Workers that held it, all of them in use."""
    ended: str = ""
    """Why the last idle worker that held it was ended; empty where none was."""
    ended_ago_ns: int = 0
    ready: int = 0
    """Of its pool: without a function; likewise the next two."""
    starting: int = 0
    floor: int = 0
    ahead: int = 0
    """Others that waited already."""
    leased: int = 0
    limit: int = 0
    hindered: str = ""
    """What kept a worker from being started for it at once: `workers ceiling memory starts failing`."""
    lost: int = 0
    """Workers it was given that ended before its function was called."""
    held_ns: int = 0
    """How long it was kept back before it was accepted; its first `queued` span."""
    held_by: str = ""
    """By what: `parallelism` of its caller, or `fan-out` of its workflow."""


class Usual(msgspec.Struct, frozen=True):
    """How long a part of a function's runs usually takes; a run that had no such part counts as 0."""

    function: str
    version: int
    part: str
    """As `Span.kind`; `run` without what it spent in the steps it called; `total` is all."""
    samples: int
    had: int
    """Of the samples, those with such a part."""
    p50_ns: int
    p95_ns: int
    had_p50_ns: int


class Log(msgspec.Struct, frozen=True):
    """What a function wrote."""

    invocation: str
    function: str
    worker: str
    stream: str
    text: str
    dropped_bytes: int


class LogLine(msgspec.Struct, frozen=True):
    """A `Log` and when it was written."""

    at_ns: int
    log: Log
    wall_ns: int = 0
    """The same moment since 1970, UTC; 0 from an agent that does not tell."""


class Stage(msgspec.Struct, frozen=True):
    """How far a handover had got when: `requested granted connected confirmed gone`, or `failed`."""

    name: str
    at_ns: int


class Handover(msgspec.Struct, frozen=True):
    """A worker's handover, as far as it got."""

    worker: str
    state: str
    reason: str
    runtime_pid: int
    invocation: str = ""
    username: str = ""
    function: str = ""
    proxy_pid: int = 0
    stages: tuple[Stage, ...] = ()


class Figures(msgspec.Struct, frozen=True):
    """How a function does; measured about once a second while somebody watches."""

    username: str
    function: str
    rate: float
    """Invocations and calls that ended, a second."""
    p50_ms: float
    p99_ms: float
    invocations: int
    """Since the agent started; so are the next four."""
    failures: int
    cold: int
    prewarmed: int
    warm: int
    queued: int
    """Now."""
    running: int
    """Now."""
    ahead: int = 0
    """As `cold`."""


class FunctionChange(msgspec.Struct, frozen=True):
    """A function was added, replaced or removed."""

    username: str
    name: str
    version: int
    runtime: str
    is_workflow: bool
    removed: bool


What = Worker | Invocation | Step | Log | Handover | FunctionChange | Node | Figures


class Event(msgspec.Struct, frozen=True):
    """Something the platform did."""

    at_ns: int
    what: What


class Snapshot(msgspec.Struct, frozen=True):
    """How things stand; events numbered from `seq` follow."""

    seq: int
    node: Node
    workers: tuple[Worker, ...]
    functions: tuple[FunctionChange, ...]
    invocations: tuple[Invocation, ...]
    figures: tuple[Figures, ...] = ()
    steps: tuple[Step, ...] = ()
    """Of the invocations that go on."""
    handovers: tuple[Handover, ...] = ()
    """The last of each worker."""
    missed: int = 0
    """Events that did not come because the watcher was too slow."""


class Batch(msgspec.Struct, frozen=True):
    """Events in order; the first has number `seq`. A jump means some were missed and a `Snapshot` follows."""

    seq: int
    events: tuple[Event, ...]
