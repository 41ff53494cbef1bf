"""The node's decisions: who gets which worker, what is started, paused, ended. No I/O, no clock.

One door: `handle(event, now) -> commands`. The shell (`agent.node`) carries the commands out in order and
brings the outcomes back as events.

Who may have a worker at all, so that callers never starve their callees, is `agent.core.capacity`'s to say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any, Final

from agent.core import events as ev
from agent.core.capacity import Capacity
from agent.core.circumstances import Circumstances, Hindrance
from agent.core.fleet import Fleet
from agent.core.handover import HandoverEvent, HandoverState
from agent.core.invocation import Invocation, InvocationEvent, InvocationState
from agent.core.settings import Settings
from agent.core.waiting import WaitingLine, rank
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
    line: WaitingLine = field(default_factory=WaitingLine)
    capacity: Capacity = field(init=False)
    _callees: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _retired: set[str] = field(default_factory=set)
    _refill_at: int = 0
    """When the pools are to be filled up; 0 while none is short."""
    _unsettled: bool = True
    """Something may have become possible for those that wait, or for the pools."""
    _out: list[ev.Command] = field(default_factory=list)
    _now: int = 0

    def __post_init__(self) -> None:
        self.fleet = Fleet(self.settings, self._out)
        self.capacity = Capacity(self.settings.max_workers)

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
        times += [at for at in (self._refill_at, self.fleet.held_until) if at]
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
        invocation = Invocation(
            event.id, event.digest, event.pool, event.depth, self._now, event.deadline, caller=event.caller
        )
        if worker is None or not worker.digest:
            invocation.circumstances = self._circumstances(invocation)
        self.invocations[event.id] = invocation
        if event.caller:
            self._callees[event.caller].add(event.id)
        if worker is None:
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
        leases = [worker.lease for worker in workers if worker.lease]
        return Circumstances(
            holding=sum(self.invocations[lease].digest == invocation.digest for lease in leases),
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
        return self.fleet.pool(invocation.pool).hindered

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
        worker.take(WorkerEvent.RELEASED, self._now)
        self._unlease(worker)
        worker.invocations += 1
        self._end(invocation, InvocationEvent.SUCCEEDED if event.ok else InvocationEvent.FAILED)
        self._idle(worker)

    def _end(self, invocation: Invocation, how: InvocationEvent) -> None:
        """Brings an invocation to its end, with all the calls it still has out."""
        if invocation.state is InvocationState.QUEUED:
            self.line.remove(invocation)
        invocation.machine.take(how)
        invocation.end_span(self._now)
        del self.invocations[invocation.id]
        if invocation.caller in self._callees:
            self._callees[invocation.caller].discard(invocation.id)
        for callee in self._callees.pop(invocation.id, ()):
            if orphan := self.invocations.get(callee):
                self._abort(orphan, InvocationEvent.CANCELLED, Fault("cancelled", "its caller has ended"))

    def _abort(self, invocation: Invocation, how: InvocationEvent, fault: Fault) -> None:
        """Ends an invocation from outside. Nothing stops a function that runs but the end of its worker."""
        worker = self._leased_to(invocation.worker, invocation.id)
        self._out.append(ev.Complete(invocation.id, fault))
        self._end(invocation, how)
        if worker is not None:
            self._stop(worker, f"{fault.code.replace('_', ' ')}: {invocation.id}")

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
            self.line.put_back(invocation)
            return
        self._out.append(ev.Complete(invocation.id, fault))
        self._end(invocation, InvocationEvent.FAILED if exited else InvocationEvent.LOST)

    # -- leases

    def _leased_to(self, worker: str, invocation: str) -> Worker | None:
        """The worker, if it lives and this invocation has it."""
        found = self.fleet.workers.get(worker)
        return found if found is not None and found.lease == invocation else None

    def _find(self, digest: str, pool: PoolKey, depth: int) -> Worker | None:
        """The idle worker for an invocation like this; None when there is none, or none that it may have."""
        return self.fleet.find(digest, pool) if self.capacity.room(depth) > 0 else None

    def _lease(self, invocation: Invocation, worker: Worker) -> None:
        """Gives an idle worker to an invocation and has it called, after a thaw and a load where needed."""
        self.fleet.remove_idle(worker)
        state = worker.state
        asleep = state is WorkerState.PAUSED or state is WorkerState.PAUSING
        waking = state is WorkerState.WAKING
        worker.take(WorkerEvent.LEASED, self._now)
        worker.lease, worker.lease_depth = invocation.id, invocation.depth
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

    def _go_on(self, worker: Worker, invocation: Invocation) -> None:
        """Loads or calls, now that the leased worker is awake."""
        if worker.digest:
            invocation.machine.take(InvocationEvent.CALLED)
            invocation.next_span("run", self._now)
            self._out.append(ev.Call(worker.id, invocation.id))
        else:
            invocation.next_span("load", self._now)
            self._out.append(ev.Load(worker.id, invocation.id))

    def _unlease(self, worker: Worker) -> None:
        self.capacity.give_back(worker.lease_depth)
        worker.lease = ""

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
        self.fleet.held_until, self.fleet.turned_away = 0, False
        heads = self.line.heads()
        unserved: list[Invocation] = []
        while heads:
            *_rank, first = heappop(heads)
            if self.capacity.room(first.depth) <= 0:
                break  # nor is there room for those after it, which are no deeper
            worker = self.fleet.find(first.digest, first.pool)
            if worker is not None:
                self.line.remove(first)
                self._lease(first, worker)
                if behind := self.line.behind(first):
                    heappush(heads, rank(behind))
                continue
            unserved.append(first)
            if self._now - first.accepted_at >= self.settings.patience:
                # Before younger ones take all that is idle: a busy function would keep this one out for ever.
                self.fleet.supply(first.pool, 1, self._limit(), self._now, bounded=first.depth == 1)
        demand = self.line.demand(unserved, self.capacity.room)
        calls = self.line.demand([one for one in unserved if one.depth > 1], self.capacity.room)
        for key, waiting in demand.items():
            self.fleet.supply(key, calls.get(key, 0), self._limit(), self._now, bounded=False)
            self.fleet.supply(key, waiting, self._limit(), self._now, bounded=True)
        self._refill(demand)
        # What deep calls made is ended, but for one depth more than is in use: those that run may call again.
        deepest = max(self.capacity.deepest + 1, self.line.deepest)
        self.fleet.trim(self.settings.max_workers * deepest, self._now)
        self._unsettled = False

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
        """Ends a worker; its invocation, if any, has been dealt with."""
        if worker.lease:
            self._unlease(worker)
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
        if invocation := self.invocations.get(worker.lease):
            self._lost_invocation(invocation, event.fault)
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
            worker.take(WorkerEvent.LOADED, self._now)
            worker.digest = invocation.digest
            self._go_on(worker, invocation)

    def _retire(self, event: ev.Retired) -> None:
        self._retired.add(event.digest)
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
        if invocation := self.invocations.get(worker.lease):
            self._lost_invocation(invocation, Fault("worker_lost", f"worker {worker.id} was evicted"))
        self._stop(worker, "it was evicted")

    def _configured(self, event: ev.Configured) -> None:
        self.settings = replace(event.settings, max_workers=self.settings.max_workers)
        self.fleet.configure(self.settings)
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
        if worker.lease:
            self._go_on(worker, self.invocations[worker.lease])
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
        if any(at and at <= self._now for at in (self._refill_at, self.fleet.held_until)):
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
            case _:
                self.fleet.rest(worker, self._now)
                self._unsettled = True  # one that ended leaves room


_HANDLERS: Final[dict[type[ev.Event], Callable[[Scheduler, Any], None]]] = {
    ev.Submitted: Scheduler._submitted,  # noqa: SLF001 - the table of the class's own door
    ev.CancelAsked: Scheduler._cancel_asked,  # noqa: SLF001
    ev.DeadlineLifted: Scheduler._lift_deadline,  # noqa: SLF001
    ev.Finished: Scheduler._finished,  # noqa: SLF001
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
