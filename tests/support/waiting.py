"""Waiting for something to become so, bounded: the only place where tests sleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def until(holds: Callable[[], T], what: str = "that", limit_s: float = 20.0) -> T:
    """Returns what `holds()` gives as soon as it is true; fails after `limit_s`, naming `what` was waited for."""
    end = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {limit_s:g} s in vain: {what}"
        await asyncio.sleep(0.002)
    return found
