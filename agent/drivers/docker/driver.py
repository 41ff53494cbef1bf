"""Workers as containers: the asyncio side of the docker driver.

The engine makes and removes containers (`engine`); everything in between is done without it: files appear by
mounts (`storage`), a worker's first process answers over a control socket in the lane's folder (`control`), and a
container is frozen and its use read through its control group's files, where they may be written (`groups`).
`proxy.container` is the other end. Needs root and an engine on this machine; an engine that fails costs new workers,
never those that there are, and is taken up again once it answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.drivers.base import Capabilities, Hooks, Usage, WorkerSpec, record_name
from agent.drivers.docker import groups
from agent.drivers.docker.control import ControlSocket, receive
from agent.drivers.docker.engine import STARTS_AT_ONCE, Engine
from agent.drivers.docker.languages import Languages
from agent.drivers.docker.storage import STORE, Storage
from agent.drivers.docker.watch import Watch, remove_all
from agent.drivers.docker.watchdog import Watchdog
from agent.drivers.docker.worker import ContainerWorker
from agent.drivers.lives import Lives, still_there
from agent.drivers.process.group import Freezer
from agent.images import INSIDE
from mee6.errors import Conflict, Exhausted, Mee6Error, WorkerLost
from mee6.lane import control as wire
from runtimes.catalog import RUNTIMES, Runtime

PAUSE: Final = "MEE6_DOCKER_PAUSE"
"""Set to `api`, it has containers paused through the engine even where their freezer could be written."""
STARTS_PER_S: Final = 5.0
"""Source: measured, about five containers a second on two cores, with however many threads."""
ACT: Final = "/act"
LANE: Final = "/mee6/lane"
UP_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 10.0
"""For all workers together. What an engine that hangs does not remove then is removed by the agent's next start."""
RECORD: Final = record_name("docker")
"""In the state folder while there may be containers: at which engine."""
_UP_LOOK_S: Final = 0.25
_SOCKET_NAME: Final = "agent.sock"
_log: Final = logging.getLogger("mee6.agent")


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
        self._record = state_dir.resolve() / RECORD
        self._lane_dir = lane_dir.resolve()
        self._proxy = proxy
        self._extra_packages = tuple(extra_packages)
        self._engine = Engine(agent_id)
        self._storage = Storage(state_dir.resolve() / "mnt")
        self._control = ControlSocket(self._lane_dir, self._claimed)
        self._languages = Languages(self._engine, runtimes)
        self._workers = Lives[ContainerWorker](self._remove)
        self._watch = Watch(self._engine, self._workers)
        self._watchdog = Watchdog(state_dir.resolve() / "thaw")
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
        self._workers.hooks = hooks
        try:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            self._record.write_text(json.dumps({"engine": self._engine.url}))
            await remove_all(self._engine)
            notes = await self._languages.look()
            try:
                self._storage.open()
            except OSError as error:
                raise Conflict(f"the docker driver cannot mount: {error.strerror}; use --driver process") from error
            self._control.open()
        except BaseException:
            await self.close()
            raise
        self._watch.open()
        pause, limits = await asyncio.to_thread(groups.probe, self._agent_id)
        self._is_direct = bool(pause) and os.environ.get(PAUSE) != "api"
        if self._is_direct:
            self._watchdog.open()
        return Capabilities(
            driver="docker",
            isolation="containers",
            pause=pause if self._is_direct else "api",
            limits=limits or "api",
            starts_at_once=STARTS_AT_ONCE,
            starts_per_s=STARTS_PER_S,
            notes=tuple(notes),
        )

    async def close(self) -> None:
        """See `Driver.close`."""
        await self._watch.close()
        await self._workers.close(CLOSE_TIMEOUT_S)
        self._control.close()
        if self._workers.hooks is not None:
            self._workers.hooks = None
            try:
                await remove_all(self._engine)
                self._record.unlink(missing_ok=True)
            except Mee6Error as error:
                _log.error("containers may be left, until the agent starts again: %s", error.message)
            await asyncio.to_thread(self._storage.close)
            await asyncio.to_thread(self._watchdog.close)
            self._engine.close()

    async def sweep(self) -> None:
        """See `SweepsUp.sweep`."""
        try:
            engine = json.loads(self._record.read_text())["engine"]
        except (OSError, ValueError, KeyError):
            return
        if engine != self._engine.url:
            raise Conflict(f"containers of this agent may be left at another engine; set DOCKER_HOST={engine}")
        try:
            await self._engine.open()
            await remove_all(self._engine)
        except Mee6Error as error:
            raise Conflict(f"containers of this agent may be left: {error.message}") from error
        finally:
            self._engine.close()
        await asyncio.to_thread(self._storage.close)
        self._record.unlink()

    def what_is_wrong(self) -> str:
        """See `KnowsTrouble.what_is_wrong`."""
        return self._engine.trouble

    # Workers

    async def start(self, spec: WorkerSpec) -> None:
        """See `Driver.start`."""
        if self._workers.get(spec.worker) is not None:
            raise Conflict(f"there is a worker {spec.worker} already")
        image = await self._languages.image(spec.pool.runtime)
        worker = ContainerWorker(spec=spec, image=image, claim=secrets.token_hex(16))
        self._workers.add(worker)
        work = asyncio.ensure_future(self._make(worker))
        try:
            async with asyncio.timeout(2 * UP_TIMEOUT_S):
                await asyncio.shield(work)
        except BaseException as error:
            worker.stopping = True
            # A container that the engine is just making has to be known before it can be removed.
            await asyncio.shield(self._workers.in_background(self._undo(worker, work)))
            if isinstance(error, TimeoutError):
                raise Mee6Error(f"worker {worker.id} was not up within {2 * UP_TIMEOUT_S:g} s") from error
            if isinstance(error, OSError):
                raise Exhausted(f"cannot start worker {worker.id}: {error.strerror or error}") from error
            raise

    async def _undo(self, worker: ContainerWorker, work: asyncio.Future[None]) -> None:
        if not worker.container:
            await asyncio.wait([work], timeout=UP_TIMEOUT_S)
        work.cancel()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        with suppress(Mee6Error):
            await self._workers.clean(worker)

    async def _make(self, worker: ContainerWorker) -> None:
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
        await self._until_up(worker)
        worker.found()
        self._watchdog.add(worker.id, self._freezer(worker))
        assert worker.control is not None
        wire.send(worker.control, wire.Go())

    async def _until_up(self, worker: ContainerWorker) -> None:
        deadline = asyncio.get_running_loop().time() + UP_TIMEOUT_S
        waits: list[asyncio.Future[Any]] = [worker.up, worker.ended]
        while True:
            done, _ = await asyncio.wait(waits, timeout=_UP_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if worker.up in done:
                worker.up.result()
                return
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
        await self._workers.stop(worker)

    async def _remove(self, worker: ContainerWorker) -> None:
        try:
            worker.kill()
            if worker.control is not None:
                await asyncio.wait([worker.ended], timeout=STOP_TIMEOUT_S)
            if worker.container:
                await self._engine.remove(worker.container)
        except Mee6Error as error:
            _log.warning("container %s is left for now: %s", worker.container[:12], error.message)
        finally:
            self._watchdog.remove(worker.id, self._freezer(worker))
            worker.let_go()
            await asyncio.to_thread(self._storage.remove, worker.id)

    # Pausing and limits

    async def pause(self, worker: str) -> None:
        """See `Driver.pause`."""
        found = self._workers.known(worker)
        freezer = self._freezer(found)
        if freezer is None:
            found.api_pauses += 1
            await self._engine.pause(found.container, paused=True)
            return
        with still_there(worker):
            await freezer.freeze()

    async def resume(self, worker: str) -> None:
        """See `Driver.resume`."""
        found = self._workers.known(worker)
        freezer = self._freezer(found)
        if freezer is None:
            await self._engine.pause(found.container, paused=False)
            found.api_pauses += 1
            return
        with still_there(worker):
            freezer.write(frozen=False)
            by_hand = found.is_paused_by_hand()
        if by_hand:
            raise WorkerLost(f"worker {worker} was paused by somebody else: docker unpause {found.container[:12]}")

    def _freezer(self, worker: ContainerWorker) -> Freezer | None:
        return worker.group.freezer if self._is_direct and worker.group is not None else None

    async def set_limits(self, worker: str, memory_bytes: int, cpus: float) -> None:
        """See `LimitsWorkers.set_limits`."""
        found = self._workers.known(worker)
        if found.group is None or not found.group.can_limit:
            await self._engine.limit(worker, found.container, memory_bytes, cpus)
            return
        with still_there(worker):
            await asyncio.to_thread(found.group.set_limits, memory_bytes, cpus)

    # Code and storage

    def bind(self, worker: str, code: Mapping[str, Path], flow_of: str) -> None:
        """See `Driver.bind`."""
        self._workers.known(worker)
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

    def store_path(self, worker: str) -> str:
        """See `Driver.store_path`."""
        return str(self._storage.folder(worker) / STORE)

    def clear_flow(self, worker: str) -> None:
        """See `Driver.clear_flow`; what is in it is moved at once and removed behind."""
        self._workers.known(worker)
        removal = self._storage.empty_flow(worker)
        if removal is not None:
            self._workers.in_background(removal)

    def language_version(self, runtime: str) -> str:
        """See `KnowsLanguages.language_version`."""
        return self._languages.version(runtime)

    # Facts

    def owns(self, worker: str, pid: int) -> bool:
        """See `Driver.owns`."""
        found = self._workers.get(worker)
        return found is not None and groups.is_in(pid, found.container)

    def usage(self, worker: str) -> Usage:
        """See `Driver.usage`."""
        found = self._workers.get(worker)
        measured = found.group.usage() if found is not None and found.group is not None else None
        return measured or Usage(0, 0, 0)

    # The control socket

    def _claimed(self, token: str, pid: int, sock: socket.socket) -> bool:
        """Gives a connection to the worker that it proved to be of, and tells that what it has to know."""
        worker = next((w for w in self._workers if w.claim and secrets.compare_digest(w.claim, token)), None)
        if worker is None or not groups.is_in(pid, worker.container):
            return False
        worker.claim = ""
        worker.control = sock
        worker.pid = pid
        asyncio.get_running_loop().add_reader(sock, self._readable, worker)
        with suppress(OSError):  # its end is heard next
            wire.send(sock, wire.Start(self._setup(worker)))
        return True

    def _setup(self, worker: ContainerWorker) -> wire.Setup:
        spec = worker.spec
        return wire.Setup(
            worker=spec.worker,
            token=spec.token,
            runtime=spec.pool.runtime,
            lane=self.lane_path(spec.worker),
            act=ACT,
            tmp="/tmp",  # noqa: S108  the container's own
            proxy=self._proxy,
            runtimes=self._languages.plans(worker.image),
            network=spec.pool.network,
            open_files=spec.limits.open_files,
            scratch_bytes=spec.limits.scratch_bytes,
        )

    def _readable(self, worker: ContainerWorker) -> None:
        assert worker.control is not None
        while worker.control.fileno() >= 0:
            try:
                packet = receive(worker.control)
            except BlockingIOError:
                return
            except msgspec.MsgspecError:
                continue
            if packet is None:
                asyncio.get_running_loop().remove_reader(worker.control)
                self._ended(worker)
                return
            if isinstance(packet, wire.Up) and not worker.up.done():
                worker.up.set_result(None)
            self._workers.heard(worker, packet)

    def _ended(self, worker: ContainerWorker) -> None:
        if worker.ended.done():
            return
        worker.ended.set_result("")
        if worker.up.done() and not worker.stopping and worker.cleaning is None:
            ooms = worker.group.new_ooms() if worker.group is not None else 0
            self._workers.in_background(self._tell_end(worker, worker.out_of_memory if ooms else ""))

    async def _tell_end(self, worker: ContainerWorker, why: str) -> None:
        """Finds out why its container ended, and says so; the engine may be what ended it."""
        try:
            reason = worker.why_ended(await self._engine.state(worker.container), why)
        except Mee6Error:
            reason = "its container has ended, and the Docker Engine does not answer"
        self._workers.lost(worker, reason)
