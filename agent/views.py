"""What the node shows of a worker, an invocation and a step: records of the core made into views of the feed."""

from __future__ import annotations

import time

import msgspec

from agent.core.circumstances import Circumstances
from agent.core.invocation import InvocationState
from agent.core.worker import Worker
from agent.feed import HandoverView, InvocationView, WorkerView
from agent.history import Outcome
from agent.seats import Job, Seat
from mee6.errors import Mee6Error
from mee6.faults import error_of
from mee6.lane.messages import Fault, Span, Step

_ENDED_AS = {
    "cancelled": InvocationState.CANCELLED,
    "timed_out": InvocationState.TIMED_OUT,
    "worker_lost": InvocationState.LOST,
}


def worker_view(worker: Worker | None, seat: Seat, reason: str = "") -> WorkerView:
    """A worker; None for one that is gone."""
    plan = seat.plan if worker is None or worker.digest or worker.lease else None
    return WorkerView(
        id=seat.worker,
        pool=str(seat.pool),
        state=str(worker.state) if worker is not None else "gone",
        user=plan.root.user if plan else "",
        function=plan.root.name if plan else "",
        version=plan.root.version if plan else 0,
        via="direct" if seat.is_direct else "proxy",
        invocation=worker.lease if worker is not None else "",
        since_ns=worker.since if worker is not None else time.monotonic_ns(),
        invocations=worker.invocations if worker is not None else 0,
        reason=reason,
        runtime_pid=seat.runtime_pid,
        memory_bytes=worker.memory_bytes if worker is not None else 0,
        cpu=seat.used.cpu if worker is not None else 0.0,
        cpu_ns=seat.used.cpu_ns,
        processes=seat.used.processes if worker is not None else 0,
        memory_limit_bytes=seat.worker_limits.memory_bytes,
        cpus_limit=seat.worker_limits.cpus,
        handover=str(worker.handover.state) if worker is not None else "",
        proxy_pid=seat.proxy_pid,
        started_ns=worker.started_at if worker is not None else 0,
    )


def handover_view(worker: Worker, seat: Seat, reason: str = "") -> HandoverView:
    """A worker's handover."""
    job = seat.job or seat.last_job
    return HandoverView(
        worker=seat.worker,
        state=str(worker.handover.state),
        reason=reason,
        runtime_pid=seat.runtime_pid,
        invocation=job.id if job else "",
        user=job.user if job else "",
        function=job.name if job else "",
        proxy_pid=seat.proxy_pid,
        stages=tuple(seat.stages),
    )


def state_of(job: Job) -> str:
    """The invocation's state: that of its answer where there is one, since the core forgets what has ended."""
    if (answer := job.ended) is not None:
        if answer.fault is None:
            return str(InvocationState.SUCCEEDED)
        return str(_ENDED_AS.get(answer.fault.code, InvocationState.FAILED))
    return str(job.record.state) if job.record is not None else str(InvocationState.QUEUED)


class Remembered(msgspec.Struct, frozen=True, gc=False):
    """An invocation as the history has it: all is made of its job, when somebody asks."""

    job: Job

    def look(self) -> tuple[InvocationView, Step]:
        """The invocation as it is, and as the first step of its trace."""
        return invocation_view(self.job), step_of(self.job)

    def outcome(self) -> Outcome | Mee6Error | None:
        """How it ended; None while it goes on."""
        answer = self.job.ended
        if answer is None:
            return None
        if answer.fault is not None:
            return error_of(answer.fault)
        return Outcome(self.job.id, answer.result, answer.content_type)


def invocation_view(job: Job) -> InvocationView:
    """A workflow's first invocation."""
    record = job.record
    return InvocationView(
        id=job.id,
        user=job.user,
        function=job.name,
        version=job.plan.root.version,
        state=state_of(job),
        worker=record.worker if record else "",
        start=(record.start or "") if record else "",
        accepted_ns=job.accepted_ns,
        ended_ns=job.ended_ns,
        error=_error_of(job),
    )


def step_of(job: Job) -> Step:
    """An invocation as a step of its workflow."""
    record, seat = job.record, job.seat
    held = [Span("queued", job.accepted_ns, job.accepted_ns + job.held_ns)] if job.held_ns else []
    return Step(
        id=job.id,
        parent=job.parent,
        function=job.name,
        version=job.plan.root.version,
        worker=record.worker if record else "",
        start=(record.start or "") if record else "",
        via=job.via if seat is None else "direct" if seat.is_direct else "proxy",
        state=state_of(job),
        pid=job.pid if seat is None else seat.runtime_pid,
        error=_error_of(job),
        spans=held + [Span(*span) for span in record.spans] if record else [Span("queued", job.accepted_ns)],
        name=job.step,
        result_bytes=len(job.ended.result) if job.ended is not None else 0,
    )


def cut_short(step: Step, fault: Fault, now: int) -> Step:
    """A step inside a worker that ended with what it ran in: lost with the worker, or called off with its caller."""
    is_lost = fault.code == "worker_lost"
    return msgspec.structs.replace(
        step,
        state=str(InvocationState.LOST if is_lost else InvocationState.CANCELLED),
        error=fault.message if is_lost else "its caller has ended",
        spans=[span if span.end_ns else Span(span.kind, span.start_ns, now) for span in step.spans],
    )


def _error_of(job: Job) -> str:
    return job.ended.fault.message if job.ended is not None and job.ended.fault is not None else ""


def circumstances_of(job: Job) -> Circumstances | None:
    """How things stood for an invocation; None where it found its function loaded and waited for nothing."""
    found = job.record.circumstances if job.record is not None else None
    if job.held_ns:
        found = found or Circumstances()
        found.held, found.held_by = job.held_ns, job.held_by
    return found
