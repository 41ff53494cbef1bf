"""What the agent decides of declared workflows: which of their steps share a worker; and, where it was asked for, all.

Ordinarily a declared workflow is run in its worker (`proxy.flow`), and the agent sees of it what leaves. With
`--schedule master` it is run here, by the same machine: each step is a call to another worker, and comes back before
the next one begins. That is kept to be compared with: it is how an orchestrator runs one. So is
`--schedule spread`: run in its worker, but with each step sent through the agent to another one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from agent.plan import Plan
from agent.seats import Job, Seat
from mee6.declared.graph import Graph, graph_of
from mee6.declared.parts import Layout
from mee6.declared.run import Begin, CallEnded, Event, Finish, FlowRun, Start, Ticked
from mee6.declared.values import Value
from mee6.lane.messages import Call, Report, Result

_GRAPHS: Final = 64
"""Read graphs kept; of versions that are called."""


def spread_out(plan: Plan) -> dict[str, int]:
    """Groups in which no step shares a worker with another, nor with the workflow."""
    return {name: n for n, name in enumerate(plan.root.manifest.steps, 1)}


class Graphs:
    """The graphs of declared workflows, each read once."""

    def __init__(self) -> None:
        self._read: dict[str, Graph] = {}

    def of(self, plan: Plan) -> Graph | None:
        """That of a plan's function; None where it has code."""
        record = plan.root
        declaration = record.manifest.declaration
        if declaration is None:
            return None
        found = self._read.get(record.sha256)
        if found is None:
            if len(self._read) >= _GRAPHS:
                del self._read[next(iter(self._read))]
            found = self._read[record.sha256] = graph_of(declaration)
        return found


class Masters:
    """The declared workflows that the agent runs itself.

    Args:
        graphs: of what is run.
        call: has a call of a seat's job run; tells how it ended.
        finish: takes a job's outcome.
    """

    def __init__(
        self,
        graphs: Graphs,
        call: Callable[[Seat, Callable[..., None], Call], None],
        finish: Callable[[Seat, Job, Report], None],
    ) -> None:
        self._graphs = graphs
        self._call = call
        self._finish = finish
        self._live: dict[str, _Master] = {}

    def begin(self, seat: Seat, job: Job) -> None:
        """Runs a job whose worker is there; its steps run in others."""
        graph = self._graphs.of(job.plan)
        assert graph is not None
        run = FlowRun(graph, Value(job.arg, job.content_type), Layout(graph))
        master = self._live[job.id] = _Master(seat, job, run)
        self._tell(master, Begin())

    def ended(self, job: Job) -> None:
        """Forgets a job that has ended, whether or not it was run here."""
        master = self._live.pop(job.id, None)
        if master is not None and master.timer is not None:
            master.timer.cancel()

    def _tell(self, master: _Master, event: Event) -> None:
        """Carries out what follows from an event; what comes up meanwhile has its turn after it."""
        master.inbox.append(event)
        if master.is_handling:
            return
        master.is_handling = True
        while master.inbox and self._live.get(master.job.id) is master:
            for command in master.run.handle(master.inbox.popleft(), time.monotonic_ns()):
                if isinstance(command, Start):
                    self._start(master, command)
                elif isinstance(command, Finish):  # its calls that go on end with it
                    self._end(master, command)
        master.is_handling = False
        if master.timer is not None:
            master.timer.cancel()
            master.timer = None
        if master.run.due_ns:
            delay_s = max(master.run.due_ns - time.monotonic_ns(), 0) / 1e9
            master.timer = asyncio.get_running_loop().call_later(delay_s, self._tell, master, Ticked())

    def _start(self, master: _Master, command: Start) -> None:
        job, given = master.job, command.input
        number = f"{job.id}.{command.call}"

        def answered(*results: Result) -> None:
            for result in results:
                value = None if result.fault else Value(result.result, result.content_type)
                self._tell(master, CallEnded(command.call, value, result.fault))

        call = Call(
            number, job.id, command.function, given.data, given.content_type, job.chain,
            step=command.step, timeout_s=command.timeout_s,
        )  # fmt: skip
        self._call(master.seat, answered, call)

    def _end(self, master: _Master, finish: Finish) -> None:
        value = finish.value or Value(b"", "")
        self._finish(master.seat, master.job, Report(master.job.id, value.data, value.content_type, finish.fault))


class _Master:
    """One that runs."""

    __slots__ = ("inbox", "is_handling", "job", "run", "seat", "timer")

    def __init__(self, seat: Seat, job: Job, run: FlowRun) -> None:
        self.seat = seat
        self.job = job
        self.run = run
        self.inbox: deque[Event] = deque()
        self.is_handling = False
        self.timer: asyncio.TimerHandle | None = None
