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
        if key not in self.pools:
            self.pools[key] = Pool(key, 0)
        return self.pools[key]

    def find(self, digest: str, key: PoolKey) -> Worker | None:
        """The idle worker to lease to an invocation of this plan; None when none will do."""
        return choose(self.holding.get(digest, ()), self.pool(key).ready)

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

    def supply(self, pool: Pool, waiting: int, depth: int, now: int) -> None:
        """Starts as many workers as the pool wants and the node has room for, ending idle ones if it must.

        Args:
            waiting: invocations without a worker, which one of this pool could serve.
            depth: of the deepest of them; 0 when there is none.
        """
        limit = self.settings.max_workers * max(depth, 1)
        while len(self.workers) >= limit and waiting > len(pool.ready) + pool.starting and self.evict(now):
            pass
        parallelism = self.settings.parallel_starts - sum(other.starting for other in self.pools.values())
        for _ in range(pool.wanted(waiting, parallelism, limit - len(self.workers), now)):
            self._made += 1
            worker = Worker(f"w{self._made}", pool.key, now)
            self.workers[worker.id] = worker
            pool.starting += 1
            self.out.append(ev.StartWorker(worker.id, pool.key))

    def evict(self, now: int) -> bool:
        """Ends the least valuable idle worker; False when there is none."""
        worker = least_valuable(worker for workers in self.holding.values() for worker in workers)
        if worker is None:
            # Ready ones of a pool that has more than it was asked to keep: from a language whose burst is over.
            worker = next((pool.ready[0] for pool in self.pools.values() if len(pool.ready) > pool.target), None)
        if worker is None:
            return False
        self.stop(worker, "room was needed", now)
        return True

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
            case WorkerState.WARM | WorkerState.PAUSED if worker.digest:
                return worker.idle_since + settings.keep_alive
            case _:
                return None

    def rest(self, worker: Worker, now: int) -> None:
        """Pauses an idle worker whose linger is over, or ends it where its keep-alive is."""
        if worker.digest and worker.idle_since + self.settings.keep_alive <= now:
            self.stop(worker, "idle for longer than its keep-alive", now)
        else:
            worker.take(WorkerEvent.PAUSE_ASKED, now)
            self.out.append(ev.Pause(worker.id))
