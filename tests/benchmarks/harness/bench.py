"""What a question works with: an agent of its own, functions to call, rows to fill.

Each question starts agents as processes with temporary state folders, and they leave nothing behind. Where a
language is missing on this machine, its rows are left out and the report says so. Containers' images are made first
where they are not of this mee6.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final

from mee6.client import Client
from mee6.errors import Conflict
from mee6.records import Worker
from runtimes.catalog import RUNTIMES
from tests.agent.drivers.engines import why_not
from tests.benchmarks.harness.samples import Rounds, Row, row_of, rows_of
from tests.support.agents import Agent, until, write_function

PAYLOAD: Final = "x" * 64
PATIENCE_S: Final = 120.0
"""With what is waited for without being measured; a busy engine makes a container in seconds."""

ECHO: Final = {
    "python": "def main(arg):\n    return arg\n",
    "nodejs": "module.exports = (arg) => arg;\n",
}


@dataclass(slots=True)
class Bench:
    """One question's run."""

    quick: bool = False
    driver: str = "process"
    """What makes workers."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that this machine can run with the driver."""
        missing = {name: runtime.missing() for name, runtime in RUNTIMES.items()}
        if self.driver == "docker":
            missing = {name: why or why_not(name) for name, why in missing.items()}
        self.notes += [why for why in missing.values() if why and why not in self.notes]
        return tuple(name for name, why in missing.items() if not why)

    def count(self, full: int) -> int:
        """How often to repeat something: as often as said, or a tenth of that when it must be quick."""
        return max(full // 10, 3) if self.quick else full

    def add(self, what: str, samples: Sequence[float], unit: str, *, note: str = "") -> None:
        """A row of samples; nothing where there are none."""
        if samples:
            self.rows.append(row_of(what, samples, unit, note=note))

    def add_rounds(self, rounds: Rounds, unit: str, floor: str = "") -> None:
        """A row for each contender."""
        self.rows += rows_of(rounds, unit, floor)

    @contextlib.asynccontextmanager
    async def agent(
        self, *, driver: str = "", env: Mapping[str, str] | None = None, **settings: Any
    ) -> AsyncIterator[Running]:
        """An agent of its own, with a client; `settings` as in `AgentConfig`.

        Raises:
            Conflict: it is to use Docker, and that cannot be had.
        """
        driver = driver or self.driver
        if driver == "docker" and (missing := why_not()):
            raise Conflict(missing)
        folder = Path(tempfile.mkdtemp(prefix="m6b"))
        try:
            with Agent.start(env=env, driver=driver, **{"start_timeout_s": PATIENCE_S, **settings}) as agent:
                async with agent.client() as client:
                    yield Running(agent, client, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(slots=True)
class Running:
    """An agent under measurement."""

    agent: Agent
    client: Client
    folder: Path
    """For functions' folders."""

    async def function(
        self, name: str, code: str, *, runtime: str = "python", calls: dict[str, str] | None = None, **manifest: Any
    ) -> None:
        """Adds a function; arguments as `write_function`."""
        await self.client.add(write_function(self.folder, name, code, runtime=runtime, calls=calls, **manifest))

    async def until_workers(self, holds: Callable[[tuple[Worker, ...]], object], what: str) -> tuple[Worker, ...]:
        """Waits until `holds` is true of the workers."""

        found: tuple[Worker, ...] = ()

        async def probe() -> bool:
            nonlocal found
            found = await self.client.workers()
            return bool(holds(found))

        try:
            await until(probe, what, PATIENCE_S)
        except AssertionError as error:
            states = ", ".join(f"{worker.pool} {worker.state}" for worker in found) or "no workers"
            failures = [pool.failure for node in await self.client.nodes() for pool in node.pools if pool.failure]
            raise AssertionError(f"{error}, but {states}; {'; '.join(failures)}".rstrip("; ")) from error
        return found


async def timed(count: int, call: Callable[[], Awaitable[Any]], *, warm_up: int = 20) -> list[int]:
    """Nanoseconds of `count` calls one after the other, after some that do not count."""
    for _ in range(warm_up):
        await call()
    took = []
    for _ in range(count):
        began = monotonic_ns()
        await call()
        took.append(monotonic_ns() - began)
    return took
