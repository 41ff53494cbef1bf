"""The shell around the scheduler: carries its commands out and brings the outcomes back as events.

Owned by the node; runs on its event loop. Whatever may wait (the driver) is a task of its own in the node's
task group; everything else happens at once. Nothing here decides: see `agent.core.scheduler`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.ahead import Leaving
from agent.bindings import Bindings
from agent.calls import Calls
from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.machine import InvalidTransition
from agent.core.scheduler import Scheduler
from agent.core.waking import asleep
from agent.core.worker import WorkerState
from agent.drivers.base import Driver, Hooks, WorkerLimits, WorkerSpec
from agent.flows import Graphs, Masters
from agent.measured import Measured
from agent.observer import Observer
from agent.peers import Peer
from agent.plan import Plan
from agent.presence import Connected, Presence
from agent.seats import Answer, Job, Seat, told
from agent.store import Stores
from agent.substrate.base import FunctionRecord
from agent.verdict import KNOWN_TYPES, believed, is_content_type, loss
from agent.views import step_of
from mee6.errors import Mee6Error, ProtocolError
from mee6.lane.messages import (
    BINARY,
    AnyMessage,
    AskHandover,
    Call,
    Cancel,
    Chunk,
    Credit,
    Expect,
    Fault,
    Goodbye,
    Guessed,
    Handover,
    Head,
    Hello,
    Invoke,
    Limits,
    Log,
    Report,
    Steps,
    Stored,
    Stream,
    Welcome,
)

EXIT_PATIENCE_S: Final = 2.0
"""How long a cut lane waits for the driver to say how its process ended; on a busy machine that takes a while."""
USED: Final = frozenset({WorkerState.BUSY, WorkerState.WARM})
"""States in which a proxy that serves a workflow reads what it is told."""
TICK_NS: Final = 50_000_000
"""The grain of time limits, lingers and keep-alives."""

NEVER: Final = 1 << 62

_log: Final = logging.getLogger("mee6.agent")


class Shell:
    """Runs one scheduler against one driver.

    Args:
        spawn: begins a task that the node owns.
        code: SHA-256 -> the unpacked bundle.
        packages: the folder of what a version depends on; None for nothing.
        timeout_s: of functions that do not say.
        parallel_calls: of one workflow, in other workers at once, at each depth.
        expect: what a proxy shall load ahead of its calls; None for nothing.
        leaving: the calls that a function will make in other workers.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        driver: Driver,
        observer: Observer,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        code: Mapping[str, Path],
        packages: Callable[[FunctionRecord], Path | None],
        worker_limits: WorkerLimits,
        lane_limits: Limits,
        timeout_s: float,
        parallel_calls: int,
        direct_lanes: bool,
        one_core: bool,
        store: bool,
        expect: Callable[[Plan], Expect | None] = lambda _plan: None,
        leaving: Callable[[Plan], Sequence[Leaving]] = lambda _plan: (),
    ) -> None:
        self.core = scheduler
        self._driver = driver
        self._observer = observer
        self._spawn = spawn
        self._worker_limits = worker_limits
        self._lane_limits = lane_limits
        self._direct_lanes = direct_lanes
        self._one_core = one_core
        self._expect = expect
        self._leaving = leaving
        self.seats: dict[str, Seat] = {}
        self.jobs: dict[str, Job] = {}
        self._presence = Presence(driver.owns)
        self.stores = Stores(driver.store_path, enabled=store)
        self._bindings = Bindings(driver, code, packages, timeout_s, self.stores)
        self._calls = Calls(self.jobs, self.submit, timeout_s, parallel_calls)
        graphs = Graphs()
        self.measured = Measured(
            graphs, spawn, lambda limits: worker_limits.narrowed(limits).memory_bytes, parallel_calls
        )
        self._masters = Masters(graphs, self._calls.run, self._answered)
        self._inbox: deque[ev.Event] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._wake_at = NEVER
        self._now = 0
        self._stopping: set[asyncio.Task[None]] = set()
        self.idle = asyncio.Event()
        """Set while no job is live."""
        self.idle.set()

    def hooks(self) -> Hooks:
        """What the driver shall call back."""
        return Hooks(on_exit=self._worker_exited, on_process_exit=self._process_exited, on_output=self._raw_output)

    # -- the door to the core

    def tell(self, event: ev.Event) -> None:
        """Brings an event to the core and carries out what it asks for.

        An event that comes up while commands are being carried out waits until they have been.
        """
        inbox = self._inbox
        inbox.append(event)
        if self._busy:
            return
        self._busy = True
        handle = self.core.handle
        try:
            while inbox:
                event = inbox.popleft()
                self._now = now = time.monotonic_ns()
                try:
                    commands = handle(event, now)
                except InvalidTransition as refusal:  # a peer that does things out of turn; nothing was changed
                    _log.error("%s", refusal)
                    continue
                for command in commands:
                    _EXECUTE[type(command)](self, command)
        finally:
            self._busy = False
        # Any event may have brought the next time limit closer; the tick that looks is at most one grain away.
        if self._wake_at > self._now + TICK_NS:
            self._wake(self._now + TICK_NS)

    def _wake(self, at: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = at
        delay = max(at - time.monotonic_ns(), 0) / 1e9
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._wake_at = 0  # keeps `tell` from arming what is armed here
        self.tell(ev.Tick())
        at = self.core.next_wake()
        if at is None:
            self._timer, self._wake_at = None, NEVER
        else:
            self._wake(max(at, self._now + TICK_NS))

    def submit(self, job: Job) -> None:
        """Has a job run; its `answer` is called once, maybe at once."""
        self.jobs[job.id] = job
        self.idle.clear()
        plan = job.plan
        depth, takes = len(job.chain), plan.root.manifest.concurrency
        self.tell(ev.Submitted(job.id, plan.digest, plan.pool, depth, job.deadline, job.caller, takes))
        if job.record is None:  # it waits
            job.record = self.core.invocations.get(job.id)

    async def close(self) -> None:
        """Ends all workers and waits for it, as long as the driver's bounds allow."""
        if self._timer is not None:
            self._timer.cancel()
        for seat in list(self.seats.values()):
            self._stop(ev.StopWorker(seat.worker, "the agent stops"))
        while self._stopping:
            await asyncio.wait(self._stopping)

    # -- commands of the core: workers

    def _start(self, command: ev.StartWorker) -> None:
        seat = Seat(command.worker, command.pool, self._lane_limits)
        seat.worker_limits = self._worker_limits.narrowed(seat.pool.limits)
        self.seats[seat.worker] = seat
        token = self._presence.expect(seat)
        spec = WorkerSpec(seat.worker, seat.pool, token, seat.worker_limits)
        seat.starting = self._spawn(self._make(seat, spec))
        self._show(seat)

    async def _make(self, seat: Seat, spec: WorkerSpec) -> None:
        try:
            await self._driver.start(spec)
        except Mee6Error as error:
            _log.warning("worker %s could not be started: %s", seat.worker, error.message)
            self.tell(ev.WorkerStartFailed(seat.worker, error.message))

    def _stop(self, command: ev.StopWorker) -> None:
        seat = self.seats.pop(command.worker, None)
        if seat is None:
            return
        seat.stopped = True
        self._presence.end(seat)
        self.stores.left(seat)
        _log.info("worker %s ends: %s", seat.worker, command.reason)
        self._observer.worker_gone(seat, command.reason)
        task = self._spawn(self._end(seat))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _end(self, seat: Seat) -> None:
        for task in (seat.starting, seat.freezing):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait([task])
        try:
            await self._driver.stop(seat.worker)
        except Mee6Error as error:
            _log.error("worker %s could not be ended cleanly: %s", seat.worker, error.message)

    def _freeze(self, command: ev.Pause | ev.Resume) -> None:
        seat = self.seats[command.worker]
        seat.freezer.append(command)
        if seat.freezing is None or seat.freezing.done():
            seat.freezing = self._spawn(self._work_freezer(seat))
        self._show(seat)

    async def _work_freezer(self, seat: Seat) -> None:
        """Carries out a worker's pauses and resumes one after the other."""
        while seat.freezer and not seat.stopped:
            command = seat.freezer.popleft()
            pausing = isinstance(command, ev.Pause)
            error = ""
            try:
                await (self._driver.pause if pausing else self._driver.resume)(seat.worker)
            except Mee6Error as failure:
                error = failure.message
            if not seat.stopped:
                self.tell((ev.PauseEnded if pausing else ev.ResumeEnded)(seat.worker, error))
                self._show(seat)

    # -- commands of the core: invocations

    def _load(self, command: ev.Load) -> None:
        seat, job = self._seat_and_job(command)
        if not self._bind(seat, job):
            return
        if not seat.is_direct:
            self._tell_expected(seat, job.plan)
        self._send(seat, self._bindings.load(seat, job))

    def _tell_expected(self, seat: Seat, plan: Plan) -> None:
        """Tells a proxy what to load ahead, where that is not what it was told."""
        self._hand_expected(seat, self._expect(plan))

    def _hand_expected(self, seat: Seat, expected: Expect | None) -> None:
        if expected != seat.expected:
            seat.expected = expected
            self._send(seat, expected or Expect([], 0))

    def expect_anew(self) -> None:
        """Tells the proxies that are awake what has changed of what they shall expect."""
        found: dict[str, Expect | None] = {}
        for seat in self.seats.values():
            worker, plan = self.core.fleet.workers.get(seat.worker), seat.plan
            if plan is None or seat.is_direct or worker is None or worker.state not in USED:
                continue
            if plan.digest not in found:
                found[plan.digest] = self._expect(plan)
            self._hand_expected(seat, found[plan.digest])

    def _call(self, command: ev.Call) -> None:
        seat, job = self._seat_and_job(command)
        if not self._bind(seat, job):
            return
        if seat.is_direct and job.plan.root.manifest.is_workflow:
            self._calls.open_gate(job)
        if job.master:
            self._calls.open_gate(job)
            self._masters.begin(seat, job)
            return
        pipe, peer = job.pipe, seat.peer
        window = 0 if pipe is None else pipe.open(job.id, partial(self._send, seat))
        if peer is not None:  # else its end is on the way
            task = Invoke(job.id, job.arg, job.content_type, job.chain, job.request, window)
            if job.groups or job.part:
                task = msgspec.structs.replace(task, groups=job.groups, part=job.part)
            if job.room is not None or job.stored is not None:
                found = self.stores.referring(seat, job, task)
                if isinstance(found, Fault):
                    report = Report(job.id, fault=found)
                    asyncio.get_running_loop().call_soon(self._reported, seat, peer, report)
                    return
                task = found
            peer.send(task)
        if pipe is not None:
            pipe.was_warm = job.record is not None and job.record.start == "warm"
            pipe.called()
        if job.plan.root.manifest.dependencies:
            for calls in self._leaving(job.plan):
                if calls.after_s:
                    asyncio.get_running_loop().call_later(calls.after_s, self._wake_for, job, calls)
                else:
                    self._wake_for(job, calls)

    def _wake_for(self, job: Job, calls: Leaving) -> None:
        """Has workers thawed for calls that a job is expected to make now."""
        if job.id in self.jobs:
            for worker in asleep(self.core.fleet, calls.plan.digest, calls.plan.pool, calls.width):
                self.tell(ev.ResumeAsked(worker))

    def _seat_and_job(self, command: ev.Load | ev.Call) -> tuple[Seat, Job]:
        seat, job = self.seats[command.worker], self.jobs[command.invocation]
        job.record, job.seat = self.core.invocations[job.id], seat
        seat.jobs[job.id] = seat.last_job = job
        self._observer.invocation_changed(job)
        self._show(seat)
        return seat, job

    def _bind(self, seat: Seat, job: Job) -> bool:
        """Shows the job's code and storage in the worker, unless they are there; False for a worker that is gone."""
        plan = seat.plan
        is_held = plan is not None and plan.digest == job.plan.digest
        if is_held and (seat.bound_flow == (job.flow_of or seat.worker) or len(seat.jobs) > 1):
            return True
        try:
            self._bindings.bind(seat, job)
        except (Mee6Error, OSError, RecursionError) as error:  # a function may have spoilt its worker's folders
            self._inbox.append(ev.WorkerLost(seat.worker, Fault("worker_lost", str(error), job.name)))
            return False
        return True

    def _call_off(self, command: ev.CallOff) -> None:
        seat = self.seats[command.worker]
        seat.ending[command.invocation] = seat.jobs.pop(command.invocation)
        self._send(seat, Cancel(command.invocation))
        self._show(seat)

    def _send(self, seat: Seat, message: AnyMessage) -> None:
        if seat.peer is not None:  # else its end is on the way
            seat.peer.send(message)

    def _complete(self, command: ev.Complete) -> None:
        job = self.jobs.get(command.invocation)
        if job is None:
            return
        fault = command.fault
        if fault.code == "timed_out":
            what = f"step {job.step!r} ({job.name})" if job.step else f"{job.name!r}"
            message = f"{what} took longer than its limit of {job.timeout_s:g} s and was stopped"
            fault = Fault(fault.code, message, function=job.name)
        elif not fault.function:
            fault = Fault(fault.code, fault.message, job.name, fault.error_type, fault.traceback)
        self._finish(job, Answer(b"", "", fault))

    def _finish(self, job: Job, answer: Answer) -> None:
        self.jobs.pop(job.id, None)
        if job.master:
            self._masters.ended(job)
        if self._calls.fan_outs:
            self._calls.ended(job)
        tell, arg_bytes = job.answer, len(job.arg)
        job.end(answer, time.monotonic_ns())
        if job.step and (caller := self.jobs.get(job.caller)) is not None:
            if caller.teaches:
                self.measured.step(caller.plan, step_of(job), away=True)
        elif job.plan.root.manifest.steps and job.teaches and not job.part and answer.fault is None:
            self.measured.ended(job.plan, arg_bytes)
        tell(answer)
        self._observer.invocation_ended(job)
        if not self.jobs:
            self.idle.set()

    # -- commands of the core: handover

    def _grant(self, command: ev.GrantHandover) -> None:
        seat = self.seats[command.worker]
        self._presence.expect(seat)
        if seat.proxy is not None:
            seat.proxy.send(Handover(seat.token, self._driver.lane_path(seat.worker)))
        seat.stages = [("requested", self._now)]
        self._show_handover(seat, "granted")

    def _refuse(self, command: ev.RefuseHandover) -> None:
        seat = self.seats[command.worker]
        if seat.proxy is not None:
            seat.proxy.send(Handover("", ""))

    def _undo(self, command: ev.UndoHandover) -> None:
        seat = self.seats[command.worker]
        self._presence.take_back(seat)
        self._show_handover(seat, "failed", "the proxy keeps its runtime")

    def _dismiss(self, command: ev.DismissProxy) -> None:
        seat = self.seats[command.worker]
        seat.is_direct = True
        if seat.proxy is not None:
            # After what comes next for the runtime, which often shares a core with the proxy and its end.
            asyncio.get_running_loop().call_soon(seat.proxy.send, Goodbye())
        self._show_handover(seat, "confirmed")

    # -- peers (see agent.peers.PeerHost)

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        """Takes in a peer; see `PeerHost`."""
        seat, event = self._presence.attach(peer, hello, pid)
        self._soon(event)
        act = self._driver.act_path(seat.worker)
        return Welcome(seat.worker, self._lane_limits, act, self._direct_lanes, self._one_core)

    def _soon(self, event: Connected) -> None:
        """Tells the core once the welcome has gone out: tasks come after it."""

        def tell() -> None:
            self.tell(event)
            if seat := self.seats.get(event.worker):
                self._show(seat)
                if isinstance(event, ev.RuntimeConnected):
                    self._show_handover(seat, "connected")

        asyncio.get_running_loop().call_soon(tell)

    def received(self, peer: Peer, message: AnyMessage) -> None:
        """Handles what a peer sent; see `PeerHost`."""
        seat = self._presence.seat_of(peer)
        if seat is None:
            return  # its worker has been ended
        match message:
            case Report():
                self._reported(seat, peer, message)
            case Call():
                self._calls.ask(seat, peer, message)
            case Head() | Chunk() | Credit():
                self._streamed(seat, peer, message)
            case Log():
                if len(message.text) > self._lane_limits.log_bytes:
                    raise ProtocolError(f"worker {seat.worker} sent more output at once than an invocation may write")
                self._observer.logged(seat, seat.writer(message.invocation), message)
            case Stored() if peer is seat.peer:
                self.stores.told(seat.job, message)
            case Steps() if peer is seat.proxy:
                if seat.job is not None:
                    self._steps_reported(seat, seat.job, message)
            case Guessed() if peer is seat.proxy:
                self._observer.guessed(seat, message.guesses)
            case AskHandover() if peer is seat.proxy:
                self.tell(ev.HandoverAsked(seat.worker))
            case _:
                raise ProtocolError(f"worker {seat.worker} sent a {type(message).__name__}, which is not its to send")

    def _steps_reported(self, seat: Seat, job: Job, steps: Steps) -> None:
        """Hands on what a proxy tells of the steps inside; of the job's own, only which process runs it is news."""
        inside = []
        for step in steps.steps:
            if step.id != job.id:
                inside.append(step)
                if step.name:
                    self.measured.step(job.plan, step)
            elif not seat.is_direct and step.pid != seat.runtime_pid:
                seat.runtime_pid = step.pid
                self._observer.invocation_changed(job)
                self._show(seat)
        self._observer.steps_reported(job, Steps(inside))

    def _reported(self, seat: Seat, peer: Peer, report: Report) -> None:
        job = seat.jobs.get(report.id) or seat.jobs.get(report.id.removeprefix("load/"))
        if job is None or peer is not seat.peer:  # the answer to something that was called off
            if peer is seat.peer and report.id in seat.ending:
                del seat.ending[report.id]
                self.tell(ev.CalledOff(seat.worker, report.id))
                self._show(seat)
            return
        record = self.core.invocations.get(job.id)
        if (
            report.fault is not None
            or report.content_type not in KNOWN_TYPES
            or len(report.result) > seat.limits.result_bytes
            or report.stored
        ):
            report = believed(report, seat, job)
        if report.id == f"load/{job.id}":
            if record is None or record.state is not InvocationState.STARTING:
                raise ProtocolError(f"worker {seat.worker} reports a load out of turn")
            is_direct = seat.is_direct or report.handed_over
            slots = job.plan.root.manifest.concurrency if is_direct and seat.takes_many else 1
            self.tell(ev.FunctionLoaded(seat.worker, job.id, report.fault, report.handed_over, slots))
            return
        if report.id != job.id:
            return
        if record is None or record.state is not InvocationState.RUNNING:
            raise ProtocolError(f"worker {seat.worker} reports on {job.id!r} before it was called")
        self._answered(seat, job, report)

    def _answered(self, seat: Seat, job: Job, report: Report) -> None:
        """Ends a job with what its function, or the run of its declared steps, came to."""
        answer = Answer(report.result, report.content_type, report.fault, report.response, report.stored)
        del seat.jobs[job.id]
        job.gate = None
        if not job.parent:  # who asked from outside is told before what only the next one needs is done
            tell, job.answer = job.answer, told
            tell(answer)
        job.held_calls.clear()
        if seat.bound_flow == seat.worker and not seat.jobs:
            try:  # noqa: SIM105 - on the path of each invocation, where `suppress` costs three calls
                self._driver.clear_flow(seat.worker)
            except (Mee6Error, OSError, RecursionError):  # of one that has just gone
                pass
        self.tell(ev.Finished(seat.worker, job.id, report.fault is None))
        self._finish(job, answer)
        self._show(seat)

    def _streamed(self, seat: Seat, peer: Peer, message: Head | Chunk | Credit) -> None:
        """Hands on a piece of a result, or room for more of an argument."""
        job = seat.jobs.get(message.id)
        if job is None or peer is not seat.peer:
            return  # of something that was called off
        if job.pipe is None:
            raise ProtocolError(f"worker {seat.worker} streams what was not asked for in pieces")
        if isinstance(message, Head):
            if not is_content_type(message.content_type):
                message = Head(message.id, BINARY, message.response)
            self.tell(ev.DeadlineLifted(job.id))
            job.deadline = NEVER
        job.pipe.took(message)

    def detach(self, peer: Peer, reason: str) -> None:
        """Takes note that a peer is gone; see `PeerHost`."""
        seat = self._presence.leave(peer)
        if seat is None:
            return
        if peer is seat.proxy and seat.is_direct:
            seat.proxy = None
            self.tell(ev.ProxyLeft(seat.worker))
            self._show_handover(seat, "gone")
        elif peer is seat.peer:
            self._spawn(self._lost(seat, reason))

    async def _lost(self, seat: Seat, reason: str) -> None:
        """Lets the core know; gives the driver a moment to say how the process ended, unless it was cut off here."""
        if reason and not seat.stopped:
            name = seat.job.name if seat.job is not None else ""
            fault = Fault("worker_lost", f"worker {seat.worker} was cut off: {reason}", name)
            self.tell(ev.WorkerLost(seat.worker, fault))
            return
        pid = seat.runtime_pid if seat.is_direct else seat.proxy_pid
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_PATIENCE_S):
                while pid not in seat.exits:
                    seat.exited.clear()
                    await seat.exited.wait()
        if not seat.stopped:
            closed = f"worker {seat.worker} closed its lane"
            self.tell(ev.WorkerLost(seat.worker, loss(seat, closed)))

    # -- hooks of the driver

    def _worker_exited(self, worker: str, reason: str) -> None:
        if seat := self.seats.get(worker):  # a runtime alone in its worker ends it: both news come at once
            self.tell(ev.WorkerLost(worker, loss(seat, f"worker {worker} was lost: {reason}")))

    def _process_exited(self, worker: str, pid: int, status: int, cause: str) -> None:
        if seat := self.seats.get(worker):
            seat.exits[pid] = (status, cause)
            seat.exited.set()
            if len(seat.exits) > 256:
                del seat.exits[next(iter(seat.exits))]

    def _raw_output(self, worker: str, stream: Stream, text: str) -> None:
        if seat := self.seats.get(worker):
            job = seat.writer()
            self._observer.logged(seat, job, Log(job.id if job else "", stream, text, time.monotonic_ns()))

    # -- what the node sees

    def _show(self, seat: Seat) -> None:
        if self._observer.is_watched and (worker := self.core.fleet.workers.get(seat.worker)):
            self._observer.worker_changed(worker, seat)

    def _show_handover(self, seat: Seat, stage: str, reason: str = "") -> None:
        seat.stages.append((stage, time.monotonic_ns()))
        if worker := self.core.fleet.workers.get(seat.worker):
            self._observer.handover_changed(worker, seat, reason)


_EXECUTE: Final[dict[type[ev.Command], Callable[[Shell, Any], None]]] = {
    ev.StartWorker: Shell._start,  # noqa: SLF001 - the table of the class's own commands
    ev.StopWorker: Shell._stop,  # noqa: SLF001
    ev.Pause: Shell._freeze,  # noqa: SLF001
    ev.Resume: Shell._freeze,  # noqa: SLF001
    ev.Load: Shell._load,  # noqa: SLF001
    ev.Call: Shell._call,  # noqa: SLF001
    ev.CallOff: Shell._call_off,  # noqa: SLF001
    ev.Complete: Shell._complete,  # noqa: SLF001
    ev.GrantHandover: Shell._grant,  # noqa: SLF001
    ev.RefuseHandover: Shell._refuse,  # noqa: SLF001
    ev.UndoHandover: Shell._undo,  # noqa: SLF001
    ev.DismissProxy: Shell._dismiss,  # noqa: SLF001
}
