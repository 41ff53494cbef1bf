"""The node's functions: what is added, in which version, and the plans that invocations are pinned to.

Keeps in memory what the invoke path needs; the substrate holds the truth. An add is acknowledged once it is
on disk. A version that has been replaced stays readable for the invocations that are pinned to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from agent.dependencies.listing import Package
from agent.dependencies.resolver import Say
from agent.dependencies.store import Dependencies
from agent.drivers.base import WorkerLimits
from agent.plan import Plan, resolve
from agent.services.api import NO_ENV, Added, check_env, silent
from agent.substrate.base import FunctionRecord
from agent.substrate.local import LocalSubstrate
from agent.syntax import Syntax
from mee6 import bundle
from mee6.errors import FunctionNotFound, InvalidBundle, InvalidManifest, NotFound, UnknownRuntime
from mee6.manifest import Manifest, read
from runtimes.catalog import Runtime

_EMPTY: Final[Mapping[str, FunctionRecord]] = {}


class Functions:
    """All functions of all users.

    Args:
        substrate: open, and open for as long as this is used.
        runtimes: the languages this agent knows, by name.
        bundle_limit_bytes: of a packed function.
        dependencies: open, and open for as long as this is used.
        most: what a function may ask for in its limits; None = what an agent gives that was told nothing.
        syntax: looks at the code of what is added.
    """

    def __init__(
        self,
        substrate: LocalSubstrate,
        runtimes: Mapping[str, Runtime],
        bundle_limit_bytes: int,
        dependencies: Dependencies,
        most: WorkerLimits | None = None,
        syntax: Syntax | None = None,
    ) -> None:
        self._substrate = substrate
        self._runtimes = runtimes
        self._limit = bundle_limit_bytes
        self._most = most or WorkerLimits()
        self._syntax = syntax or Syntax()
        self._current: dict[str, dict[str, FunctionRecord]] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        self._adding = asyncio.Lock()
        self._dependencies = dependencies
        self._held: Counter[str] = Counter()
        """Bundles of functions that are being added."""
        self.code: dict[str, Path] = {}
        """SHA-256 -> the unpacked bundle, for every version that a plan may name."""

    async def load(self) -> None:
        """Reads what an earlier agent left, and drops bundles that no version needs."""
        for record in await self._substrate.registry.current():
            self._current.setdefault(record.user, {})[record.name] = record
            with contextlib.suppress(NotFound):  # told to whoever invokes it
                self.code[record.sha256] = await self._substrate.bundles.unpacked(record.sha256)
        await self._keep_only(set(), set())

    def of(self, user: str) -> Mapping[str, FunctionRecord]:
        """A user's functions by name, in their current versions."""
        return self._current.get(user, _EMPTY)

    def all(self) -> list[FunctionRecord]:
        """Every function of every user."""
        return [record for functions in self._current.values() for record in functions.values()]

    def plan(self, user: str, name: str) -> Plan:
        """The plan of a function on the current versions.

        Raises:
            FunctionNotFound: no such function.
        """
        plan = self._plans.get((user, name))
        if plan is None:
            plan = resolve(self.of(user), name, user)
            lost = [record.name for record in plan.functions.values() if record.sha256 not in self.code]
            if lost:
                raise NotFound(f"the code of {lost[0]!r} is missing from the agent's state folder; add it again")
            bare = [
                record.name for record in plan.functions.values() if not self._dependencies.is_there(record.packages)
            ]
            if bare:
                raise NotFound(f"the packages of {bare[0]!r} are missing from the agent's state folder; add it again")
            self._plans[user, name] = plan
        return plan

    def packages(self, record: FunctionRecord) -> Path | None:
        """The folder of what a version depends on; None for nothing."""
        return self._dependencies.path(record.packages) if record.packages else None

    async def requirements(self, record: FunctionRecord) -> tuple[Package, ...]:
        """The packages that a version depends on."""
        return await self._dependencies.listed(record.packages, self.code[record.sha256], record.manifest.runtime)

    async def add(
        self,
        user: str,
        act_name: str,
        packed: Path,
        sha256: str,
        size: int,
        env: Mapping[str, str] = NO_ENV,
        say: Say = silent,
        check: bool = True,
    ) -> Added:
        """Adds the function in a packed bundle; see `NodeApi.add`."""
        check_env(env)
        substrate = self._substrate
        self._held[sha256] += 1
        try:
            async with self._adding:
                await substrate.bundles.put(packed, sha256)
                folder = await substrate.bundles.unpacked(sha256)
                manifest = await asyncio.to_thread(self._manifest, folder, act_name)
            # Outside of the lock: it may take minutes, and others shall be added meanwhile.
            if check and sha256 not in self.code and manifest.declaration is None:
                await self._syntax.check(folder, manifest.runtime, self._runtimes[manifest.runtime].main_file)
            async with self._dependencies.provided(folder, manifest.runtime, say) as packages, self._adding:
                current = self.of(user).get(manifest.name)
                if current is not None and (current.sha256, current.env, current.packages) == (sha256, env, packages):
                    self._forget_plans(user)  # what was missing may be there again
                    return Added(current, unchanged=True, missing=self._missing(user, manifest))
                record = await substrate.registry.add(
                    user, manifest.name, sha256, size, manifest, time.time(), env, packages
                )
                self.code[sha256] = folder
                self._current.setdefault(user, {})[manifest.name] = record
                self._forget_plans(user)
                return Added(record, missing=self._missing(user, manifest))
        except BaseException:
            self._held[sha256] -= 1
            async with self._adding:
                await self._keep_only(set(self.code), set(), bundles_only=True)
            self._held[sha256] += 1
            raise
        finally:
            self._held[sha256] -= 1
            if not self._held[sha256]:
                del self._held[sha256]

    async def add_folder(
        self,
        user: str,
        act_name: str,
        folder: Path,
        env: Mapping[str, str] = NO_ENV,
        say: Say = silent,
        check: bool = True,
    ) -> Added:
        """Adds the function in a folder of this machine; see `NodeApi.add_folder`."""
        async with bundle.packed_aside(folder, self._limit) as packed:
            return await self.add(user, act_name, packed.path, packed.sha256, packed.size, env, say, check)

    async def remove(self, user: str, name: str) -> None:
        """Removes a function with all its versions; see `NodeApi.remove`."""
        async with self._adding:
            if not await self._substrate.registry.remove(user, name):
                raise FunctionNotFound(f"no function {name!r} for user {user!r}; see: mee6 act ls", function=name)
            del self._current[user][name]
            self._forget_plans(user)

    async def versions(self, user: str, name: str) -> list[FunctionRecord]:
        """The function's versions, newest first."""
        return await self._substrate.registry.versions(user, name)

    async def forget_code(self, in_use: Callable[[], Iterable[FunctionRecord]]) -> None:
        """Drops the bundles and packages that neither a version nor anything running needs.

        Args:
            in_use: tells the versions that something runs of; asked once nothing can be added meanwhile.
        """
        async with self._adding:
            running = list(in_use())
            await self._keep_only({record.sha256 for record in running}, {record.packages for record in running})

    async def _keep_only(self, bundles: set[str], packages: set[str], *, bundles_only: bool = False) -> None:
        """Drops all but these, what a version needs, and what is being added."""
        registry = self._substrate.registry
        wanted = await registry.referenced() | bundles | {sha256 for sha256, count in self._held.items() if count > 0}
        await self._substrate.bundles.keep_only(wanted)
        for sha256 in self.code.keys() - wanted:
            del self.code[sha256]
        if not bundles_only:
            await self._dependencies.keep_only(await registry.packages() | packages)

    def _missing(self, user: str, manifest: Manifest) -> tuple[str, ...]:
        functions = self.of(user)
        return tuple(sorted(name for name in manifest.dependencies if name not in functions and name != manifest.name))

    def _forget_plans(self, user: str) -> None:
        self._plans = {key: plan for key, plan in self._plans.items() if key[0] != user}

    def _manifest(self, folder: Path, act_name: str) -> Manifest:
        """The manifest of an unpacked bundle, checked against what was asked for and what this machine has."""
        manifest = read(folder)
        if act_name and act_name != manifest.name:
            raise InvalidManifest(f"activity.json names the function {manifest.name!r}, not {act_name!r}")
        if excess := self._most.excess(manifest.limits):
            raise InvalidManifest(f"activity.json: limits.{excess}; ask for less, or have the agent give more")
        runtime = self._runtimes.get(manifest.runtime)
        if runtime is None:
            known = ", ".join(sorted(self._runtimes))
            near = difflib.get_close_matches(manifest.runtime, self._runtimes, 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownRuntime(f"runtime {manifest.runtime!r} is not known here; {meant}known are: {known}")
        if missing := runtime.missing():
            raise UnknownRuntime(f"{missing}; install it on the agent's machine, or choose another runtime")
        if manifest.declaration is None and not (folder / runtime.main_file).is_file():
            raise InvalidBundle(f"a {runtime.name} function needs {runtime.main_file!r}, which is not in its folder")
        return manifest
