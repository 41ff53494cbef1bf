"""What must hold in a scheduler between any two events. Tests call it after each one."""

from __future__ import annotations

from collections import Counter

from agent.core.invocation import InvocationState
from agent.core.scheduler import Scheduler
from agent.core.worker import IDLE, LEASED, WorkerState


def check(scheduler: Scheduler) -> None:
    """Asserts capacity, one lease a worker, no invocation lost, nobody waiting beside a free worker."""
    fleet = scheduler.fleet
    leases = [worker.lease for worker in fleet.workers.values() if worker.lease]
    assert len(leases) == len(set(leases)), "an invocation has one worker"
    for worker in fleet.workers.values():
        assert (worker.state in LEASED) == bool(worker.lease), f"{worker.id} is {worker.state}, lease {worker.lease!r}"
        assert not worker.lease or worker.lease in scheduler.invocations, "a lease has its invocation"
        lists = [*fleet.holding.values(), *(pool.ready for pool in fleet.pools.values())]
        listed = sum(worker in group for group in lists)
        assert listed == (worker.state in IDLE), f"{worker.id} is {worker.state} and listed {listed} times"
    for invocation in scheduler.invocations.values():
        queued = invocation.state is InvocationState.QUEUED
        assert queued == (invocation in scheduler.line), f"{invocation.id} is {invocation.state}"
        holder = fleet.workers.get(invocation.worker)
        assert queued == (holder is None or holder.lease != invocation.id), f"{invocation.id} has its worker"
        if queued and scheduler.capacity.room(invocation.depth) > 0:
            assert fleet.find(invocation.digest, invocation.pool) is None, f"{invocation.id} waits beside a free worker"
    leased = scheduler.capacity.leased
    for depth in leased:
        held = sum(count for at, count in leased.items() if at <= depth)
        assert held <= scheduler.settings.max_workers * depth, f"{held} workers are leased at depth {depth} or less"
    assert leased == Counter(worker.lease_depth for worker in fleet.workers.values() if worker.lease)
    assert len(scheduler.line) == sum(one.state is InvocationState.QUEUED for one in scheduler.invocations.values())
    for pool in fleet.pools.values():
        starting = [w for w in fleet.workers.values() if w.state is WorkerState.STARTING and w.pool == pool.key]
        assert pool.starting == len(starting), "starts are counted"
