"""The Docker Engine, asked in threads, each call bounded, its errors turned into ours.

The SDK blocks, and an engine may hang: a call that does not come back holds one thread of a few until the
socket's own timeout, and its caller no longer than that. Once it has not answered, nothing more is asked of it, and
all fails at once, until `ours`, which is asked again and again with less patience, has an answer.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from docker import APIClient
from docker.errors import APIError, DockerException, ImageNotFound
from docker.errors import NotFound as NotHere
from docker.types import LogConfig, Ulimit
from requests.exceptions import RequestException, Timeout

from agent import images
from agent.drivers.base import WorkerLimits
from agent.drivers.docker.groups import engines_freezer
from agent.drivers.process.group import in_use
from agent.drivers.scratch import tmpfs_options
from mee6.errors import Conflict, Exhausted, Mee6Error, NotFound, WorkerLost

T = TypeVar("T")

AGENT: Final = "mee6.agent"
WORKER: Final = "mee6.worker"
OOM_SCORE_ADJ: Final = 300
"""Of a container's first process and proxy; `proxy.init` raises its runtimes above it."""
CALL_TIMEOUT_S: Final = 15.0
LOOK_TIMEOUT_S: Final = 5.0
"""Source: of twenty containers it takes some 3 ms; an engine that makes several, up to 0.5 s."""
STARTS_AT_ONCE: Final = 4
_RETRY_FOR_S: Final = 1.0
_RETRY_AFTER_S: Final = 0.1
_CPU_PERIOD_US: Final = 100_000
_SHM_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Container:
    """One container of this agent, as listed."""

    id: str
    worker: str
    is_paused: bool
    """By the engine's own word, which knows nothing of a direct freeze."""


class Engine:
    """What the driver wants of it.

    Args:
        agent_id: whose containers these are; no others are ever touched.
        timeout_s: for one call.
    """

    def __init__(self, agent_id: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self._agent_id = agent_id
        self._timeout_s = timeout_s
        self._api: APIClient | None = None
        self._looking: APIClient | None = None
        self._makers = ThreadPoolExecutor(STARTS_AT_ONCE, "docker-make")
        self._others = ThreadPoolExecutor(STARTS_AT_ONCE, "docker-ask")
        self._looker = ThreadPoolExecutor(1, "docker-look")
        self.trouble = ""
        """Why nothing is asked of it now; empty while it answers."""

    async def open(self) -> None:
        """Connects.

        Raises:
            Conflict: no engine answers, or it is on another machine.
        """
        try:
            self._looking = await self._run(self._looker, "connect", lambda: images.connect(LOOK_TIMEOUT_S))
            self._api = await self._run(self._others, "connect", lambda: images.connect(self._timeout_s))
        except Mee6Error as error:
            raise Conflict(f"{error.message}; what is missing says: mee6 doctor --driver docker") from error
        if not self._api.base_url.startswith("http+docker://"):
            raise Conflict(
                f"the Docker Engine at {self._api.base_url} is not reached over a Unix socket; the docker driver needs "
                "the one of this machine: unset DOCKER_HOST"
            )

    def close(self) -> None:
        """Lets go of it; what still hangs ends by its own timeout."""
        for pool in (self._makers, self._others, self._looker):
            pool.shutdown(wait=False, cancel_futures=True)
        for api in (self._api, self._looking):
            if api is not None:
                api.close()

    async def image(self, runtime: str) -> images.RuntimeImage | None:
        """The image of a runtime's workers."""
        return await self._ask("look for an image", lambda api: images.find_image(api, runtime))

    async def create(
        self,
        worker: str,
        image: images.RuntimeImage,
        limits: WorkerLimits,
        network: str,
        environment: Mapping[str, str],
        binds: list[str],
    ) -> str:
        """Makes a container, and returns its id."""

        def make(api: APIClient) -> str:
            host = api.create_host_config(
                binds=binds,
                network_mode=network,
                read_only=True,
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                ipc_mode="private",
                pids_limit=limits.pids,
                mem_limit=limits.memory_bytes,
                memswap_limit=limits.memory_bytes,
                nano_cpus=int(limits.cpus * 1e9) or None,
                ulimits=[
                    Ulimit(name="nofile", soft=limits.open_files, hard=limits.open_files),
                    Ulimit(name="core", soft=0, hard=0),
                ],
                shm_size=min(_SHM_BYTES, limits.scratch_bytes),
                tmpfs={"/tmp": f"rw,nosuid,nodev,{tmpfs_options(limits.scratch_bytes)}"},  # noqa: S108  its own
                oom_score_adj=OOM_SCORE_ADJ,
                log_config=LogConfig(type="none", config={}),
            )
            made = api.create_container(
                image.name,
                name=f"mee6-{self._agent_id}-{worker}",
                hostname=worker,
                user=images.WORKER_USER,
                environment=dict(environment),
                labels={AGENT: self._agent_id, WORKER: worker},
                host_config=host,
                network_disabled=network == "none",
            )
            return str(made["Id"])

        return await self._ask(f"make worker {worker}", make, self._makers)

    async def start(self, container: str) -> None:
        """Starts it."""
        await self._ask("start a container", lambda api: api.start(container), self._makers)

    async def state(self, container: str) -> dict[str, Any] | None:
        """Its `State` as inspected; None where it is gone."""
        try:
            facts = await self._ask("inspect a container", lambda api: api.inspect_container(container))
        except WorkerLost:
            return None
        return dict(facts["State"])

    async def remove(self, container: str) -> None:
        """Ends and removes it; one that is gone is fine."""

        def go(api: APIClient) -> None:
            with suppress(NotHere):
                try:
                    api.remove_container(container, force=True, v=True)
                except APIError as error:
                    if error.status_code != 409:  # somebody is removing it already
                        raise

        await self._ask("remove a container", go)

    async def ours(self) -> list[Container]:
        """All containers of this agent. Asked also of an engine that is in trouble: its answer ends that."""
        api = self._opened(self._looking)
        label = {"label": f"{AGENT}={self._agent_id}"}
        found = await self._run(self._looker, "list its containers", lambda: api.containers(all=True, filters=label))
        self.trouble = ""
        return [Container(str(c["Id"]), str(c["Labels"].get(WORKER, "")), c["State"] == "paused") for c in found]

    async def pause(self, container: str, *, paused: bool) -> None:
        """Freezes or thaws it through the API.

        An engine may take note of its own events late, and refuse the next order for that; so it is tried again.
        """

        def go(api: APIClient) -> None:
            deadline = time.monotonic() + _RETRY_FOR_S
            while True:
                try:
                    api.pause(container) if paused else api.unpause(container)
                except APIError as error:
                    if error.status_code not in {409, 500} or time.monotonic() > deadline:
                        raise
                    if (
                        bool(api.inspect_container(container)["State"]["Paused"]) == paused
                        and _is_frozen(api, container) == paused
                    ):
                        return
                    time.sleep(_RETRY_AFTER_S)
                else:
                    return

        await self._ask("pause a container" if paused else "resume a container", go)

    async def limit(self, worker: str, container: str, memory_bytes: int, cpus: float) -> None:
        """Changes a live container's limits.

        Raises:
            Conflict: it uses more memory than that now; nothing was changed.
        """
        quota = int(cpus * _CPU_PERIOD_US) if cpus else -1

        def go(api: APIClient) -> None:
            # An engine with control groups of version 2 would take the limit, and the kernel kill for it.
            memory = api.stats(container, stream=False, one_shot=True)["memory_stats"]
            cached = memory.get("stats", {})
            used = memory.get("usage", 0) - cached.get("total_inactive_file", cached.get("inactive_file", 0))
            if used > memory_bytes:
                raise in_use(worker, used, memory_bytes)
            api.update_container(
                container,
                mem_limit=memory_bytes,
                memswap_limit=memory_bytes,
                cpu_period=_CPU_PERIOD_US,
                cpu_quota=quota,
            )

        await self._ask("change a container's limits", go)

    async def _ask(self, what: str, work: Callable[[APIClient], T], pool: ThreadPoolExecutor | None = None) -> T:
        api = self._opened(self._api)
        if self.trouble:
            raise Mee6Error(f"could not {what}: {self.trouble}")
        return await self._run(pool or self._others, what, lambda: work(api))

    def _opened(self, api: APIClient | None) -> APIClient:
        if api is None:
            raise Conflict("the driver is not open")
        return api

    async def _run(self, pool: ThreadPoolExecutor, what: str, work: Callable[[], T]) -> T:
        try:
            # More than the socket's timeout: it may have to wait for a thread that an engine holds.
            async with asyncio.timeout(2 * self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(pool, work)
        except DockerException as error:  # first: an answer of the engine is a RequestException too
            raise translated(error, what) from error
        except (TimeoutError, RequestException) as error:
            self.trouble = f"the Docker Engine at {self.url} does not answer: {_why(error)}; see: mee6 doctor"
            raise Mee6Error(f"could not {what}: {self.trouble}") from error


def translated(error: DockerException, what: str) -> Mee6Error:
    """An error of the SDK as one of ours."""
    said = _brief(error)
    if isinstance(error, ImageNotFound) or "No such image" in said:
        return NotFound(f"could not {what}: {said}; make it again: mee6 image build")
    if isinstance(error, NotHere):
        return WorkerLost(f"could not {what}: {said}")
    if "no space left" in said:
        return Exhausted(f"could not {what}: the disk of the Docker Engine is full")
    return Mee6Error(f"could not {what}: {said}")


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError | Timeout):
        return "it hangs"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__context__
    return "it closed the connection"


def _brief(error: Exception) -> str:
    return " ".join(str(getattr(error, "explanation", "") or error).split())[:300]


def _is_frozen(api: APIClient, container: str) -> bool:
    """Whether the kernel says so, where its files can be read; else what the engine says."""
    state = api.inspect_container(container)["State"]
    freezer = engines_freezer(int(state["Pid"]), container)
    with suppress(OSError):
        if freezer is not None:
            return (freezer / "freezer.state").read_text().startswith("FROZEN")
    return bool(state["Paused"])
