"""What an invocation comes to, by what its worker says and by how its worker ended. Without I/O."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from agent.seats import Job, Seat
from mee6.faults import FROM_PROXIES, FROM_RUNTIMES, bounded, exit_fault
from mee6.lane.messages import BINARY, JSON, TEXT, Fault, Report

CONTENT_TYPE_CHARS: Final = 255
KNOWN_TYPES: Final = frozenset({BINARY, JSON, TEXT})
"""Of results that need no look: nearly all."""


def believed(report: Report, seat: Seat, job: Job) -> Report:
    """The report as far as it can be true: a function may have written it in its runtime's name."""
    fault = report.fault
    if fault is not None:
        fault = bounded(fault, FROM_RUNTIMES if seat.is_direct else FROM_PROXIES)
        if fault.function not in job.plan.functions:
            fault = Fault(fault.code, fault.message, job.name, fault.error_type, fault.traceback)
        return Report(report.id, fault=fault, handed_over=report.handed_over)
    if report.stored and (job.room is None or not 0 < report.stored <= job.room.size):
        fault = Fault("result_refused", f"the result of {job.name!r} is where there is no room for it", job.name)
        return Report(report.id, fault=fault)
    if len(report.result) > seat.limits.result_bytes:
        why = f"the result of {job.name!r} is {len(report.result)} bytes, over the limit"
        fault = Fault("result_refused", f"{why} of {seat.limits.result_bytes}", function=job.name)
        return Report(report.id, fault=fault)
    if not is_content_type(report.content_type):
        return structs.replace(report, content_type=BINARY)
    return report


def is_content_type(text: str) -> bool:
    """Whether it could be one; a function may have written it."""
    return len(text) <= CONTENT_TYPE_CHARS and text.isprintable()


def loss(seat: Seat, otherwise: str) -> Fault:
    """Why a worker is lost: how the process that served it ended, where that is known."""
    name = seat.job.name if seat.job is not None else ""
    ended = seat.exits.get(seat.runtime_pid if seat.is_direct else seat.proxy_pid)
    if ended is None:
        return Fault("worker_lost", otherwise, name)
    if seat.is_direct:
        return exit_fault(name, *ended)
    return Fault("worker_lost", f"worker {seat.worker} was lost: {exit_fault('proxy', *ended).message}", name)
