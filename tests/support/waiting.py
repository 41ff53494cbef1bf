"""Waiting for something to become so, bounded: the only place where tests sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(holds: Callable[[], object], limit_s: float = 5.0) -> None:
    """Returns as soon as `holds()` is true; fails after `limit_s`."""
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not become so"
        await asyncio.sleep(0.002)
