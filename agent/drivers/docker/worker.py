"""One worker that is a container: what the driver holds of it beside what all workers have."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.drivers.docker import groups
from agent.drivers.docker.control import hang_up
from agent.drivers.lives import Life
from agent.images import RuntimeImage


@dataclass(slots=True, eq=False, kw_only=True)
class ContainerWorker(Life):
    """A worker, from the request for its container to its removal."""

    image: RuntimeImage
    claim: str
    """What its first process has to say; used once."""
    container: str = ""
    pidfd: int = -1
    engines_freezer: Path | None = None
    """Of version 1, which the engine's `pause` writes; ours may be of version 2."""
    api_pauses: int = 0
    """How often it was paused or resumed through the API: odd from the order to pause until it is resumed."""

    def found(self) -> None:
        """Takes hold of its first process and its control groups, now that it runs."""
        self.pidfd = os.pidfd_open(self.pid)
        self.group = groups.find_group(self.id, self.pid, self.container, self.spec.limits.memory_bytes)
        self.engines_freezer = groups.engines_freezer(self.pid, self.container)

    def is_paused_by_hand(self) -> bool:
        """Whether the engine froze it beside what the agent thaws; where both write one file, thawing is enough.

        Raises:
            OSError: it is gone.
        """
        freezer = self.group.freezer if self.group is not None else None
        if freezer is None or freezer.version == 1 or self.engines_freezer is None:
            return False
        return self.engines_freezer.read_text().startswith("FR")

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
        groups.thaw(self.engines_freezer)

    def let_go(self) -> None:
        """Closes what is held of it. Idempotent."""
        if self.control is not None:
            hang_up(self.control)
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.group is not None:
            self.group.close()

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
