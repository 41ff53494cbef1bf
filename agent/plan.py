"""What an invocation may reach, pinned: the versions of its function and of all that it can call.

Pure. A plan is made when an invocation is accepted, from the versions that are current then; versions that
come later do not touch it. Its digest tells which workers fit: those that hold a plan of the same digest.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.drivers.base import PoolKey
from agent.substrate.base import FunctionRecord
from mee6.errors import FunctionNotFound

DEFAULT_USER = "default"


@dataclass(frozen=True, slots=True)
class Plan:
    """A function with everything it can reach, each in one version."""

    root: FunctionRecord
    functions: dict[str, FunctionRecord]
    """By name: the root first, then what it can reach through declared dependencies, nearest first."""
    missing: tuple[str, ...]
    """Declared somewhere in it, but not added; sorted."""
    digest: str
    """Stable over the root's user and name and the (name, version, sha256) of the functions; two plans with
    equal digest are interchangeable."""
    pool: PoolKey
    """Whose workers its root may have."""
    _subs: dict[str, Plan] = field(default_factory=dict, compare=False, repr=False)

    def sub(self, name: str) -> Plan:
        """The plan of a function in this one, on the same versions.

        Raises:
            FunctionNotFound: it is not in this plan.
        """
        if name == self.root.name:
            return self
        found = self._subs.get(name)
        if found is None:
            found = self._subs[name] = resolve(self.functions, name, self.root.user)
        return found


def resolve(current: Mapping[str, FunctionRecord], root: str, user: str = DEFAULT_USER) -> Plan:
    """The plan of `root`.

    Args:
        current: one user's functions by name.
        user: that user, for the message.

    Raises:
        FunctionNotFound: `root` is not among them.
    """
    if root not in current:
        raise FunctionNotFound(f"no function {root!r} for user {user!r}; see: mee6 act ls", function=root)
    functions: dict[str, FunctionRecord] = {}
    missing: set[str] = set()
    ahead = deque([root])
    while ahead:
        name = ahead.popleft()
        if name in functions:
            continue
        record = current.get(name)
        if record is None:
            missing.add(name)
            continue
        functions[name] = record
        ahead.extend(record.manifest.dependencies)
    manifest = functions[root].manifest
    pool = PoolKey(manifest.runtime, manifest.network, manifest.limits)
    return Plan(functions[root], functions, tuple(sorted(missing)), _digest(functions, root), pool)


def path_of(user: str, name: str) -> str:
    """Where a function is, over HTTP."""
    return f"/function/{name}" if user == DEFAULT_USER else f"/user/{user}/function/{name}"


def _digest(functions: Mapping[str, FunctionRecord], root: str) -> str:
    # The root counts: in a cycle, plans of different functions hold the same set. The user counts: workers
    # of one user never serve another.
    lines = [f"{functions[root].user} {root}"]
    lines += sorted(f"{record.name} {record.version} {record.sha256}" for record in functions.values())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
