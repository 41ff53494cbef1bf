"""What an agent remembers beyond its life: functions with their versions, and bundles.

The interface that one machine (`agent.substrate.local`, SQLite) and later a cluster implement. All methods
may wait; the node keeps what it needs on the invoke path in memory. What has been acknowledged is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mee6.manifest import Manifest


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One version of a function."""

    user: str
    name: str
    version: int
    """Counts from 1 for each (user, name), and goes on after a removal."""
    sha256: str
    """Of the bundle."""
    size: int
    manifest: Manifest
    added_s: float
    """Seconds since 1970, UTC."""
    env: dict[str, str] = field(default_factory=dict)
    """Given when it was added; goes over the manifest's."""
    packages: str = ""
    """The key of what it depends on, see `agent.dependencies.store`; empty for nothing."""


class Registry(Protocol):
    """Functions and their versions."""

    async def add(
        self,
        user: str,
        name: str,
        sha256: str,
        size: int,
        manifest: Manifest,
        now_s: float,
        env: Mapping[str, str] = ...,
        packages: str = "",
    ) -> FunctionRecord:
        """Makes the next version and makes it current. On disk when it returns."""
        ...

    async def current(self) -> list[FunctionRecord]:
        """The current version of every function of every user."""
        ...

    async def versions(self, user: str, name: str) -> list[FunctionRecord]:
        """Newest first, at most the last ten; empty for one that does not exist."""
        ...

    async def remove(self, user: str, name: str) -> bool:
        """Removes all versions; False when there was none."""
        ...


class PatternStore(Protocol):
    """What was learnt of workflows, an opaque row for each function. Written behind; the last seconds may be lost."""

    async def read(self) -> list[tuple[str, str, bytes]]:
        """(user, function, data) of every row."""
        ...

    async def write(self, rows: Mapping[tuple[str, str], bytes | None]) -> None:
        """Replaces rows, all or none; None removes one.

        Raises:
            Mee6Error: they could not be written.
        """
        ...


class Bundles(Protocol):
    """Packed folders by the SHA-256 of their bytes, and their unpacked copies."""

    async def put(self, packed: Path, sha256: str) -> None:
        """Takes a packed bundle over (the file is moved), checked against its sum. Idempotent.

        Raises:
            InvalidBundle: the sum does not match.
        """
        ...

    async def unpacked(self, sha256: str) -> Path:
        """The read-only folder of a bundle; unpacks it when needed, atomically.

        Raises:
            NotFound: no such bundle.
        """
        ...

    async def keep_only(self, wanted: set[str]) -> int:
        """Drops every bundle not in `wanted`; how many went."""
        ...
