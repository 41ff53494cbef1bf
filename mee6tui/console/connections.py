"""The connections to agents, each made when it is first asked for.

What talks to an agent takes as long to import as a tenth of the console's start; the first page is painted without it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from mee6.config import Settings
from mee6tui.console.source import Item

if TYPE_CHECKING:
    from mee6.client import Client


class Connections(Mapping[str, "Client"]):
    """The clients by the console's names for their agents.

    Args:
        settings: by name: where the agent is, and as whom it is talked to.
    """

    def __init__(self, settings: Mapping[str, Settings]) -> None:
        self._settings = dict(settings)
        self._made: dict[str, Client] = {}

    def __getitem__(self, name: str) -> Client:
        settings = self._settings[name]
        if name not in self._made:
            from mee6.client import Client

            self._made[name] = Client(settings.address.value, user=settings.user.value)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    async def close(self) -> None:
        """Ends those that were made."""
        for client in self._made.values():
            await client.close()


class Watch:
    """What an `AgentSource` asks of its agent."""

    def __init__(self, connections: Connections, name: str) -> None:
        self._connections = connections
        self._name = name

    async def watch(self) -> AsyncGenerator[Item, None]:
        """As `Client.watch`."""
        if "mee6.client" not in sys.modules:
            await asyncio.to_thread(importlib.import_module, "mee6.client")  # frames are painted meanwhile
            gc.freeze()  # it stays: the collector need not look at it
        async with aclosing(self._connections[self._name].watch()) as items:
            async for item in items:
                yield item
