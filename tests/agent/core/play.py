"""A stage for the scheduler: tells it events, checks it after each one, and plays an obliging shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from agent.core import events as ev
from agent.core.handover import HandoverState
from agent.core.invariants import check
from agent.core.invocation import InvocationState
from agent.core.scheduler import Scheduler
from agent.core.settings import Settings
from agent.core.worker import WorkerState
from agent.drivers.base import PoolKey
from mee6.lane.messages import Fault

PYTHON = PoolKey("python")
NODE = PoolKey("nodejs")
SECOND = 1_000_000_000
LOST = Fault("worker_lost", "its process has ended")

C = TypeVar("C", bound=ev.Command)

ANSWERS: Final[dict[type[ev.Event], type[ev.Command]]] = {
    ev.WorkerConnected: ev.StartWorker,
    ev.WorkerStartFailed: ev.StartWorker,
    ev.PauseEnded: ev.Pause,
    ev.ResumeEnded: ev.Resume,
    ev.FunctionLoaded: ev.Load,
    ev.Finished: ev.Call,
    ev.ProxyLeft: ev.DismissProxy,
}


class Play:
    """One scheduler, its clock, and what it has asked for."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = SECOND
        self.core = Scheduler(settings or Settings(prewarm={}))
        self.asked: list[ev.Command] = []
        """Everything, ever."""
        self.todo: list[ev.Command] = []
        """What nobody has carried out yet."""

    def tell(self, event: ev.Event) -> list[ev.Command]:
        """Brings an event; what it led to."""
        commands = self.core.handle(event, self.now)
        asked_for = ANSWERS.get(type(event))
        answered = [one for one in self.todo if type(one) is asked_for and one.worker == event.worker]  # type: ignore[attr-defined]
        for one in answered[:1]:
            self.todo.remove(one)
        check(self.core)
        self.asked += commands
        self.todo += commands
        return commands

    def wait(self, duration: int) -> list[ev.Command]:
        """Lets time go by, in nanoseconds."""
        self.now += duration
        return self.tell(ev.Tick())

    def submit(
        self,
        invocation: str,
        digest: str = "f",
        pool: PoolKey = PYTHON,
        *,
        depth: int = 1,
        caller: str = "",
        limit: int = 3600 * SECOND,
    ) -> list[ev.Command]:
        """Has an invocation accepted."""
        return self.tell(ev.Submitted(invocation, digest, pool, depth, self.now + limit, caller))

    def oblige(self) -> None:
        """Carries out all that is asked for, but the calls of functions, until there is nothing more to do."""
        while work := [one for one in self.todo if not isinstance(one, ev.Call)]:
            if (answer := self.answer(work[0])) is None:
                self.todo.remove(work[0])
            else:
                self.tell(answer)

    def answer(self, command: ev.Command) -> ev.Event | None:
        """What a shell says to a command when all goes well."""
        match command:
            case ev.StartWorker(worker):
                return ev.WorkerConnected(worker)
            case ev.Pause(worker):
                return ev.PauseEnded(worker)
            case ev.Resume(worker):
                return ev.ResumeEnded(worker)
            case ev.Load(worker, invocation):
                return ev.FunctionLoaded(worker, invocation, None, handed_over=False)
            case ev.Call(worker, invocation):
                return ev.Finished(worker, invocation, ok=True)
            case ev.DismissProxy(worker):
                return ev.ProxyLeft(worker)
            case _:
                return None

    def begin(
        self, invocation: str, digest: str = "f", pool: PoolKey = PYTHON, *, depth: int = 1, caller: str = ""
    ) -> str:
        """Submits an invocation and obliges until its function has been called; the worker's id."""
        self.submit(invocation, digest, pool, depth=depth, caller=caller)
        self.oblige()
        assert self.state(invocation) is InvocationState.RUNNING
        return self.core.invocations[invocation].worker

    def finish(self, invocation: str, *, ok: bool = True) -> list[ev.Command]:
        """Has a running function return, or raise."""
        return self.tell(ev.Finished(self.core.invocations[invocation].worker, invocation, ok))

    def run(self, invocation: str, digest: str = "f", pool: PoolKey = PYTHON) -> str:
        """A whole invocation, done and over; the worker's id."""
        worker = self.begin(invocation, digest, pool)
        self.finish(invocation)
        self.oblige()
        return worker

    def state(self, invocation: str) -> InvocationState:
        """A live invocation's state."""
        return self.core.invocations[invocation].state

    def worker(self, worker: str) -> WorkerState:
        """A worker's state; `gone` for one that has ended."""
        found = self.core.fleet.workers.get(worker)
        return found.state if found else WorkerState.GONE

    def handover(self, worker: str) -> HandoverState:
        """How far a worker's handover is."""
        return self.core.fleet.workers[worker].handover.state

    def outcome(self, invocation: str) -> Fault | None:
        """What the caller was told of an invocation that ended without an answer; None where it was not."""
        told = [one.fault for one in self.every(ev.Complete) if one.invocation == invocation]
        assert len(told) <= 1
        return told[0] if told else None

    def every(self, kind: type[C], where: Callable[[C], bool] = lambda _: True) -> list[C]:
        """All commands of a kind so far."""
        return [one for one in self.asked if isinstance(one, kind) and where(one)]

    def is_alive(self, invocation: str) -> bool:
        """Whether it has not ended."""
        return invocation in self.core.invocations


def of(commands: list[ev.Command], kind: type[C]) -> list[C]:
    """Those of one kind."""
    return [one for one in commands if isinstance(one, kind)]
