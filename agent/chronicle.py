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
from agent.history import History, Outcome
from agent.seats import Answer, Job, Seat
from agent.stats import Stats
from agent.views import circumstances_of, handover_view, invocation_view, step_of, worker_view
from mee6.faults import error_of
from mee6.lane.messages import Guess, Log, Step, Steps
from mee6.visible import visible

_log: Final = logging.getLogger("mee6.agent")
_canonical: Final = logging.getLogger("mee6.agent.invocation")


class Chronicle:
    """See `agent.observer.Observer`."""

    def __init__(self, feed: Feed, history: History, stats: Stats, ahead: LookAhead) -> None:
        self._feed = feed
        self._history = history
        self._stats = stats
        self._ahead = ahead
        self._unwritten: list[tuple[Job, Answer]] = []

    def worker_changed(self, worker: Worker, seat: Seat) -> None:
        """Publishes how it is when the batch goes: a busy one changes twice with every call."""
        if self._feed.watched:
            self._feed.later((WorkerView, seat.worker), worker.since, lambda: worker_view(worker, seat))

    def worker_gone(self, seat: Seat, reason: str) -> None:
        """Publishes it."""
        if self._feed.watched:
            self._feed.drop((WorkerView, seat.worker))
            self._feed.publish(time.monotonic_ns(), worker_view(None, seat, reason))

    def found(self, job: Job) -> None:
        """Remembers why it could not be warm at once, if so."""
        if (circumstances := circumstances_of(job)) is not None:
            self._history.found(job.id, circumstances)

    def invocation_changed(self, job: Job) -> None:
        """Remembers a call, and publishes it; a workflow's first is looked at where it is asked for."""
        self.found(job)
        if not job.parent and not self._feed.watched:
            return
        now = time.monotonic_ns()
        self._feed.later((Step, job.id), now, lambda: step_of(job))
        if job.parent:
            self._history.step(step_of(job))
        else:
            self._feed.later((InvocationView, job.id), now, lambda: invocation_view(job, None))

    def invocation_ended(self, job: Job, answer: Answer) -> None:
        """Remembers, counts and publishes it."""
        step = step_of(job, answer)
        self._history.step(step)
        if self._feed.watched:
            self._feed.drop((Step, job.id), (InvocationView, job.id))
            self._feed.publish(time.monotonic_ns(), step)
        self._stats.add(job, answer)
        if job.parent:
            return
        if answer.fault and answer.fault.traceback:  # who called over HTTP is not told it
            story = answer.fault.traceback.rstrip("\n") + "\n"
            self._note(LogLine(time.monotonic_ns(), job.id, job.name, step.worker, "err", story))
        view = invocation_view(job, answer)
        outcome = error_of(answer.fault) if answer.fault else Outcome(job.id, answer.result, answer.content_type)
        self._history.ended(view, outcome)
        if job.plan.root.manifest.dependencies:
            self._ahead.ended(job)
        if self._feed.watched:
            self._feed.publish(view.ended_ns, view)
        if _canonical.isEnabledFor(logging.INFO):
            self._unwritten.append((job, answer))

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
        for job, answer in unwritten:
            step = step_of(job, answer)
            times = " ".join(f"{span.kind}_ms={(span.end_ns - span.start_ns) / 1e6:.2f}" for span in step.spans)
            _canonical.info(
                "id=%s user=%s function=%s version=%d worker=%s start=%s via=%s state=%s %s",
                job.id, job.user, job.name, step.version, step.worker, step.start, step.via, step.state, times,
            )  # fmt: skip
