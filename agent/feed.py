"""What happens, as it happens, for whoever watches: the console, `mee6 logs -f`.

The node publishes views; publishing costs a list assignment, and nothing at all while nobody watches. All
subscriptions read one ring, so a watcher that stalls costs no memory: once the ring has overtaken it, it is
given a fresh snapshot and goes on from there. What happens after a pause is delivered after `FLUSH_S`, and where
something always happens a batch is cut every `STEADY_S`, with only the last of several views of the same thing.
Knows no protobuf; one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Self

import msgspec

from mee6.lane.messages import Step, Stream

FLUSH_S: Final = 0.025
"""From the first event of a batch to its delivery, after a pause."""
STEADY_S: Final = 0.05
"""From one batch to the next, at least: as often as a console paints. More of them cost each call, and show nothing."""
RING_EVENTS: Final = 8192
"""How far a watcher may fall behind."""
RING_LOG_BYTES: Final = 2 << 20
"""Of the log lines among them: with it a batch stays below gRPC's usual 4 MiB."""


class View(msgspec.Struct, frozen=True, gc=False):
    """A state of something at a time; fields as in `mee6/api/v1/console.proto`, times monotonic nanoseconds."""


class WorkerView(View, frozen=True, gc=False):
    """A worker."""

    id: str
    pool: str
    state: str
    user: str = ""
    function: str = ""
    version: int = 0
    via: str = ""
    invocation: str = ""
    since_ns: int = 0
    invocations: int = 0
    reason: str = ""
    runtime_pid: int = 0
    memory_bytes: int = 0
    cpu: float = 0.0
    cpu_ns: int = 0
    processes: int = 0
    memory_limit_bytes: int = 0
    cpus_limit: float = 0.0
    handover: str = ""
    proxy_pid: int = 0
    started_ns: int = 0


class InvocationView(View, frozen=True, gc=False):
    """An invocation; `ended_ns` is 0 while it goes on."""

    id: str
    user: str
    function: str
    version: int
    state: str
    worker: str = ""
    start: str = ""
    accepted_ns: int = 0
    ended_ns: int = 0
    error: str = ""


class HandoverView(View, frozen=True, gc=False):
    """A worker's handover; `stages` are (name, when)."""

    worker: str
    state: str
    reason: str = ""
    runtime_pid: int = 0
    invocation: str = ""
    user: str = ""
    function: str = ""
    proxy_pid: int = 0
    stages: tuple[tuple[str, int], ...] = ()


class FiguresView(View, frozen=True, gc=False):
    """How a function does."""

    user: str
    function: str
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    invocations: int = 0
    failures: int = 0
    cold: int = 0
    prewarmed: int = 0
    warm: int = 0
    queued: int = 0
    running: int = 0
    ahead: int = 0


class FunctionView(View, frozen=True, gc=False):
    """A function's current version, or its removal."""

    user: str
    name: str
    version: int
    runtime: str
    is_workflow: bool = False
    removed: bool = False


class LogLine(View, frozen=True, gc=False):
    """What a function wrote: text of one or more whole lines wherever possible."""

    at_ns: int
    invocation: str
    """The step's id."""
    function: str
    worker: str
    stream: Stream
    text: str
    dropped_bytes: int = 0


class PoolView(View, frozen=True, gc=False):
    """The workers of one kind that no function has been loaded into."""

    name: str
    ready: int = 0
    starting: int = 0
    floor: int = 0
    ceiling: int = 0
    failure: str = ""


class NodeView(View, frozen=True):
    """The agent itself."""

    id: str
    version: str
    api: int
    driver: str = ""
    isolation: str = ""
    pause: str = ""
    limits: str = ""
    notes: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    listen: str = ""
    started_ns: int = 0
    wall_offset_ns: int = 0
    now_ns: int = 0
    workers: int = 0
    paused: int = 0
    busy: int = 0
    queued: int = 0
    max_workers: int = 0
    rss_bytes: int = 0
    draining: bool = False
    pid: int = 0
    state_dir: str = ""
    invocations: int = 0
    failures: int = 0
    pause_policy: str = ""
    keep_alive_s: float = 0.0
    linger_s: float = 0.0
    wait_for_busy: bool = False
    order: str = ""
    memory_bytes: int = 0
    memory_budget_bytes: int = 0
    pools: tuple[PoolView, ...] = ()
    cpu_percent: float = 0.0
    cores: int = 0
    load: tuple[float, ...] = ()
    memory_total_bytes: int = 0
    memory_available_bytes: int = 0
    agent_cpu: float = 0.0
    workers_cpu: float = 0.0
    loop_lag_ms: float = 0.0
    watchers: int = 0
    rate: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    stopping: bool = False
    http: str = ""
    look_ahead: str = ""
    ahead_hits: int = 0
    ahead_misses: int = 0
    ahead_saved_ns: int = 0
    stored_blocks: int = 0
    stored_bytes: int = 0
    stored_over: int = 0


Event = WorkerView | InvocationView | Step | LogLine | HandoverView | FunctionView | NodeView | FiguresView
Stamped = tuple[int, Event]
"""(when, what)."""

KINDS: Final[Mapping[type[Event], str]] = {
    WorkerView: "worker",
    InvocationView: "invocation",
    Step: "step",
    LogLine: "log",
    HandoverView: "handover",
    FunctionView: "function",
    NodeView: "node",
    FiguresView: "figures",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything as it is now."""

    node: NodeView
    workers: tuple[WorkerView, ...] = ()
    functions: tuple[FunctionView, ...] = ()
    invocations: tuple[InvocationView, ...] = ()
    """Those going on and the most recent that ended, oldest first."""
    figures: tuple[FiguresView, ...] = ()
    steps: tuple[Step, ...] = ()
    """Of the invocations that go on."""
    handovers: tuple[HandoverView, ...] = ()
    """The last of each worker."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A picture, and the number of the first event that is not in it."""

    seq: int
    picture: Picture
    missed: int = 0
    """Events that this watcher missed because it was too slow."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events from number `seq` on; of several on the same thing only the last."""

    seq: int
    events: list[Stamped]
    """The same list for all watchers without a filter that are just as far."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a watcher wants; an empty set lets all pass.

    An event that has no function (or worker) does not pass a filter on functions (or workers).
    """

    kinds: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    workers: frozenset[str] = frozenset()

    def passes(self, event: Event) -> bool:
        """Whether the watcher wants it."""
        if self.kinds and KINDS[type(event)] not in self.kinds:
            return False
        if self.functions and _function_of(event) not in self.functions:
            return False
        return not self.workers or _worker_of(event) in self.workers

    def apply(self, picture: Picture) -> Picture:
        """The part of the picture that the watcher wants; always with the node."""
        return Picture(
            picture.node,
            tuple(filter(self.passes, picture.workers)),
            tuple(filter(self.passes, picture.functions)),
            tuple(filter(self.passes, picture.invocations)),
            tuple(filter(self.passes, picture.figures)),
            tuple(filter(self.passes, picture.steps)),
            tuple(filter(self.passes, picture.handovers)),
        )


_ALL: Final = Filter()


class Feed:
    """The ring that the node writes and watchers read.

    Args:
        picture: makes the present picture; called for each snapshot, and must agree with what has been
            published up to then.
    """

    def __init__(self, picture: Callable[[], Picture], flush_s: float = FLUSH_S, steady_s: float = STEADY_S) -> None:
        self.picture = picture
        self.seq = 0
        """The number of the next event."""
        self.watched = False
        """Whether anybody subscribes: while not, views for `publish` alone need not be made."""
        self.closed = False
        self._flush_s = flush_s
        self._steady_s = steady_s
        self._flushed_at = float("-inf")
        self._ring: list[Stamped | None] = [None] * RING_EVENTS
        self._first = 0
        self._log_bytes = 0
        self._flushed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._subscriptions: set[Subscription] = set()
        self._last_cut: tuple[int, int, list[Stamped]] = (0, 0, [])
        self._changed: dict[Hashable, tuple[int, Callable[[], Event]]] = {}

    def later(self, key: Hashable, at_ns: int, view: Callable[[], Event]) -> None:
        """Notes that something changed, to be looked at when the batch goes: of many changes only the last is told.

        Args:
            key: of what changed; a later change takes the place of an earlier one.
            at_ns: when it did.
            view: how it is, when asked.
        """
        if self.watched:
            self._changed[key] = (at_ns, view)
            self._arm()

    def drop(self, *keys: Hashable) -> None:
        """Forgets changes noted for later, since what is published now says more."""
        for key in keys:
            self._changed.pop(key, None)

    def publish(self, at_ns: int, event: Event) -> None:
        """Notes what happened; never waits."""
        seq = self.seq
        self.seq = seq + 1
        if not self.watched:
            return
        slot = seq % RING_EVENTS
        if seq - self._first >= RING_EVENTS:
            self._forget_first()
        self._ring[slot] = (at_ns, event)
        if type(event) is LogLine:
            self._log_bytes += len(event.text)
            while self._log_bytes > RING_LOG_BYTES and self._first < seq:
                self._forget_first()
        self._arm()

    def _arm(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            due = max(loop.time() + self._flush_s, self._flushed_at + self._steady_s)
            self._timer = loop.call_at(due, self._flush)

    def subscribe(self, wanted: Filter = _ALL, *, skip_snapshot: bool = False) -> Subscription:
        """A watcher's view: a context manager to iterate over.

        Args:
            skip_snapshot: begin with what happens from now on.
        """
        if not self.watched:
            self._first = self._flushed = self.seq
            self.watched = True
        subscription = Subscription(self, wanted, self.seq, skip_snapshot)
        self._subscriptions.add(subscription)
        return subscription

    def close(self) -> None:
        """Ends every subscription. Idempotent."""
        self.closed = True
        self.watched = False
        self._flush()

    def leave(self, subscription: Subscription) -> None:
        """Forgets a watcher; with the last one, the ring is emptied."""
        self._subscriptions.discard(subscription)
        if self._subscriptions or not self.watched:
            return
        self.watched = False
        self._ring = [None] * RING_EVENTS
        self._changed.clear()
        self._log_bytes = 0
        self._last_cut = (0, 0, [])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def cut(self, seq: int) -> list[Stamped] | None:
        """The events from `seq` up to the last flush, coalesced; None when the ring has overtaken `seq`."""
        if seq < self._first:
            return None
        start, end, events = self._last_cut
        if (start, end) == (seq, self._flushed):
            return events  # made for another watcher that is just as far
        last: dict[object, Stamped] = {}
        for number in range(seq, self._flushed):
            stamped = self._ring[number % RING_EVENTS]
            assert stamped is not None
            kind = type(stamped[1])
            identity = _IDENTITIES.get(kind)
            key = (kind, identity(stamped[1])) if identity else number
            last.pop(key, None)  # takes the place of its last change: a `gone` never precedes what led to it
            last[key] = stamped
        events = list(last.values())
        self._last_cut = (seq, self._flushed, events)
        return events

    @property
    def watchers(self) -> int:
        """How many subscribe."""
        return len(self._subscriptions)

    @property
    def flushed(self) -> int:
        """The number of the first event that is not to be delivered yet."""
        return self._flushed

    def _forget_first(self) -> None:
        slot = self._first % RING_EVENTS
        stamped = self._ring[slot]
        if stamped is not None and type(stamped[1]) is LogLine:
            self._log_bytes -= len(stamped[1].text)
        self._ring[slot] = None
        self._first += 1

    def _flush(self) -> None:
        changed, self._changed = self._changed, {}
        for at_ns, view in changed.values():
            self.publish(at_ns, view())
        if self._timer is not None:
            self._flushed_at = self._timer.when()
            self._timer.cancel()
            self._timer = None
        self._flushed = self.seq
        for subscription in self._subscriptions:
            subscription.wake()


class Subscription:
    """One watcher's place in the feed: yields `Snapshot` and `Batch`; ends when the feed closes.

    A snapshot that is not the first says that events were dropped.
    """

    def __init__(self, feed: Feed, wanted: Filter, seq: int, skip_snapshot: bool) -> None:
        self._feed = feed
        self._filter = None if wanted == _ALL else wanted
        self._seq = seq
        self._snapshot_due = not skip_snapshot
        self._overtaken = False
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._feed.leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Snapshot | Batch:
        feed = self._feed
        while not feed.closed:
            if self._snapshot_due:
                self._snapshot_due = False
                missed = feed.seq - self._seq if self._overtaken else 0
                self._seq = feed.seq
                picture = feed.picture()
                return Snapshot(self._seq, self._filter.apply(picture) if self._filter else picture, missed)
            if self._seq < feed.flushed:
                seq, events = self._seq, feed.cut(self._seq)
                if events is None:
                    self._snapshot_due = self._overtaken = True
                    continue
                self._seq = feed.flushed
                if self._filter:
                    events = [stamped for stamped in events if self._filter.passes(stamped[1])]
                if events:
                    return Batch(seq, events)
                continue
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        raise StopAsyncIteration

    def wake(self) -> None:
        """Lets a waiting `__anext__` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_IDENTITIES: Final[Mapping[type[Event], Callable[[Any], object]]] = {
    WorkerView: attrgetter("id"),
    InvocationView: attrgetter("id"),
    Step: attrgetter("id"),
    HandoverView: attrgetter("worker"),
    FunctionView: attrgetter("user", "name"),
    NodeView: attrgetter("id"),
    FiguresView: attrgetter("user", "function"),
}
"""What a view is of, within its kind; a log line is not here, since every line counts."""


def _function_of(event: Event) -> str:
    match event:
        case WorkerView() | InvocationView() | Step() | LogLine() | HandoverView() | FiguresView():
            return event.function
        case FunctionView():
            return event.name
        case NodeView():
            return ""


def _worker_of(event: Event) -> str:
    match event:
        case WorkerView():
            return event.id
        case InvocationView() | Step() | LogLine() | HandoverView():
            return event.worker
        case FunctionView() | NodeView() | FiguresView():
            return ""
