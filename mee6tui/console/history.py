"""The recent past: what the agents sent, in a ring of bounded bytes, from which the store of a moment is built again.

A checkpoint is a copy of the store; between checkpoints stand the items as they came. The state at a time is the
last checkpoint before it, with the items up to that time applied: the same `Store.apply` that is used live.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from mee6.records import Batch, Log, Snapshot
from mee6tui.console.store import Store

LIMIT_BYTES: Final = 64 << 20
CHECKPOINT_S: Final = 10.0
EVENT_BYTES: Final = 420
"""About what an event with its record takes; measured with sizes of records of a real run."""
POINTER_BYTES: Final = 110
"""Of a dictionary's entry in a checkpoint, which shares its records."""


@dataclass(frozen=True, slots=True)
class _Sent:
    source: str
    item: Snapshot | Batch
    at: float


@dataclass(slots=True)
class _Chapter:
    """A checkpoint and what came after it."""

    at: float
    start: Store
    sent: list[_Sent] = field(default_factory=list)
    bytes: int = 0


class History:
    """What happened lately.

    Args:
        limit_bytes: about how much it may take; the oldest is forgotten first.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._chapters: deque[_Chapter] = deque()

    def note(self, source: str, item: Snapshot | Batch, now: float, store: Store) -> None:
        """Keeps what was sent; to be called before the store takes it in."""
        if not self._chapters or now - self._chapters[-1].at >= CHECKPOINT_S:
            start = store.copy()
            start.events.clear()  # these two are copied of what is shown when the past is asked for
            start.logs.clear()
            size = POINTER_BYTES * (len(start.workers) + len(start.invocations) + 2 * len(start.steps))
            self._chapters.append(_Chapter(now, start, bytes=size))
            self.bytes += size
        chapter, size = self._chapters[-1], _size(item)
        chapter.sent.append(_Sent(source, item, now))
        chapter.bytes += size
        self.bytes += size
        while self.bytes > self.limit_bytes and len(self._chapters) > 1:
            self.bytes -= self._chapters.popleft().bytes

    @property
    def oldest(self) -> float | None:
        """From when on the past is known; None for not at all."""
        return self._chapters[0].at if self._chapters else None

    def at(self, moment: float, live: Store) -> Store:
        """The store as it was; the nearest that is known for a time outside.

        Args:
            live: lends the events and log lines of before.
        """
        if not self._chapters:
            return live.copy()
        place = max(0, bisect_right([chapter.at for chapter in self._chapters], moment) - 1)
        chapter = self._chapters[place]
        store = chapter.start.copy()
        store.events.extend(happened for happened in live.events if happened.number <= store.numbered)
        store.logs.extend(said for said in live.logs if said.number <= store.logged)
        for sent in chapter.sent:
            if sent.at > moment:
                break
            store.apply(sent.source, sent.item, sent.at)
        return store

    def next_event(self, moment: float, *, back: bool = False) -> float | None:
        """When something happened next after (or last before) the moment; None for never."""
        times = (sent.at for chapter in self._chapters for sent in chapter.sent)
        found = [at for at in times if (at < moment if back else at > moment)]
        return (max(found) if back else min(found)) if found else None


def _size(item: Snapshot | Batch) -> int:
    if isinstance(item, Snapshot):
        return EVENT_BYTES * (len(item.workers) + len(item.invocations) + len(item.functions))
    text = sum(len(event.what.text) for event in item.events if isinstance(event.what, Log))
    return EVENT_BYTES * len(item.events) + text
