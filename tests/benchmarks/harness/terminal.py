"""A program in a terminal of its own, which is read as fast as it writes, and what it reports beside its screen."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

SIZE: Final = (45, 160)
REPORT: Final = "MEE6_BENCH_REPORT"
"""The environment's name for the descriptor that `report` writes to."""


@dataclass
class Terminal:
    """A program that runs in one."""

    process: Process
    screen: int
    """Its terminal, from outside."""
    _report: int

    async def reported(self, limit_s: float) -> str:
        """All that it reports, once it has ended.

        Raises:
            RuntimeError: it ended without a word.
        """
        loop = asyncio.get_running_loop()
        with open(self._report, encoding="utf-8", closefd=False) as pipe:  # noqa: ASYNC230 - read in a thread
            said = await asyncio.wait_for(loop.run_in_executor(None, pipe.read), limit_s)
        await asyncio.wait_for(self.process.wait(), 30)
        if not said:
            raise RuntimeError(f"the program in the terminal ended with {self.process.returncode} and no report")
        return said


@contextlib.asynccontextmanager
async def terminal(
    *argv: str,
    seen: Callable[[bytes], None] = lambda _written: None,
    read: bool = True,
    env: Mapping[str, str] = os.environ,
) -> AsyncIterator[Terminal]:
    """Runs `python argv...` until the block is left.

    Args:
        seen: given what it writes, as it comes.
        read: whether anybody reads its terminal.
        env: its environment, to which the terminal's own is added.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    reading, writing = os.pipe()
    told = {
        **env,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "TEXTUAL_ANIMATIONS": "none",
        REPORT: str(writing),
    }
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *argv, stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=(writing,), env=told,
            start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(writing)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        try:
            seen(os.read(ours, 1 << 16))
        except OSError:  # the other side has been closed
            loop.remove_reader(ours)

    if read:
        loop.add_reader(ours, drain)
    try:
        yield Terminal(child, ours, reading)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        loop.remove_reader(ours)
        os.close(ours)
        os.close(reading)


def report(text: str) -> None:
    """Says it to whoever started this program by `terminal`."""
    os.write(int(os.environ[REPORT]), text.encode())
