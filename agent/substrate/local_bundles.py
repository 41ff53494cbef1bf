"""Bundles as files named by their SHA-256, and their unpacked copies, for one machine.

`bundles/<sha256>.tar` appears whole and on disk, by a rename after an fsync; `code/<sha256>/` is a copy that
can be made again, so it is renamed into place without an fsync and dropped when the machine has been
restarted since. One thread does the work: no two calls disturb each other.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from mee6.bundle import unpack
from mee6.errors import Exhausted, InvalidBundle, Mee6Error, NotFound

_TORN: Final = ".torn-"
"""Begins the names of what is being written; what is found under such a name at open is of a crash."""
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_UNPACKED_LIMIT_BYTES: Final = 1 << 40
"""The packed file, which is not compressed, was held to the agent's limit when it came."""

T = TypeVar("T")


class FolderBundles:
    """The `Bundles` of one machine; `open` comes first, `close` last.

    Args:
        state_dir: holds `bundles/` and `code/`; made when they do not exist.
    """

    def __init__(self, state_dir: Path) -> None:
        self._packed = state_dir / "bundles"
        self._code = state_dir / "code"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mee6-bundles")
        self._ready: set[str] = set()

    async def open(self) -> None:
        """Makes the folders and sweeps what an earlier crash left half-done."""
        try:
            await self._do(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Waits for what is going on. Idempotent."""
        await asyncio.to_thread(self._thread.shutdown)

    async def put(self, packed: Path, sha256: str) -> None:
        """See `Bundles.put`."""
        await self._do(lambda: self._put(packed, sha256))

    async def unpacked(self, sha256: str) -> Path:
        """See `Bundles.unpacked`."""
        if sha256 not in self._ready:
            await self._do(lambda: self._unpack(sha256))
        return self._code / sha256

    async def keep_only(self, wanted: set[str]) -> int:
        """See `Bundles.keep_only`; the caller sees to it that no bundle is between `put` and its registration."""
        return await self._do(lambda: self._keep_only(frozenset(wanted)))

    def _open(self) -> None:
        for folder in (self._packed, self._code):
            folder.mkdir(parents=True, exist_ok=True)
        for torn in (*self._packed.glob(f"{_TORN}*"), *self._code.glob(f"{_TORN}*")):
            remove_tree(torn)
        boot = _BOOT_ID.read_text() if _BOOT_ID.exists() else ""
        mark = self._code.with_name("boot-id")
        if not boot or not mark.exists() or mark.read_text() != boot:
            for folder in self._code.iterdir():
                remove_tree(folder)
            mark.write_text(boot)
        self._ready = {folder.name for folder in self._code.iterdir() if folder.is_dir()}

    def _put(self, packed: Path, sha256: str) -> None:
        with packed.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != sha256:
                raise InvalidBundle(f"the bundle's sum is {found}, not {sha256} as announced; send it again")
            target = self._packed / f"{sha256}.tar"
            if target.exists():
                packed.unlink()
                return
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        try:
            packed.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(packed, target)
        _fsync_folder(self._packed)

    def _copy(self, packed: Path, target: Path) -> None:
        """Takes a bundle over from another file system."""
        torn = target.with_name(_TORN + target.name)
        shutil.copyfile(packed, torn)
        with torn.open("rb") as file:
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        torn.rename(target)
        packed.unlink()

    def _unpack(self, sha256: str) -> None:
        if sha256 in self._ready:
            return
        packed = self._packed / f"{sha256}.tar"
        if not packed.exists():
            raise NotFound(f"no bundle {sha256[:12]} in {self._packed}; add its function again")
        torn = self._code / (_TORN + sha256)
        remove_tree(torn)
        try:
            unpack(packed, torn, _UNPACKED_LIMIT_BYTES)
            _protect(torn)
            torn.rename(self._code / sha256)
        except BaseException:
            remove_tree(torn)
            raise
        self._ready.add(sha256)

    def _keep_only(self, wanted: frozenset[str]) -> int:
        dropped = [packed for packed in self._packed.glob("*.tar") if packed.stem not in wanted]
        for packed in dropped:
            packed.unlink()
        for sha256 in self._ready - wanted:
            # Renamed first: a crash in the middle leaves nothing that looks whole.
            torn = (self._code / sha256).rename(self._code / (_TORN + sha256))
            remove_tree(torn)
        self._ready &= wanted
        return len(dropped)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Exhausted(f"no room left on the disk of {self._packed.parent}") from error
            raise Mee6Error(f"cannot use {error.filename or self._packed.parent}: {error.strerror}") from error


def _protect(folder: Path) -> None:
    """Takes the right to write from everything in `folder`."""
    for place, _folders, files in os.walk(folder):
        for name in files:
            path = Path(place, name)
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o555 | 0o444)
        Path(place).chmod(0o555)


def remove_tree(path: Path) -> None:
    """Removes a file or folder, also a read-only one; nothing for one that is not there."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for place, _folders, _files in os.walk(path):
        Path(place).chmod(0o700)  # a folder without the right to write keeps its files
    shutil.rmtree(path)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
