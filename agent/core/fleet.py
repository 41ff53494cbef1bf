"""The node's workers: which exist, which are idle, when to make, pause and end one.

Part of the scheduler, which owns the invocations and decides who gets which worker. Commands are appended
to `out`; the scheduler hands them on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core import events as ev
from agent.core.placement import choose, least_valuable
from agent.core.pool import Pool
from agent.core.worker import IDLE, Worker, WorkerEvent, WorkerState
from agent.drivers.base import PoolKey


@dataclass(frozen=True, slots=True)
class Settings:
    """What the scheduler is told once. Durations are nanoseconds."""

    prewarm: Mapping[PoolKey, int]
    max_workers: int = 64
    queue_limit: int = 4096
    parallel_starts: int = 4
    patience: int = 1_000_000_000
    """How long an invocation lets younger ones go first that find their function loaded, on a full node."""
    refill_grace: int = 0
    """How long a pool stays short: what makes a worker would take the processor from the one just leased."""
    keep_alive: int = 600_000_000_000
    linger: int = 1_000_000_000
    pause: bool = True
    start_timeout: int = 15_000_000_000
    load_timeout: int = 30_000_000_000


@dataclass(slots=True)
class Fleet:
    """All workers of a node."""

    settings: Settings
    out: list[ev.Command]
    workers: dict[str, Worker] = field(default_factory=dict)
    """Those that live, by id."""
    pools: dict[PoolKey, Pool] = field(default_factory=dict)
    holding: defaultdict[str, list[Worker]] = field(default_factory=lambda: defaultdict(list))
    """Plan's digest -> idle workers that hold it, the last the most recently used."""
    _made: int = 0

    def __post_init__(self) -> None:
        for key, target in self.settings.prewarm.items():
            self.pools[key] = Pool(key, target)

    def pool(self, key: PoolKey) -> Pool:
        """The pool of this key, made at its first use."""
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = Pool(key, 0)
        return pool

    def find(self, digest: str, key: PoolKey) -> Worker | None:
        """The idle worker to lease to an invocation of this plan; None when none will do."""
        return choose(self.holding.get(digest) or self.pool(key).ready)

    def add_idle(self, worker: Worker, now: int) -> None:
        """Lists a worker that has become free."""
        worker.idle_since = now
        (self.holding[worker.digest] if worker.digest else self.pool(worker.pool).ready).append(worker)

    def remove_idle(self, worker: Worker) -> None:
        """Takes a worker off the list, to lease or to end it."""
        if not worker.digest:
            self.pool(worker.pool).ready.remove(worker)
            return
        self.holding[worker.digest].remove(worker)
        if not self.holding[worker.digest]:
            del self.holding[worker.digest]

    def supply(self, key: PoolKey, waiting: int, limit: int, now: int) -> None:
        """Sees to it that as many workers are on their way as wait for one, ending idle ones where room is needed.

        Args:
            waiting: invocations without a worker that may have one.
            limit: workers that may exist.
        """
        pool = self.pool(key)
        for _ in range(min(self._free_starts(), pool.missing(waiting, now))):
            if not self._make_room(pool, limit, now):
                break
            self._start(pool, now)

    def is_short(self, demand: Mapping[PoolKey, int], now: int) -> bool:
        """Whether a pool has less than it is to keep ready beside `demand`."""
        return any(pool.missing(demand.get(pool.key, 0) + pool.target, now) > 0 for pool in self.pools.values())

    def refill(self, demand: Mapping[PoolKey, int], limit: int, now: int) -> None:
        """Starts what the pools are to keep ready, beside `demand`, as far as there is room."""
        for pool in self.pools.values():
            missing = pool.missing(demand.get(pool.key, 0) + pool.target, now)
            for _ in range(min(self._free_starts(), missing, limit - len(self.workers))):
                self._start(pool, now)

    def trim(self, limit: int, now: int) -> None:
        """Ends idle workers, the least valuable first, while there are more than `limit` workers."""
        while len(self.workers) > limit and (worker := self._spare()):
            self.stop(worker, "it was one too many", now)

    def _free_starts(self) -> int:
        # A machine makes only a few workers a second, and a burst must not stampede it.
        return self.settings.parallel_starts - sum(pool.starting for pool in self.pools.values())

    def _start(self, pool: Pool, now: int) -> None:
        self._made += 1
        worker = Worker(f"w{self._made}", pool.key, now)
        self.workers[worker.id] = worker
        pool.starting += 1
        self.out.append(ev.StartWorker(worker.id, pool.key))

    def _make_room(self, pool: Pool, limit: int, now: int) -> bool:
        """Ends idle workers until one of this pool fits; at last those that other pools keep ready."""
        while len(self.workers) >= limit:
            others = (other.ready[0] for other in self.pools.values() if other is not pool and other.ready)
            worker = self._spare() or next(others, None)
            if worker is None:
                return False
            self.stop(worker, "room was needed", now)
        return True

    def _spare(self) -> Worker | None:
        """The idle worker that is missed least: of those with a function, else one that its pool need not keep."""
        held = least_valuable(worker for workers in self.holding.values() for worker in workers)
        return held or next((pool.ready[0] for pool in self.pools.values() if pool.surplus > 0), None)

    def stop(self, worker: Worker, reason: str, now: int) -> None:
        """Ends a worker that is not leased."""
        if worker.state in IDLE:
            self.remove_idle(worker)
        if worker.state is WorkerState.STARTING:
            self.pool(worker.pool).starting -= 1
        worker.take(WorkerEvent.LOST, now)
        del self.workers[worker.id]
        self.out.append(ev.StopWorker(worker.id, reason))

    def due(self, worker: Worker) -> int | None:
        """When time will do something to this worker, in nanoseconds; None for never."""
        settings = self.settings
        match worker.state:
            case WorkerState.STARTING:
                return worker.since + settings.start_timeout
            case WorkerState.LOADING:
                return worker.since + settings.load_timeout
            case WorkerState.PREWARMED | WorkerState.WARM if settings.pause:
                return worker.idle_since + min(settings.linger, settings.keep_alive)
            case WorkerState.PREWARMED | WorkerState.WARM | WorkerState.PAUSED if self._may_end(worker):
                return worker.idle_since + settings.keep_alive
            case _:
                return None

    def rest(self, worker: Worker, now: int) -> None:
        """Pauses an idle worker whose linger is over, or ends it where its keep-alive is."""
        if self._may_end(worker) and worker.idle_since + self.settings.keep_alive <= now:
            self.stop(worker, "idle for longer than its keep-alive", now)
        else:
            worker.take(WorkerEvent.PAUSE_ASKED, now)
            self.out.append(ev.Pause(worker.id))

    def _may_end(self, worker: Worker) -> bool:
        """Whether an idle worker is one that time ends: it holds a function, or its pool has more than it keeps."""
        return bool(worker.digest) or self.pool(worker.pool).surplus > 0
