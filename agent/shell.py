"""The shell around the scheduler: carries its commands out and brings the outcomes back as events.

Owned by the node; runs on its event loop. Whatever may wait (the driver) is a task of its own in the node's
task group; everything else happens at once. Nothing here decides: see `agent.core.scheduler`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from agent.core import events as ev
from agent.core.invocation import InvocationState
from agent.core.machine import InvalidTransition
from agent.core.scheduler import Scheduler
from agent.core.worker import Worker
from agent.drivers.base import Driver, Hooks, PoolKey, WorkerLimits, WorkerSpec, packages_name
from agent.peers import Peer
from agent.seats import Answer, Job, Seat
from agent.substrate.base import FunctionRecord
from mee6.errors import Mee6Error, NotAllowed, ProtocolError
from mee6.faults import FROM_PROXIES, FROM_RUNTIMES, bounded, exit_fault
from mee6.lane.messages import (
    BINARY,
    AnyMessage,
    AskHandover,
    Call,
    Fault,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Limits,
    Load,
    Log,
    Report,
    Result,
    Steps,
    Stream,
    Welcome,
)
from mee6.outflow import Gate, refusal

EXIT_PATIENCE_S: Final = 2.0
"""How long a cut lane waits for the driver to say how its process ended; on a busy machine that takes a while."""
TICK_NS: Final = 50_000_000
"""The grain of time limits, lingers and keep-alives."""

OPEN_CALLS: Final = 10_000
OPEN_CALL_BYTES: Final = 64 << 20
"""Calls of one step that have not ended, and their arguments: what the agent keeps for it has a bound."""
CONTENT_TYPE_CHARS: Final = 255

NEVER: Final = 1 << 62

_log: Final = logging.getLogger("mee6.agent")


class Observer(Protocol):
    """What the node sees and says. Called after the fact, on the loop; must be quick."""

    def worker_changed(self, worker: Worker, seat: Seat) -> None:
        """A worker may have come into another state."""
        ...

    def worker_gone(self, seat: Seat, reason: str) -> None:
        """A worker has been told to end."""
        ...

    def invocation_changed(self, job: Job) -> None:
        """An invocation came into another state."""
        ...

    def invocation_ended(self, job: Job, answer: Answer) -> None:
        """An invocation has its answer."""
        ...

    def handover_changed(self, worker: Worker, seat: Seat, reason: str) -> None:
        """A handover went a step on."""
        ...

    def steps_reported(self, root: str, steps: Steps) -> None:
        """A proxy told of steps inside its worker."""
        ...

    def logged(self, seat: Seat, job: Job | None, log: Log) -> None:
        """A function wrote something."""
        ...


class Shell:
    """Runs one scheduler against one driver.

    Args:
        spawn: begins a task that the node owns.
        code: SHA-256 -> the unpacked bundle.
        packages: the folder of what a version depends on; None for nothing.
        timeout_s: of functions that do not say.
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
        direct_lanes: bool,
        one_core: bool,
    ) -> None:
        self.core = scheduler
        self._driver = driver
        self._observer = observer
        self._spawn = spawn
        self._code = code
        self._packages = packages
        self._worker_limits = worker_limits
        self._lane_limits = lane_limits
        self._timeout_s = timeout_s
        self._direct_lanes = direct_lanes
        self._one_core = one_core
        self.seats: dict[str, Seat] = {}
        self.jobs: dict[str, Job] = {}
        self._tokens: dict[str, Seat] = {}
        self._peers: dict[Peer, Seat] = {}
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
        self._inbox.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._inbox:
                event = self._inbox.popleft()
                self._now = time.monotonic_ns()
                try:
                    commands = self.core.handle(event, self._now)
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
        manifest = job.plan.root.manifest
        pool = PoolKey(manifest.runtime, manifest.network, manifest.limits)
        self.tell(ev.Submitted(job.id, job.plan.digest, pool, len(job.chain), job.deadline, job.caller))

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
        token = secrets.token_hex(16)
        seat = Seat(command.worker, command.pool, token, self._lane_limits)
        seat.worker_limits = self._worker_limits.narrowed(seat.pool.limits)
        self.seats[seat.worker] = seat
        self._tokens[token] = seat
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
        self._tokens.pop(seat.token, None)
        for peer in (seat.proxy, seat.runtime):
            if peer is not None:
                self._peers.pop(peer, None)
                peer.close()
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

        def code(record: FunctionRecord) -> str:
            return self._driver.code_path(seat.worker, record.name, self._code[record.sha256])

        def packages(record: FunctionRecord) -> str:
            folder = self._packages(record)
            return self._driver.code_path(seat.worker, packages_name(record.name), folder) if folder else ""

        functions = seat.functions(code, packages, self._timeout_s)
        self._send(seat, Load(f"load/{job.id}", functions[job.name], functions))

    def _call(self, command: ev.Call) -> None:
        seat, job = self._seat_and_job(command)
        if not self._bind(seat, job):
            return
        if seat.is_direct and seat.plan is not None and seat.plan.root.manifest.is_workflow:
            manifest = seat.plan.root.manifest
            seat.gate = Gate(manifest.outflows, manifest.max_parallelism, can_stay=False)
        self._send(seat, Invoke(job.id, job.arg, job.content_type, job.chain))

    def _seat_and_job(self, command: ev.Load | ev.Call) -> tuple[Seat, Job]:
        seat, job = self.seats[command.worker], self.jobs[command.invocation]
        job.record, job.seat = self.core.invocations[job.id], seat
        seat.job = seat.last_job = job
        self._observer.invocation_changed(job)
        self._show(seat)
        return seat, job

    def _bind(self, seat: Seat, job: Job) -> bool:
        """Shows the job's code and storage in the worker, unless they are there; False for a worker that is gone."""
        flow = job.flow_of or seat.worker
        if seat.plan is not None and seat.plan.digest == job.plan.digest and seat.bound_flow == flow:
            return True
        seat.plan = job.plan
        seat.bound_flow = flow
        code = {name: self._code[record.sha256] for name, record in job.plan.functions.items()}
        for name, record in job.plan.functions.items():
            if folder := self._packages(record):
                code[packages_name(name)] = folder
        try:
            self._driver.bind(seat.worker, code, flow)
        except (Mee6Error, OSError, RecursionError) as error:  # a function may have spoilt its worker's folders
            self._inbox.append(ev.WorkerLost(seat.worker, Fault("worker_lost", str(error), job.name)))
            return False
        return True

    def _send(self, seat: Seat, message: AnyMessage) -> None:
        if seat.peer is not None:  # else its end is on the way
            seat.peer.send(message)

    def _complete(self, command: ev.Complete) -> None:
        job = self.jobs.get(command.invocation)
        if job is None:
            return
        fault = command.fault
        if fault.code == "timed_out":
            message = f"{job.name!r} took longer than its limit of {job.timeout_s:g} s and was stopped"
            fault = Fault(fault.code, message, function=job.name)
        elif not fault.function:
            fault = Fault(fault.code, fault.message, job.name, fault.error_type, fault.traceback)
        self._finish(job, Answer(b"", "", fault))

    def _finish(self, job: Job, answer: Answer) -> None:
        self.jobs.pop(job.id, None)
        job.answer(answer)
        self._observer.invocation_ended(job, answer)
        if not self.jobs:
            self.idle.set()

    # -- commands of the core: handover

    def _grant(self, command: ev.GrantHandover) -> None:
        seat = self.seats[command.worker]
        seat.token = secrets.token_hex(16)
        self._tokens[seat.token] = seat
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
        self._tokens.pop(seat.token, None)
        seat.token = ""
        if seat.runtime is not None:
            self._peers.pop(seat.runtime, None)
            seat.runtime.close()
            seat.runtime = None
        self._show_handover(seat, "failed", "the proxy keeps its runtime")

    def _dismiss(self, command: ev.DismissProxy) -> None:
        seat = self.seats[command.worker]
        seat.is_direct = True
        if seat.proxy is not None:
            seat.proxy.send(Goodbye())
        self._show_handover(seat, "confirmed")

    # -- peers (see agent.peers.PeerHost)

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        """Takes in a peer; see `PeerHost`."""
        seat = self._tokens.get(hello.token)
        if seat is None:
            raise NotAllowed("this token is not known, or has been used")
        if pid is not None and not self._driver.owns(seat.worker, pid):
            raise NotAllowed(f"process {pid} does not belong to worker {seat.worker}")
        del self._tokens[hello.token]
        seat.token = ""
        self._peers[peer] = seat
        if seat.proxy is not None:
            seat.runtime, seat.runtime_pid = peer, hello.pid
            self._soon(ev.RuntimeConnected(seat.worker))
        elif hello.role == "proxy":
            seat.proxy, seat.proxy_pid = peer, hello.pid
            self._soon(ev.WorkerConnected(seat.worker))
        else:
            seat.runtime, seat.runtime_pid, seat.is_direct = peer, hello.pid, True
            self._soon(ev.WorkerConnected(seat.worker, direct=True))
        act = self._driver.act_path(seat.worker)
        return Welcome(seat.worker, self._lane_limits, act, self._direct_lanes, self._one_core)

    def _soon(self, event: ev.WorkerConnected | ev.RuntimeConnected) -> None:
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
        seat = self._peers.get(peer)
        if seat is None:
            return  # its worker has been ended
        match message:
            case Report():
                self._reported(seat, peer, message)
            case Call():
                self._called(seat, peer, message)
            case Log():
                if len(message.text) > self._lane_limits.log_bytes:
                    raise ProtocolError(f"worker {seat.worker} sent more output at once than an invocation may write")
                job = seat.job or seat.last_job
                self._observer.logged(seat, job, message)
            case Steps() if peer is seat.proxy:
                if seat.job is not None:
                    self._steps_reported(seat, seat.job, message)
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
            elif not seat.is_direct and step.pid != seat.runtime_pid:
                seat.runtime_pid = step.pid
                self._observer.invocation_changed(job)
                self._show(seat)
        self._observer.steps_reported(job.root, Steps(inside))

    def _reported(self, seat: Seat, peer: Peer, report: Report) -> None:
        job = seat.job
        if job is None or peer is not seat.peer:
            return  # the answer to something that was called off
        record = self.core.invocations.get(job.id)
        report = self._believed(report, seat, job)
        if report.id == f"load/{job.id}":
            if record is None or record.state is not InvocationState.STARTING:
                raise ProtocolError(f"worker {seat.worker} reports a load out of turn")
            self.tell(ev.FunctionLoaded(seat.worker, job.id, report.fault, report.handed_over))
            return
        if report.id != job.id:
            return
        if record is None or record.state is not InvocationState.RUNNING:
            raise ProtocolError(f"worker {seat.worker} reports on {job.id!r} before it was called")
        seat.job = None
        seat.gate = None
        seat.held_calls.clear()
        if seat.bound_flow == seat.worker:
            with contextlib.suppress(Mee6Error, OSError, RecursionError):  # of one that has just gone
                self._driver.clear_flow(seat.worker)
        self.tell(ev.Finished(seat.worker, job.id, report.fault is None))
        self._finish(job, Answer(report.result, report.content_type, report.fault))
        self._show(seat)

    def _believed(self, report: Report, seat: Seat, job: Job) -> Report:
        """The report as far as it can be true: a function may have written it in its runtime's name."""
        fault = report.fault
        if fault is not None:
            fault = bounded(fault, FROM_RUNTIMES if seat.is_direct else FROM_PROXIES)
            if fault.function not in job.plan.functions:
                fault = Fault(fault.code, fault.message, job.name, fault.error_type, fault.traceback)
            return Report(report.id, fault=fault, handed_over=report.handed_over)
        if len(report.result) > self._lane_limits.result_bytes:
            why = f"the result of {job.name!r} is {len(report.result)} bytes, over the limit"
            fault = Fault("result_refused", f"{why} of {self._lane_limits.result_bytes}", function=job.name)
            return Report(report.id, fault=fault)
        if len(report.content_type) > CONTENT_TYPE_CHARS or not report.content_type.isprintable():
            return Report(report.id, report.result, BINARY, handed_over=report.handed_over)
        return report

    def detach(self, peer: Peer, reason: str) -> None:
        """Takes note that a peer is gone; see `PeerHost`."""
        seat = self._peers.pop(peer, None)
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
            self.tell(ev.WorkerLost(seat.worker, self._loss(seat, closed)))

    def _loss(self, seat: Seat, otherwise: str) -> Fault:
        """Why a worker is lost: how the process that served it ended, where that is known."""
        name = seat.job.name if seat.job is not None else ""
        ended = seat.exits.get(seat.runtime_pid if seat.is_direct else seat.proxy_pid)
        if ended is None:
            return Fault("worker_lost", otherwise, name)
        if seat.is_direct:
            return exit_fault(name, *ended)
        return Fault("worker_lost", f"worker {seat.worker} was lost: {exit_fault('proxy', *ended).message}", name)

    # -- calls of running functions

    def _called(self, seat: Seat, peer: Peer, call: Call) -> None:
        """Has a call of a running function run in another worker."""
        job = seat.job
        if job is None or peer is not seat.peer:
            return
        if not call.id.startswith(f"{job.id}."):
            raise ProtocolError(f"worker {seat.worker} makes a call {call.id!r} that is not {job.id!r}'s")
        if call.id in self.jobs or call.id in seat.held_calls:
            raise ProtocolError(f"worker {seat.worker} makes the call {call.id!r} twice")
        chain = call.chain or job.chain
        caller = job.plan.functions.get(chain[-1])
        if caller is None:
            raise ProtocolError(f"worker {seat.worker} calls for {chain[-1]!r}, which is not of its plan")
        lane_caller = seat.functions(_nowhere, _nowhere, self._timeout_s)[chain[-1]]
        if fault := refusal(lane_caller, chain, call.name, call.name in job.plan.functions):
            peer.send(Result(call.id, fault=fault))
            return
        if len(job.open_calls) >= OPEN_CALLS or job.open_bytes + len(call.arg) > OPEN_CALL_BYTES:
            why = (
                f"{job.name!r} has {len(job.open_calls)} calls under way, with {job.open_bytes >> 20} MiB of arguments"
            )
            limits = f"at most {OPEN_CALLS} and {OPEN_CALL_BYTES >> 20} MiB may be; wait for some of them first"
            peer.send(Result(call.id, fault=Fault("call_refused", f"{why}: {limits}", function=job.name)))
            return
        job.open_calls[call.id] = len(call.arg)
        job.open_bytes += len(call.arg)
        plan = job.plan.sub(call.name)
        timeout_s = plan.root.manifest.timeout_s or self._timeout_s
        now = time.monotonic_ns()
        nested = Job(
            id=call.id,
            user=job.user,
            plan=plan,
            arg=call.arg,
            content_type=call.content_type,
            chain=[*chain, call.name],
            timeout_s=timeout_s,
            accepted_ns=now,
            deadline=min(job.deadline, now + int(timeout_s * 1e9)),
            flow_of=seat.bound_flow,
            answer=lambda answer: self._answered(seat, peer, job, call.id, answer),
            parent=call.invocation,
            caller=job.id,
        )
        if seat.gate is None:
            self.submit(nested)
            return
        seat.held_calls[call.id] = nested
        self._let_go(seat, [call for call, _place in seat.gate.ask(call.id, call.name)])

    def _answered(self, seat: Seat, peer: Peer, job: Job, call: str, answer: Answer) -> None:
        job.open_bytes -= job.open_calls.pop(call, 0)
        peer.send(Result(call, answer.result, answer.content_type, answer.fault))
        if seat.gate is not None:
            self._let_go(seat, [call for call, _place in seat.gate.done(call)])

    def _let_go(self, seat: Seat, calls: list[str]) -> None:
        for call in calls:
            if nested := seat.held_calls.pop(call, None):
                self.submit(nested)

    # -- hooks of the driver

    def _worker_exited(self, worker: str, reason: str) -> None:
        if seat := self.seats.get(worker):  # a runtime alone in its worker ends it: both news come at once
            self.tell(ev.WorkerLost(worker, self._loss(seat, f"worker {worker} was lost: {reason}")))

    def _process_exited(self, worker: str, pid: int, status: int, cause: str) -> None:
        if seat := self.seats.get(worker):
            seat.exits[pid] = (status, cause)
            seat.exited.set()
            if len(seat.exits) > 256:
                del seat.exits[next(iter(seat.exits))]

    def _raw_output(self, worker: str, stream: Stream, text: str) -> None:
        if seat := self.seats.get(worker):
            job = seat.job or seat.last_job
            self._observer.logged(seat, job, Log(job.id if job else "", stream, text, time.monotonic_ns()))

    # -- what the node sees

    def _show(self, seat: Seat) -> None:
        if worker := self.core.fleet.workers.get(seat.worker):
            self._observer.worker_changed(worker, seat)

    def _show_handover(self, seat: Seat, stage: str, reason: str = "") -> None:
        seat.stages.append((stage, time.monotonic_ns()))
        if worker := self.core.fleet.workers.get(seat.worker):
            self._observer.handover_changed(worker, seat, reason)


def _nowhere(_record: FunctionRecord) -> str:
    """The folder of a function that is only asked about."""
    return ""


_EXECUTE: Final[dict[type[ev.Command], Callable[[Shell, Any], None]]] = {
    ev.StartWorker: Shell._start,  # noqa: SLF001 - the table of the class's own commands
    ev.StopWorker: Shell._stop,  # noqa: SLF001
    ev.Pause: Shell._freeze,  # noqa: SLF001
    ev.Resume: Shell._freeze,  # noqa: SLF001
    ev.Load: Shell._load,  # noqa: SLF001
    ev.Call: Shell._call,  # noqa: SLF001
    ev.Complete: Shell._complete,  # noqa: SLF001
    ev.GrantHandover: Shell._grant,  # noqa: SLF001
    ev.RefuseHandover: Shell._refuse,  # noqa: SLF001
    ev.UndoHandover: Shell._undo,  # noqa: SLF001
    ev.DismissProxy: Shell._dismiss,  # noqa: SLF001
}
