"""What functions depend on, each set of packages once: `deps/<key>/`, read-only and shared by all who need it.

The key holds language, its version, the platform and the digest of what is wanted, so that equal wishes are one
folder, and a folder never changes. It is made beside its place and renamed, so that what is there is whole; what a
crash left half-made is swept at the start. Several who want the same at once wait for one run; it is called off
when nobody waits any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import stat
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.dependencies import tools
from agent.dependencies.listing import Package, packages
from agent.dependencies.resolver import Resolver, Say
from agent.dependencies.wanted import Wanted, read
from agent.substrate.local_bundles import remove_tree
from mee6.errors import Conflict, Exhausted, Mee6Error

_TORN: Final = ".torn-"
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True, eq=False)
class _Run:
    task: asyncio.Task[None]
    listeners: list[Say] = field(default_factory=list)
    last: str = ""


class Dependencies:
    """The packages of all functions; `open` comes first, `close` last.

    Args:
        state_dir: holds `deps/`.
        language_version: of a language, where its workers have another than this machine; empty: the machine's.
    """

    def __init__(
        self, state_dir: Path, resolver: Resolver, language_version: Callable[[str], str] = lambda _language: ""
    ) -> None:
        self._folder = state_dir.resolve() / "deps"
        self._resolver = resolver
        self._language_version = language_version
        self._machine: dict[str, str] = {}
        self._runs: dict[str, _Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()

    async def open(self) -> None:
        """Makes the folder and sweeps what an earlier crash left half-made."""
        await asyncio.to_thread(self._sweep)
        await self._resolver.open()

    async def close(self) -> None:
        """Calls off what is going on and waits for it. Idempotent."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._resolver.close()

    def path(self, key: str) -> Path:
        """The folder of a key, whether it is there or not."""
        return self._folder / key

    def is_there(self, key: str) -> bool:
        """Whether the folder is there to be used; true for the empty key."""
        return not key or self.path(key).is_dir()

    async def listed(self, key: str, code: Path, language: str) -> tuple[Package, ...]:
        """The packages behind a key, for the function in `code`, which says which of them it asked for."""
        if not key:
            return ()

        def look() -> tuple[Package, ...]:
            wanted = read(code, language)
            return packages(self.path(key), language, wanted.names if wanted else ())

        return await asyncio.to_thread(look)

    @contextlib.asynccontextmanager
    async def provided(self, code: Path, language: str, say: Say) -> AsyncIterator[str]:
        """The key of what the function in `code` depends on, there and held within the context; empty for nothing.

        Raises:
            InvalidBundle: its file is broken or asks for what is refused.
            DependencyFailed: the packages cannot be had.
            TimedOut, Exhausted: it took more than it may.
        """
        wanted = await asyncio.to_thread(read, code, language)
        if wanted is None:
            yield ""
            return
        version = self._language_version(language) or await self._machine_version(language)
        key = tools.key(wanted, version)
        self._held[key] += 1
        try:
            if not await asyncio.to_thread(self.is_there, key):
                await self._awaited(key, wanted, version, say)
            yield key
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    async def keep_only(self, needed: set[str]) -> int:
        """Drops what is neither needed nor held; how many went."""
        return await asyncio.to_thread(self._keep_only, needed | set(self._held))

    async def _machine_version(self, language: str) -> str:
        if language not in self._machine:
            self._machine[language] = await asyncio.to_thread(tools.version, language)
        return self._machine[language]

    async def _awaited(self, key: str, wanted: Wanted, version: str, say: Say) -> None:
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run(asyncio.create_task(self._make(key, wanted, version)))
            self._tasks.add(run.task)
            run.task.add_done_callback(self._tasks.discard)
        elif run.last:
            say(run.last)
        run.listeners.append(say)
        try:
            await asyncio.shield(run.task)
        except asyncio.CancelledError:
            if run.task.cancelled() and (me := asyncio.current_task()) is not None and not me.cancelling():
                raise Conflict("the agent is stopping and adds no more functions") from None
            raise
        finally:
            run.listeners.remove(say)
            if not run.listeners:
                if self._runs.get(key) is run:
                    del self._runs[key]
                if not run.task.done():
                    run.task.cancel()
                    await asyncio.wait([run.task])
                if not run.task.cancelled():
                    run.task.exception()  # seen, also where everybody has gone

    async def _make(self, key: str, wanted: Wanted, version: str) -> None:
        def say(line: str) -> None:
            run = self._runs.get(key)
            if run is not None:
                run.last = line
                for listener in run.listeners:
                    listener(line)

        work = Path(tempfile.mkdtemp(prefix=_TORN, dir=self._folder))
        try:
            made = await self._resolver.resolve(wanted, version, work, say)
            await asyncio.to_thread(self._settle, made, key)
        except OSError as error:
            kind = Exhausted if error.errno in {errno.ENOSPC, errno.EDQUOT} else Mee6Error
            raise kind(f"cannot keep the function's packages under {self._folder}: {error.strerror}") from error
        finally:
            await asyncio.shield(asyncio.to_thread(remove_tree, work))

    def _settle(self, made: Path, key: str) -> None:
        """Makes what has been made read-only, puts it on disk and in its place."""
        _protect(made)
        self._put_on_disk()
        made.chmod(0o755)  # a folder that may not be written may not be moved
        with contextlib.suppress(FileExistsError):
            made.rename(self._folder / key)
            (self._folder / key).chmod(0o555)
        self._put_on_disk()

    def _put_on_disk(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _libc.syncfs(descriptor) < 0:
                raise Mee6Error(f"cannot write {self._folder} to its disk")
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for torn in self._folder.glob(f"{_TORN}*"):
            remove_tree(torn)

    def _keep_only(self, needed: set[str]) -> int:
        dropped = [path for path in self._folder.iterdir() if path.name not in needed and path.name[0] != "."]
        for path in dropped:
            path.chmod(0o755)
            # Renamed first: a crash in the middle leaves nothing that looks whole.
            remove_tree(path.rename(self._folder / (_TORN + path.name)))
        return len(dropped)


def _protect(folder: Path) -> None:
    """Takes the right to write from everything in `folder`; links stay as they are."""
    for place, _folders, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            if not path.is_symlink():
                path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555 | 0o444)
        Path(place).chmod(0o555)
