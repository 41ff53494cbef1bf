"""One invocation made from here: sent, watched, its outcome. It goes on when nobody looks any more. No Textual."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mee6.errors import Cancelled, Conflict, Mee6Error
from mee6.records import Outcome
from mee6tui.console.commands import Key
from mee6tui.console.payload import Payload, pack

if TYPE_CHECKING:
    from mee6.client import Client

WAIT_S = 3600.0
"""How long is waited for a result at a time."""


class Invoking:
    """An invocation from its sending to its outcome.

    Args:
        key: of the function: source and `user/name`.
        began: told of the id, once there is one.
    """

    def __init__(self, client: Client, key: Key, payload: Payload, began: Callable[[Key], None]) -> None:
        self.client = client
        self.source, self.function = key
        self.payload = payload
        self.id = ""
        self.outcome: Outcome | None = None
        self.error: Mee6Error | None = None
        self._began = began

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.outcome is not None or self.error is not None

    async def run(self) -> None:
        """Sends it and waits for what comes of it; what goes wrong is `error`, never raised."""
        user, _, name = self.function.rpartition("/")
        try:
            data, kind = await pack(self.payload)
            limit = self.payload.timeout_s
            self.id = await self.client.submit_raw(name, data, kind, user=user, timeout=limit)
            self._began((self.source, self.id))
            while self.outcome is None:
                try:
                    self.outcome = await self.client.result_raw(self.id, wait=WAIT_S)
                except Conflict as error:
                    if f"{self.id} is still" not in error.message:
                        raise
        except Mee6Error as error:
            self.error = error

    async def cancel(self) -> None:
        """Calls it off.

        Raises:
            Mee6Error: it could not be.
        """
        if self.id and not self.ended:
            await self.client.cancel(self.id)

    @property
    def was_cancelled(self) -> bool:
        """Whether it ended since it was called off."""
        return isinstance(self.error, Cancelled)
