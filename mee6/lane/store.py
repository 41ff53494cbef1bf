"""The store of a workflow: files in memory that its workers share, for arguments and results too large to travel well.

Whoever calls owns a region, one file for the life of its process, and gives out parts of it (`Block`s): with a call
goes its argument, and room for the result. The callee writes there and says how much. So only one side allocates, in
its own memory and without a question to anybody, and what it gave out is its own again with the answer.

A region is mapped as a whole and its pages are kept: what is passed costs one copy into pages that are there already.
Source: 1 MiB takes 42 us so, 85 us with pwrite, 540 us into a new file, and 130 us over a socket (2 cores, Python
3.11). A block's pages are asked for before they are written: a full file system is an error then, not the end of the
process. Whoever may write into the folder can spoil what lies there, or cut a file short under those who map it:
these are the functions of one workflow, which may call each other anyway. The agent never maps any of it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import stat
from typing import Final

from mee6.errors import InvalidInput
from mee6.lane.messages import Block

FOLDER: Final = ".store"
"""In a worker's storage: that of the workflow which it takes part in."""
INLINE_BYTES: Final = 32 << 10
"""What is no larger goes over the lanes. Source: `tests/benchmarks/store.py` with everything in the store; medians in
us of two runs, between workers 16 KiB 253-273 by the store and 273 over sockets, 64 KiB 262-292 and 334-364, 128 KiB
290-331 and 505-562; within one 16 KiB 42-48 and 40-51, 64 KiB 42-60 and 48-58, 128 KiB 48-61 and 77-80."""
MAX_ROOM_BYTES: Final = 64 << 20
"""For one result."""
_KEPT: Final = 4
"""Regions of others that a process has open."""
_KNOWN: Final = 1024
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Region:
    """One file of a store, open and mapped.

    Args:
        folder: of the store.
        name: the file's.
        size: bytes, to make it; 0 = it is there.

    Raises:
        OSError: it cannot be made, opened or mapped, or is no file.
    """

    def __init__(self, folder: str, name: str, size: int = 0) -> None:
        flags = _FLAGS | (os.O_CREAT | os.O_EXCL if size else 0)
        self.name = name
        self._fd = os.open(f"{folder}/{name}", flags, 0o600)
        try:
            if size:
                os.ftruncate(self._fd, size)
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(f"{name} is no file")  # noqa: TRY301 - closed below, as after any other error
            self.size = found.st_size
            self._map = mmap.mmap(self._fd, self.size)
        except (OSError, ValueError) as error:
            os.close(self._fd)
            if size:
                os.unlink(f"{folder}/{name}")  # noqa: PTH108 - in a function's process, where Path costs as much again
            raise OSError(str(error)) from error
        self._bytes = memoryview(self._map)
        self._sound: dict[int, int] = {}
        """Offset -> so many bytes from there have pages."""

    @property
    def is_gone(self) -> bool:
        """Its name has been removed."""
        return os.fstat(self._fd).st_nlink == 0

    def write(self, offset: int, data: bytes | memoryview) -> bool:
        """Writes at a place within it; False where there is no memory for that."""
        size = len(data)
        sound = self._sound
        if size > sound.get(offset, 0):
            try:
                os.posix_fallocate(self._fd, offset, size)
            except OSError:
                return False
            if len(sound) >= _KNOWN:
                sound.clear()
            sound[offset] = size
        self._bytes[offset : offset + size] = data
        return True

    def part(self, offset: int, size: int) -> memoryview:
        """What lies there, as it lies there: it changes when it is written again."""
        return self._bytes[offset : offset + size]

    def held(self, offset: int, size: int) -> ctypes.Array[ctypes.c_char]:
        """The same as an object that lives as long as any view of it does."""
        return (ctypes.c_char * size).from_buffer(self._map, offset)

    def close(self) -> None:
        """Closes the file; what is still looked at stays mapped until nobody does."""
        os.close(self._fd)
        self._bytes.release()
        try:
            self._map.close()
        except BufferError:  # by a function that kept a view
            return


class Regions:
    """The regions of those who call this process: the last few, since callers come again."""

    def __init__(self) -> None:
        self._open: dict[str, Region] = {}

    def of(self, folder: str, block: Block) -> Region:
        """The region of a block, which lies within it.

        Raises:
            InvalidInput: there is no such block.
        """
        region = self._open.get(block.file)
        if region is None:
            region = self._found(folder, block.file)
        if block.offset < 0 or block.size < 0 or block.offset + block.size > region.size:
            raise InvalidInput(f"the store has no {block.size} bytes at {block.offset} of {block.file}")
        return region

    def _found(self, folder: str, name: str) -> Region:
        if not _NAME.fullmatch(name):
            raise InvalidInput("the store has no file of that name")
        for known in [one for one in self._open.values() if one.is_gone]:
            self._open.pop(known.name).close()
        while len(self._open) >= _KEPT:
            self._open.pop(next(iter(self._open))).close()
        try:
            region = self._open[name] = Region(folder, name)
        except OSError as error:
            raise InvalidInput(f"the store's file {name} cannot be read: {error}") from error
        return region

    def close(self) -> None:
        """Closes all."""
        for region in self._open.values():
            region.close()
        self._open.clear()


def copied(folder: str, block: Block) -> bytes:
    """A block's bytes, read and not mapped: for whoever must outlive what functions do to the file.

    Raises:
        OSError: there is no such block.
    """
    if not _NAME.fullmatch(block.file):
        raise OSError("the store has no file of that name")
    fd = os.open(f"{folder}/{block.file}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or not 0 <= block.offset <= block.offset + block.size <= found.st_size:
            raise OSError(f"the store has no {block.size} bytes at {block.offset} of {block.file}")
        data = os.pread(fd, block.size, block.offset)
    finally:
        os.close(fd)
    if len(data) < block.size:
        raise OSError(f"the store's file {block.file} has been cut short")
    return data


def file_prefix(worker: str, pid: int | None = None) -> str:
    """How the names of the files begin that a worker's processes, or one of them, made in a store."""
    return f"{worker}-" if pid is None else f"{worker}-{pid}-"


def remove_files(folder: str, prefix: str) -> None:
    """Removes the files whose names begin so, as far as there are any; those who have them open keep them."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - the agent's is a descriptor's
    except OSError:
        return
    for name in names:
        if name.startswith(prefix):
            try:
                os.unlink(f"{folder}/{name}")  # noqa: PTH108 - as above
            except OSError:  # a function made a folder of it, or has been here
                continue
