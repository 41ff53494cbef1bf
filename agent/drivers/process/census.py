"""What can be said of processes where neither a pid namespace nor a control group holds them."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from agent.drivers.base import Usage

_KILL_TIMEOUT_S: Final = 5.0


async def kill_marked(agent_id: str) -> None:
    """Kills processes whose environment says that they came from this agent's launcher.

    They are there only where neither a pid namespace nor a cgroup held them, after the agent or its
    launcher was killed.
    """
    mark = f"MEE6_AGENT_ID={agent_id}".encode()
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while time.monotonic() < deadline:
        found = [pid for pid in psutil.pids() if pid != os.getpid() and _has_mark(pid, mark)]
        if not found:
            return
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.005)


def _has_mark(pid: int, mark: bytes) -> bool:
    with suppress(OSError):
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def tree_usage(pid: int) -> Usage:
    """What a process and its descendants use."""
    memory = processes = 0
    cpu_s = 0.0
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        for process in [top, *top.children(recursive=True)]:
            with suppress(psutil.Error):
                memory += process.memory_info().rss
                times = process.cpu_times()
                cpu_s += times.user + times.system
                processes += 1
    return Usage(memory, int(cpu_s * 1e9), processes)
