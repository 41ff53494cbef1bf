"""A real agent whose workers are containers, and what runs in them by the engine's and the kernel's own word.

Containers are found by the agent's label, their processes and control groups by the first process that the engine
names. The agent is never asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from docker import APIClient
from docker.errors import NotFound

from agent import images
from agent.drivers.docker.engine import WORKER
from agent.drivers.process.cgroups import hierarchies
from tests.agent.drivers.engines import containers
from tests.support.agents import Agent


class DockerAgent(Agent):
    """See `Agent`."""

    killed_init: ClassVar[str] = "its container has ended"

    def __init__(
        self, state: Path, isolation: str, settings: dict[str, Any], env: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(state, isolation, {"driver": "docker", **settings}, env)
        self._api: APIClient | None = None

    @property
    def api(self) -> APIClient:
        """A client of the engine; kept until the agent is closed, since connecting takes longer than asking."""
        if self._api is None:
            self._api = images.connect()
        return self._api

    def containers(self) -> list[dict[str, Any]]:
        """All of its containers, as the engine lists them."""
        return containers(self.api, self.id)

    def container(self, worker: str) -> dict[str, Any]:
        """A worker's container, as the engine lists it.

        Raises:
            LookupError: it has none.
        """
        found = next((one for one in self.containers() if one["Labels"][WORKER] == worker), None)
        if found is None:
            raise LookupError(f"no container of worker {worker}")
        return found

    def workers(self) -> set[str]:
        """Workers that have a container, running or not."""
        return {str(one["Labels"][WORKER]) for one in self.containers()}

    def groups(self) -> list[Path]:
        """The control groups of all of its containers."""
        return [path for one in self.containers() for path in self._groups(str(one["Id"]))]

    def groups_of(self, worker: str) -> list[Path]:
        """See `Agent.groups_of`."""
        with suppress(LookupError):
            return self._groups(str(self.container(worker)["Id"]))
        return []

    def marked(self) -> set[int]:
        """All processes of its containers."""
        return {pid for worker in self.workers() for pid in self.processes_of(worker)}

    def processes(self) -> set[int]:
        """Its own descendants, and all processes of its containers: those are the engine's children."""
        return super().processes() | self.marked()

    def launcher(self) -> list[int]:
        """It has none: the engine starts its workers."""
        return []

    def top(self, worker: str) -> list[list[str]]:
        """A worker's processes as the engine lists them: a row each, the columns of `ps -ef`."""
        return list(self.api.top(self.container(worker)["Id"])["Processes"])

    def is_paused_by_the_engine(self, worker: str) -> bool:
        """Whether the engine itself has paused it; it knows nothing of a freezer that the agent writes."""
        return str(self.container(worker)["State"]) == "paused"

    def flow_of(self, worker: str) -> Path:
        """See `Agent.flow_of`."""
        return self.state / "mnt" / worker / "flow"

    def close(self) -> None:
        """See `Agent.close`; also lets no container stay where that failed."""
        name = self.id
        try:
            super().close()
        finally:
            for one in containers(self.api, name):
                with suppress(NotFound):
                    self.api.remove_container(one["Id"], force=True)
            self._leave_the_engine()

    def restarted(self) -> Self:
        """See `Agent.restarted`."""
        self._leave_the_engine()
        return super().restarted()

    def _leave_the_engine(self) -> None:
        if self._api is not None:
            self._api.close()
            self._api = None

    def _first(self, worker: str, parents: dict[int, int]) -> int:
        with suppress(LookupError):
            return self._pid(str(self.container(worker)["Id"]))
        return 0

    def _note_processes(self) -> None:
        """Nothing: what runs in a container is gone when the container is."""

    def _processes_left(self) -> Iterable[str]:
        yield from (f"container {one['Id'][:12]} ({one['State']})" for one in self.containers())

    def _things_left(self) -> Iterable[str]:
        yield from super()._things_left()
        for path in (self.state / "lane" / "control.sock", *(self.state / "mnt").glob("*")):
            if path.exists():
                yield str(path)

    def _pid(self, container: str) -> int:
        """A container's first process; 0 where it has ended, or is gone."""
        with suppress(NotFound):
            return int(self.api.inspect_container(container)["State"]["Pid"])
        return 0

    def _groups(self, container: str) -> list[Path]:
        """Its control groups in all mounted trees, as its first process tells."""
        try:
            membership = Path(f"/proc/{self._pid(container) or 'none'}/cgroup").read_text()
        except OSError:
            return []
        trees = hierarchies(Path("/proc/self/mountinfo").read_text(), membership)
        return sorted({tree.own for tree in trees if container in str(tree.own)})
