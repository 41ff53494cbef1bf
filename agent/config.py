"""What an agent can be told, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

DEFAULT_LISTEN: Final = "127.0.0.1:5122"
DEFAULT_HTTP_LISTEN: Final = "127.0.0.1:5123"
OFF: Final = "off"
DRIVERS: Final = ("process", "docker", "auto")
"""What may make workers; `auto` is one of the others, see `agent.choice`."""

Schedule = Literal["worker", "spread", "master"]
SCHEDULES: Final[tuple[Schedule, ...]] = ("worker", "spread", "master")
"""Who runs a declared workflow: the worker that holds it, the same with each step in another worker, or the agent, step
by step. The last two are to be compared with."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """One agent's settings; seconds and bytes unless the name says otherwise."""

    state_dir: Path
    driver: str = "process"
    """What makes workers; one of `DRIVERS`."""
    listen: str = DEFAULT_LISTEN
    """host:port of gRPC; port 0 takes a free one."""
    http_listen: str = ""
    """host:port of HTTP; `off` for none; empty = `DEFAULT_HTTP_LISTEN`, or a free port where that is taken."""
    http_hosts: tuple[str, ...] = ()
    """Names by which it may be asked for on loopback, besides those of loopback."""
    http_inflight: int = 256
    """Invocations over HTTP at once, at most; more are refused."""
    http_late_s: float = 0.0
    """How much longer than at their quickest they may take before fewer are let in; 0 = any: `agent.http.bound`.

    Off by itself: where most calls of a function take far longer than its quickest by their own nature, they would
    be taken for a load.
    """
    http_idle_s: float = 60.0
    """How long a stream may be without a piece, or a client without taking one."""
    prewarm: dict[str, int] = field(default_factory=lambda: {"python": 2, "nodejs": 1})
    """Workers to keep ready for each runtime, paused and connected."""
    max_workers: int = 64
    """Workers at once, for each depth of calls in use (see `agent.core.capacity`)."""
    parallel_calls: int = 0
    """Calls of one workflow in other workers at once, for each depth; 0 = what `agent.policy.parallel_calls` says."""
    queue_limit: int = 4096
    """Invocations that may wait for a worker before new ones are refused."""
    keep_alive_s: float = 600.0
    """How long a worker keeps an idle function."""
    linger_s: float = 1.0
    """How long a worker stays idle before it is paused."""
    pause: str = ""
    """Which idle workers are paused: `always`, `after-use`, `never`; empty = as suits the driver's way of pausing."""
    ceiling: dict[str, int] = field(default_factory=dict)
    """Runtime -> workers at most; calls of running functions may go beyond it."""
    memory_budget_bytes: int = 0
    """Of all workers together; 0 = none. Idle ones are ended to keep it."""
    wait_for_busy: bool = True
    """Whether an invocation waits for a worker in use that will be free before another would be ready."""
    order: str = "arrival"
    """Who is served first of those that wait: `arrival`, or `deadline`, whose time runs out first."""
    timeout_s: float = 60.0
    """For functions that do not say."""
    start_timeout_s: float = 15.0
    load_timeout_s: float = 30.0
    handover_timeout_s: float = 2.0
    drain_s: float = 10.0
    """How long a stop waits for running invocations."""
    memory_bytes: int = 512 << 20
    cpus: float = 0.0
    pids: int = 128
    open_files: int = 1024
    scratch_bytes: int = 256 << 20
    bundle_limit_bytes: int = 100 << 20
    dependency_timeout_s: float = 300.0
    """For resolving the packages of one function, when it is added."""
    dependency_bytes: int = 1 << 30
    """Of the packages of one function."""
    dependency_memory_bytes: int = 2 << 30
    """While they are being resolved."""
    arg_limit_bytes: int = 8 << 20
    result_limit_bytes: int = 8 << 20
    log_limit_bytes: int = 1 << 20
    """Of one invocation's output."""
    direct_lanes: bool = True
    """Whether a worker's runtimes call each other without the proxy, after the first call."""
    store: bool = True
    """Whether large arguments and results within a workflow pass by memory that its workers share."""
    schedule: Schedule = "worker"
    """Who runs declared workflows: see `agent.flows`."""
    one_core: bool = True
    """Whether runtimes that call each other in quick turns are put on one core while they do."""
    look_ahead: str = "learnt"
    """What functions are loaded ahead of their calls by: `off`, `declared` (manifests) or `learnt` (and their runs)."""
    ahead_loads: int = 2
    """Loads ahead of one worker that may be under way."""
    kept_invocations: int = 2000
    """Whose trace, logs and result are remembered."""
    kept_bytes: int = 64 << 20
    """Of results and logs together."""
