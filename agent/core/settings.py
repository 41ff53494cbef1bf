"""What the scheduler is told of its node: limits, pools, and how long idle workers are kept, awake or paused.

Told at the start, and again with `Configured` whenever somebody changes it. Durations are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.drivers.base import PoolKey


class PausePolicy(StrEnum):
    """Which idle workers are paused once their linger is over."""

    ALWAYS = "always"  # those kept ready too: where a resume costs next to nothing
    AFTER_USE = "after-use"  # those that hold a function: what was never used only waits on its socket
    NEVER = "never"


class Order(StrEnum):
    """Who is served first of those that wait, at one depth of calls."""

    ARRIVAL = "arrival"
    DEADLINE = "deadline"  # whose time runs out first


@dataclass(frozen=True, slots=True)
class Settings:
    """The scheduler's settings; `max_workers` is for its whole life, the others may change."""

    prewarm: Mapping[PoolKey, int]
    """Workers to keep ready: the pools' floors."""
    ceiling: Mapping[str, int] = field(default_factory=dict)
    """Runtime -> how many of its workers may exist for calls from outside and in stock; what is not named has none."""
    max_workers: int = 64
    memory_budget: int = 0
    """Bytes of all workers together; 0 = none. As `ceiling`, it does not hold for calls of running functions."""
    queue_limit: int = 4096
    parallel_starts: int = 4
    """Starts under way at once, and how many may begin in a row however short their interval."""
    start_interval: int = 0
    """Between two starts, on average."""
    patience: int = 1_000_000_000
    """How long an invocation lets younger ones go first that find their function loaded, on a full node."""
    wait_for_busy: bool = True
    """Whether an invocation waits for a worker in use that will be free before another would be ready."""
    order: Order = Order.ARRIVAL
    end_grace: int = 1_000_000_000
    """For what is called off to end by itself, in a worker that runs others."""
    refill_grace: int = 0
    """How long a pool stays short: what makes a worker would take the processor from the one just leased."""
    keep_alive: int = 600_000_000_000
    linger: int = 1_000_000_000
    pause: PausePolicy = PausePolicy.ALWAYS
    start_timeout: int = 15_000_000_000
    load_timeout: int = 30_000_000_000
