"""What this process passes by the store of its workflow: to those it calls, out of its own region, and to its caller.

Belongs to `LaneBackend`, whose lock is held where calls begin and end. A call takes room for its result along, mostly
the same each time: nothing is allocated and nothing is touched until a result comes that is worth it.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from time import monotonic
from typing import Any, Final, NamedTuple

from mee6.content import unpack
from mee6.errors import InvalidInput
from mee6.faults import FROM_RUNTIMES
from mee6.lane.arena import Arena, pages
from mee6.lane.messages import JSON, TEXT, Block, Invoke, Report, Result, Stored
from mee6.lane.store import FOLDER, INLINE_BYTES, MAX_ROOM_BYTES, Region, Regions, file_prefix

SHARE: Final = 4
"""A call's result may have this part of the largest room there is: of calls at once, the first may have more."""
RETIRED_S: Final = 5.0
"""After this nobody writes into the room any more of a call that ended without its callee's word."""


class _Sent(NamedTuple):
    """What a call under way holds."""

    name: str
    arg: int | None
    """Offset of the argument's block."""
    room: Block | None
    view: bool


class Store:
    """The store, as one process uses it."""

    def __init__(self) -> None:
        self.worker = ""
        self.quota = 0
        """Bytes that its region may have; 0 = it has none."""
        self._folder = ""
        self._regions = Regions()
        self._own: Region | None = None
        self._place: tuple[int, int] | None = None
        """Which folder its region is in: another one when this worker serves another workflow."""
        self._arena = Arena(0)
        self._made = 0
        self._entered = False
        self._standing: Block | None = None
        """Room that is kept from call to call."""
        self._stands_free = False
        self._sent: dict[str, _Sent] = {}
        self._peaks: dict[str, int] = {}
        """Function -> bytes of its largest result worth the store."""
        self._retired: deque[tuple[float, int, Arena]] = deque()
        self._released: deque[tuple[int, Arena]] = deque()
        """What views held that are gone; appended to wherever the last of them went."""
        self._blocks = self._bytes = self._over = 0

    def welcomed(self, worker: str, act: str) -> None:
        """Learns where the store is."""
        self.worker = worker
        self._folder = f"{act}/{FOLDER}"

    # The caller's side ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """An invocation begins."""
        self._entered = False
        if self._sent:  # calls that nobody heard the end of
            for number in list(self._sent):
                self._end(number, is_done=False)

    def offer(
        self, name: str, number: str, data: bytes | memoryview, *, view: bool
    ) -> tuple[Block | None, Block | None]:
        """Where a call's argument lies, unless it is to travel, and the room for its result."""
        if not self.quota:
            return None, None
        region = self._own if self._entered else self._enter()
        if region is None:
            return None, None
        stored = self._stored(region, data) if len(data) > INLINE_BYTES else None
        room = self._standing
        if room is not None and self._stands_free and room.size >= 2 * self._peaks.get(name, 0):
            self._stands_free = False
        else:
            room = self._room(region, name)
        self._sent[number] = _Sent(name, None if stored is None else stored.offset, room, view)
        return stored, room

    def result(self, message: Result | Report) -> Any:
        """The value of a call that went well.

        Raises:
            InvalidInput: the bytes are not what they should be.
        """
        sent = self._sent.get(message.id)
        if sent is None:
            return unpack(message.result, message.content_type)
        size, room = message.stored, sent.room
        try:
            if not size:
                if len(message.result) > INLINE_BYTES:
                    self._over += room is None or room.size < len(message.result)
                    self._note(sent.name, len(message.result))
                value = unpack(message.result, message.content_type)
                return memoryview(value) if sent.view and isinstance(value, bytes) else value
            if room is None or self._own is None or not 0 < size <= room.size:
                raise InvalidInput("a result is said to lie where there is no room for one")
            self._blocks += 1
            self._bytes += size
            self._note(sent.name, size)
            if sent.view and _is_binary(message.content_type):
                return self._view(message.id, sent, room, size)
            return _value(self._own.part(room.offset, size), message.content_type)
        finally:
            self._end(message.id, is_done=True)

    def failed(self, number: str, code: str) -> None:
        """A call has ended with a fault; unless its callee said so itself, that may still be writing."""
        if number in self._sent:
            self._end(number, is_done=code in FROM_RUNTIMES)

    @property
    def has_news(self) -> bool:
        """Whether anything is to be said of the invocation."""
        return self._blocks > 0 or self._over > 0

    def told(self, invocation: str) -> list[Stored]:
        """What is to be said of an invocation that ends."""
        if not self.has_news:
            return []
        told = Stored(invocation, self._blocks, self._bytes, self._over)
        self._blocks = self._bytes = self._over = 0
        return [told]

    def _enter(self) -> Region | None:
        """The region of its own, in the store of the workflow that this invocation is part of."""
        self._entered = True
        try:
            found = os.stat(self._folder)  # noqa: PTH116 - before each invocation's first call
        except OSError:
            self._leave()
            return None
        place = found.st_dev, found.st_ino
        if self._place == place and self._own is not None and self._arena.size <= self.quota:
            return self._own
        self._leave()
        self._made += 1
        size = self.quota // 4096 * 4096
        name = f"{file_prefix(self.worker, os.getpid())}{self._made}"
        try:
            self._own = Region(self._folder, name, size)
        except OSError:  # no files left there, or it is not a worker's storage
            return None
        self._place = place
        self._arena = Arena(size)
        return self._own

    def _leave(self) -> None:
        if self._own is not None:
            self._own.close()
        self._own, self._place, self._standing, self._stands_free = None, None, None, False
        self._sent.clear()

    def _stored(self, region: Region, data: bytes | memoryview) -> Block | None:
        offset = self._take(len(data))
        if offset is None:
            self._over += 1
            return None
        if not region.write(offset, data):
            self._arena.give(offset)
            self._over += 1
            return None
        self._blocks += 1
        self._bytes += len(data)
        return Block(region.name, offset, len(data))

    def _room(self, region: Region, name: str) -> Block | None:
        """Room for a result: a part of what there is, or twice the largest that came of that function if it is more."""
        self._sweep()
        largest = self._arena.largest
        size = min(max(largest // SHARE, 2 * self._peaks.get(name, 0)), largest, MAX_ROOM_BYTES)
        if size <= INLINE_BYTES:
            return None
        offset = self._arena.take(size)
        assert offset is not None
        room = Block(region.name, offset, pages(size))
        if self._standing is None:
            self._standing = room
        return room

    def _take(self, size: int) -> int | None:
        self._sweep()
        return self._arena.take(size)

    def _sweep(self) -> None:
        """Frees what views held, and what has been retired for long enough."""
        while self._released:
            self._give(*self._released.popleft())
        while self._retired and self._retired[0][0] < monotonic():
            _due, offset, arena = self._retired.popleft()
            self._give(offset, arena)

    def _give(self, offset: int, arena: Arena) -> None:
        if arena is self._arena:  # else its region has been left
            arena.give(offset)

    def _note(self, name: str, size: int) -> None:
        if size > self._peaks.get(name, 0):
            self._peaks[name] = size

    def _view(self, number: str, sent: _Sent, room: Block, size: int) -> memoryview:
        """A view of a result; its block is freed with the last that looks at it."""
        assert self._own is not None
        held = self._own.held(room.offset, size)
        self._arena.cut(room.offset, size)
        if room is self._standing:
            self._standing = None
        self._sent[number] = sent._replace(room=None)
        weakref.finalize(held, self._released.append, (room.offset, self._arena)).atexit = False
        return memoryview(held).toreadonly().cast("B")

    def _end(self, number: str, *, is_done: bool) -> None:
        """Takes back what a call held; some time later, where its callee may not know that it has ended."""
        sent = self._sent.pop(number)
        if is_done and sent.room is not None and sent.room is self._standing:
            self._stands_free = True
        elif sent.room is not None:
            if sent.room is self._standing:
                self._standing = None
            self._free(sent.room.offset, is_done=is_done)
        if sent.arg is not None:
            self._free(sent.arg, is_done=is_done)

    def _free(self, offset: int, *, is_done: bool) -> None:
        if is_done:
            self._arena.give(offset)
        else:
            self._retired.append((monotonic() + RETIRED_S, offset, self._arena))

    # The callee's side ----------------------------------------------------------------------------------

    def argument(self, message: Invoke, *, view: bool) -> Any:
        """The value of an invocation's argument.

        Raises:
            InvalidInput: the bytes are not what they should be, or not there.
        """
        block = message.stored
        if block is None:
            value = unpack(message.arg, message.content_type)
            return memoryview(value) if view and isinstance(value, bytes) else value
        part = self._regions.of(self._folder, block).part(block.offset, block.size)
        if view and _is_binary(message.content_type):
            return part.toreadonly()
        return _value(part, message.content_type)

    def put(self, room: Block | None, data: bytes | memoryview) -> int:
        """Puts a result where its caller has room for it; how many bytes, or 0 where it has to travel."""
        if room is None or not INLINE_BYTES < len(data) <= room.size:
            return 0
        try:
            region = self._regions.of(self._folder, room)
        except InvalidInput:
            return 0
        return len(data) if region.write(room.offset, data) else 0


def _is_binary(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() not in (TEXT, JSON, "")


def _value(part: memoryview, content_type: str) -> Any:
    """The value of bytes in the store: copied first, since whoever wrote them might go on writing."""
    return unpack(bytes(part), content_type)
