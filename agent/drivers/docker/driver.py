"""Workers as containers: the asyncio side of the docker driver.

The engine makes and removes containers (`engine`); everything in between is done without it: files appear by
mounts (`storage`), a worker's first process answers over a control socket in the lane's folder, and a container is
frozen and its use read through its control group's files, where they may be written. `proxy.container` is the
other end. Needs root and an engine on this machine.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import os
import secrets
import signal
import socket
import struct
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.drivers.base import Capabilities, Hooks, Usage, WorkerSpec
from agent.drivers.docker.engine import STARTS_AT_ONCE, Engine
from agent.drivers.docker.storage import Storage
from agent.drivers.process.cgroups import Cgroups, Freezer, Group, hierarchies
from agent.images import INSIDE, RuntimeImage, image_name
from mee6.errors import Conflict, Exhausted, Mee6Error, WorkerLost
from mee6.lane import control as wire
from mee6.lane.messages import Stream
from mee6.trees import remove_tree
from runtimes.catalog import RUNTIMES, Runtime

PAUSE: Final = "MEE6_DOCKER_PAUSE"
"""Set to `api`, it has containers paused through the engine even where their freezer could be written."""
STARTS_PER_S: Final = 5.0
"""Source: measured, about five containers a second on two cores, with however many threads."""
ACT: Final = "/act"
LANE: Final = "/mee6/lane"
UP_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.25
_SWEEP_AGAIN_S: Final = 2.0
_MAX_STRANGERS: Final = 64
_CONTROL: Final = "control.sock"
_SOCKET_NAME: Final = "agent.sock"
_CREDENTIALS: Final = struct.Struct("3i")
_log: Final = logging.getLogger("mee6.agent")


@dataclass(slots=True, eq=False)
class _Worker:
    spec: WorkerSpec
    image: RuntimeImage
    claim: str
    """What its first process has to say; used once."""
    up: asyncio.Future[int]
    ended: asyncio.Future[None]
    container: str = ""
    control: socket.socket | None = None
    pid: int = 0
    pidfd: int = -1
    group: Group | None = None
    engines_freezer: Path | None = None
    """Of version 1, which the engine uses; ours is of version 2, where there are both."""
    decoders: dict[Stream, codecs.IncrementalDecoder] = field(default_factory=dict)
    stopping: bool = False
    cleaning: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.spec.worker


class DockerDriver:
    """See `agent.drivers.base.Driver`.

    Args:
        agent_id: `[a-z0-9-]+`; unique on the machine, and the same again after a restart.
        state_dir: the agent's; workers' storage is mounted under `mnt/`.
        lane_dir: holds the lane's socket, `agent.sock`, and the control socket; mounted into every container.
        runtimes: the languages to offer, of those that there are images for.
        proxy: entry of the proxy, see `proxy.init`.
        extra_packages: folders of packages that are importable to entries, besides those in the image.
    """

    def __init__(
        self,
        agent_id: str,
        state_dir: Path,
        lane_dir: Path,
        *,
        runtimes: Mapping[str, Runtime] = RUNTIMES,
        proxy: str = "proxy.shell:serve",
        extra_packages: Sequence[Path] = (),
    ) -> None:
        self._agent_id = agent_id
        self._lane_dir = lane_dir.resolve()
        self._runtimes = runtimes
        self._proxy = proxy
        self._extra_packages = tuple(extra_packages)
        self._engine = Engine(agent_id)
        self._storage = Storage(state_dir.resolve() / "mnt")
        self._images: dict[str, RuntimeImage] = {}
        self._workers: dict[str, _Worker] = {}
        self._strangers: dict[socket.socket, None] = {}
        """Connected, and not claimed to be anybody's yet; oldest first."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._left: set[str] = set()
        """Containers that the engine could not be brought to remove yet."""
        self._listener: socket.socket | None = None
        self._hooks: Hooks | None = None
        self._is_direct = False

    # Life

    async def open(self, hooks: Hooks) -> Capabilities:
        """See `Driver.open`."""
        if os.geteuid() != 0:
            raise Conflict(
                "the docker driver mounts code into containers, which takes root; run the agent as root, "
                "or use the process driver: --driver process"
            )
        await self._engine.open()
        self._hooks = hooks
        try:
            await self._sweep()
            notes = await self._find_images()
            try:
                self._storage.open()
            except OSError as error:
                raise Conflict(f"the docker driver cannot mount: {error.strerror}; use --driver process") from error
            self._listen()
        except BaseException:
            await self.close()
            raise
        pause, limits = await asyncio.to_thread(self._probe)
        return Capabilities(
            driver="docker",
            isolation="containers",
            pause=pause,
            limits=limits,
            starts_at_once=STARTS_AT_ONCE,
            starts_per_s=STARTS_PER_S,
            notes=tuple(notes),
        )

    async def _find_images(self) -> list[str]:
        notes = []
        for name in self._runtimes:
            image = await self._engine.image(name)
            if image is None:
                notes.append(f"no image {image_name(name)}; make it with: mee6 image build {name}")
            elif not image.is_current:
                notes.append(f"image {image.name} is not of this mee6; make it again with: mee6 image build {name}")
            else:
                self._images[name] = image
        if not self._images:
            raise Conflict(f"no runtime can be used with the docker driver: {'; '.join(notes)}")
        return notes

    def _probe(self) -> tuple[str, str]:
        """How containers are paused and limited: by the files that work for a group of our own, or the API."""
        cgroups = Cgroups(self._agent_id)
        cgroups.probe()
        cgroups.close()
        self._is_direct = bool(cgroups.pause) and os.environ.get(PAUSE) != "api"
        return cgroups.pause if self._is_direct else "api", cgroups.limits or "api"

    async def close(self) -> None:
        """See `Driver.close`."""
        for worker in list(self._workers.values()):
            worker.stopping = True
            self._clean(worker)
        while work := [task for task in self._tasks if task.get_name() != "sweep-again"]:
            await asyncio.gather(*work, return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        for sock in [*self._strangers]:
            self._dismiss(sock)
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            (self._lane_dir / _CONTROL).unlink(missing_ok=True)
        if self._hooks is not None:
            self._hooks = None
            try:
                await self._sweep()
            except Mee6Error as error:
                _log.error("containers may be left, until the agent starts again: %s", error)
            await asyncio.to_thread(self._storage.close)
            self._engine.close()

    async def _sweep(self) -> None:
        """Removes every container of this agent."""
        found = await self._engine.ours()
        await asyncio.gather(*(self._remove_container(container) for container in found))

    async def _remove_container(self, container: str) -> None:
        state = await self._engine.state(container)
        if state is not None and state.get("Pid"):
            # One that is frozen behind the engine's back would not die of its signal.
            group = _group(container[:12], int(state["Pid"]), container, 0)
            if group is not None:
                group.kill()
                _thaw(int(state["Pid"]))
                _close(group)
        await self._engine.remove(container)

    # Workers

    async def start(self, spec: WorkerSpec) -> None:
        """See `Driver.start`."""
        image = self._images.get(spec.pool.runtime)
        if image is None:
            name = spec.pool.runtime
            raise Conflict(f"there is no image for runtime {name!r}; make it with: mee6 image build {name}")
        if spec.worker in self._workers:
            raise Conflict(f"there is a worker {spec.worker} already")
        loop = asyncio.get_running_loop()
        worker = _Worker(spec, image, secrets.token_hex(16), loop.create_future(), loop.create_future())
        self._workers[worker.id] = worker
        work = asyncio.ensure_future(self._make(worker))
        try:
            async with asyncio.timeout(2 * UP_TIMEOUT_S):
                await asyncio.shield(work)
        except BaseException as error:
            worker.stopping = True
            # A container that the engine is just making has to be known before it can be removed.
            await asyncio.shield(self._in_background(self._undo(worker, work)))
            if isinstance(error, TimeoutError):
                raise Mee6Error(f"worker {worker.id} was not up within {2 * UP_TIMEOUT_S:g} s") from error
            if isinstance(error, OSError):
                raise Exhausted(f"cannot start worker {worker.id}: {error.strerror or error}") from error
            raise

    async def _undo(self, worker: _Worker, work: asyncio.Future[None]) -> None:
        if not worker.container:
            await asyncio.wait([work], timeout=UP_TIMEOUT_S)
        work.cancel()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        with suppress(Mee6Error):
            await self._clean(worker)

    async def _make(self, worker: _Worker) -> None:
        spec = worker.spec
        with suppress(OSError):  # the lane may be made after us, and again
            (self._lane_dir / _SOCKET_NAME).chmod(0o666)
        self._storage.add(worker.id, spec.limits.scratch_bytes)
        binds = [f"{self._storage.folder(worker.id)}:{ACT}:rslave", f"{self._lane_dir}:{LANE}"]
        binds += [f"{folder.resolve()}:{INSIDE}/{folder.name}:ro" for folder in self._extra_packages]
        environment = {"MEE6_CONTROL_TOKEN": worker.claim, "LANG": "C.UTF-8"}
        network = "bridge" if spec.pool.network == "bridge" else "none"
        worker.container = await self._engine.create(worker.id, worker.image, spec.limits, network, environment, binds)
        await self._engine.start(worker.container)
        worker.pid = await self._until_up(worker)
        worker.pidfd = os.pidfd_open(worker.pid)
        worker.group = _group(worker.id, worker.pid, worker.container, spec.limits.memory_bytes)
        worker.engines_freezer = _engines_freezer(worker)
        assert worker.control is not None
        wire.send(worker.control, wire.Go())

    async def _until_up(self, worker: _Worker) -> int:
        deadline = asyncio.get_running_loop().time() + UP_TIMEOUT_S
        waits: list[asyncio.Future[Any]] = [worker.up, worker.ended]
        while True:
            done, _ = await asyncio.wait(waits, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if worker.up in done:
                return worker.up.result()
            state = await self._engine.state(worker.container)
            if done or state is None or not state["Running"]:
                why = "is gone" if state is None else f"ended at once with status {state['ExitCode']}"
                raise Mee6Error(f"worker {worker.id} could not start: its container {why}")
            if asyncio.get_running_loop().time() > deadline:
                raise Mee6Error(
                    f"worker {worker.id} could not start: its container said nothing for {UP_TIMEOUT_S:g} s"
                )

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
            self._kill(worker)
            if worker.control is not None:
                await asyncio.wait([worker.ended], timeout=STOP_TIMEOUT_S)
            if worker.container:
                await self._remove_or_later(worker.container)
        finally:
            if worker.control is not None:
                self._dismiss(worker.control)
            if worker.pidfd >= 0:
                os.close(worker.pidfd)
                worker.pidfd = -1
            if worker.group is not None:
                _close(worker.group)
            self._storage.remove(worker.id)
            self._workers.pop(worker.id, None)

    def _kill(self, worker: _Worker) -> None:
        """Kills its first process, and with it all others, whoever froze them."""
        if worker.pidfd < 0:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(worker.pidfd, signal.SIGKILL)
        if worker.group is not None:
            with suppress(OSError):
                worker.group.kill()
            if worker.group.freezer is not None:
                with suppress(OSError):
                    worker.group.freezer.write(frozen=False)
        if worker.engines_freezer is not None:
            with suppress(OSError):
                worker.engines_freezer.write_text("THAWED")

    async def _remove_or_later(self, container: str) -> None:
        try:
            await self._engine.remove(container)
        except Mee6Error as error:
            _log.warning("container %s is left for now: %s", container[:12], error)
            self._left.add(container)
            if len(self._left) == 1:
                self._in_background(self._sweep_again(), "sweep-again")

    async def _sweep_again(self) -> None:
        while self._left:
            await asyncio.sleep(_SWEEP_AGAIN_S)
            for container in list(self._left):
                with suppress(Mee6Error):
                    await self._engine.remove(container)
                    self._left.discard(container)

    # Pausing and limits

    async def pause(self, worker: str) -> None:
        """See `Driver.pause`."""
        found = self._known(worker)
        if self._freezer(found) is None:
            await self._engine.pause(found.container, paused=True)
            return
        try:
            await self._freezer(found).freeze()  # type: ignore[union-attr]
        except OSError as error:
            raise WorkerLost(f"worker {worker} is gone") from error

    async def resume(self, worker: str) -> None:
        """See `Driver.resume`."""
        found = self._known(worker)
        freezer = self._freezer(found)
        if freezer is None:
            await self._engine.pause(found.container, paused=False)
            return
        try:
            freezer.write(frozen=False)
            by_hand = found.engines_freezer is not None and found.engines_freezer.read_text().startswith("FR")
        except OSError as error:
            raise WorkerLost(f"worker {worker} is gone") from error
        if by_hand:
            raise WorkerLost(f"worker {worker} was paused by somebody else: docker unpause {found.container[:12]}")

    def _freezer(self, worker: _Worker) -> Freezer | None:
        return worker.group.freezer if self._is_direct and worker.group is not None else None

    async def set_limits(self, worker: str, memory_bytes: int, cpus: float) -> None:
        """See `LimitsWorkers.set_limits`."""
        found = self._known(worker)
        if found.group is None or not found.group.can_limit:
            if self.usage(worker).memory_bytes > memory_bytes:
                raise Conflict(f"worker {worker} uses more than {memory_bytes >> 20} MiB")
            await self._engine.limit(found.container, memory_bytes, cpus)
            return
        try:
            await asyncio.to_thread(found.group.set_limits, memory_bytes, cpus)
        except OSError as error:
            raise WorkerLost(f"worker {worker} is gone") from error

    # Code and storage

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`."""
        self._known(worker)
        try:
            self._storage.bind(worker, code, flow_of)
        except OSError as error:
            raise WorkerLost(f"cannot show code to worker {worker}: {error.strerror}") from error

    def code_path(self, worker: str, name: str, bundle: Path) -> str:  # noqa: ARG002  other drivers need it
        """See `Driver.code_path`."""
        return f"{ACT}/rsc/{name}"

    def act_path(self, worker: str) -> str:  # noqa: ARG002  the same for all here
        """See `Driver.act_path`."""
        return ACT

    def lane_path(self, worker: str) -> str:  # noqa: ARG002  the same for all here
        """See `Driver.lane_path`."""
        return f"{LANE}/{_SOCKET_NAME}"

    def clear_flow(self, worker: str) -> None:
        """See `Driver.clear_flow`; what is in it is moved at once and removed behind."""
        self._known(worker)
        if trash := self._storage.empty_flow(worker):
            self._in_background(_remove_all(trash))

    def language_version(self, runtime: str) -> str:
        """See `KnowsLanguages.language_version`."""
        image = self._images.get(runtime)
        if image is None:
            return ""
        return image.node.partition(".")[0] if runtime == "nodejs" else ".".join(image.python.split(".")[:2])

    # Facts

    def owns(self, worker: str, pid: int) -> bool:
        """See `Driver.owns`."""
        found = self._workers.get(worker)
        return found is not None and _is_in(pid, found.container)

    def usage(self, worker: str) -> Usage:
        """See `Driver.usage`."""
        found = self._workers.get(worker)
        measured = found.group.usage() if found is not None and found.group is not None else None
        return measured or Usage(0, 0, 0)

    def _known(self, worker: str) -> _Worker:
        found = self._workers.get(worker)
        if found is None or found.cleaning is not None:
            raise WorkerLost(f"worker {worker} is gone")
        return found

    # The control socket

    def _listen(self) -> None:
        self._lane_dir.mkdir(parents=True, exist_ok=True)
        self._lane_dir.chmod(0o711)  # the state folder around it stays closed
        path = self._lane_dir / _CONTROL
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen(_MAX_STRANGERS)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        self._strangers[sock] = None
        asyncio.get_running_loop().add_reader(sock, self._claimed, sock)
        if len(self._strangers) > _MAX_STRANGERS:
            self._dismiss(next(iter(self._strangers)))

    def _dismiss(self, sock: socket.socket) -> None:
        self._strangers.pop(sock, None)
        if sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()

    def _claimed(self, sock: socket.socket) -> None:
        """Hears a connection's first packet, which has to say whose it is."""
        pid = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
        try:
            packet, fds = wire.receive(sock)
        except BlockingIOError:
            return
        except (OSError, msgspec.MsgspecError):
            packet, fds = None, []
        for fd in fds:
            os.close(fd)
        token = packet.token if isinstance(packet, wire.Claim) else ""
        worker = next((w for w in self._workers.values() if w.claim and secrets.compare_digest(w.claim, token)), None)
        if worker is None or worker.control is not None or not _is_in(pid, worker.container):
            self._dismiss(sock)
            return
        worker.claim = ""
        worker.control = sock
        worker.pid = pid
        del self._strangers[sock]
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.add_reader(sock, self._readable, worker)
        with suppress(OSError):  # its end is heard next
            wire.send(sock, wire.Start(self._setup(worker)))

    def _setup(self, worker: _Worker) -> wire.Setup:
        spec = worker.spec
        plans = {}
        for runtime in self._runtimes.values():
            if runtime.kind == "fork":
                plans[runtime.name] = wire.RuntimePlan("fork", entry=runtime.entry)
            elif runtime.script is not None and runtime.name == spec.pool.runtime:
                script = f"{INSIDE}/runtimes/{runtime.name}/{runtime.script.name}"
                plans[runtime.name] = wire.RuntimePlan("exec", argv=[worker.image.node_path, script])
        return wire.Setup(
            worker=spec.worker,
            token=spec.token,
            runtime=spec.pool.runtime,
            lane=self.lane_path(spec.worker),
            act=ACT,
            tmp="/tmp",  # noqa: S108  the container's own
            proxy=self._proxy,
            runtimes=plans,
            network=spec.pool.network,
            open_files=spec.limits.open_files,
            scratch_bytes=spec.limits.scratch_bytes,
        )

    def _readable(self, worker: _Worker) -> None:
        assert worker.control is not None
        while worker.control.fileno() >= 0:
            try:
                packet, fds = wire.receive(worker.control)
            except BlockingIOError:
                return
            except msgspec.MsgspecError:
                continue
            except OSError:
                packet, fds = None, []
            for fd in fds:
                os.close(fd)
            if packet is None:
                asyncio.get_running_loop().remove_reader(worker.control)
                self._ended(worker)
                return
            self._heard(worker, packet)

    def _heard(self, worker: _Worker, packet: wire.AnyPacket) -> None:
        if self._hooks is None:
            return
        match packet:
            case wire.Up() if not worker.up.done():
                worker.up.set_result(worker.pid)
            case wire.Failed(message=message) if not worker.up.done():
                worker.up.set_exception(Mee6Error(f"worker {worker.id} could not start: {message}"))
            case wire.Output(stream=stream, data=data, dropped_bytes=dropped):
                text = self._decoded(worker, stream, data)
                note = f"[{dropped} bytes discarded: too much at once]\n" if dropped else ""
                if note or text:
                    self._hooks.on_output(worker.id, stream, note + text)
            case wire.Ended(pid=pid, status=status):
                killed = status == -signal.SIGKILL and worker.group is not None and worker.group.new_ooms() > 0
                self._hooks.on_process_exit(worker.id, pid, status, _out_of_memory(worker) if killed else "")
            case _:
                pass

    def _decoded(self, worker: _Worker, stream: Stream, data: bytes) -> str:
        decoder = worker.decoders.get(stream)
        if decoder is None:
            decoder = worker.decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(data)

    def _ended(self, worker: _Worker) -> None:
        if worker.ended.done():
            return
        worker.ended.set_result(None)
        if worker.up.done() and not worker.stopping and worker.cleaning is None:
            ooms = worker.group.new_ooms() if worker.group is not None else 0
            self._in_background(self._tell_end(worker, _out_of_memory(worker) if ooms else ""))

    async def _tell_end(self, worker: _Worker, why: str) -> None:
        """Finds out why its container ended, and says so; the engine may be what ended it."""
        reason = "its container has ended"
        try:
            state: dict[str, Any] | None = await self._engine.state(worker.container)
        except Mee6Error:
            reason = "its container has ended, and the Docker Engine does not answer"
        else:
            if state is None:
                reason = "its container was removed by somebody else"
            elif state.get("OOMKilled") and not why:
                why = _out_of_memory(worker)
        if not worker.stopping and self._hooks is not None:
            self._clean(worker)
            self._hooks.on_exit(worker.id, f"{reason}: {why}" if why else reason)

    def _in_background(self, work: Coroutine[None, None, None], name: str = "") -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s", error)


def _group(worker: str, pid: int, container: str, memory_limit: int) -> Group | None:
    """The control groups that the engine made for a container, found by its first process."""
    try:
        membership = Path(f"/proc/{pid}/cgroup").read_text()
        trees = hierarchies(Path("/proc/self/mountinfo").read_text(), membership)
    except OSError:
        return None
    # Never the group of anybody else, whatever the process has become meanwhile.
    trees = sorted((tree for tree in trees if container in str(tree.own)), key=lambda tree: -tree.version)
    files: dict[str, tuple[int, Path]] = {}
    for tree in trees:
        names = _controllers_of(tree.own) if tree.version == 2 else tree.controllers
        for name in names:
            files.setdefault(name, (tree.version, tree.own))
    freezer = None
    if "freezer" in files:
        with suppress(OSError):
            freezer = Freezer(*files["freezer"])
    unified = next((tree.own for tree in trees if tree.version == 2), None)
    cpu_file = None
    if "cpuacct" in files:
        cpu_file = files["cpuacct"][1] / "cpuacct.usage"
    elif unified is not None:
        cpu_file = unified / "cpu.stat"
    kill_file = unified / "cgroup.kill" if unified is not None and (unified / "cgroup.kill").exists() else None
    return Group(
        worker=worker,
        folders=(),
        freezer=freezer,
        kill_file=kill_file,
        memory=files.get("memory"),
        pids=files["pids"][1] if "pids" in files else None,
        cpu_file=cpu_file,
        memory_limit=memory_limit,
        cpu=files.get("cpu"),
    )


def _controllers_of(folder: Path) -> set[str]:
    found = {name for name in ("memory", "cpu", "pids") if (folder / f"{name}.max").exists()}
    return found | ({"freezer"} if (folder / "cgroup.freeze").exists() else set())


def _engines_freezer(worker: _Worker) -> Path | None:
    """The version 1 freezer of its container, where ours is of version 2: the engine's `pause` writes that one."""
    if worker.group is None or worker.group.freezer is None or worker.group.freezer.version == 1:
        return None
    return _version_1_freezer(worker.pid)


def _version_1_freezer(pid: int) -> Path | None:
    try:
        trees = hierarchies(Path("/proc/self/mountinfo").read_text(), Path(f"/proc/{pid}/cgroup").read_text())
    except OSError:
        return None
    return next((tree.own / "freezer.state" for tree in trees if "freezer" in tree.controllers), None)


def _thaw(pid: int) -> None:
    file = _version_1_freezer(pid)
    if file is not None:
        with suppress(OSError):
            file.write_text("THAWED")


def _close(group: Group) -> None:
    if group.freezer is not None:
        group.freezer.close()


def _is_in(pid: int, container: str) -> bool:
    if not container:
        return False
    try:
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def _out_of_memory(worker: _Worker) -> str:
    limit = worker.group.memory_limit if worker.group is not None else worker.spec.limits.memory_bytes
    return f"out of memory (limit {limit >> 20} MiB)"


async def _remove_all(taken: list[Path]) -> None:
    def remove() -> None:
        for path in taken:
            remove_tree(path)

    await asyncio.to_thread(remove)
