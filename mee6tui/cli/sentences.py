"""What happened, in a sentence: for `mee6 watch -o plain`, for logs, and for whoever has the screen read out."""

from __future__ import annotations

from mee6.records import Event, Figures, FunctionChange, Handover, Invocation, Log, Node, Step, What, Worker
from mee6.visible import visible
from mee6tui.cli import units

KINDS: dict[type[What], str] = {
    Worker: "worker",
    Invocation: "invocation",
    Step: "step",
    Log: "log",
    Handover: "handover",
    FunctionChange: "function",
    Node: "node",
    Figures: "figures",
}
"""A record's kind, as `mee6 watch --kind` names it."""


def sentence(event: Event) -> str:
    """One line without a newline."""
    match event.what:
        case Worker() as worker:
            return _worker(worker)
        case Invocation() as invocation:
            return _invocation(invocation)
        case Step() as step:
            return _step(step)
        case Log() as log:
            lost = f", {log.dropped_bytes} bytes were dropped" if log.dropped_bytes else ""
            return f"{log.function} ({log.invocation}) wrote to {log.stream}{lost}: {_one_line(log.text)}"
        case Handover() as handover:
            stage = handover.stages[-1].name if handover.stages else handover.state
            why = f": {handover.reason}" if handover.reason else ""
            return f"handover of worker {handover.worker} for {handover.function} is {stage}{why}"
        case FunctionChange() as change:
            what = "removed" if change.removed else f"added as version {change.version}"
            return f"function {change.name} of {change.username} was {what}"
        case Node() as node:
            return _node(node)
        case Figures() as figures:
            return (
                f"function {figures.function} of {figures.username}: {figures.rate:.1f} a second, "
                f"p50 {units.milliseconds(figures.p50_ms)}, p99 {units.milliseconds(figures.p99_ms)}, "
                f"{figures.queued} waiting, {figures.running} running, "
                f"{figures.invocations} so far, of which failed {figures.failures}"
            )


def subject(what: What) -> tuple[str, object]:
    """What a record is about, and how that stands apart from what is measured; None where each record is news."""
    match what:
        case Node() as node:
            counts = (node.workers, node.busy, node.paused, node.queued)
            return node.id, (node.stopping, node.draining, counts, node.pause_policy, node.pools)
        case Worker() as worker:
            holds = (worker.pool, worker.function, worker.username, worker.version, worker.via)
            return worker.id, (worker.state, holds, worker.invocation, worker.reason, worker.handover)
        case Figures() as figures:
            now = (figures.invocations, figures.failures, figures.queued, figures.running)
            return f"{figures.username}/{figures.function}", now
        case _:
            return "", None


def _worker(worker: Worker) -> str:
    holds = f", holds {worker.function} of {worker.username}" if worker.function else f", {worker.pool}"
    why = f": {worker.reason}" if worker.reason else ""
    runs = f", serves {worker.invocation}" if worker.invocation else ""
    used = f", uses {worker.cpu:.2f} cores and {units.mebibytes(worker.memory_bytes)}" if worker.memory_bytes else ""
    return f"worker {worker.id} is {worker.state}{holds}{runs}{used if not why else ''}{why}"


def _invocation(invocation: Invocation) -> str:
    where = f" in {invocation.worker}" if invocation.worker else ""
    how = f" ({invocation.start})" if invocation.start else ""
    took = ""
    if invocation.ended_ns:
        took = f" after {units.duration(invocation.ended_ns - invocation.accepted_ns)}"
    why = f": {_one_line(invocation.error)}" if invocation.error else ""
    what = f"invocation {invocation.id} of {invocation.function}"
    return f"{what} {_state(invocation.state)}{where}{how}{took}{why}"


def _step(step: Step) -> str:
    span = step.spans[-1] if step.spans else None
    doing = f", {span.kind}" if span is not None and not span.end_ns else ""
    where = f" in {step.worker}" if step.worker else ""
    why = f": {_one_line(step.error)}" if step.error else ""
    return f"step {step.id} of {step.function} {_state(step.state)}{where}{doing}{why}"


def _state(state: str) -> str:
    return state if state in ("succeeded", "failed") else f"is {state}"


def _node(node: Node) -> str:
    state = "stopping" if node.stopping else "draining" if node.draining else "serving"
    machine = f", machine {node.cpu_percent:.0f}% busy" if node.cores else ""
    return (
        f"node {node.id} is {state}: {node.workers} workers, {node.busy} busy, {node.paused} paused, "
        f"{node.queued} waiting, {node.rate:.1f} invocations a second{machine}"
    )


def _one_line(text: str) -> str:
    return visible(" / ".join(text.rstrip("\n").splitlines()))
