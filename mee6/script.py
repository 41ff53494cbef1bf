"""What `mee6.invoke` does in a script: it asks an agent, found as the command line finds it.

Imported only where no runtime has installed its own backend. Each use opens a connection of its own and
closes it: a script that makes many calls holds a `mee6.SyncClient` or `mee6.Client` itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final

from mee6.errors import Mee6Error
from mee6.http import Request
from mee6.sdk import CallTo, Context, Outcome, outside

PARALLEL: Final = 32
"""Calls of one `gather` that are under way at once."""


class ClientBackend:
    """Calls through `mee6.client`; no surroundings."""

    def invoke(self, name: str, arg: Any, view: bool) -> Any:
        """Makes the call and waits for it."""
        return self.run((CallTo(name, arg, view),))[0].unwrap()

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        """Makes the calls through one connection, at most `PARALLEL` at once, and waits for them."""
        import asyncio

        return asyncio.run(_all(calls))

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        """Makes the calls on the running event loop."""
        import asyncio

        whole = asyncio.ensure_future(_all(calls))

        async def part(index: int) -> Outcome:
            return (await asyncio.shield(whole))[index]

        return [part(index) for index in range(len(calls))]

    def flow(self) -> Path:
        """Scripts have no workflow."""
        raise outside("flow")

    def scratch(self) -> Path:
        """Scripts have no invocation."""
        raise outside("scratch")

    def context(self) -> Context:
        """Scripts have no invocation."""
        raise outside("context")

    def request(self) -> Request:
        """Scripts have no invocation."""
        raise outside("request")


async def _all(calls: Sequence[CallTo]) -> list[Outcome]:
    import asyncio

    from mee6.client import Client

    places = asyncio.Semaphore(PARALLEL)
    async with Client() as client:

        async def outcome(one: CallTo) -> Outcome:
            async with places:
                try:
                    value = await client.invoke(one.name, one.arg)
                    return Outcome(memoryview(value) if one.view and isinstance(value, bytes) else value)
                except Mee6Error as error:
                    return Outcome(error=error)

        return await asyncio.gather(*map(outcome, calls))
