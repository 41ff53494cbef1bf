"""What workers are shown: the code of their plan, what it depends on, and the storage of their workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.drivers.base import Driver, packages_name
from agent.seats import Job, Seat
from agent.store import Stores
from agent.substrate.base import FunctionRecord
from mee6.lane.messages import Load


class Bindings:
    """Shows it by a driver, and tells runtimes where it is.

    Args:
        code: SHA-256 -> the unpacked bundle.
        packages: the folder of what a version depends on; None for nothing.
        timeout_s: of functions that do not say.
    """

    def __init__(
        self,
        driver: Driver,
        code: Mapping[str, Path],
        packages: Callable[[FunctionRecord], Path | None],
        timeout_s: float,
        stores: Stores,
    ) -> None:
        self._driver = driver
        self._code = code
        self._packages = packages
        self._timeout_s = timeout_s
        self._stores = stores

    def bind(self, seat: Seat, job: Job) -> None:
        """Shows a job's code and storage in a worker.

        Raises:
            Mee6Error, OSError: that worker is gone, or a function spoilt its folders.
        """
        flow = job.flow_of or seat.worker
        if flow != seat.bound_flow:
            self._stores.left(seat)
        seat.plan = job.plan
        seat.bound_flow = flow
        code = {name: self._code[record.sha256] for name, record in job.plan.functions.items()}
        for name, record in job.plan.functions.items():
            if folder := self._packages(record):
                code[packages_name(name)] = folder
        self._driver.bind(seat.worker, code, flow)

    def load(self, seat: Seat, job: Job) -> Load:
        """What a worker has to be told to load a job's function; its code is bound."""

        def code(record: FunctionRecord) -> str:
            return self._driver.code_path(seat.worker, record.name, self._code[record.sha256])

        def packages(record: FunctionRecord) -> str:
            folder = self._packages(record)
            return self._driver.code_path(seat.worker, packages_name(record.name), folder) if folder else ""

        functions = seat.functions(code, packages, self._timeout_s, self._stores.allowed(job.plan, seat))
        return Load(f"load/{job.id}", functions[job.name], functions)
