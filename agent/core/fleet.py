"""The node's workers: which exist, which are idle, when to make, pause and end one.

Part of the scheduler, which owns the invocations and decides who gets which worker. Commands are appended
to `out`; the scheduler hands them on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core import events as ev
from agent.core.circumstances import Ends, Hindrance
from agent.core.pace import Pace
from agent.core.placement import choose, least_valuable
from agent.core.pool import Pool
from agent.core.settings import PausePolicy, Settings
from agent.core.worker import IDLE, Worker, WorkerEvent, WorkerState
from agent.drivers.base import PoolKey


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
    shared: dict[tuple[str, int], list[Worker]] = field(default_factory=dict)
    """Plan's digest and depth -> busy workers that others may join, the last the most recently used."""
    held_until: int = 0
    """When more may be started than could be when that was last asked for; 0 = nothing is held back."""
    turned_away: bool = False
    """Whether ceiling or budget kept somebody waiting when workers were last asked for."""
    ends: Ends = field(default_factory=Ends)
    _pace: Pace = field(init=False)
    _made: int = 0
    _draining: bool = False

    def __post_init__(self) -> None:
        self._pace = Pace(self.settings.parallel_starts, self.settings.start_interval)
        self.configure(self.settings)

    def configure(self, settings: Settings) -> None:
        """Goes by other settings from now on. Workers that are paused stay so until they are used."""
        self.settings = settings
        self._pace.at_once, self._pace.interval = settings.parallel_starts, settings.start_interval
        for pool in self.pools.values():
            pool.target = 0
        for key, target in settings.prewarm.items():
            self.pool(key).target = 0 if self._draining else target

    def drain(self) -> None:
        """Makes no more workers for later, whatever the settings come to say."""
        self._draining = True
        self.configure(self.settings)

    def undrain(self) -> None:
        """Undoes `drain`."""
        self._draining = False
        self.configure(self.settings)

    def pool(self, key: PoolKey) -> Pool:
        """The pool of this key, made at its first use."""
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = Pool(key, 0)
        return pool

    def find(self, digest: str, key: PoolKey) -> Worker | None:
        """The idle worker to lease to an invocation of this plan; None when none will do."""
        return choose(self.holding.get(digest) or self.pool(key).ready)

    def find_shared(self, digest: str, depth: int) -> Worker | None:
        """The busy worker that an invocation of this plan may join; None when there is none."""
        workers = self.shared.get((digest, depth))
        return workers[-1] if workers else None

    def offer(self, worker: Worker) -> None:
        """Lists a worker among those that others may join, or not, as it is now."""
        has_room = worker.has_room
        if has_room is worker.offered:
            return
        worker.offered = has_room
        key = worker.digest, worker.lease_depth
        if has_room:
            self.shared.setdefault(key, []).append(worker)
            return
        self.shared[key].remove(worker)
        if not self.shared[key]:
            del self.shared[key]

    def close(self, starving: int) -> None:
        """Has so many workers that others could join take no more: only one that becomes idle makes room."""
        for worker in self.workers.values():
            starving -= worker.closed
        for _ in range(starving):
            workers = [worker for shared in self.shared.values() for worker in shared]
            if not workers:
                return
            quietest = min(workers, key=lambda worker: len(worker.leases))
            quietest.closed = True
            self.offer(quietest)

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

    def supply(self, key: PoolKey, waiting: int, limit: int, now: int, *, bounded: bool) -> None:
        """Sees to it that as many workers are on their way as wait for one, ending idle ones where room is needed.

        Args:
            waiting: invocations without a worker that may have one.
            limit: workers that may exist.
            bounded: whether ceiling and budget hold: for calls from outside. Whoever waits for a call holds a
                worker, so a bound for calls too could have everybody wait for ever; see `agent.core.capacity`.
        """
        pool = self.pool(key)
        missing = pool.missing(waiting, now)
        possible = self._free_starts(missing, now)
        pool.hindered = Hindrance.STARTS if possible < missing else Hindrance.FAILING if now < pool.retry_at else None
        for _ in range(possible):
            if bounded and not self._make_way(pool, now):
                self.turned_away = True
                pool.hindered = Hindrance.CEILING if self._is_at_ceiling(pool) else Hindrance.MEMORY
                break
            if not self._make_room(pool, limit, now):
                pool.hindered = Hindrance.WORKERS
                break
            self._start(pool, now)

    def is_short(self, demand: Mapping[PoolKey, int], now: int) -> bool:
        """Whether a pool has less than it is to keep ready beside `demand`."""
        return any(pool.missing(demand.get(pool.key, 0) + pool.target, now) > 0 for pool in self.pools.values())

    def refill(self, demand: Mapping[PoolKey, int], limit: int, now: int) -> None:
        """Starts what the pools are to keep ready, beside `demand`, as far as there is room."""
        if self.turned_away:
            return  # or what is kept ready would take the room that was made for who waits
        for pool in self.pools.values():
            missing = pool.missing(demand.get(pool.key, 0) + pool.target, now)
            for _ in range(self._free_starts(min(missing, limit - len(self.workers)), now)):
                if self._is_at_ceiling(pool) or self._is_over_budget(pool.worker_bytes):
                    break
                self._start(pool, now)

    def trim(self, limit: int, now: int) -> None:
        """Ends idle workers, the least valuable first, while there are more than `limit` workers."""
        while len(self.workers) > limit and (worker := self._spare(now)):
            self.stop(worker, "it was one too many", now)
        while self._is_over_budget(0) and (worker := self._spare(now)):
            self.stop(worker, "all workers together were over the memory budget", now)

    def measured(self, memory_bytes: Mapping[str, int]) -> None:
        """Takes note of what workers use."""
        for name, used in memory_bytes.items():
            worker = self.workers.get(name)
            if worker is not None:
                worker.memory_bytes = used
                if not worker.digest and not worker.in_use:
                    self.pool(worker.pool).worker_bytes = used

    @property
    def memory_bytes(self) -> int:
        """What all workers use together; one that has not been measured counts as its pool's others do."""
        return sum(worker.memory_bytes or self.pool(worker.pool).worker_bytes for worker in self.workers.values())

    def _free_starts(self, wanted: int, now: int) -> int:
        """How many of the wanted starts may begin: a machine makes only a few workers a second."""
        if wanted <= 0:
            return 0
        under_way = sum(pool.starting for pool in self.pools.values())
        possible = min(wanted, self.settings.parallel_starts - under_way)
        unhurried = self._pace.free(now)
        if unhurried < possible:
            self.held_until = self._pace.next_at() if unhurried == 0 else now + self.settings.start_interval
        return min(possible, unhurried)

    def _is_at_ceiling(self, pool: Pool) -> bool:
        ceiling = self.settings.ceiling.get(pool.key.runtime)
        if ceiling is None:
            return False
        return sum(worker.pool.runtime == pool.key.runtime for worker in self.workers.values()) >= ceiling

    def _is_over_budget(self, more: int) -> bool:
        budget = self.settings.memory_budget
        return bool(budget) and self.memory_bytes + more > budget

    def _make_way(self, pool: Pool, now: int) -> bool:
        """Ends idle workers until ceiling and budget allow for another; False where they do not.

        One worker may exist whatever it uses, or a budget too small would have everybody wait for ever.
        """
        while self._is_at_ceiling(pool):
            worker = self._spare(now, pool.key.runtime) or self._kept(pool, pool.key.runtime)
            if worker is None:
                return False
            self.stop(worker, f"room was needed below the ceiling for {pool.key.runtime}", now)
        while self._is_over_budget(pool.worker_bytes):
            worker = self._spare(now) or self._kept(pool)
            if worker is None:
                return not any(one.in_use or one.state is WorkerState.STARTING for one in self.workers.values())
            self.stop(worker, "memory was needed within the budget", now)
        return True

    def _kept(self, pool: Pool, runtime: str = "") -> Worker | None:
        """One that another pool keeps ready: the last to make room."""
        others = (other for other in self.pools.values() if other is not pool and other.ready)
        return next((other.ready[0] for other in others if runtime in ("", other.key.runtime)), None)

    def _start(self, pool: Pool, now: int) -> None:
        self._made += 1
        worker = Worker(f"w{self._made}", pool.key, now)
        self.workers[worker.id] = worker
        pool.starting += 1
        self._pace.take(now)
        self.out.append(ev.StartWorker(worker.id, pool.key))

    def _make_room(self, pool: Pool, limit: int, now: int) -> bool:
        """Ends idle workers until one of this pool fits; at last those that other pools keep ready."""
        while len(self.workers) >= limit:
            worker = self._spare(now) or self._kept(pool)
            if worker is None:
                return False
            self.stop(worker, "room was needed", now)
        return True

    def _spare(self, now: int, runtime: str = "") -> Worker | None:
        """The idle worker that is missed least: of those with a function, else one that its pool need not keep.

        Args:
            runtime: of that one only; empty = of any.
        """
        holders = (worker for workers in self.holding.values() for worker in workers)
        held = least_valuable((one for one in holders if runtime in ("", one.pool.runtime)), now)
        if held is not None:
            return held
        surplus = (pool for pool in self.pools.values() if pool.surplus > 0)
        return next((pool.ready[0] for pool in surplus if runtime in ("", pool.key.runtime)), None)

    def stop(self, worker: Worker, reason: str, now: int) -> None:
        """Ends a worker that is not leased."""
        if worker.state in IDLE:
            self.remove_idle(worker)
        if worker.state is WorkerState.STARTING:
            self.pool(worker.pool).starting -= 1
        worker.take(WorkerEvent.LOST, now)
        self.offer(worker)
        del self.workers[worker.id]
        if worker.digest:
            self.ends.note(worker.digest, reason, now)
        self.out.append(ev.StopWorker(worker.id, reason))

    def due(self, worker: Worker) -> int | None:
        """When time will do something to this worker, in nanoseconds; None for never."""
        settings = self.settings
        match worker.state:
            case WorkerState.STARTING:
                return worker.since + settings.start_timeout
            case WorkerState.LOADING:
                return worker.since + settings.load_timeout
            case WorkerState.BUSY:
                return min(worker.ending.values(), default=None)
            case WorkerState.PREWARMED | WorkerState.WARM if self._pauses(worker):
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
            self.pause(worker, now)

    def pause(self, worker: Worker, now: int) -> None:
        """Has an idle worker frozen."""
        worker.take(WorkerEvent.PAUSE_ASKED, now)
        self.out.append(ev.Pause(worker.id))

    def _pauses(self, worker: Worker) -> bool:
        """Whether an idle worker is one that is paused."""
        match self.settings.pause:
            case PausePolicy.ALWAYS:
                return True
            case PausePolicy.AFTER_USE:
                return bool(worker.digest)
            case PausePolicy.NEVER:
                return False

    def _may_end(self, worker: Worker) -> bool:
        """Whether an idle worker is one that time ends: it holds a function, or its pool has more than it keeps."""
        return bool(worker.digest) or self.pool(worker.pool).surplus > 0
