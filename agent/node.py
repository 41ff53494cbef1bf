"""One node: the only place where the parts are wired, and what the services and the lanes talk to.

Holds the functions, the shell with its scheduler and driver, the feed and the history. Its life is an async
context: when it is left, no worker, socket or task of it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from agent import policy
from agent.acts import Acts
from agent.ahead import LookAhead, Mode
from agent.chronicle import Chronicle
from agent.config import AgentConfig
from agent.core import events as ev
from agent.core.scheduler import Scheduler
from agent.core.worker import LEASED, WorkerState
from agent.dependencies.resolver import ISOLATION, ResolveLimits, Resolver
from agent.dependencies.store import Dependencies
from agent.drivers.base import Capabilities, Driver, KnowsLanguages, KnowsTrouble, WorkerLimits
from agent.feed import Feed, FunctionView, NodeView, Picture, PoolView, WorkerView
from agent.flows import spread_out
from agent.functions import Functions
from agent.history import History, Outcome
from agent.ids import Ids
from agent.lanes import LaneServer
from agent.peers import Peer
from agent.plan import path_of
from agent.sampling import Sampling
from agent.seats import Answer, Job
from agent.services.api import NO_ENV, Added, Demand, Described, Ticket, silent
from agent.shell import Shell
from agent.stats import Stats
from agent.store import Passed
from agent.streams import Pipe
from agent.substrate.base import FunctionRecord
from agent.substrate.local import LocalSubstrate
from agent.syntax import Syntax
from agent.views import handover_view, worker_view
from mee6.api.faults import API_LEVEL
from mee6.errors import Conflict, InvalidInput, TooLarge
from mee6.faults import error_of
from mee6.lane.messages import AnyMessage, Hello, Limits, Request, Welcome
from mee6.version import VERSION
from runtimes.catalog import Runtime

LOG_EVERY_S: Final = 0.2
"""Canonical lines are written in batches, off the invocations' path."""
SNAPSHOT_STEPS: Final = 2000
"""With so many a snapshot stays below gRPC's usual 4 MiB."""

_log: Final = logging.getLogger("mee6.agent")


class Node:
    """A node that serves from `running` on; implements `agent.services.api.NodeApi`."""

    def __init__(
        self, config: AgentConfig, driver: Driver, substrate: LocalSubstrate, runtimes: Mapping[str, Runtime]
    ) -> None:
        self.config = config
        self.id = agent_id(config.state_dir)
        self._dependencies = _dependencies(self.id, config, driver)
        limits = WorkerLimits(config.memory_bytes, config.cpus, config.pids, config.open_files, config.scratch_bytes)
        self.functions_of = Functions(
            substrate, runtimes, config.bundle_limit_bytes, self._dependencies, limits, _syntax(driver)
        )
        self.history = History(config.kept_invocations, config.kept_bytes)
        self.feed = Feed(self._picture)
        self.stats = Stats()
        self.draining = False
        self._stopping = False
        self.listen = config.listen
        self.http = ""
        """Where HTTP is served; empty for nowhere."""
        self._runtimes = runtimes
        self._driver = driver
        self._ids = Ids()
        self._capabilities = Capabilities(driver="", isolation="", pause="", limits="")
        self._started_ns = time.monotonic_ns()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ahead = LookAhead(Mode(config.look_ahead), config.ahead_loads, self.history, substrate.patterns)
        self._chronicle = Chronicle(self.feed, self.history, self.stats, self.ahead)
        self._shell = Shell(
            Scheduler(policy.settings(config, self._capabilities, self._available())),
            driver,
            self._chronicle,
            self._spawn,
            self.functions_of.code,
            self.functions_of.packages,
            limits,
            Limits(config.result_limit_bytes, config.log_limit_bytes),
            config.timeout_s,
            policy.parallel_calls(config),
            config.direct_lanes,
            config.one_core,
            config.store,
            self.ahead.expect,
            self.ahead.leaving,
        )
        self._acts = Acts(self._shell, driver, lambda: self._capabilities)
        shown = NodeView(self.id, VERSION, API_LEVEL)
        self._sampling = Sampling(self._shell, driver, self.feed, self.stats, shown, self.info)

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
        await self.ahead.open()
        async with LaneServer(lane_path, self._shell):
            self._capabilities = await self._driver.open(self._shell.hooks())
            writer = asyncio.create_task(self._write_canonical_lines())
            self._spawn(self._sampling.go_on())
            try:
                self._shell.tell(ev.Configured(policy.settings(self.config, self._capabilities, self._available())))
                yield
            finally:
                writer.cancel()
                self._chronicle.write()
                self.ahead.digest()
                await self.ahead.keep(at_once=True)
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
            self._sampling.publish_node()
            _log.info("draining: new invocations are refused")
        return self.info()

    def undrain(self) -> NodeView:
        """Takes invocations again; see `NodeApi.undrain`."""
        if self._stopping:
            raise Conflict("the agent is about to end, which cannot be undone; start it again with: mee6 agent serve")
        if self.draining:
            self.draining = False
            self._shell.tell(ev.DrainEnded())
            self._sampling.publish_node()
            _log.info("takes invocations again")
        return self.info()

    async def wind_down(self) -> None:
        """Takes no more invocations for good and waits for those going on, at most `config.drain_s`."""
        self._stopping = True
        self.drain()
        self._sampling.publish_node()
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

    def begin(
        self, user: str, name: str, arg: bytes, content_type: str, timeout_s: float | None, schedule: str = ""
    ) -> Ticket:
        """Accepts an invocation; see `NodeApi.begin`."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        id_ = self._ids.take()
        self._accept(
            id_,
            user,
            name,
            arg,
            content_type,
            lambda answer: _settle(outcome, id_, answer),
            timeout_s,
            schedule=schedule,
        )
        return Ticket(id_, outcome)

    def submit(
        self,
        user: str,
        name: str,
        arg: bytes,
        content_type: str,
        answer: Callable[[Answer], None],
        timeout_s: float | None = None,
        request: Request | None = None,
        pipe: Pipe | None = None,
    ) -> str:
        """Accepts an invocation; see `NodeApi.submit`."""
        id_ = self._ids.take()
        self._accept(id_, user, name, arg, content_type, answer, timeout_s, request, pipe)
        return id_

    def _accept(
        self,
        id_: str,
        user: str,
        name: str,
        arg: bytes,
        content_type: str,
        answer: Callable[[Answer], None],
        timeout_s: float | None,
        request: Request | None = None,
        pipe: Pipe | None = None,
        schedule: str = "",
    ) -> None:
        if self.draining:
            undone = "" if self._stopping else "; it takes them again after: mee6 agent undrain"
            raise Conflict(f"the agent {'stops' if self._stopping else 'drains'} and takes no invocations{undone}")
        if len(arg) > self.config.arg_limit_bytes:
            raise TooLarge(f"the argument has {len(arg)} bytes; the limit is {self.config.arg_limit_bytes}")
        plan = self.functions_of.plan(user, name)
        limit_s = timeout_s or plan.root.manifest.timeout_s or self.config.timeout_s
        now = time.monotonic_ns()
        job = Job(
            id=id_,
            user=user,
            plan=plan,
            arg=arg,
            content_type=content_type,
            chain=[name],
            timeout_s=limit_s,
            accepted_ns=now,
            deadline=now + int(limit_s * 1e9),
            flow_of="",
            answer=answer,
            request=request,
            pipe=pipe,
        )
        if plan.root.manifest.steps:
            schedule = schedule or self.config.schedule
            job.master, job.teaches = schedule == "master", schedule == "worker"
            job.groups = spread_out(plan) if schedule == "spread" else self._shell.measured.groups(plan)
        elif schedule:
            raise InvalidInput(f"{name!r} has code and no declared steps to schedule; leave --schedule out")
        self._chronicle.accepted(job)
        self._shell.submit(job)
        if job.seat is None:  # it waits; of one that has a worker it has been noted
            self._chronicle.found(job)

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
        check: bool = True,
    ) -> Added:
        """Adds a function; see `NodeApi.add`."""
        return self._added(await self.functions_of.add(user, act_name, packed, sha256, size, env, say, check))

    async def add_folder(
        self,
        user: str,
        act_name: str,
        folder: Path,
        env: Mapping[str, str] = NO_ENV,
        say: Callable[[str], None] = silent,
        check: bool = True,
    ) -> Added:
        """Adds a function; see `NodeApi.add_folder`."""
        return self._added(await self.functions_of.add_folder(user, act_name, folder, env, say, check))

    def _added(self, added: Added) -> Added:
        if not added.unchanged:
            self._retire_replaced(added.record.user)
            self.feed.publish(time.monotonic_ns(), _function_view(added.record))
            _log.info("added %s/%s version %d", added.record.user, added.record.name, added.record.version)
        return added

    def functions(self, user: str) -> list[FunctionRecord]:
        """A user's functions; see `NodeApi.functions`."""
        return sorted(self.functions_of.of(user).values(), key=lambda record: record.name)

    def function(self, user: str, name: str) -> FunctionRecord:
        """A user's function; see `NodeApi.function`."""
        return self.functions_of.plan(user, name).root

    async def remove(self, user: str, name: str) -> None:
        """Removes a function; see `NodeApi.remove`."""
        record = self.functions_of.of(user).get(name)
        await self.functions_of.remove(user, name)
        self._retire_replaced(user)
        self.ahead.forget(user, name)
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
        packages = await self.functions_of.requirements(plan.root)
        url = f"http://{self.http}{path_of(user, name)}" if self.http else ""
        passed = self._shell.stores.of_function.get((user, name), Passed())
        stats = dataclasses.replace(
            self.stats.of(user, name),
            stored_blocks=passed.blocks,
            stored_bytes=passed.size,
            stored_over=passed.over,
        )
        demand, known = self._demand(plan.digest), self._shell.measured.known(plan)
        return Described(
            plan.root,
            versions,
            plan.missing,
            tuple(workers),
            stats,
            packages,
            url,
            tuple(self.ahead.foreseen(plan.root, plan)),
            self.ahead.mode is not Mode.OFF,
            demand,
            known,
        )

    def _demand(self, digest: str) -> Demand:
        found, now = self._shell.core.estimates.known(digest), time.monotonic_ns()
        if found is None:
            return Demand()
        return Demand(found.rate(now), found.time / 1e9, found.tau(now), found.samples, found.executing)

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

    # -- the node as a whole

    def totals(self) -> Stats:
        """What has been counted; see `NodeApi.totals`."""
        return self.stats

    def info(self) -> NodeView:
        """The node as it is now; see `NodeApi.info`."""
        core = self._shell.core
        workers = core.fleet.workers.values()
        missing = {name: runtime.missing() for name, runtime in self._runtimes.items()}
        now = time.monotonic_ns()
        can = self._capabilities
        trouble = self._driver.what_is_wrong() if isinstance(self._driver, KnowsTrouble) else ""
        rate, p50_ms, p99_ms = self._sampling.overall
        passed = self._shell.stores.passed
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
            http=self.http,
            started_ns=self._started_ns,
            wall_offset_ns=time.time_ns() - now,
            now_ns=now,
            workers=len(workers),
            paused=sum(worker.state is WorkerState.PAUSED for worker in workers),
            busy=sum(worker.state in LEASED for worker in workers),
            queued=len(core.line),
            max_workers=self.config.max_workers,
            rss_bytes=self._sampling.meter.rss_bytes,
            draining=self.draining,
            pid=os.getpid(),
            state_dir=str(self.config.state_dir),
            invocations=self.stats.invocations,
            failures=self.stats.failures,
            pause_policy=str(core.settings.pause),
            keep_alive_s=self.config.keep_alive_s,
            linger_s=self.config.linger_s,
            wait_for_busy=core.settings.wait_for_busy,
            order=str(core.settings.order),
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
            look_ahead=str(self.ahead.mode),
            ahead_hits=self.ahead.totals.hits,
            ahead_misses=self.ahead.totals.misses,
            ahead_saved_ns=self.ahead.totals.saved_ns,
            stored_blocks=passed.blocks,
            stored_bytes=passed.size,
            stored_over=passed.over,
            **msgspec.structs.asdict(self._sampling.meter.reading),
        )

    def configure(self, changes: policy.Changes) -> NodeView:
        """Changes what may change while it serves; see `NodeApi.configure`."""
        self.config = policy.changed(self.config, changes, self._runtimes)
        self._shell.tell(ev.Configured(policy.settings(self.config, self._capabilities, self._available())))
        self.ahead.mode = Mode(self.config.look_ahead)
        self._shell.expect_anew()
        self._sampling.publish_node()
        return self.info()

    def workers(self) -> list[WorkerView]:
        """Its workers; see `NodeApi.workers`."""
        return list(self._picture().workers)

    def evict(self, worker: str, *, force: bool) -> None:
        """Ends a worker; see `NodeApi.evict`."""
        self._acts.evict(worker, force=force)

    async def pause(self, worker: str) -> WorkerView:
        """Freezes an idle worker; see `NodeApi.pause`."""
        return await self._acts.pause(worker)

    async def resume(self, worker: str) -> WorkerView:
        """Thaws a paused worker; see `NodeApi.resume`."""
        return await self._acts.resume(worker)

    async def set_limits(self, worker: str, memory_bytes: int | None, cpus: float | None) -> WorkerLimits:
        """Changes what a worker may use; see `NodeApi.set_limits`."""
        return await self._acts.set_limits(worker, memory_bytes, cpus)

    def _available(self) -> set[str]:
        return {name for name, runtime in self._runtimes.items() if not runtime.missing()}

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
            self._sampling.meter.late(time.monotonic() - due)
            self._chronicle.write()
            self.stats.count()
            if self.ahead.digest():
                self._shell.expect_anew()
            await self.ahead.keep()
            self._sampling.publish_changed_node()


def _syntax(driver: Driver) -> Syntax:
    if not isinstance(driver, KnowsLanguages):
        return Syntax()
    return Syntax(lambda language: driver.language_version(language) or None)


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
