"""What an agent remembers on one machine: a SQLite registry, a folder of bundles, and what was learnt.

`async with LocalSubstrate(state_dir) as substrate:` gives `substrate.registry`, `substrate.bundles` and
`substrate.patterns`, the interfaces of `agent.substrate.base`. All that it writes is below the state folder.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from agent.substrate.local_bundles import FolderBundles
from agent.substrate.local_patterns import SqlitePatterns
from agent.substrate.local_registry import SqliteRegistry


class LocalSubstrate:
    """The substrate of one machine.

    Args:
        state_dir: the agent's folder; made when it does not exist.
    """

    def __init__(self, state_dir: Path) -> None:
        self.registry = SqliteRegistry(state_dir / "registry.db")
        self.bundles = FolderBundles(state_dir)
        self.patterns = SqlitePatterns(state_dir / "patterns.db")

    async def __aenter__(self) -> Self:
        """Opens all.

        Raises:
            Conflict: the database is damaged, in use by another agent, or of a newer mee6.
        """
        # The registry first: holding its file keeps a second agent from sweeping this one's bundles.
        await self.registry.open()
        try:
            await self.bundles.open()
            await self.patterns.open()
        except BaseException:
            await self.registry.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.patterns.close()
        await self.bundles.close()
        await self.registry.close()
