"""What happened, as the shell tells it: remembered, counted, and published to whoever watches."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Final

from agent.ahead import LookAhead
from agent.core.worker import Worker
from agent.feed import Feed, InvocationView, LogLine, WorkerView
from agent.history import History
from agent.seats import Job, Seat
from agent.stats import Stats
from agent.views import (
    Remembered,
    circumstances_of,
    cut_short,
    handover_view,
    invocation_view,
    state_of,
    step_of,
    worker_view,
)
from mee6.lane.messages import Fault, Guess, Log, Step, Steps
from mee6.visible import visible

_log: Final = logging.getLogger("mee6.agent")
_canonical: Final = logging.getLogger("mee6.agent.invocation")
LINES: Final = 32
"""Canonical lines that are written together, so that no batch of them holds up the loop."""


class Chronicle:
    """See `agent.observer.Observer`."""

    def __init__(self, feed: Feed, history: History, stats: Stats, ahead: LookAhead) -> None:
        self._feed = feed
        self._history = history
        self._stats = stats
        self._ahead = ahead
        self._unwritten: list[Job] = []

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches."""
        return self._feed.watched

    def worker_changed(self, worker: Worker, seat: Seat) -> None:
        """Publishes how it is when the batch goes: a busy one changes twice with every call."""
        if self._feed.watched:
            self._feed.later((WorkerView, seat.worker), worker.since, lambda: worker_view(worker, seat))

    def worker_gone(self, seat: Seat, reason: str) -> None:
        """Publishes it."""
        if self._feed.watched:
            self._feed.drop((WorkerView, seat.worker))
            self._feed.publish(time.monotonic_ns(), worker_view(None, seat, reason))

    def accepted(self, job: Job) -> None:
        """Remembers it."""
        self._history.admit(job.id, job.user, len(job.arg), Remembered(job))

    def found(self, job: Job) -> None:
        """Remembers why it could not be warm at once, if so."""
        if (circumstances := circumstances_of(job)) is not None:
            self._history.found(job.id, circumstances)

    def invocation_changed(self, job: Job) -> None:
        """Remembers a call, and publishes it; a workflow's first is looked at where it is asked for."""
        record = job.record
        if job.held_ns or (record is not None and record.circumstances is not None):
            self.found(job)
        if not job.parent and not self._feed.watched:
            return
        now = time.monotonic_ns()
        self._feed.later((Step, job.id), now, lambda: step_of(job))
        if job.parent:
            self._history.step(step_of(job))
        else:
            self._feed.later((InvocationView, job.id), now, lambda: invocation_view(job))

    def invocation_ended(self, job: Job) -> None:
        """Remembers, counts and publishes it."""
        self._stats.add(job)
        if self._feed.watched:
            self._feed.drop((Step, job.id), (InvocationView, job.id))
            self._feed.publish(job.ended_ns, step_of(job))
        answer = job.ended
        assert answer is not None
        fault = answer.fault
        if fault is not None and job.plan.root.manifest.is_workflow:
            self._end_inside(job, fault)
        if job.parent:
            self._history.step(step_of(job))
            return
        if fault is None:
            self._history.closed(job.id, len(answer.result))
        else:
            if fault.traceback:  # who called over HTTP is not told it
                worker = job.record.worker if job.record is not None else ""
                story = fault.traceback.rstrip("\n") + "\n"
                self._note(LogLine(job.ended_ns, job.id, job.name, worker, "err", story))
            self._history.closed(job.id, len(fault.message) + len(fault.traceback))
        if job.plan.root.manifest.dependencies:
            self._ahead.ended(job)
        if self._feed.watched:
            self._feed.publish(job.ended_ns, invocation_view(job))
        if _canonical.isEnabledFor(logging.INFO):
            self._unwritten.append(job)
            if len(self._unwritten) >= LINES:
                self.write()

    def _end_inside(self, job: Job, fault: Fault) -> None:
        """Ends what still ran in the worker of a job that was ended: nobody is left there who would tell of it."""
        worker = job.record.worker if job.record is not None else ""
        for step in self._history.going_on(job.id, worker):
            ended = cut_short(step, fault, job.ended_ns)
            if self._history.step(ended) and step.function in job.plan.functions:
                self._stats.add_step(job.user, ended)
            self._feed.publish(job.ended_ns, ended)

    def handover_changed(self, worker: Worker, seat: Seat, reason: str) -> None:
        """Counts and publishes it."""
        if seat.stages[-1][0] == "confirmed":
            self._stats.handovers += 1
        if self._feed.watched:
            self._feed.publish(time.monotonic_ns(), handover_view(worker, seat, reason))

    def steps_reported(self, job: Job, steps: Steps) -> None:
        """Remembers, counts and publishes them."""
        now = time.monotonic_ns()
        for step in steps.steps:
            if step.id.startswith(f"{job.root}."):  # a worker speaks for its own invocation only
                if self._history.step(step) and step.function in job.plan.functions:
                    self._stats.add_step(job.user, step)
                self._feed.publish(now, step)

    def guessed(self, seat: Seat, guesses: Sequence[Guess]) -> None:
        """Learns from it."""
        if seat.plan is not None:
            self._ahead.guessed(seat.plan, guesses)

    def logged(self, seat: Seat, job: Job | None, log: Log) -> None:
        """Remembers and publishes it."""
        if job is None:
            _log.info("worker %s: %s", seat.worker, visible(log.text.rstrip()))
            return
        step = log.invocation if log.invocation.partition(".")[0] == job.root else job.id
        at = log.at_ns or time.monotonic_ns()
        name = self._function_of_step(job, step)
        self._note(LogLine(at, step, name, seat.worker, log.stream, log.text, log.dropped_bytes))

    def _note(self, line: LogLine) -> None:
        self._history.log(line)
        self._feed.publish(line.at_ns, line)

    def _function_of_step(self, job: Job, step: str) -> str:
        if step == job.id:
            return job.name
        with contextlib.suppress(KeyError):
            return self._history.find(job.root).steps[step].function
        return job.name

    def write(self) -> None:
        """Writes the canonical lines of what has ended since."""
        unwritten, self._unwritten = self._unwritten, []
        for job in unwritten:  # without asking who logs: to find a caller's line takes as long as to write it
            _canonical.handle(_canonical.makeRecord(_canonical.name, logging.INFO, __file__, 0, _line(job), (), None))


def _line(job: Job) -> str:
    """The canonical line of an invocation that has ended."""
    record = job.record
    spans = record.spans if record is not None else []
    times = " ".join([f"{kind}_ms={(end - start) / 1e6:.2f}" for kind, start, end in spans])
    worker, start = (record.worker, record.start or "") if record is not None else ("", "")
    return (
        f"id={job.id} user={job.user} function={job.name} version={job.plan.root.version} worker={worker} "
        f"start={start} via={job.via} state={state_of(job)} {times}"
    )
