"""Workers as process trees on this machine: the asyncio side of the process driver.

The launcher forks them, a worker's `proxy.init` runs them; this end puts them into their control groups,
pauses them, links code and storage into their view, and cleans up. It touches a worker's folders through
descriptors opened before any of its code ran, never by path: the worker owns those folders, and might
put a link where a path leads.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import psutil

from agent.drivers.base import Capabilities, Hooks, Usage, WorkerSpec
from agent.drivers.process.cgroups import Cgroups, Group, sweep
from agent.drivers.process.link import Link
from agent.drivers.process.sandbox import ACT, CODE, DEPS, FLOWS, LANE, TMP
from mee6.errors import Conflict, Exhausted, Mee6Error, WorkerLost
from mee6.lane import control as wire
from mee6.lane.messages import Stream
from mee6.trees import remove_tree
from runtimes.catalog import RUNTIMES, Runtime

UP_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
COARSE_NS: Final = 50_000_000
"""Longer than the grain of any file system's times."""
ISOLATION: Final = "MEE6_PROCESS_ISOLATION"
"""Set to `none`, it keeps the driver from using namespaces."""
SOCKET_NAME: Final = "agent.sock"
_RECORD: Final = "process-driver.json"
_log: Final = logging.getLogger("mee6.agent")
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(slots=True, eq=False)
class _Worker:
    spec: WorkerSpec
    link: Link
    control: socket.socket
    up: asyncio.Future[int]
    """Its first process, by the agent's numbers."""
    ended: asyncio.Future[str]
    """Nothing of it runs any more; why."""
    pid: int = 0
    pid_namespace: int = 0
    group: Group | None = None
    act: int = -1
    rsc: int = -1
    """Descriptors of its `/act` and `/act/rsc`."""
    bound: dict[str, str] = field(default_factory=dict)
    flow_of: str = ""
    flow_empty: tuple[int, int] = (0, 0)
    """Its own flow folder's inode and time of change when it was found empty."""
    joining: asyncio.Future[None] | None = None
    """Its way into its groups; not to be overtaken by their removal."""
    answer: asyncio.Future[int] | None = None
    """Waits for the `Done` of a stop or continue."""
    decoders: dict[Stream, codecs.IncrementalDecoder] = field(default_factory=dict)
    stopping: bool = False
    cleaning: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.spec.worker


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
        self._plans = {runtime.name: _plan(runtime) for runtime in runtimes.values() if not runtime.missing()}
        self._proxy = proxy
        self._extra_packages = tuple(extra_packages)
        self._workers: dict[str, _Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cgroups = Cgroups(agent_id)
        self._link: Link | None = None
        self._launching = asyncio.Lock()
        self._isolated = os.environ.get(ISOLATION) != "none"
        self._hooks: Hooks | None = None
        self._trash = 0

    # Life

    async def open(self, hooks: Hooks) -> Capabilities:
        """See `Driver.open`."""
        self._hooks = hooks
        for folder in (self._state_dir / "code", self._state_dir / "deps", self._storage, self._lane_dir):
            folder.mkdir(parents=True, exist_ok=True)
        await self._sweep()
        await asyncio.to_thread(self._cgroups.probe)
        bases = [str(base) for base in self._cgroups.bases]
        (self._state_dir / _RECORD).write_text(json.dumps({"cgroups": bases}))
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
        for worker in list(self._workers.values()):
            worker.stopping = True
            self._clean(worker)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            await self._link.close()
            self._link = None
        if self._hooks is not None:
            self._hooks = None
            await self._sweep()
            self._cgroups.close()
            (self._state_dir / _RECORD).unlink(missing_ok=True)

    async def _sweep(self) -> None:
        """Ends and removes what an earlier agent of this id, or a launcher that was killed, left behind."""
        with suppress(OSError, ValueError, KeyError):
            recorded = json.loads((self._state_dir / _RECORD).read_text())["cgroups"]
            await sweep(Path(base) for base in recorded)
        await _kill_marked(self._agent_id)
        for entry in self._storage.iterdir():
            await asyncio.to_thread(remove_tree, entry)

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
        loop = asyncio.get_running_loop()
        link = await self._launch()
        if spec.worker in self._workers:
            raise Conflict(f"there is a worker {spec.worker} already")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        worker = _Worker(spec, link, ours, loop.create_future(), loop.create_future(), flow_of=spec.worker)
        self._workers[worker.id] = worker
        loop.add_reader(ours, self._from_init, worker)
        try:
            with theirs:
                await self._sent_to_launcher(worker, theirs)
            worker.group = self._cgroups.create(worker.id, spec.limits)
            async with asyncio.timeout(UP_TIMEOUT_S):
                worker.pid = await worker.up
            # The kernel takes its time over moving a process between groups: 7 ms at the median, 17 at worst,
            # for a grace period of its own. A thread waits for it, not the loop.
            worker.joining = asyncio.ensure_future(asyncio.to_thread(worker.group.add, worker.pid))
            await asyncio.shield(worker.joining)
            self._open_storage(worker)
            wire.send(ours, wire.Go())
        except BaseException as error:
            worker.stopping = True
            await asyncio.shield(self._clean(worker))
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
        await worker.link.send(wire.Start(setup), (theirs.fileno(),))

    def _open_storage(self, worker: _Worker) -> None:
        folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        inside = worker.link.flows is not None
        path = f"/proc/{worker.pid}/root{ACT}" if inside else self.act_path(worker.id)
        worker.act = os.open(path, folder)
        worker.rsc = os.open("rsc", folder, dir_fd=worker.act)
        if inside:
            worker.pid_namespace = os.stat(f"/proc/{worker.pid}/ns/pid").st_ino  # noqa: PTH116  one call

    async def stop(self, worker: str) -> None:
        """See `Driver.stop`."""
        found = self._workers.get(worker)
        if found is not None:
            found.stopping = True
            await asyncio.shield(self._clean(found))

    def _clean(self, worker: _Worker) -> asyncio.Task[None]:
        """Sees to it that nothing of the worker stays; one task does it, however many ask."""
        if worker.cleaning is None:
            worker.cleaning = self._in_background(self._remove(worker))
        return worker.cleaning

    async def _remove(self, worker: _Worker) -> None:
        try:
            if worker.joining is not None:
                await asyncio.wait([worker.joining])
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
            for fd in (worker.act, worker.rsc):
                if fd >= 0:
                    os.close(fd)
            worker.act = worker.rsc = -1
            if worker.answer is not None and not worker.answer.done():
                worker.answer.cancel()
            try:
                if worker.group is not None:
                    await worker.group.remove()
                await self._remove_storage(worker)
            finally:
                self._workers.pop(worker.id, None)

    async def _remove_storage(self, worker: _Worker) -> None:
        if worker.link.isolation == "none":
            await asyncio.to_thread(remove_tree, self._storage / worker.id)
        elif worker.link.flows is not None:  # a launcher that has ended took them along
            with suppress(FileNotFoundError):
                try:
                    os.rmdir(worker.id, dir_fd=worker.link.flows)
                except OSError:
                    await asyncio.to_thread(remove_tree, worker.id, dir_fd=worker.link.flows)

    # Pausing

    async def pause(self, worker: str) -> None:
        """See `Driver.pause`."""
        found = self._known(worker)
        if found.group is not None and found.group.freezer is not None:
            try:
                await found.group.freezer.freeze()
            except OSError as error:
                raise WorkerLost(f"worker {worker} is gone") from error
        else:
            await self._ask_init(found, wire.Stop())

    async def resume(self, worker: str) -> None:
        """See `Driver.resume`."""
        found = self._known(worker)
        if found.group is not None and found.group.freezer is not None:
            try:
                found.group.freezer.write(frozen=False)
            except OSError as error:
                raise WorkerLost(f"worker {worker} is gone") from error
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
        group = self._known(worker).group
        if group is None or not group.can_limit:
            raise Conflict(f"the limits of worker {worker} cannot be changed: no cgroup holds it; see: mee6 doctor")
        try:
            await asyncio.to_thread(group.set_limits, memory_bytes, cpus)
        except OSError as error:
            raise WorkerLost(f"worker {worker} is gone") from error

    # Code and storage

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`."""
        found = self._known(worker)
        wanted = {name: self._code_inside(found, bundle) for name, bundle in code.items()}
        try:
            for name in found.bound.keys() - wanted.keys():
                _unlink(name, found.rsc)
            for name, target in wanted.items():
                if found.bound.get(name) != target:
                    _link(target, name, found.rsc)
            found.bound = wanted
            if flow_of != found.flow_of:
                _link(self._flow_inside(found, flow_of), "flow", found.act)
                found.flow_of = flow_of
        except OSError as error:
            raise WorkerLost(f"cannot show code to worker {worker}: {error.strerror}") from error

    def _code_inside(self, worker: _Worker, bundle: Path) -> str:
        if worker.link.isolation == "none":
            return str(bundle)
        place = DEPS if bundle.is_relative_to(self._state_dir / "deps") else CODE
        return f"{place}/{bundle.name}"

    def _flow_inside(self, worker: _Worker, flow_of: str) -> str:
        if worker.link.isolation == "none":
            return str(self._storage / flow_of / "flow")
        return f"{FLOWS}/{flow_of}"

    def code_path(self, worker: str, name: str, bundle: Path) -> str:  # noqa: ARG002  other drivers need it
        """See `Driver.code_path`."""
        return f"{self.act_path(worker)}/rsc/{name}"

    def act_path(self, worker: str) -> str:
        """See `Driver.act_path`."""
        return ACT if self._isolated else str(self._storage / worker / "act")

    def lane_path(self, worker: str) -> str:  # noqa: ARG002  the same for all here
        """See `Driver.lane_path`."""
        return f"{LANE}/{SOCKET_NAME}" if self._isolated else str(self._lane_dir / SOCKET_NAME)

    def clear_flow(self, worker: str) -> None:
        """See `Driver.clear_flow`; a folder that is not empty is swapped at once and removed behind.

        After almost every invocation it is as it was when it was last found empty, and one system call shows that:
        by its time of change, which is coarse, and so counts only once it lies well back.
        """
        found = self._known(worker)
        flows = found.link.flows
        folder = str(self._storage / worker / "flow") if flows is None else worker
        try:
            seen = os.stat(folder, dir_fd=flows, follow_symlinks=False)
            if (seen.st_ino, seen.st_mtime_ns) == found.flow_empty:
                return
            if _is_empty(folder, flows):
                if time.time_ns() - seen.st_mtime_ns > COARSE_NS:
                    found.flow_empty = (seen.st_ino, seen.st_mtime_ns)
                return
        except FileNotFoundError:  # the function removed it
            os.mkdir(folder, dir_fd=flows)
            return
        if flows is None:
            base, name = os.open(self._storage / worker, os.O_RDONLY | os.O_DIRECTORY), "flow"
        else:
            base, name = os.dup(flows), worker
        self._trash += 1
        trash = f".trash-{self._trash}"
        os.rename(name, trash, src_dir_fd=base, dst_dir_fd=base)
        os.mkdir(name, dir_fd=base)
        self._in_background(_remove_tree(trash, base))

    def _in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s", error)

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
        return measured if measured is not None else _tree_usage(found.pid)

    def _known(self, worker: str) -> _Worker:
        found = self._workers.get(worker)
        if found is None or found.cleaning is not None:
            raise WorkerLost(f"worker {worker} is gone")
        return found

    # News

    def _from_launcher(self, packet: wire.AnyPacket) -> None:
        match packet:
            case wire.Reaped(worker=name, status=status) if name in self._workers:
                worker = self._workers[name]
                self._from_init(worker)  # what it still said comes before the news of its end
                self._ended(worker, _why(status))
            case wire.Refused(worker=name, message=message) if name in self._workers:
                self._ended(self._workers[name], message, Exhausted)
            case _:
                pass

    def _launcher_ended(self, link: Link) -> None:
        for worker in [worker for worker in self._workers.values() if worker.link is link]:
            self._ended(worker, "the launcher of workers ended")

    def _ended(self, worker: _Worker, why: str, error: type[Mee6Error] = Mee6Error) -> None:
        if worker.ended.done():
            return
        if worker.group is not None and worker.group.new_ooms():
            why = f"{why}: {self._out_of_memory(worker)}"
        worker.ended.set_result(why)
        if not worker.up.done():
            worker.up.set_exception(error(f"worker {worker.id} could not start: {why}"))
            worker.up.exception()  # seen, also where the start was cancelled
        elif not worker.stopping:
            self._clean(worker)
            if self._hooks is not None:
                self._hooks.on_exit(worker.id, why)

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
            self._heard(worker, packet, extra)

    def _heard(self, worker: _Worker, packet: wire.AnyPacket, extra: list[tuple[int, int, bytes]]) -> None:
        assert self._hooks is not None
        match packet:
            case wire.Up() if not worker.up.done():
                pid = next(_CREDENTIALS.unpack(data)[0] for _, kind, data in extra if kind == socket.SCM_CREDENTIALS)
                worker.up.set_result(pid)
            case wire.Failed(message=message) if not worker.up.done():
                worker.up.set_exception(Mee6Error(f"worker {worker.id} could not start: {message}"))
                worker.up.exception()
            case wire.Done(running=running) if worker.answer is not None and not worker.answer.done():
                worker.answer.set_result(running)
            case wire.Output(stream=stream, data=data, dropped_bytes=dropped):
                text = self._decoded(worker, stream, data)
                note = f"[{dropped} bytes discarded: too much at once]\n" if dropped else ""
                if note or text:
                    self._hooks.on_output(worker.id, stream, note + text)
            case wire.Ended(pid=pid, status=status):
                killed = status == -signal.SIGKILL and worker.group is not None and worker.group.new_ooms() > 0
                self._hooks.on_process_exit(worker.id, pid, status, self._out_of_memory(worker) if killed else "")
            case _:
                pass

    def _decoded(self, worker: _Worker, stream: Stream, data: bytes) -> str:
        decoder = worker.decoders.get(stream)
        if decoder is None:
            decoder = worker.decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)

    def _out_of_memory(self, worker: _Worker) -> str:
        return f"out of memory (limit {_limit_of(worker) >> 20} MiB)"


def _plan(runtime: Runtime) -> wire.RuntimePlan:
    if runtime.kind == "fork":
        return wire.RuntimePlan("fork", entry=runtime.entry)
    return wire.RuntimePlan("exec", argv=runtime.argv())


def _limit_of(worker: _Worker) -> int:
    return worker.group.memory_limit if worker.group is not None else worker.spec.limits.memory_bytes


def _why(status: int) -> str:
    if status == 0:
        return "all of its processes have ended"
    if status < 0:
        return f"its first process was killed by {signal.Signals(-status).name}"
    return f"its first process ended with status {status}"


def _link(target: str, name: str, folder: int) -> None:
    """Puts a symbolic link in place of whatever has that name."""
    fresh = f".{name}.new"
    _unlink(fresh, folder)
    os.symlink(target, fresh, dir_fd=folder)
    try:
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)
    except IsADirectoryError:
        _unlink(name, folder)
        os.rename(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)


def _unlink(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except OSError:
        remove_tree(name, dir_fd=folder)


def _is_empty(folder: str, base: int | None) -> bool:
    """Whether it is a folder and holds nothing; one that a function put something else in place of is not."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=base)
    except OSError:
        return False
    try:
        return not os.listdir(fd)  # noqa: PTH208 - a descriptor has no path
    finally:
        os.close(fd)


async def _remove_tree(name: str, base: int) -> None:
    """Removes a folder, or what a function put in its place, in the folder `base`, and closes that."""
    try:
        await asyncio.to_thread(remove_tree, name, dir_fd=base)
    finally:
        os.close(base)


async def _kill_marked(agent_id: str) -> None:
    """Kills processes whose environment says that they came from this agent's launcher.

    They are there only where neither a pid namespace nor a cgroup held them, after the agent or its
    launcher was killed.
    """
    mark = f"MEE6_AGENT_ID={agent_id}".encode()
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline:
        found = [pid for pid in psutil.pids() if pid != os.getpid() and _has_mark(pid, mark)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.005)


def _has_mark(pid: int, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _tree_usage(pid: int) -> Usage:
    memory = processes = 0
    cpu_s = 0.0
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.Error):
                memory += process.memory_info().rss
                times = process.cpu_times()
                cpu_s += times.user + times.system
                processes += 1
    return Usage(memory, int(cpu_s * 1e9), processes)
