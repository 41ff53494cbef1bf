"""How often a process asks the kernel, and how often it waits: counts, which tell more of a shared machine than times.

Everywhere: reads and writes of files, pipes and sockets, and how often one of its threads gave up its core to wait
(`/proc/PID/io`, `/proc/PID/task/*/status`); what is done by `recv` and `send` the first of these do not count. Where
there is `strace` and it may attach, every call by its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

Counts = dict[str, float]
"""What -> how often."""

READS: Final = "reads"
WRITES: Final = "writes"
WAITS: Final = "waits"
_PATIENCE_S: Final = 20.0
_ROW: Final = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$")


def counted(pid: int) -> Counts:
    """What a process, all its threads together, has done so far."""
    said = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    waits = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            told = (task / "status").read_text().rpartition("\nvoluntary_ctxt_switches:")[2]
            waits += int(told.split()[0])
    return {READS: int(said["syscr"]), WRITES: int(said["syscw"]), WAITS: waits}


def growth(before: Counts, after: Counts, calls: int) -> Counts:
    """Of each of `calls`."""
    return {what: (after[what] - before[what]) / calls for what in after}


@contextlib.asynccontextmanager
async def traced(pids: Iterable[int], folder: Path) -> AsyncIterator[dict[int, Counts]]:
    """Counts the system calls of each process by their names; the counts are there once the context has ended.

    Args:
        folder: where what strace says may stand for a while.

    Raises:
        PermissionError: strace may not attach; what it said of it.
    """
    found: dict[int, Counts] = {pid: {} for pid in pids}
    async with contextlib.AsyncExitStack() as tracers:
        for pid in found:
            await tracers.enter_async_context(_attached(pid, folder / f"strace-{pid}"))
        yield found
    for pid, counts in found.items():
        rows = map(_ROW.match, (folder / f"strace-{pid}").read_text().splitlines())
        counts.update({row[2]: int(row[1]) for row in rows if row is not None and row[2] != "total"})


@contextlib.asynccontextmanager
async def _attached(pid: int, out: Path) -> AsyncIterator[None]:
    """A tracer that counts, for as long as the context lasts."""
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-c", "-f", "-p", str(pid), "-o", str(out), stderr=asyncio.subprocess.PIPE
    )
    assert tracer.stderr is not None
    try:
        said = await asyncio.wait_for(tracer.stderr.readline(), _PATIENCE_S)
        if b"attached" not in said:
            raise PermissionError(said.decode().strip())
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.terminate()
        await asyncio.wait_for(tracer.communicate(), _PATIENCE_S)
