"""What must hold in a scheduler between any two events. Tests call it after each one."""

from __future__ import annotations

from collections import Counter

from agent.core.invocation import InvocationState
from agent.core.scheduler import Scheduler
from agent.core.worker import IDLE, LEASED, WorkerState


def check(scheduler: Scheduler) -> None:
    """Asserts capacity, one lease a worker, no invocation lost, nobody waiting beside a free worker."""
    fleet = scheduler.fleet
    leases = [lease for worker in fleet.workers.values() for lease in worker.leases]
    assert len(leases) == len(set(leases)), "an invocation has one worker"
    executing: Counter[str] = Counter()
    for worker in fleet.workers.values():
        assert (worker.state in LEASED) == worker.in_use, f"{worker.id} is {worker.state}, leases {[*worker.leases]}"
        assert len(worker.leases) + len(worker.ending) <= worker.slots, f"{worker.id} has more than it takes"
        assert len(worker.leases) <= 1 or worker.state is WorkerState.BUSY, "others join only what is busy"
        assert not worker.ending.keys() & scheduler.invocations.keys(), "what was called off has ended for its caller"
        assert worker.offered == worker.has_room == any(worker in shared for shared in fleet.shared.values())
        assert not worker.closed or worker.in_use
        for name, lease in worker.leases.items():
            assert scheduler.invocations.get(name) is lease, "a lease has its invocation"
            assert lease.depth == worker.lease_depth, "a worker's invocations are of one depth"
            assert worker.digest in ("", lease.digest)
            executing[lease.digest] += 1
        lists = [*fleet.holding.values(), *(pool.ready for pool in fleet.pools.values())]
        listed = sum(worker in group for group in lists)
        assert listed == (worker.state in IDLE), f"{worker.id} is {worker.state} and listed {listed} times"
    for invocation in scheduler.invocations.values():
        queued = invocation.state is InvocationState.QUEUED
        assert queued == (invocation in scheduler.line), f"{invocation.id} is {invocation.state}"
        holder = fleet.workers.get(invocation.worker)
        assert queued == (holder is None or invocation.id not in holder.leases), f"{invocation.id} has its worker"
        assert (invocation.stalls > 0) <= (invocation.stalled_since > 0)
        if queued:
            shared = fleet.find_shared(invocation.digest, invocation.depth)
            assert shared is None, f"{invocation.id} waits beside a worker with room"
        if queued and scheduler.capacity.room(invocation.depth) > 0:
            free = fleet.find(invocation.digest, invocation.pool)
            estimate = invocation.estimate
            may_wait = free is not None and not free.digest and estimate.executing and scheduler.settings.wait_for_busy
            assert free is None or may_wait, f"{invocation.id} waits beside a free worker"
    leased = scheduler.capacity.leased
    for depth in leased:
        held = sum(count for at, count in leased.items() if at <= depth)
        assert held <= scheduler.settings.max_workers * depth, f"{held} workers are leased at depth {depth} or less"
    assert leased == Counter(worker.lease_depth for worker in fleet.workers.values() if worker.in_use)
    for digest, count in executing.items():
        found = scheduler.estimates.known(digest)
        assert found is not None
        assert found.executing == count, f"{count} of {digest} execute"
    assert len(scheduler.line) == sum(one.state is InvocationState.QUEUED for one in scheduler.invocations.values())
    for pool in fleet.pools.values():
        starting = [w for w in fleet.workers.values() if w.state is WorkerState.STARTING and w.pool == pool.key]
        assert pool.starting == len(starting), "starts are counted"
