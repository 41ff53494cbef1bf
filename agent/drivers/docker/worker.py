"""One worker that is a container: what the driver holds of it beside what all workers have."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.drivers.docker import groups
from agent.drivers.docker.control import hang_up
from agent.drivers.lives import Life
from agent.drivers.process.group import Freezer
from agent.images import RuntimeImage


@dataclass(slots=True, eq=False, kw_only=True)
class ContainerWorker(Life):
    """A worker, from the request for its container to its removal."""

    image: RuntimeImage
    claim: str
    """What its first process has to say; used once."""
    container: str = ""
    pidfd: int = -1
    engines_freezer: Freezer | None = None
    """Of version 1, which the engine's `pause` writes, where ours is of version 2: its file is kept open, since each
    resume looks at it. Source: measured, 1 us instead of 15, or 40 on a slower machine."""
    api_pauses: int = 0
    """How often it was paused or resumed through the API: odd from the order to pause until it is resumed."""

    def found(self) -> None:
        """Takes hold of its first process and its control groups, now that it runs."""
        self.pidfd = os.pidfd_open(self.pid)
        self.group = groups.find_group(self.id, self.pid, self.container, self.spec.limits.memory_bytes)
        ours = self.group.freezer if self.group is not None else None
        folder = groups.engines_freezer(self.pid, self.container)
        if ours is not None and ours.version == 2 and folder is not None:
            with suppress(OSError):
                self.engines_freezer = Freezer(1, folder)

    def is_paused_by_hand(self) -> bool:
        """Whether the engine froze it beside what the agent thaws; where both write one file, thawing is enough.

        Raises:
            OSError: it is gone.
        """
        return self.engines_freezer is not None and not self.engines_freezer.is_thawed()

    def kill(self) -> None:
        """Kills its first process, and with it all others, whoever froze them; needs no engine."""
        if self.pidfd < 0:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if self.group is not None:
            with suppress(OSError):
                self.group.kill()
            if self.group.freezer is not None:
                with suppress(OSError):
                    self.group.freezer.write(frozen=False)
        if self.engines_freezer is not None:
            with suppress(OSError):
                self.engines_freezer.write(frozen=False)

    def let_go(self) -> None:
        """Closes what is held of it. Idempotent."""
        if self.control is not None:
            hang_up(self.control)
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.group is not None:
            self.group.close()
        if self.engines_freezer is not None:
            self.engines_freezer.close()

    def why_ended(self, state: dict[str, Any] | None, why: str) -> str:
        """The reason of its end, for people.

        Args:
            state: what the engine says of its container; None where it is gone.
            why: what is known already.
        """
        if state is None:
            reason = "its container was removed by somebody else"
        else:
            reason = "its container has ended"
            if state.get("OOMKilled") and not why:
                why = self.out_of_memory
        return f"{reason}: {why}" if why else reason
