"""Workers as process trees on this machine: the asyncio side of the process driver.

The launcher forks them, a worker's `proxy.init` runs them; this end puts them into their control groups, pauses
them, and cleans up. Code and storage are shown by `storage`, and the life that all workers have is in `lives`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import psutil

from agent.drivers.base import Capabilities, Hooks, Usage, WorkerSpec, record_name
from agent.drivers.lives import Life, Lives, still_there
from agent.drivers.process.census import kill_marked, tree_usage
from agent.drivers.process.cgroups import Cgroups, sweep
from agent.drivers.process.link import Link, plan_of, why_ended
from agent.drivers.process.sandbox import ACT, LANE, TMP
from agent.drivers.process.storage import Folders
from mee6.errors import Conflict, Exhausted, Mee6Error, WorkerLost
from mee6.lane import control as wire
from mee6.trees import remove_tree
from runtimes.catalog import RUNTIMES, Runtime

UP_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
ISOLATION: Final = "MEE6_PROCESS_ISOLATION"
"""Set to `none`, it keeps the driver from using namespaces."""
SOCKET_NAME: Final = "agent.sock"
RECORD: Final = record_name("process")
"""In the state folder while the driver is open: where it made control groups."""
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(slots=True, eq=False, kw_only=True)
class _Worker(Life):
    link: Link
    control: socket.socket
    folders: Folders
    pid_namespace: int = 0
    answer: asyncio.Future[int] | None = None
    """Waits for the `Done` of a stop or continue."""


class ProcessDriver:
    """See `agent.drivers.base.Driver`.

    Args:
        agent_id: `[a-z0-9-]+`; unique on the machine, and the same again after a restart.
        state_dir: the agent's; bundles are under `code/`, what they depend on under `deps/`, what workers
            need under `workers/`.
        lane_dir: holds the lane's socket, `agent.sock`, and nothing else.
        runtimes: the languages to offer; those that the machine lacks are left out.
        proxy: entry of the proxy, see `proxy.init`.
        extra_packages: importable to entries, besides ours.
    """

    def __init__(
        self,
        agent_id: str,
        state_dir: Path,
        lane_dir: Path,
        *,
        runtimes: Mapping[str, Runtime] = RUNTIMES,
        proxy: str = "proxy.shell:serve",
        extra_packages: Sequence[str] = (),
    ) -> None:
        self._agent_id = agent_id
        self._state_dir = state_dir.resolve()
        self._lane_dir = lane_dir.resolve()
        self._storage = self._state_dir / "workers"
        self._plans = {runtime.name: plan_of(runtime) for runtime in runtimes.values() if not runtime.missing()}
        self._proxy = proxy
        self._extra_packages = tuple(extra_packages)
        self._workers = Lives[_Worker](self._remove)
        self._cgroups = Cgroups(agent_id)
        self._link: Link | None = None
        self._launching = asyncio.Lock()
        self._isolated = os.environ.get(ISOLATION) != "none"

    # Life

    async def open(self, hooks: Hooks) -> Capabilities:
        """See `Driver.open`."""
        self._workers.hooks = hooks
        for folder in (self._state_dir / "code", self._state_dir / "deps", self._storage, self._lane_dir):
            folder.mkdir(parents=True, exist_ok=True)
        await self.sweep()
        await asyncio.to_thread(self._cgroups.probe)
        bases = [str(base) for base in self._cgroups.bases]
        (self._state_dir / RECORD).write_text(json.dumps({"cgroups": bases}))
        notes = list(self._cgroups.notes)
        if not self._isolated:
            notes.insert(0, f"no namespaces: {ISOLATION}=none")
        try:
            link = await self._launch()
        except Mee6Error as error:
            if not self._isolated:
                raise Conflict(f"cannot start workers: {error}") from error
            self._isolated = False
            notes.insert(0, f"no namespaces: {error}")
            try:
                link = await self._launch()
            except Mee6Error as again:
                raise Conflict(f"cannot start workers: {again}") from again
        return Capabilities(
            driver="process",
            isolation=link.isolation,
            pause=self._cgroups.pause or "signals",
            limits=self._cgroups.limits or "rlimits",
            notes=tuple(notes),
        )

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._workers.close()
        if self._link is not None:
            await self._link.close()
            self._link = None
        if self._workers.hooks is not None:
            self._workers.hooks = None
            await self.sweep()

    async def sweep(self) -> None:
        """See `SweepsUp.sweep`; here also what a launcher that was killed left behind."""
        record = self._state_dir / RECORD
        with suppress(OSError, ValueError, KeyError):
            bases = [Path(base) for base in json.loads(record.read_text())["cgroups"]]
            await sweep(bases)
            for base in bases:
                for folder in (base, base.parent):
                    with suppress(OSError):  # the parent is other agents' too
                        folder.rmdir()
        await kill_marked(self._agent_id)
        for entry in self._storage.glob("*"):
            await asyncio.to_thread(remove_tree, entry)
        record.unlink(missing_ok=True)

    async def _launch(self) -> Link:
        async with self._launching:
            if self._link is not None and self._link.alive:
                return self._link
            if self._link is not None:
                await self._link.close()
            link = Link(self._from_launcher, self._launcher_ended)
            forks = [plan.entry for plan in self._plans.values() if plan.kind == "fork"]
            await link.start(
                self._agent_id,
                self._state_dir,
                self._lane_dir,
                isolated=self._isolated,
                entries=[self._proxy, *forks],
                programs=[path for plan in self._plans.values() for path in plan.argv],
                extra_packages=self._extra_packages,
            )
            self._link = link
            return link

    # Workers

    async def start(self, spec: WorkerSpec) -> None:
        """See `Driver.start`."""
        link = await self._launch()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        worker = _Worker(spec=spec, link=link, control=ours, folders=Folders(spec.worker, link, self._state_dir))
        try:
            self._workers.add(worker)
        except Conflict:
            ours.close()
            theirs.close()
            raise
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        asyncio.get_running_loop().add_reader(ours, self._from_init, worker)
        try:
            with theirs:
                await self._sent_to_launcher(worker, theirs)
            async with asyncio.timeout(UP_TIMEOUT_S):
                await worker.up
            worker.folders.open(worker.pid)
            if link.flows is not None:
                worker.pid_namespace = os.stat(f"/proc/{worker.pid}/ns/pid").st_ino  # noqa: PTH116  one call
            wire.send(ours, wire.Go())
        except BaseException as error:
            await self._workers.stop(worker.id)
            if isinstance(error, TimeoutError):
                raise Mee6Error(f"worker {worker.id} was not up within {UP_TIMEOUT_S:g} s") from error
            if isinstance(error, OSError):
                raise Exhausted(f"cannot start worker {worker.id}: {error.strerror or error}") from error
            raise

    async def _sent_to_launcher(self, worker: _Worker, theirs: socket.socket) -> None:
        spec, limits = worker.spec, worker.spec.limits
        setup = wire.Setup(
            worker=spec.worker,
            token=spec.token,
            runtime=spec.pool.runtime,
            lane=self.lane_path(spec.worker),
            act=self.act_path(spec.worker),
            tmp=TMP if worker.link.flows is not None else str(self._storage / spec.worker / "tmp"),
            proxy=self._proxy,
            runtimes=self._plans,
            network=spec.pool.network,
            open_files=limits.open_files,
            scratch_bytes=limits.scratch_bytes,
            data_bytes=0 if "memory" in self._cgroups.controllers else limits.memory_bytes,
            agent_id=self._agent_id,
        )
        try:
            group = worker.group = self._cgroups.create(worker.id, limits)
            doors, folders = group.doors()
            try:
                await worker.link.send(wire.Start(setup, folders), (theirs.fileno(), *doors))
            finally:
                wire.close_all(doors)
        except BaseException:
            if not worker.ended.done():
                worker.ended.set_result("it was never made")
            raise

    async def stop(self, worker: str) -> None:
        """See `Driver.stop`."""
        await self._workers.stop(worker)

    async def _remove(self, worker: _Worker) -> None:
        try:
            if worker.group is not None:
                worker.group.kill()
            if not worker.ended.done():
                with suppress(Mee6Error):
                    await worker.link.send(wire.End(worker.id))
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await worker.ended
        except TimeoutError as error:
            raise Mee6Error(f"worker {worker.id} did not end within {STOP_TIMEOUT_S:g} s") from error
        finally:
            asyncio.get_running_loop().remove_reader(worker.control)
            worker.control.close()
            if worker.answer is not None and not worker.answer.done():
                worker.answer.cancel()
            if worker.group is not None:
                await worker.group.remove()
            await worker.folders.remove()

    # Pausing and limits

    async def pause(self, worker: str) -> None:
        """See `Driver.pause`."""
        found = self._workers.known(worker)
        if found.group is not None and found.group.freezer is not None:
            with still_there(worker):
                await found.group.freezer.freeze()
        else:
            await self._ask_init(found, wire.Stop())

    async def resume(self, worker: str) -> None:
        """See `Driver.resume`."""
        found = self._workers.known(worker)
        if found.group is not None and found.group.freezer is not None:
            with still_there(worker):
                found.group.freezer.write(frozen=False)
        else:
            await self._ask_init(found, wire.Continue())

    async def _ask_init(self, worker: _Worker, order: wire.Stop | wire.Continue) -> None:
        worker.answer = asyncio.get_running_loop().create_future()
        try:
            wire.send(worker.control, order)
            async with asyncio.timeout(UP_TIMEOUT_S):
                running = await worker.answer
        except (OSError, TimeoutError) as error:
            raise WorkerLost(f"worker {worker.id} does not answer") from error
        finally:
            worker.answer = None
        if running:
            wire.send(worker.control, wire.Continue())
            raise Mee6Error(f"{running} processes of worker {worker.id} would not stop")

    async def set_limits(self, worker: str, memory_bytes: int, cpus: float) -> None:
        """See `LimitsWorkers.set_limits`."""
        group = self._workers.known(worker).group
        if group is None or not group.can_limit:
            raise Conflict(f"the limits of worker {worker} cannot be changed: no cgroup holds it; see: mee6 doctor")
        with still_there(worker):
            await asyncio.to_thread(group.set_limits, memory_bytes, cpus)

    # Code and storage

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`."""
        found = self._workers.known(worker)
        try:
            found.folders.bind(code, flow_of)
        except OSError as error:
            raise WorkerLost(f"cannot show code to worker {worker}: {error.strerror}") from error

    def code_path(self, worker: str, name: str, bundle: Path) -> str:  # noqa: ARG002  other drivers need it
        """See `Driver.code_path`."""
        return f"{self.act_path(worker)}/rsc/{name}"

    def act_path(self, worker: str) -> str:
        """See `Driver.act_path`."""
        return ACT if self._isolated else str(self._storage / worker / "act")

    def lane_path(self, worker: str) -> str:  # noqa: ARG002  the same for all here
        """See `Driver.lane_path`."""
        return f"{LANE}/{SOCKET_NAME}" if self._isolated else str(self._lane_dir / SOCKET_NAME)

    def store_path(self, worker: str) -> str:
        """See `Driver.store_path`."""
        return self._workers.known(worker).folders.store()

    def clear_flow(self, worker: str) -> None:
        """See `Driver.clear_flow`."""
        removal = self._workers.known(worker).folders.clear_flow()
        if removal is not None:
            self._workers.in_background(removal)

    # Facts

    def owns(self, worker: str, pid: int) -> bool:
        """See `Driver.owns`."""
        found = self._workers.get(worker)
        if found is None or found.pid == 0:
            return False
        if found.pid_namespace:
            with suppress(OSError):
                return os.stat(f"/proc/{pid}/ns/pid").st_ino == found.pid_namespace  # noqa: PTH116  one call
            return False
        with suppress(psutil.Error):
            return pid == found.pid or any(parent.pid == found.pid for parent in psutil.Process(pid).parents())
        return False

    def usage(self, worker: str) -> Usage:
        """See `Driver.usage`."""
        found = self._workers.get(worker)
        if found is None or found.pid == 0:
            return Usage(0, 0, 0)
        measured = found.group.usage() if found.group is not None else None
        return measured if measured is not None else tree_usage(found.pid)

    # News

    def _from_launcher(self, packet: wire.AnyPacket) -> None:
        match packet:
            case wire.Reaped(worker=name, status=status) if worker := self._workers.get(name):
                self._from_init(worker)  # what it still said comes before the news of its end
                self._ended(worker, why_ended(status))
            case wire.Refused(worker=name, message=message) if worker := self._workers.get(name):
                self._ended(worker, message, Exhausted)
            case _:
                pass

    def _launcher_ended(self, link: Link) -> None:
        for worker in self._workers:
            if worker.link is link:
                self._ended(worker, "the launcher of workers ended")

    def _ended(self, worker: _Worker, why: str, error: type[Mee6Error] = Mee6Error) -> None:
        if worker.ended.done():
            return
        if worker.group is not None and worker.group.new_ooms():
            why = f"{why}: {worker.out_of_memory}"
        worker.ended.set_result(why)
        if not worker.up.done():
            worker.fail(error(f"worker {worker.id} could not start: {why}"))
        else:
            self._workers.lost(worker, why)

    def _from_init(self, worker: _Worker) -> None:
        while worker.control.fileno() >= 0:
            try:
                data, extra, _, _ = worker.control.recvmsg(wire.MAX_PACKET_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            except OSError:
                data, extra = b"", []
            if not data:
                asyncio.get_running_loop().remove_reader(worker.control)  # its end is told by the launcher
                return
            try:
                packet = wire.decode(data)
            except msgspec.MsgspecError:
                continue
            match packet:
                case wire.Up() if not worker.up.done():
                    sender = next(facts for _, kind, facts in extra if kind == socket.SCM_CREDENTIALS)
                    worker.pid = _CREDENTIALS.unpack(sender)[0]
                    worker.up.set_result(None)
                case wire.Done(running=running) if worker.answer is not None and not worker.answer.done():
                    worker.answer.set_result(running)
                case _:
                    self._workers.heard(worker, packet)
