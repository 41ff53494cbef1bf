"""One node: the only place where the parts are wired, and what the services and the lanes talk to.

Holds the functions, the shell with its scheduler and driver, the feed and the history. Its life is an async
context: when it is left, no worker, socket or task of it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from agent import policy
from agent.config import AgentConfig
from agent.core import events as ev
from agent.core.scheduler import Scheduler
from agent.core.worker import LEASED, Worker, WorkerState
from agent.dependencies.resolver import ISOLATION, ResolveLimits, Resolver
from agent.dependencies.store import Dependencies
from agent.drivers.base import Capabilities, Driver, KnowsLanguages, KnowsTrouble, LimitsWorkers, WorkerLimits
from agent.feed import Feed, FunctionView, LogLine, NodeView, Picture, PoolView, WorkerView
from agent.functions import Functions
from agent.history import History, Outcome
from agent.lanes import LaneServer
from agent.meter import Meter, used
from agent.peers import Peer
from agent.seats import Answer, Job, Seat
from agent.services.api import NO_ENV, Added, Described, Ticket, silent
from agent.shell import Shell
from agent.stats import Stats
from agent.substrate.base import FunctionRecord
from agent.substrate.local import LocalSubstrate
from agent.views import handover_view, invocation_view, step_of, worker_view
from mee6.api.faults import API_LEVEL
from mee6.errors import Conflict, InvalidInput, NotFound, TooLarge
from mee6.faults import error_of
from mee6.lane.messages import AnyMessage, Hello, Limits, Log, Steps, Welcome
from mee6.version import VERSION
from mee6.visible import visible
from runtimes.catalog import Runtime

LOG_EVERY_S: Final = 0.2
"""Canonical lines are written in batches, off the invocations' path."""
MEASURE_EVERY_S: Final = 2.0
"""What workers use, for the memory budget and for the choice of which to end."""

SAMPLE_EVERY_S: Final = 1.0
"""The same, and all else that is shown, while somebody watches."""
SNAPSHOT_STEPS: Final = 2000
"""With so many a snapshot stays below gRPC's usual 4 MiB."""

_log: Final = logging.getLogger("mee6.agent")
_canonical: Final = logging.getLogger("mee6.agent.invocation")


class Node:
    """A node that serves from `running` on; implements `agent.services.api.NodeApi`."""

    def __init__(
        self, config: AgentConfig, driver: Driver, substrate: LocalSubstrate, runtimes: Mapping[str, Runtime]
    ) -> None:
        self.config = config
        self.id = agent_id(config.state_dir)
        self._dependencies = _dependencies(self.id, config, driver)
        limits = WorkerLimits(config.memory_bytes, config.cpus, config.pids, config.open_files, config.scratch_bytes)
        self.functions_of = Functions(substrate, runtimes, config.bundle_limit_bytes, self._dependencies, limits)
        self.history = History(config.kept_invocations, config.kept_bytes)
        self.feed = Feed(self._picture)
        self.stats = Stats()
        self._overall = (0.0, 0.0, 0.0)
        """Rate, p50 and p99 in ms, as sampled last."""
        self.draining = False
        self._stopping = False
        self._shown = NodeView(self.id, VERSION, API_LEVEL)
        self.listen = config.listen
        self._runtimes = runtimes
        self._driver = driver
        self._capabilities = Capabilities(driver="", isolation="", pause="", limits="")
        self._started_ns = time.monotonic_ns()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: list[tuple[Job, Answer]] = []
        self._meter = Meter()
        self._shell = Shell(
            Scheduler(policy.settings(config, self._capabilities, self._available())),
            driver,
            self,
            self._spawn,
            self.functions_of.code,
            self.functions_of.packages,
            limits,
            Limits(config.result_limit_bytes, config.log_limit_bytes),
            config.timeout_s,
            config.direct_lanes,
            config.one_core,
        )

    @contextlib.asynccontextmanager
    async def running(self, lane_path: Path) -> AsyncIterator[None]:
        """Serves within the context.

        Args:
            lane_path: where the lane socket shall be.

        Raises:
            Conflict: what the driver needs is not there.
        """
        await self._dependencies.open()
        await self.functions_of.load()
        async with LaneServer(lane_path, self):
            self._capabilities = await self._driver.open(self._shell.hooks())
            writer = asyncio.create_task(self._write_canonical_lines())
            self._spawn(self._measure())
            try:
                self._shell.tell(ev.Configured(policy.settings(self.config, self._capabilities, self._available())))
                yield
            finally:
                writer.cancel()
                self._write()
                await self._dependencies.close()
                await self._shell.close()
                await self._driver.close()
                self.feed.close()
                for task in [writer, *self._tasks]:
                    task.cancel()
                await asyncio.gather(writer, *self._tasks, return_exceptions=True)

    def drain(self) -> NodeView:
        """Takes no more invocations; see `NodeApi.drain`."""
        if not self.draining:
            self.draining = True
            self._shell.tell(ev.DrainBegan())
            self.publish_node()
            _log.info("draining: new invocations are refused")
        return self.info()

    def undrain(self) -> NodeView:
        """Takes invocations again; see `NodeApi.undrain`."""
        if self._stopping:
            raise Conflict("the agent is about to end, which cannot be undone; start it again with: mee6 agent serve")
        if self.draining:
            self.draining = False
            self._shell.tell(ev.DrainEnded())
            self.publish_node()
            _log.info("takes invocations again")
        return self.info()

    async def wind_down(self) -> None:
        """Takes no more invocations for good and waits for those going on, at most `config.drain_s`."""
        self._stopping = True
        self.drain()
        self.publish_node()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.drain_s):
                await self._shell.idle.wait()
        for job in list(self._shell.jobs.values()):
            self._shell.tell(ev.CancelAsked(job.id, "the agent was stopped"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the node failed", exc_info=error)

    # -- invocations

    def begin(self, user: str, name: str, arg: bytes, content_type: str, timeout_s: float | None) -> Ticket:
        """Accepts an invocation; see `NodeApi.begin`."""
        if self.draining:
            undone = "" if self._stopping else "; it takes them again after: mee6 agent undrain"
            raise Conflict(f"the agent {'stops' if self._stopping else 'drains'} and takes no invocations{undone}")
        if len(arg) > self.config.arg_limit_bytes:
            raise TooLarge(f"the argument has {len(arg)} bytes; the limit is {self.config.arg_limit_bytes}")
        plan = self.functions_of.plan(user, name)
        limit_s = timeout_s or plan.root.manifest.timeout_s or self.config.timeout_s
        now = time.monotonic_ns()
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        job = Job(
            id=os.urandom(6).hex(),
            user=user,
            plan=plan,
            arg=arg,
            content_type=content_type,
            chain=[name],
            timeout_s=limit_s,
            accepted_ns=now,
            deadline=now + int(limit_s * 1e9),
            flow_of="",
            answer=lambda answer: _settle(outcome, job.id, answer),
        )
        self.history.accepted(invocation_view(job, None), len(arg), lambda: (invocation_view(job, None), step_of(job)))
        self._shell.submit(job)
        return Ticket(job.id, outcome)

    def cancel(self, id: str) -> None:  # noqa: A002 - the API's word
        """Calls an invocation off; see `NodeApi.cancel`."""
        record = self.history.find(id)
        if record.outcome is None:
            self._shell.tell(ev.CancelAsked(record.view.id, "it was called off"))

    # -- functions

    async def add(
        self,
        user: str,
        act_name: str,
        packed: Path,
        sha256: str,
        size: int,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
    ) -> Added:
        """Adds a function; see `NodeApi.add`."""
        return self._added(await self.functions_of.add(user, act_name, packed, sha256, size, env, say))

    async def add_folder(
        self,
        user: str,
        act_name: str,
        folder: Path,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
    ) -> Added:
        """Adds a function; see `NodeApi.add_folder`."""
        return self._added(await self.functions_of.add_folder(user, act_name, folder, env, say))

    def _added(self, added: Added) -> Added:
        if not added.unchanged:
            self._retire_replaced(added.record.user)
            self.feed.publish(time.monotonic_ns(), _function_view(added.record))
            _log.info("added %s/%s version %d", added.record.user, added.record.name, added.record.version)
        return added

    def functions(self, user: str) -> list[FunctionRecord]:
        """A user's functions; see `NodeApi.functions`."""
        return sorted(self.functions_of.of(user).values(), key=lambda record: record.name)

    async def remove(self, user: str, name: str) -> None:
        """Removes a function; see `NodeApi.remove`."""
        record = self.functions_of.of(user).get(name)
        await self.functions_of.remove(user, name)
        self._retire_replaced(user)
        if record is not None:
            self.feed.publish(time.monotonic_ns(), _function_view(record, removed=True))
        await self.functions_of.forget_code(self._running)

    def _running(self) -> list[FunctionRecord]:
        plans = [seat.plan for seat in self._shell.seats.values() if seat.plan is not None]
        plans += [job.plan for job in self._shell.jobs.values()]
        return [one for plan in plans for one in plan.functions.values()]

    def _retire_replaced(self, user: str) -> None:
        """Tells the core of plans that no new invocation will be pinned to."""
        plans = {seat.plan.digest: seat.plan for seat in self._shell.seats.values() if seat.plan is not None}
        plans |= {job.plan.digest: job.plan for job in self._shell.jobs.values()}
        for digest, plan in plans.items():
            name = plan.root.name
            if plan.root.user != user:
                continue
            if name not in self.functions_of.of(user) or self.functions_of.plan(user, name).digest != digest:
                self._shell.tell(ev.Retired(digest))

    async def describe(self, user: str, name: str) -> Described:
        """All there is to say about a function; see `NodeApi.describe`."""
        plan = self.functions_of.plan(user, name)
        workers = [
            seat.worker
            for seat in self._shell.seats.values()
            if seat.plan is not None and (seat.plan.root.user, seat.plan.root.name) == (user, name)
        ]
        versions = await self.functions_of.versions(user, name)
        return Described(plan.root, versions, plan.missing, tuple(workers), self.stats.of(user, name))

    # -- peers: see agent.peers.PeerHost

    def attach(self, peer: Peer, hello: Hello, pid: int | None) -> Welcome:
        """Takes in a peer; see `PeerHost.attach`."""
        return self._shell.attach(peer, hello, pid)

    def received(self, peer: Peer, message: AnyMessage) -> None:
        """Handles what a peer sent; see `PeerHost.received`."""
        self._shell.received(peer, message)

    def detach(self, peer: Peer, reason: str) -> None:
        """Takes note that a peer is gone; see `PeerHost.detach`."""
        self._shell.detach(peer, reason)

    # -- what the shell tells: see agent.shell.Observer

    def worker_changed(self, worker: Worker, seat: Seat) -> None:
        """Publishes it."""
        if self.feed.watched:
            self.feed.publish(worker.since, worker_view(worker, seat))

    def worker_gone(self, seat: Seat, reason: str) -> None:
        """Publishes it."""
        if self.feed.watched:
            self.feed.publish(time.monotonic_ns(), worker_view(None, seat, reason))

    def invocation_changed(self, job: Job) -> None:
        """Remembers a call, and publishes it; a workflow's first is looked at where it is asked for."""
        if not job.parent and not self.feed.watched:
            return
        step = step_of(job)
        if job.parent:
            self.history.step(step)
        if self.feed.watched:
            now = time.monotonic_ns()
            self.feed.publish(now, step)
            if not job.parent:
                self.feed.publish(now, invocation_view(job, None))

    def invocation_ended(self, job: Job, answer: Answer) -> None:
        """Remembers, counts and publishes it."""
        step = step_of(job, answer)
        self.history.step(step)
        if self.feed.watched:
            self.feed.publish(time.monotonic_ns(), step)
        self.stats.add(job, answer)
        if job.parent:
            return
        view = invocation_view(job, answer)
        outcome = error_of(answer.fault) if answer.fault else Outcome(job.id, answer.result, answer.content_type)
        self.history.ended(view, outcome)
        if self.feed.watched:
            self.feed.publish(view.ended_ns, view)
        if _canonical.isEnabledFor(logging.INFO):
            self._unwritten.append((job, answer))

    def handover_changed(self, worker: Worker, seat: Seat, reason: str) -> None:
        """Publishes it."""
        if self.feed.watched:
            self.feed.publish(time.monotonic_ns(), handover_view(worker, seat, reason))

    def steps_reported(self, root: str, steps: Steps) -> None:
        """Remembers and publishes them."""
        now = time.monotonic_ns()
        for step in steps.steps:
            if step.id.startswith(f"{root}."):  # a worker speaks for its own invocation only
                self.history.step(step)
                self.feed.publish(now, step)

    def logged(self, seat: Seat, job: Job | None, log: Log) -> None:
        """Remembers and publishes it."""
        if job is None:
            _log.info("worker %s: %s", seat.worker, visible(log.text.rstrip()))
            return
        step = log.invocation if log.invocation.partition(".")[0] == job.root else job.id
        at = log.at_ns or time.monotonic_ns()
        name = self._function_of_step(job, step)
        line = LogLine(at, step, name, seat.worker, log.stream, log.text, log.dropped_bytes)
        self.history.log(line)
        self.feed.publish(at, line)

    def _function_of_step(self, job: Job, step: str) -> str:
        if step == job.id:
            return job.name
        with contextlib.suppress(KeyError):
            return self.history.find(job.root).steps[step].function
        return job.name

    # -- the node as a whole

    def info(self) -> NodeView:
        """The node as it is now; see `NodeApi.info`."""
        core = self._shell.core
        workers = core.fleet.workers.values()
        missing = {name: runtime.missing() for name, runtime in self._runtimes.items()}
        now = time.monotonic_ns()
        can = self._capabilities
        trouble = self._driver.what_is_wrong() if isinstance(self._driver, KnowsTrouble) else ""
        rate, p50_ms, p99_ms = self._overall
        return NodeView(
            id=self.id,
            version=VERSION,
            api=API_LEVEL,
            driver=can.driver,
            isolation=can.isolation,
            pause=can.pause,
            limits=can.limits,
            notes=(*can.notes, trouble) if trouble else can.notes,
            runtimes=tuple(name for name, why in missing.items() if not why),
            missing=tuple(why for why in missing.values() if why),
            listen=self.listen,
            started_ns=self._started_ns,
            wall_offset_ns=time.time_ns() - now,
            now_ns=now,
            workers=len(workers),
            paused=sum(worker.state is WorkerState.PAUSED for worker in workers),
            busy=sum(worker.state in LEASED for worker in workers),
            queued=len(core.line),
            max_workers=self.config.max_workers,
            rss_bytes=self._meter.rss_bytes,
            draining=self.draining,
            pid=os.getpid(),
            state_dir=str(self.config.state_dir),
            invocations=self.stats.invocations,
            failures=self.stats.failures,
            pause_policy=str(core.settings.pause),
            keep_alive_s=self.config.keep_alive_s,
            linger_s=self.config.linger_s,
            memory_bytes=core.fleet.memory_bytes,
            memory_budget_bytes=self.config.memory_budget_bytes,
            pools=tuple(
                PoolView(
                    name=str(pool.key),
                    ready=len(pool.ready),
                    starting=pool.starting,
                    floor=pool.target,
                    ceiling=core.settings.ceiling.get(pool.key.runtime, 0),
                    failure=pool.last_failure if pool.failures else "",
                )
                for pool in core.fleet.pools.values()
            ),
            workers_cpu=sum(seat.used.cpu for seat in self._shell.seats.values()),
            watchers=self.feed.watchers,
            rate=rate,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
            stopping=self._stopping,
            **msgspec.structs.asdict(self._meter.reading),
        )

    def configure(self, changes: policy.Changes) -> NodeView:
        """Changes what may change while it serves; see `NodeApi.configure`."""
        self.config = policy.changed(self.config, changes, self._runtimes)
        self._shell.tell(ev.Configured(policy.settings(self.config, self._capabilities, self._available())))
        self.publish_node()
        return self.info()

    def workers(self) -> list[WorkerView]:
        """Its workers; see `NodeApi.workers`."""
        return list(self._picture().workers)

    def evict(self, worker: str, *, force: bool) -> None:
        """Ends a worker; see `NodeApi.evict`."""
        found = self._worker(worker)
        if found.lease and not force:
            raise Conflict(f"worker {worker} runs an invocation; see: mee6 act cancel {found.lease}, or --force")
        self._shell.tell(ev.EvictAsked(worker))

    async def pause(self, worker: str) -> WorkerView:
        """Freezes an idle worker; see `NodeApi.pause`."""
        found = self._worker(worker)
        if self._capabilities.pause in ("", "none"):
            raise Conflict(f"the {self._capabilities.driver} driver cannot pause workers here; see: mee6 agent status")
        match found.state:
            case WorkerState.PAUSED | WorkerState.PAUSING:
                pass
            case WorkerState.PREWARMED | WorkerState.WARM:
                self._shell.tell(ev.PauseAsked(worker))
            case _ if found.lease:
                raise Conflict(f"worker {worker} runs an invocation; see: mee6 act cancel {found.lease}")
            case _:
                raise Conflict(f"worker {worker} is {found.state}; only one that is prewarmed or warm can be paused")
        return await self._settled(worker, WorkerState.PAUSED, "paused")

    async def resume(self, worker: str) -> WorkerView:
        """Thaws a paused worker; see `NodeApi.resume`."""
        found = self._worker(worker)
        if found.state is WorkerState.PAUSING:
            await self._freezer_done(worker)
            found = self._worker(worker)
        if found.state is WorkerState.PAUSED:
            self._shell.tell(ev.ResumeAsked(worker))
        elif found.state is not WorkerState.WAKING:
            raise Conflict(f"worker {worker} is {found.state}, not paused; see: mee6 worker ls")
        return await self._settled(worker, WorkerState.WARM if found.digest else WorkerState.PREWARMED, "resumed")

    def _worker(self, name: str) -> Worker:
        worker = self._shell.core.fleet.workers.get(name)
        if worker is None:
            raise NotFound(f"no worker {name!r}; see: mee6 worker ls")
        return worker

    async def _freezer_done(self, worker: str) -> None:
        seat = self._shell.seats.get(worker)
        if seat is not None and seat.freezing is not None:
            await asyncio.wait([seat.freezing])

    async def _settled(self, name: str, wanted: WorkerState, what: str) -> WorkerView:
        """Waits for what the freezer does to a worker; its view afterwards."""
        await self._freezer_done(name)
        worker, seat = self._shell.core.fleet.workers.get(name), self._shell.seats.get(name)
        if worker is None or seat is None:
            raise Conflict(f"worker {name} ended before it was {what}; see the agent's log")
        if worker.state is not wanted and not worker.lease:
            raise Conflict(f"worker {name} is {worker.state} again; see: mee6 worker ls")
        return worker_view(worker, seat)

    async def set_limits(self, worker: str, memory_bytes: int | None, cpus: float | None) -> WorkerLimits:
        """Changes what a worker may use; see `NodeApi.set_limits`."""
        seat = self._shell.seats.get(worker)
        if seat is None or self._shell.core.fleet.workers[worker].state is WorkerState.STARTING:
            raise NotFound(f"no worker {worker!r} that is connected; see: mee6 worker ls")
        if not isinstance(self._driver, LimitsWorkers):
            raise Conflict(f"the {self._capabilities.driver} driver cannot change the limits of a live worker")
        if (memory_bytes is not None and memory_bytes <= 0) or (cpus is not None and not 0 <= cpus < 1024):
            raise InvalidInput("memory must be above 0, and cores between 0 and 1024")
        asked = {"memory_bytes": memory_bytes, "cpus": cpus}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        limits = replace(seat.worker_limits, **given)
        await self._driver.set_limits(worker, limits.memory_bytes, limits.cpus)
        seat.worker_limits = limits
        return limits

    def _available(self) -> set[str]:
        return {name for name, runtime in self._runtimes.items() if not runtime.missing()}

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S if self.feed.watched else MEASURE_EVERY_S)
            changed = [seat for seat in list(self._shell.seats.values()) if await self._measured(seat)]
            held = {
                seat.worker: seat.used.memory_bytes for seat in self._shell.seats.values() if seat.used.memory_bytes
            }
            self._shell.tell(ev.Measured(held))
            if self.feed.watched:
                self._sample(changed)
            else:
                self._meter.forget()
                self._overall = (0.0, 0.0, 0.0)

    async def _measured(self, seat: Seat) -> bool:
        """Looks what a worker uses; whether that is other than before."""
        await asyncio.sleep(0)  # many workers' files are not read in one go
        if seat.stopped:
            return False
        before = seat.used
        seat.used = used(self._driver.usage(seat.worker), before, time.monotonic_ns())
        return replace(before, at_ns=0) != replace(seat.used, at_ns=0)

    def _sample(self, changed: list[Seat]) -> None:
        """Publishes what was measured."""
        now = time.monotonic_ns()
        self._meter.read()
        self._overall = self.stats.overall(now)
        for seat in changed:
            if worker := self._shell.core.fleet.workers.get(seat.worker):
                self.feed.publish(now, worker_view(worker, seat))
        for view in self.stats.changed_figures(self._shell.jobs.values(), now):
            self.feed.publish(now, view)
        self.publish_node()

    def publish_node(self) -> None:
        """Publishes the node's own state."""
        if self.feed.watched:
            self._shown = self.info()
            self.feed.publish(self._shown.now_ns, self._shown)

    def _publish_changed_node(self) -> None:
        """The same, unless nothing is new but the time; what is sampled is published with it."""
        if self.feed.watched:
            now = self.info()
            same = msgspec.structs.replace(now, now_ns=self._shown.now_ns, rss_bytes=self._shown.rss_bytes)
            if same != self._shown:
                self._shown = now
                self.feed.publish(now.now_ns, now)

    def _picture(self) -> Picture:
        core = self._shell.core
        return Picture(
            self.info(),
            tuple(worker_view(worker, self._shell.seats[worker.id]) for worker in core.fleet.workers.values()),
            tuple(_function_view(record) for record in self.functions_of.all()),
            self.history.recent(),
            self.stats.figures(self._shell.jobs.values(), time.monotonic_ns()),
            self.history.live_steps(SNAPSHOT_STEPS),
            tuple(
                handover_view(worker, seat)
                for seat in self._shell.seats.values()
                if seat.stages and (worker := core.fleet.workers.get(seat.worker))
            ),
        )

    async def _write_canonical_lines(self) -> None:
        while True:
            due = time.monotonic() + LOG_EVERY_S
            await asyncio.sleep(LOG_EVERY_S)
            self._meter.late(time.monotonic() - due)
            self._write()
            self._publish_changed_node()

    def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        for job, answer in unwritten:
            step = step_of(job, answer)
            times = " ".join(f"{span.kind}_ms={(span.end_ns - span.start_ns) / 1e6:.2f}" for span in step.spans)
            _canonical.info(
                "id=%s user=%s function=%s version=%d worker=%s start=%s via=%s state=%s %s",
                job.id, job.user, job.name, step.version, step.worker, step.start, step.via, step.state, times,
            )  # fmt: skip


def _dependencies(agent: str, config: AgentConfig, driver: Driver) -> Dependencies:
    limits = ResolveLimits(config.dependency_timeout_s, config.dependency_bytes, config.dependency_memory_bytes)
    isolated = os.environ.get(ISOLATION) != "none"
    knows = driver.language_version if isinstance(driver, KnowsLanguages) else lambda _language: ""
    return Dependencies(config.state_dir, Resolver(agent, config.state_dir, limits, isolated=isolated), knows)


def _settle(outcome: asyncio.Future[Outcome], id_: str, answer: Answer) -> None:
    if outcome.done():  # whoever waited has gone
        return
    if answer.fault is None:
        outcome.set_result(Outcome(id_, answer.result, answer.content_type))
        return
    error = error_of(answer.fault)
    error.invocation = id_
    outcome.set_exception(error)
    outcome.exception()  # a detached invocation's failure is nobody's unretrieved exception


def _function_view(record: FunctionRecord, *, removed: bool = False) -> FunctionView:
    manifest = record.manifest
    return FunctionView(record.user, record.name, record.version, manifest.runtime, manifest.is_workflow, removed)


def agent_id(state_dir: Path) -> str:
    """The agent's name, made at its first start and kept: by it a later life finds what this one leaves."""
    path = state_dir / "agent.id"
    found = path.read_text("utf-8", "replace").strip() if path.exists() else ""
    if re.fullmatch(r"[0-9a-f]{8}", found):
        return found
    made = secrets.token_hex(4)  # also in place of one that was cut short: groups and folders are named by it
    fresh = path.with_suffix(".new")
    with fresh.open("w") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return made
