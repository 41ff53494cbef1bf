"""What the console knows: plain dictionaries of `mee6.records`, filled by `apply`, read by pages.

Pure: no Textual, no grpc, no clock, no input or output. Whoever shows a kind of thing asks for its `changes`: a set
of keys that have changed since it was last cleared, so that a page costs what changed and not what there is.
Bounded: what has ended is forgotten, oldest first. Times named `now` are seconds of this machine's monotonic clock.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final
from weakref import ReferenceType, ref

import msgspec
from msgspec.structs import replace as changed

from mee6.records import (
    Batch,
    Event,
    Figures,
    FunctionChange,
    Handover,
    Invocation,
    Log,
    LogLine,
    Node,
    Snapshot,
    Step,
    Worker,
)
from mee6tui.console.commands import Key
from mee6tui.console.meter import Gauge, Meter

KINDS: Final = ("node", "worker", "function", "invocation", "step", "handover", "event", "log", "link")
INVOCATIONS: Final = 10_000
"""Kept of each agent, with their steps."""
STEPS: Final = 40_000
EVENTS: Final = 20_000
LOGS: Final = 100_000
GONE_S: Final = 8.0
"""How long a worker that is gone is still shown."""
GONE_WORKERS: Final = 2_000
"""At most so many of them."""
GAUGES: Final = ("queued", "busy", "workers", "paused", "rss_bytes", "memory_bytes", "cpu_percent", "workers_cpu")
"""Fields of a `Node` whose course is kept."""
FAILED: Final = frozenset({"failed", "timed out", "lost"})
LIVE: Final = frozenset({"queued", "starting", "running"})


class Changes(set[Key]):
    """The keys that changed since it was last cleared; belongs to one reader."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # known by identity, as a reader is

    def take(self) -> list[Key]:
        """The keys, which are then no longer changed."""
        keys = list(self)
        self.clear()
        return keys


class Happened(msgspec.Struct, frozen=True, gc=False):  # a dataclass takes five times as long to make
    """An event and its number within the console."""

    number: int
    source: str
    event: Event


class Said(msgspec.Struct, frozen=True, gc=False):
    """A log line and its number within the console."""

    number: int
    source: str
    line: LogLine


_LIVE: Final = frozenset({"live", "lagging", "restarted"})


@dataclass(frozen=True, slots=True)
class Link:
    """How a source is doing."""

    state: str
    """Of `look.LINKS`."""
    since: float = 0.0
    error: str = ""
    attempt: int = 0
    retry_at: float = 0.0
    dropped: int = 0
    """Events that did not come, since the console was too slow."""
    events: int = 0
    away_since: float | None = None
    """When it was last live: what is known of it is as of then. None = it is live, or never was."""


@dataclass
class Store:
    """Everything known, of all sources."""

    links: dict[str, Link] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    workers: dict[Key, Worker] = field(default_factory=dict)
    worker_states: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How many workers there are by (source, pool, state); counted as they change, since there are thousands."""
    functions: dict[Key, FunctionChange] = field(default_factory=dict)
    """By (source, `user/name`); removed ones are not kept."""
    figures: dict[Key, Figures] = field(default_factory=dict)
    """How functions do, by the same keys."""
    invocations: dict[Key, Invocation] = field(default_factory=dict)
    running: dict[Key, None] = field(default_factory=dict)
    """Of the invocations, those that have not ended."""
    steps: dict[Key, Step] = field(default_factory=dict)
    steps_of: dict[Key, dict[str, None]] = field(default_factory=dict)
    """The ids of an invocation's steps, in the order of their first event."""
    handovers: dict[Key, Handover] = field(default_factory=dict)
    """By (source, worker)."""
    events: deque[Happened] = field(default_factory=lambda: deque(maxlen=EVENTS))
    logs: deque[Said] = field(default_factory=lambda: deque(maxlen=LOGS))
    numbered: int = 0
    """Events seen; an event's key is (source, number)."""
    logged: int = 0
    meters: dict[str, Meter] = field(default_factory=dict)
    gauges: dict[Key, Gauge] = field(default_factory=dict)
    """By (source, `memory`, `queued`, `busy`, `rss`, ...): fields of the node over time."""
    gone: dict[Key, float] = field(default_factory=dict)
    """Workers that are gone, and since when."""
    offsets_ns: dict[str, int] = field(default_factory=dict)
    """The agent's clock minus this machine's, estimated from the least delayed event."""
    _left: int = 0
    """Of the invocations, when the oldest were forgotten last."""
    _readers: dict[str, list[ReferenceType[Changes]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    # Readers

    def changes(self, kind: str) -> Changes:
        """A reader's set of changed keys; everything there is counts as changed. It lives as long as its reader.

        Args:
            kind: one of `KINDS`.
        """
        made = Changes(self._keys(kind))
        readers = self._readers[kind]
        readers.append(ref(made, readers.remove))
        return made

    def table(self, kind: str) -> dict[Key, Any]:
        """The records of a kind by key; not of `event`, `log` and `link`."""
        if kind == "node":
            return {(source, node.id): node for source, node in self.nodes.items()}
        if kind not in ("worker", "function", "invocation", "step", "handover"):
            raise KeyError(kind)
        table: dict[Key, Any] = getattr(self, f"{kind}s")
        return table

    def away_since(self, source: str) -> float | None:
        """Since when nothing is heard of it any more, in seconds, monotonic; None where that is not so."""
        link = self.links.get(source)
        return link.away_since if link else None

    @property
    def all_away(self) -> bool:
        """Whether nothing is heard of any agent that was heard of."""
        return bool(self.nodes) and all(self.away_since(source) is not None for source in self.nodes)

    def agent_now(self, source: str, now: float) -> int:
        """The time on the agent's monotonic clock, in nanoseconds; it stands still while nothing is heard of it."""
        away = self.away_since(source)
        return int((now if away is None else min(now, away)) * 1e9) + self.offsets_ns.get(source, 0)

    def wall_ns(self, source: str, at_ns: int) -> int:
        """A time of the agent's clock as nanoseconds since 1970, UTC."""
        node = self.nodes.get(source)
        return at_ns + (node.wall_offset_ns if node else 0)

    def copy(self) -> Store:
        """The same now; records are shared, readers are not."""
        return Store(
            links=dict(self.links),
            nodes=dict(self.nodes),
            workers=dict(self.workers),
            worker_states=self.worker_states.copy(),
            functions=dict(self.functions),
            figures=dict(self.figures),
            invocations=dict(self.invocations),
            running=dict(self.running),
            steps=dict(self.steps),
            steps_of={key: dict(ids) for key, ids in self.steps_of.items()},
            handovers=dict(self.handovers),
            events=self.events.copy(),
            logs=self.logs.copy(),
            numbered=self.numbered,
            logged=self.logged,
            meters={source: meter.copy() for source, meter in self.meters.items()},
            gauges={key: Gauge(list(gauge.values)) for key, gauge in self.gauges.items()},
            gone=dict(self.gone),
            offsets_ns=dict(self.offsets_ns),
        )

    # What happens

    def apply(self, source: str, item: Snapshot | Batch, now: float) -> None:
        """Takes in what an agent sent."""
        if isinstance(item, Snapshot):
            self._picture(source, item, now)
        else:
            for event in item.events:
                self._event(source, event, now)
            if item.events:
                self._set_offset(source, item.events[-1].at_ns, now)

    def link(self, source: str, **news: Any) -> None:
        """Notes how a source is doing: fields of `Link`."""
        before = self.links.get(source, Link("connecting"))
        link = replace(before, **news)
        if link.state in _LIVE:
            link = replace(link, away_since=None)
        elif before.state in _LIVE:
            link = replace(link, away_since=link.since)
        self.links[source] = link
        self._mark("link", (source, ""))

    def tick(self, now: float) -> None:
        """Forgets what has been gone for long enough; to be called about once a second."""
        due = [key for key, since in self.gone.items() if now - since >= GONE_S]
        due += list(self.gone)[: max(0, len(self.gone) - len(due) - GONE_WORKERS)]
        for key in due:
            if self.gone.pop(key, None) is not None:
                self._count_worker(key[0], self.workers.pop(key, None), None)
                self.handovers.pop(key, None)
                self._mark("worker", key)

    def _picture(self, source: str, item: Snapshot, now: float) -> None:
        for table, kind in (
            (self.workers, "worker"),
            (self.functions, "function"),
            (self.figures, "function"),
            (self.invocations, "invocation"),
            (self.handovers, "handover"),
        ):
            old: dict[Key, Any] = table
            for key in [key for key in old if key[0] == source]:
                del old[key]
                self.gone.pop(key, None)
                self.running.pop(key, None)
                self._mark(kind, key)
        for counted in [counted for counted in self.worker_states if counted[0] == source]:
            del self.worker_states[counted]
        self.offsets_ns[source] = item.node.now_ns - int(now * 1e9)
        self._node(source, item.node, now)
        for worker in item.workers:
            self._worker(source, worker, now)
        for change in item.functions:
            self._function(source, change)
        for invocation in item.invocations:
            self._invocation(source, invocation, count=False)
        for step in item.steps:
            self._step(source, step)
        for handover in item.handovers:
            self._handover(source, handover)
        for figures in item.figures:
            self._figures(source, figures)

    def _event(self, source: str, event: Event, now: float) -> None:
        what: Any = event.what
        self.numbered += 1
        # By type, since a match on eight classes costs more than all the rest.
        kind = type(what)
        if kind is Worker:
            self._worker(source, what, now)
        elif kind is Invocation:
            self._invocation(source, what)
        elif kind is Step:
            self._step(source, what)
        elif kind is Log:
            self._log(source, event.at_ns, what)
        elif kind is Handover:
            self._handover(source, what)
        elif kind is FunctionChange:
            self._function(source, what)
        else:
            self.numbered -= 1
            if kind is Node:
                self._node(source, what, now)
            elif kind is Figures:
                self._figures(source, what)
            return  # a measurement, not something that happened
        self.events.append(Happened(self.numbered, source, event))
        if self._readers["event"]:
            self._mark("event", (source, str(self.numbered)))

    def _node(self, source: str, node: Node, now: float) -> None:
        self.nodes[source] = node
        self._mark("node", (source, node.id))
        at_s = now + self.offsets_ns.get(source, 0) / 1e9
        for name in GAUGES:
            self.gauges.setdefault((source, name), Gauge()).put(at_s, float(getattr(node, name)))

    def _worker(self, source: str, worker: Worker, now: float) -> None:
        key = (source, worker.id)
        before = self.workers.get(key)
        if worker.state != "gone":
            self.workers[key] = worker
            if before is None or before.state != worker.state or before.pool != worker.pool:
                self.gone.pop(key, None)
                self._count_worker(source, before, worker)
        elif before is not None:  # it keeps what it was, with why it went
            went = changed(before, state="gone", reason=worker.reason, invocation="", since_ns=worker.since_ns)
            self.workers[key] = went
            self.gone[key] = now
            self._count_worker(source, before, went)
        self._mark("worker", key)

    def _count_worker(self, source: str, before: Worker | None, after: Worker | None) -> None:
        if before is not None:
            self.worker_states[source, before.pool, before.state] -= 1
        if after is not None:
            self.worker_states[source, after.pool, after.state] += 1

    def _function(self, source: str, change: FunctionChange) -> None:
        key = (source, f"{change.username}/{change.name}")
        if change.removed:
            self.functions.pop(key, None)
            self.figures.pop(key, None)
        else:
            self.functions[key] = change
        self._mark("function", key)

    def _log(self, source: str, at_ns: int, log: Log) -> None:
        self.logged += 1
        self.logs.append(Said(self.logged, source, LogLine(at_ns, log)))
        if self._readers["log"]:
            self._mark("log", (source, str(self.logged)))

    def _figures(self, source: str, figures: Figures) -> None:
        key = (source, f"{figures.username}/{figures.function}")
        self.figures[key] = figures
        self._mark("function", key)

    def _handover(self, source: str, handover: Handover) -> None:
        key = (source, handover.worker)
        self.handovers[key] = handover
        self._mark("handover", key)

    def _invocation(self, source: str, invocation: Invocation, *, count: bool = True) -> None:
        key = (source, invocation.id)
        before = self.invocations.get(key)
        self.invocations[key] = invocation
        if invocation.ended_ns:
            self.running.pop(key, None)
        else:
            self.running[key] = None
        self._mark("invocation", key)
        if count and invocation.ended_ns and not (before and before.ended_ns):
            self.meters.setdefault(source, Meter()).ended(
                invocation.ended_ns,
                invocation.ended_ns - invocation.accepted_ns,
                failed=invocation.state in FAILED,
                cold=invocation.start == "cold",
            )
        if len(self.invocations) > max(INVOCATIONS, self._left + INVOCATIONS // 10):
            self._forget_invocations()

    def _step(self, source: str, step: Step) -> None:
        key = (source, step.id)
        self.steps[key] = step
        self.steps_of.setdefault((source, step.invocation), {})[step.id] = None
        self._mark("step", key)
        if len(self.steps) > STEPS:
            self._forget_steps()

    def _forget_invocations(self) -> None:
        """Drops the oldest of those that have ended until a tenth is free; where too many go on, looks again later."""
        ended = (key for key, invocation in self.invocations.items() if invocation.ended_ns)
        for key in list(islice(ended, len(self.invocations) - INVOCATIONS * 9 // 10)):
            del self.invocations[key]
            self._mark("invocation", key)
            self._drop_steps(key)
        self._left = len(self.invocations)

    def _forget_steps(self) -> None:
        """Drops the steps of the invocations that were first heard of, until a tenth is free."""
        for key in list(self.steps_of):
            if len(self.steps) <= STEPS * 9 // 10:
                break
            self._drop_steps(key)

    def _drop_steps(self, key: Key) -> None:
        for identity in self.steps_of.pop(key, ()):
            if self.steps.pop((key[0], identity), None) is not None:
                self._mark("step", (key[0], identity))

    def _set_offset(self, source: str, at_ns: int, now: float) -> None:
        seen = at_ns - int(now * 1e9)
        self.offsets_ns[source] = max(self.offsets_ns.get(source, seen), seen)

    def _mark(self, kind: str, key: Key) -> None:
        for reader in self._readers[kind]:
            changes = reader()
            if changes is not None:
                changes.add(key)

    def _keys(self, kind: str) -> Iterable[Key]:
        match kind:
            case "event":
                return [(happened.source, str(happened.number)) for happened in self.events]
            case "log":
                return [(said.source, str(said.number)) for said in self.logs]
            case "link":
                return [(source, "") for source in self.links]
            case _:
                return list(self.table(kind))
