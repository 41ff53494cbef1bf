"""Looks at what an agent is told before anything is made for it. Pure; knows nothing that is slow to import."""

from __future__ import annotations

import difflib
import os
from typing import Final

from agent import policy
from agent.config import DRIVERS, OFF, AgentConfig
from agent.listening import SOCKET_PATH_BYTES, split_listen
from mee6.errors import InvalidInput
from runtimes.catalog import RUNTIMES

LEAST_MEMORY_BYTES: Final = 32 << 20
"""As the manifest's `memoryMib`."""
LANE: Final = "lane/agent.sock"
"""The lane's socket, below the state folder."""


def check(config: AgentConfig) -> None:
    """Checks it.

    Raises:
        InvalidInput: it contradicts itself or names what is not there; says what there is.
    """
    if config.driver not in DRIVERS:
        near = difflib.get_close_matches(config.driver, DRIVERS, 1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InvalidInput(f"driver {config.driver!r} is not known; {meant}known are: {', '.join(DRIVERS)}")
    split_listen(config.listen)
    if config.http_listen not in ("", OFF):
        split_listen(config.http_listen)
    if 0 < config.memory_bytes < LEAST_MEMORY_BYTES:
        raise InvalidInput(
            f"memory of {config.memory_bytes} bytes is less than the {LEAST_MEMORY_BYTES >> 20}M that a worker needs"
        )
    if len(os.fsencode(config.state_dir / LANE)) > SOCKET_PATH_BYTES:
        raise InvalidInput(f"the state folder {config.state_dir} has too long a path for sockets; choose a shorter one")
    policy.check(config, RUNTIMES)
