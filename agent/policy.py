"""What the scheduler is told, made of the agent's configuration and what its driver can do; and changes of it.

Pure. The configuration says what people asked for; where they said nothing, the driver decides: pausing costs
0.1 ms with a freezer of one's own and 8 ms through an engine's API, and an engine makes a few workers a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent.ahead import Mode
from agent.config import AgentConfig
from agent.core.settings import Order, PausePolicy, Settings
from agent.drivers.base import Capabilities, PoolKey
from mee6.errors import InvalidInput
from mee6.outflow import DEFAULT_PARALLELISM

REFILL_GRACE_NS: Final = 30_000_000
"""Measured on 2 cores: beside a refill, a workflow's first call found its runtime in 12 ms instead of 3."""
SLOW_PAUSE: Final = "api"
"""`Capabilities.pause` where each pause and resume is a request to an engine."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What somebody changes while the agent serves; None = as it is."""

    pause: str | None = None
    keep_alive_s: float | None = None
    linger_s: float | None = None
    look_ahead: str | None = None
    memory_budget_bytes: int | None = None
    prewarm: Mapping[str, int] = field(default_factory=dict)
    """Runtime -> workers kept ready; those not named stay as they are."""
    wait_for_busy: bool | None = None
    order: str | None = None
    ceiling: Mapping[str, int] = field(default_factory=dict)
    """Runtime -> workers at most; 0 = no ceiling."""


def pause_policy(asked: str, can: Capabilities) -> PausePolicy:
    """Which workers are paused.

    Args:
        asked: a policy's name; empty = as suits the driver.

    Raises:
        InvalidInput: there is no such policy.
    """
    if can.pause in ("", "none"):
        return PausePolicy.NEVER
    if not asked:
        return PausePolicy.AFTER_USE if can.pause == SLOW_PAUSE else PausePolicy.ALWAYS
    if asked not in set(PausePolicy):
        raise InvalidInput(f"no pause policy {asked!r}; use one of: {', '.join(PausePolicy)}")
    return PausePolicy(asked)


def check(config: AgentConfig, runtimes: Collection[str]) -> None:
    """Looks at what an agent is told before anything is started.

    Raises:
        InvalidInput: it contradicts itself or names what is not there.
    """
    if config.look_ahead not in set(Mode):
        raise InvalidInput(f"no way to look ahead {config.look_ahead!r}; use one of: {', '.join(Mode)}")
    if config.pause:
        pause_policy(config.pause, Capabilities("", "", "signals", ""))
    if config.order not in set(Order):
        raise InvalidInput(f"no order {config.order!r}; use one of: {', '.join(Order)}")
    for what, counts in (("prewarm", config.prewarm), ("ceiling", config.ceiling)):
        if unknown := sorted(set(counts) - set(runtimes)):
            raise InvalidInput(f"{what}: no runtime {unknown[0]!r}; there are: {', '.join(sorted(runtimes))}")
    for runtime, ceiling in config.ceiling.items():
        if ceiling < max(1, config.prewarm.get(runtime, 0)):
            floor = max(1, config.prewarm.get(runtime, 0))
            raise InvalidInput(f"ceiling {runtime}={ceiling} is less than the {floor} to keep ready; raise one of them")
    if min(config.keep_alive_s, config.linger_s, config.memory_budget_bytes) < 0:
        raise InvalidInput("keep-alive, linger and memory budget cannot be negative")


def parallel_calls(config: AgentConfig) -> int:
    """How many calls of one workflow may run in other workers at once, at each depth.

    Half of the workers that there may be, so that others always find some; but no fewer than a manifest asks for that
    says nothing.
    """
    return config.parallel_calls or max(config.max_workers // 2, DEFAULT_PARALLELISM)


def changed(config: AgentConfig, changes: Changes, runtimes: Collection[str]) -> AgentConfig:
    """The configuration after the changes.

    Raises:
        InvalidInput: see `check`.
    """
    scalars = ("pause", "keep_alive_s", "linger_s", "look_ahead", "memory_budget_bytes", "wait_for_busy", "order")
    given = {name: value for name in scalars if (value := getattr(changes, name)) is not None}
    ceiling = {name: count for name, count in {**config.ceiling, **changes.ceiling}.items() if count}
    after = replace(config, **given, prewarm={**config.prewarm, **changes.prewarm}, ceiling=ceiling)
    check(after, runtimes)
    return after


def settings(config: AgentConfig, can: Capabilities, available: Collection[str]) -> Settings:
    """What the scheduler is told.

    Args:
        available: runtimes that this machine can run.
    """
    return Settings(
        prewarm={PoolKey(name): count for name, count in config.prewarm.items() if name in available},
        ceiling=dict(config.ceiling),
        max_workers=config.max_workers,
        memory_budget=config.memory_budget_bytes,
        queue_limit=config.queue_limit,
        parallel_starts=can.starts_at_once,
        start_interval=int(1e9 / can.starts_per_s) if can.starts_per_s else 0,
        wait_for_busy=config.wait_for_busy,
        order=Order(config.order),
        refill_grace=REFILL_GRACE_NS,
        keep_alive=int(config.keep_alive_s * 1e9),
        linger=int(config.linger_s * 1e9),
        pause=pause_policy(config.pause, can),
        start_timeout=int(config.start_timeout_s * 1e9),
        load_timeout=int(config.load_timeout_s * 1e9),
    )
