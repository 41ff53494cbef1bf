"""A child process whose output is read line by line on the event loop.

Started by `subprocess`, which uses vfork: with the event loop's own way, a fork, gRPC's fork handlers ran in the
child, beside threads that were not there any more, and about one child in five died of it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

_LINE_BYTES: Final = 64 << 10


class Child:
    """One process in a session of its own; it waits on its standard input until `go`."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv, cwd="/", env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def go(self) -> None:
        """Tells it to begin."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.write(b"go\n")
            self._process.stdin.flush()

    async def lines(self) -> AsyncIterator[str]:
        """What it and its own children say, until none of them has its output open any more."""
        assert self._process.stdout is not None
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # over the limit: passed over
                    continue
                if not line:
                    return
                yield line.decode("utf-8", "replace").rstrip()
        finally:
            transport.close()

    async def wait(self) -> int:
        """Its exit code, as `subprocess` has it."""
        if self._process.poll() is None:
            loop = asyncio.get_running_loop()
            fd, ended = os.pidfd_open(self._process.pid), asyncio.Event()
            loop.add_reader(fd, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        return self._process.wait()

    def kill(self) -> None:
        """kill -9; nothing for one that has ended."""
        self._process.kill()

    async def end(self) -> None:
        """Kills it, unless it has ended, and lets go of what it held here."""
        self.kill()
        await self.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
