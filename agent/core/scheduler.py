"""The node's decisions: who gets which worker, what is started, paused, ended. No I/O, no clock.

One door: `handle(event, now) -> commands`. The shell (`agent.node`) carries the commands out in order and
brings the outcomes back as events.

Who may have a worker at all, so that callers never starve their callees, is `agent.core.capacity`'s to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Final

from agent.core import events as ev
from agent.core.capacity import Capacity
from agent.core.circumstances import Circumstances, Hindrance
from agent.core.concurrency import Estimates, smoothed
from agent.core.fleet import Fleet
from agent.core.handover import HandoverEvent, HandoverState
from agent.core.invocation import Invocation, InvocationEvent, InvocationState
from agent.core.kinship import Kinship
from agent.core.settings import Settings
from agent.core.waiting import WaitingLine
from agent.core.worker import IDLE, Worker, WorkerEvent, WorkerState
from agent.drivers.base import PoolKey
from mee6.lane.messages import Fault

MAX_ATTEMPTS: Final = 3
"""Workers an invocation may lose before its function was called."""
NO_DEADLINE: Final = 1 << 62


@dataclass(slots=True)
class Scheduler:
    """All workers and invocations of a node."""

    settings: Settings
    fleet: Fleet = field(init=False)
    invocations: dict[str, Invocation] = field(default_factory=dict)
    """Those that have not ended, by id."""
    line: WaitingLine = field(init=False)
    capacity: Capacity = field(init=False)
    estimates: Estimates = field(default_factory=Estimates)
    _kin: Kinship = field(init=False)
    _takes: dict[str, int] = field(default_factory=dict)
    """Plans whose runtimes take fewer at once than their manifests say, and how many, by digest."""
    _release_at: int = 0
    """When the first of those that wait for a worker in use has waited long enough; 0 while none does."""
    _retired: set[str] = field(default_factory=set)
    _refill_at: int = 0
    """When the pools are to be filled up; 0 while none is short."""
    _unsettled: bool = True
    """Something may have become possible for those that wait, or for the pools."""
    _out: list[ev.Command] = field(default_factory=list)
    _now: int = 0

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.settings, self._out)
        self.line = WaitingLine(self.settings.order)
        self.capacity = Capacity(self.settings.max_workers)
        self._kin = Kinship(self.invocations)

    def handle(self, event: ev.Event, now: int) -> list[ev.Command]:
        """Takes one event and returns what to do, in order.

        Args:
            now: nanoseconds, monotonic; never less than before.

        Raises:
            InvalidTransition: the event has no place in the state of what it names. Nothing was changed.
        """
        self._now = now
        _HANDLERS[type(event)](self, event)
        if self._unsettled:
            self._settle()
        out = self._out.copy()
        self._out.clear()
        return out

    def next_wake(self) -> int | None:
        """When a `Tick` is due at the latest, in nanoseconds; None when nothing waits for time to pass."""
        times = [invocation.deadline for invocation in self.invocations.values()]
        times += [due for worker in self.fleet.workers.values() if (due := self.fleet.due(worker)) is not None]
        times += [pool.retry_at for pool in self.fleet.pools.values() if pool.retry_at]
        times += [at for at in (self._refill_at, self._release_at, self.fleet.held_until) if at]
        return min(times, default=None)

    # -- invocations

    def _submitted(self, event: ev.Submitted) -> None:
        if event.caller and event.caller not in self.invocations:
            self._out.append(ev.Complete(event.id, Fault("cancelled", "its caller has ended")))
            return
        if event.depth == 1:
            self._retired.discard(event.digest)  # current again: what had replaced it has been removed
        worker = self._find(event.digest, event.pool, event.depth)
        if worker is None and event.depth == 1 and self.line.length(1) >= self.settings.queue_limit:
            message = f"{self.settings.queue_limit} invocations wait for a worker already; try again later"
            self._out.append(ev.Complete(event.id, Fault("exhausted", message)))
            return
        estimate = self.estimates.of(event.digest)
        estimate.arrived(self._now)
        invocation = Invocation(
            event.id, event.digest, event.pool, event.depth, self._now, event.deadline, event.caller, event.concurrency,
            estimate,
        )  # fmt: skip
        if worker is None or not worker.digest:
            invocation.circumstances = self._circumstances(invocation)
        self.invocations[event.id] = invocation
        if event.caller:
            self._kin.made(invocation)
            self._kin.waits(invocation, self._now)
        if worker is None or (estimate.executing and not worker.digest):
            self.line.append(invocation)
            self._settle()
            if invocation.circumstances is not None and invocation.state is InvocationState.QUEUED:
                invocation.circumstances.hindered = self._hindrance(invocation)
        else:
            self._lease(invocation, worker)

    def _circumstances(self, invocation: Invocation) -> Circumstances:
        """What an invocation finds that is not in the line yet, and whose function no idle worker holds."""
        pool = self.fleet.pool(invocation.pool)
        workers = self.fleet.workers.values()
        ended, ended_ago = self.fleet.ends.of(invocation.digest, self._now)
        leases = [one for worker in workers for one in list(worker.leases.values())[:1]]
        return Circumstances(
            holding=sum(one.digest == invocation.digest for one in leases),
            ended=ended,
            ended_ago=ended_ago,
            ready=len(pool.ready),
            starting=pool.starting,
            floor=pool.target,
            ahead=len(self.line),
            leased=len(leases),
            limit=self.settings.max_workers * invocation.depth,
        )

    def _hindrance(self, invocation: Invocation) -> Hindrance | None:
        """Why no worker is on its way for the last of the line; None where one is."""
        if self.capacity.room(invocation.depth) < self.line.length(invocation.depth):
            return Hindrance.WORKERS
        waiting = self.line.like(invocation)
        held = self._worth_starting(invocation, waiting) < waiting
        return self.fleet.pool(invocation.pool).hindered or (Hindrance.BUSY if held else None)

    def _cancel_asked(self, event: ev.CancelAsked) -> None:
        if invocation := self.invocations.get(event.id):
            self._abort(invocation, InvocationEvent.CANCELLED, Fault("cancelled", event.reason))

    def _lift_deadline(self, event: ev.DeadlineLifted) -> None:
        if invocation := self.invocations.get(event.id):
            invocation.deadline = NO_DEADLINE

    def _finished(self, event: ev.Finished) -> None:
        invocation = self.invocations.get(event.invocation)
        worker = self._leased_to(event.worker, event.invocation)
        if worker is None or invocation is None:
            return  # the answer to something that was called off
        is_last = worker.slots == 1 or (len(worker.leases) == 1 and not worker.ending)
        worker.take(WorkerEvent.RELEASED if is_last else WorkerEvent.LEFT, self._now)
        estimate = invocation.estimate
        estimate.executing -= 1
        del worker.leases[event.invocation]
        if is_last:
            self._released(worker)
        worker.invocations += 1
        self._end(invocation, InvocationEvent.SUCCEEDED if event.ok else InvocationEvent.FAILED)
        _run, start, end = invocation.spans[-1]
        estimate.ran(end - start - invocation.stalled)
        if is_last:
            self._idle(worker)
        else:
            self._has_room(worker)

    def _end(self, invocation: Invocation, how: InvocationEvent) -> None:
        """Brings an invocation to its end, with all the calls it still has out."""
        if invocation.state is InvocationState.QUEUED:
            self.line.remove(invocation)
        invocation.machine.take(how)
        invocation.end_span(self._now)
        del self.invocations[invocation.id]
        if not self._kin.callees:  # nothing calls: nearly always
            return
        for callee in self._kin.ended(invocation, self._now):
            if orphan := self.invocations.get(callee):
                self._abort(orphan, InvocationEvent.CANCELLED, Fault("cancelled", "its caller has ended"))

    def _abort(self, invocation: Invocation, how: InvocationEvent, fault: Fault) -> None:
        """Ends an invocation from outside.

        What runs alone in a worker is stopped with it. A runtime that takes several at once is told to end this one.
        """
        worker = self._leased_to(invocation.worker, invocation.id)
        self._out.append(ev.Complete(invocation.id, fault))
        self._end(invocation, how)
        if worker is None:
            return
        if worker.slots > 1 and worker.state is WorkerState.BUSY:
            self._unlease(worker, invocation, ends_at=self._now + self.settings.end_grace)
            self._out.append(ev.CallOff(worker.id, invocation.id))
            self.fleet.offer(worker)
        else:
            self._stop(worker, f"{fault.code.replace('_', ' ')}: {invocation.id}")

    def _called_off(self, event: ev.CalledOff) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None or event.invocation not in worker.ending:
            return
        is_last = not worker.leases and len(worker.ending) == 1
        worker.take(WorkerEvent.RELEASED if is_last else WorkerEvent.LEFT, self._now)
        del worker.ending[event.invocation]
        if is_last:
            self._released(worker)
            self._idle(worker)
        else:
            self._has_room(worker)

    def _lose(self, worker: Worker, fault: Fault) -> None:
        """Deals with all invocations of a worker that is about to end."""
        if fault.code == "function_exited" and worker.slots > 1:
            message = f"{fault.message}; its process takes several at once, and which of them ended it cannot be told"
            fault = Fault("worker_lost", message, fault.function)
        for invocation in reversed(list(worker.leases.values())):
            if invocation.id in self.invocations:  # not ended together with its caller
                self._lost_invocation(invocation, fault)

    def _lost_invocation(self, invocation: Invocation, fault: Fault) -> None:
        """Puts an invocation back whose function was not called yet; ends the others."""
        invocation.attempts += 1
        exited = fault.code == "function_exited"
        if invocation.state is InvocationState.STARTING and not exited and invocation.attempts < MAX_ATTEMPTS:
            invocation.machine.take(InvocationEvent.PUT_BACK)
            invocation.circumstances = invocation.circumstances or self._circumstances(invocation)
            invocation.circumstances.lost = invocation.attempts
            invocation.worker = ""
            invocation.next_span("queued", self._now)
            self._kin.waits(invocation, self._now)
            self.line.put_back(invocation)
            return
        self._out.append(ev.Complete(invocation.id, fault))
        self._end(invocation, InvocationEvent.FAILED if exited else InvocationEvent.LOST)

    # -- leases

    def _leased_to(self, worker: str, invocation: str) -> Worker | None:
        """The worker, if it lives and this invocation has it."""
        found = self.fleet.workers.get(worker)
        return found if found is not None and invocation in found.leases else None

    def _find(self, digest: str, pool: PoolKey, depth: int) -> Worker | None:
        """The worker for an invocation like this; None when there is none, or none that it may have.

        One that is busy and has room comes first: it is awake, and takes none that others could have.
        """
        if self.fleet.shared and (worker := self.fleet.find_shared(digest, depth)):
            return worker
        return self.fleet.find(digest, pool) if self.capacity.room(depth) > 0 else None

    def _lease(self, invocation: Invocation, worker: Worker) -> None:
        """Gives a worker to an invocation and has it called, after a thaw and a load where needed."""
        state = worker.state
        if state is WorkerState.BUSY:
            self._join(invocation, worker)
            return
        self.fleet.remove_idle(worker)
        asleep = state is WorkerState.PAUSED or state is WorkerState.PAUSING
        waking = state is WorkerState.WAKING
        worker.take(WorkerEvent.LEASED, self._now)
        worker.leases[invocation.id] = invocation
        worker.lease_depth = invocation.depth
        invocation.estimate.executing += 1
        self.capacity.take(invocation.depth)
        invocation.machine.take(InvocationEvent.LEASED)
        invocation.worker = worker.id
        if worker.digest:
            invocation.start = "warm"
        else:
            self._unsettled = True  # the pool is one short
            invocation.start = "prewarmed" if worker.started_at < invocation.waits_since else "cold"
            if invocation.start == "cold":
                invocation.next_span("start", worker.started_at)
        if asleep or waking:
            invocation.next_span("resume", self._now)
            if asleep:
                self._out.append(ev.Resume(worker.id))
        else:
            self._go_on(worker, invocation)

    def _join(self, invocation: Invocation, worker: Worker) -> None:
        """Gives an invocation a place beside those that run in a busy worker."""
        worker.take(WorkerEvent.JOINED, self._now)
        worker.leases[invocation.id] = invocation
        invocation.estimate.executing += 1
        invocation.machine.take(InvocationEvent.LEASED)
        invocation.worker = worker.id
        invocation.start = "warm"
        self._go_on(worker, invocation)

    def _go_on(self, worker: Worker, invocation: Invocation) -> None:
        """Loads or calls, now that the leased worker is awake."""
        if worker.digest:
            invocation.machine.take(InvocationEvent.CALLED)
            if invocation.stalls_callers:
                self._kin.goes_on(invocation, self._now)
            if worker.slots > 1:
                self.fleet.offer(worker)
            invocation.next_span("run", self._now)
            self._out.append(ev.Call(worker.id, invocation.id))
        else:
            invocation.next_span("load", self._now)
            self._out.append(ev.Load(worker.id, invocation.id))

    def _unlease(self, worker: Worker, invocation: Invocation, ends_at: int = 0) -> None:
        """Ends one of a worker's leases; the place is free at once, or when what was called off has ended."""
        del worker.leases[invocation.id]
        invocation.estimate.executing -= 1
        if ends_at:
            worker.ending[invocation.id] = ends_at
        if not worker.in_use:
            self._released(worker)

    def _released(self, worker: Worker) -> None:
        self.capacity.give_back(worker.lease_depth)
        if worker.slots > 1:
            worker.closed = False
            self.fleet.offer(worker)

    def _has_room(self, worker: Worker) -> None:
        """Lets others join a busy worker that one has left."""
        self.fleet.offer(worker)
        if self.line:
            self._unsettled = True

    def _idle(self, worker: Worker) -> None:
        """Lists a worker that has just become free, unless it has had its time."""
        if worker.digest in self._retired:
            self._stop(worker, "its function was replaced or removed", listed=False)
            return
        self.fleet.add_idle(worker, self._now)
        if self.line or not worker.digest or len(self.fleet.workers) > self.settings.max_workers:
            self._unsettled = True

    def _settle(self) -> None:
        """Gives idle workers to those that wait, and has made what is missing."""
        self.fleet.held_until, self.fleet.turned_away, self._release_at = 0, False, 0
        heads = self.line.heads()
        unserved: list[Invocation] = []
        starving = 0
        while heads:
            *_rank, first = heappop(heads)
            worker = self._find(first.digest, first.pool, first.depth)
            if worker is not None and (worker.digest or self._worth_starting(first, self.line.like(first))):
                self.line.remove(first)
                self._lease(first, worker)
                if behind := self.line.behind(first):
                    heappush(heads, self.line.rank(behind))
                continue
            is_full = self.capacity.room(first.depth) <= 0
            if self._now - first.accepted_at >= self.settings.patience:
                # Before younger ones take all that is idle: a busy function would keep this one out for ever.
                if not is_full:
                    self.fleet.supply(first.pool, 1, self._limit(), self._now, bounded=first.depth == 1)
                if self.fleet.shared and not self.fleet.pool(first.pool).starting:
                    starving += 1
                    self.fleet.close(starving)
            if not is_full:
                unserved.append(first)
            elif not self.fleet.shared:
                break  # there is no room for those after it, which are no deeper, nor a worker that they could join
        demand = self.line.demand(unserved, self.capacity.room, self._workers_for)
        calls = self.line.demand([one for one in unserved if one.depth > 1], self.capacity.room, self._workers_for)
        for key, waiting in demand.items():
            self.fleet.supply(key, calls.get(key, 0), self._limit(), self._now, bounded=False)
            self.fleet.supply(key, waiting, self._limit(), self._now, bounded=True)
        self._refill(demand)
        # What deep calls made is ended, but for one depth more than is in use: those that run may call again.
        deepest = max(self.capacity.deepest + 1, self.line.deepest)
        self.fleet.trim(self.settings.max_workers * deepest, self._now)
        self._unsettled = False

    def _workers_for(self, head: Invocation) -> int:
        """How many workers more are worth having for the queue that this one heads."""
        slots = min(head.concurrency, self._takes.get(head.digest, head.concurrency))
        waiting = self.line.like(head)
        if slots > 1:
            waiting -= sum((slots - 1) * self._will_take(worker, head) for worker in self.fleet.workers.values())
        return -(-self._worth_starting(head, waiting) // slots) if waiting > 0 else 0

    def _will_take(self, worker: Worker, head: Invocation) -> bool:
        """Whether others like this one can join a worker as soon as the first is called in it."""
        if worker.state is not WorkerState.LOADING and worker.state is not WorkerState.RESUMING:
            return False
        return worker.lease_depth == head.depth and all(one.digest == head.digest for one in worker.leases.values())

    def _worth_starting(self, head: Invocation, waiting: int) -> int:
        """How many of those in a queue another worker would serve sooner than one that is in use now.

        Args:
            head: one of that queue; what it waits for in the end does not count as in use.
        """
        estimate = head.estimate
        pool = self.fleet.pool(head.pool)
        if not self.settings.wait_for_busy or not estimate.load:
            return waiting
        ready_in = int(estimate.load + (0 if pool.ready else pool.start))
        executing = estimate.executing - sum(one.digest == head.digest for one in self._kin.callers(head))
        worth = estimate.more(waiting, executing, ready_in, self._now)
        if worth < waiting:
            overdue = self.line.overdue(head, self._now - ready_in, self.settings.max_workers)
            worth = max(worth, min(overdue, waiting))
        if worth < waiting:
            at = head.waits_since + ready_in
            at = at if at > self._now else self._now + ready_in  # by then those behind it have waited as long
            self._release_at = min(self._release_at or at, at)
        return worth

    def _refill(self, demand: Mapping[PoolKey, int]) -> None:
        """Has the pools' missing workers made, once the invocation that took one has had a quiet moment."""
        if not self.fleet.is_short(demand, self._now):
            self._refill_at = 0
        elif not self._refill_at and self.settings.refill_grace:
            self._refill_at = self._now + self.settings.refill_grace
        elif self._now >= self._refill_at:
            self._refill_at = 0
            self.fleet.refill(demand, self._limit(), self._now)

    def _limit(self) -> int:
        """How many workers may exist now."""
        return self.settings.max_workers * max(self.capacity.deepest, self.line.deepest, 1)

    # -- workers

    def _stop(self, worker: Worker, reason: str, *, listed: bool = True) -> None:
        """Ends a worker; its invocations, if any, have been dealt with."""
        if worker.in_use:
            for invocation in worker.leases.values():
                invocation.estimate.executing -= 1
            worker.leases.clear()
            worker.ending.clear()
            self._released(worker)
        if not listed:
            self.fleet.add_idle(worker, self._now)
        self.fleet.stop(worker, reason, self._now)
        self._unsettled = True

    def _connected(self, event: ev.WorkerConnected) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return  # it was told to end while it started
        worker.take(WorkerEvent.CONNECTED, self._now)
        if event.direct:
            worker.handover.take(HandoverEvent.BORN_DIRECT)
        worker.cold_cost = self._now - worker.started_at
        pool = self.fleet.pool(worker.pool)
        pool.start = smoothed(pool.start, worker.cold_cost)
        pool.starting -= 1
        pool.succeeded()
        self._idle(worker)

    def _start_failed(self, event: ev.WorkerStartFailed) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        if worker.state is not WorkerState.STARTING:  # it had connected before its start was seen to fail
            self._lost(ev.WorkerLost(worker.id, Fault("worker_lost", event.reason)))
            return
        pool = self.fleet.pool(worker.pool)
        give_up = pool.failed(event.reason, self._now)
        self._stop(worker, event.reason)
        if give_up:
            fault = Fault("exhausted", f"no {pool.key} worker could be started: {event.reason}")
            for invocation in self.line.of_pool(pool.key):
                self._abort(invocation, InvocationEvent.FAILED, fault)

    def _lost(self, event: ev.WorkerLost) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        if worker.state is WorkerState.STARTING:
            self._start_failed(ev.WorkerStartFailed(worker.id, event.fault.message))
            return
        self._lose(worker, event.fault)
        self._stop(worker, event.fault.message)

    def _loaded(self, event: ev.FunctionLoaded) -> None:
        invocation = self.invocations.get(event.invocation)
        worker = self._leased_to(event.worker, event.invocation)
        if worker is None or invocation is None:
            return
        worker.machine.demand(WorkerEvent.LOADED)
        if event.fault is not None:
            self._out.append(ev.Complete(invocation.id, event.fault))
            self._end(invocation, InvocationEvent.FAILED)
            self._stop(worker, "load failed")
        elif not self._settle_handover(worker, handed_over=event.handed_over):
            self._lost_invocation(invocation, Fault("worker_lost", "its handover came to nothing"))
            self._stop(worker, "the proxy gave its runtime away, but the runtime did not come")
        else:
            worker.cold_cost += self._now - worker.since
            invocation.estimate.loaded(self._now - worker.since)
            worker.take(WorkerEvent.LOADED, self._now)
            worker.digest, worker.slots = invocation.digest, event.slots
            if event.slots < invocation.concurrency:
                self._takes[invocation.digest] = event.slots
            else:
                self._takes.pop(invocation.digest, None)
            self._go_on(worker, invocation)
            if self.line:
                self._unsettled = True

    def _retire(self, event: ev.Retired) -> None:
        self._retired.add(event.digest)
        self._takes.pop(event.digest, None)
        for worker in list(self.fleet.workers.values()):
            if worker.digest == event.digest and worker.state in IDLE:
                self._stop(worker, "its function was replaced or removed")

    def _drain(self, _event: ev.DrainBegan) -> None:
        self.fleet.drain()

    def _undrain(self, _event: ev.DrainEnded) -> None:
        self.fleet.undrain()
        self._unsettled = True

    def _evict(self, event: ev.EvictAsked) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        self._lose(worker, Fault("worker_lost", f"worker {worker.id} was evicted"))
        self._stop(worker, "it was evicted")

    def _configured(self, event: ev.Configured) -> None:
        self.settings = replace(event.settings, max_workers=self.settings.max_workers)
        self.fleet.configure(self.settings)
        self.line.order = self.settings.order
        self._unsettled = True

    def _measured(self, event: ev.Measured) -> None:
        self.fleet.measured(event.memory_bytes)
        self._unsettled = self._unsettled or bool(self.settings.memory_budget)

    # -- handover

    def _handover_asked(self, event: ev.HandoverAsked) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        if worker.state is WorkerState.LOADING:
            worker.handover.take(HandoverEvent.ASKED)
            self._out.append(ev.GrantHandover(worker.id))
        else:
            self._out.append(ev.RefuseHandover(worker.id))

    def _runtime_connected(self, event: ev.RuntimeConnected) -> None:
        if worker := self.fleet.workers.get(event.worker):
            worker.handover.take(HandoverEvent.RUNTIME_CONNECTED)

    def _settle_handover(self, worker: Worker, *, handed_over: bool) -> bool:
        """Ends a handover one way or the other; False when the proxy and we disagree."""
        handover = worker.handover
        if handed_over:
            if not handover.can(HandoverEvent.REPORTED):
                return False
            handover.take(HandoverEvent.REPORTED)
            self._out.append(ev.DismissProxy(worker.id))
        elif not handover.is_direct and handover.state is not HandoverState.PROXIED:
            handover.take(HandoverEvent.FAILED)
            self._out.append(ev.UndoHandover(worker.id))
        return True

    def _proxy_left(self, event: ev.ProxyLeft) -> None:
        if worker := self.fleet.workers.get(event.worker):
            worker.handover.take(HandoverEvent.PROXY_LEFT)

    # -- pause and time

    def _pause_asked(self, event: ev.PauseAsked) -> None:
        if worker := self.fleet.workers.get(event.worker):
            self.fleet.pause(worker, self._now)

    def _resume_asked(self, event: ev.ResumeAsked) -> None:
        if worker := self.fleet.workers.get(event.worker):
            worker.take(WorkerEvent.RESUME_ASKED, self._now)
            self._out.append(ev.Resume(worker.id))

    def _pause_ended(self, event: ev.PauseEnded) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        if not event.error:
            worker.take(WorkerEvent.PAUSED, self._now)
        elif worker.state is WorkerState.PAUSING:
            self._stop(worker, f"could not be paused: {event.error}")
        else:
            worker.take(WorkerEvent.PAUSE_FAILED, self._now)

    def _resume_ended(self, event: ev.ResumeEnded) -> None:
        worker = self.fleet.workers.get(event.worker)
        if worker is None:
            return
        worker.machine.demand(WorkerEvent.RESUMED)
        if event.error:
            self._lost(ev.WorkerLost(worker.id, Fault("worker_lost", f"could not be resumed: {event.error}")))
            return
        worker.take(WorkerEvent.RESUMED if worker.digest else WorkerEvent.RESUMED_EMPTY, self._now)
        if worker.leases:
            self._go_on(worker, self.invocations[worker.lease])
            if worker.slots > 1 and self.line:
                self._unsettled = True
        else:
            worker.idle_since = self._now  # it lingers anew

    def _tick(self, _event: ev.Tick) -> None:
        for invocation in [one for one in self.invocations.values() if one.deadline <= self._now]:
            if invocation.id in self.invocations:  # not ended together with its caller
                self._abort(invocation, InvocationEvent.TIMED_OUT, Fault("timed_out", "took longer than its limit"))
        for worker in list(self.fleet.workers.values()):
            due = self.fleet.due(worker)
            if due is not None and due <= self._now:
                self._overdue(worker)
        if any(at and at <= self._now for at in (self._refill_at, self._release_at, self.fleet.held_until)):
            self._unsettled = True
        for pool in self.fleet.pools.values():
            if pool.retry_at and pool.retry_at <= self._now:
                pool.retry_at = 0
                self._unsettled = True

    def _overdue(self, worker: Worker) -> None:
        match worker.state:
            case WorkerState.STARTING:
                reason = f"did not connect within {self.settings.start_timeout / 1e9:g} s"
                self._start_failed(ev.WorkerStartFailed(worker.id, reason))
            case WorkerState.LOADING:
                fault = Fault("load_failed", f"took longer than {self.settings.load_timeout / 1e9:g} s to load")
                self._loaded(ev.FunctionLoaded(worker.id, worker.lease, fault, handed_over=False))
            case WorkerState.BUSY:
                late = ", ".join(worker.ending)
                reason = f"{late} was called off and did not end within {self.settings.end_grace / 1e9:g} s"
                self._lost(ev.WorkerLost(worker.id, Fault("worker_lost", f"worker {worker.id} was ended: {reason}")))
            case _:
                self.fleet.rest(worker, self._now)
                self._unsettled = True  # one that ended leaves room


_HANDLERS: Final[dict[type[ev.Event], Callable[[Scheduler, Any], None]]] = {
    ev.Submitted: Scheduler._submitted,  # noqa: SLF001 - the table of the class's own door
    ev.CancelAsked: Scheduler._cancel_asked,  # noqa: SLF001
    ev.DeadlineLifted: Scheduler._lift_deadline,  # noqa: SLF001
    ev.Finished: Scheduler._finished,  # noqa: SLF001
    ev.CalledOff: Scheduler._called_off,  # noqa: SLF001
    ev.WorkerConnected: Scheduler._connected,  # noqa: SLF001
    ev.WorkerStartFailed: Scheduler._start_failed,  # noqa: SLF001
    ev.WorkerLost: Scheduler._lost,  # noqa: SLF001
    ev.FunctionLoaded: Scheduler._loaded,  # noqa: SLF001
    ev.PauseEnded: Scheduler._pause_ended,  # noqa: SLF001
    ev.ResumeEnded: Scheduler._resume_ended,  # noqa: SLF001
    ev.HandoverAsked: Scheduler._handover_asked,  # noqa: SLF001
    ev.RuntimeConnected: Scheduler._runtime_connected,  # noqa: SLF001
    ev.ProxyLeft: Scheduler._proxy_left,  # noqa: SLF001
    ev.Retired: Scheduler._retire,  # noqa: SLF001
    ev.PauseAsked: Scheduler._pause_asked,  # noqa: SLF001
    ev.ResumeAsked: Scheduler._resume_asked,  # noqa: SLF001
    ev.EvictAsked: Scheduler._evict,  # noqa: SLF001
    ev.DrainBegan: Scheduler._drain,  # noqa: SLF001
    ev.DrainEnded: Scheduler._undrain,  # noqa: SLF001
    ev.Measured: Scheduler._measured,  # noqa: SLF001
    ev.Configured: Scheduler._configured,  # noqa: SLF001
    ev.Tick: Scheduler._tick,  # noqa: SLF001
}
