"""What became of recent invocations: their steps, output and results, in bounded memory.

An invocation here is one that somebody outside asked for; calls within a workflow are steps of it, found by
the first part of their id. What has ended is forgotten oldest first, as soon as there are too many or
they hold too many bytes; what goes on is never forgotten. One event loop, no I/O.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from agent.core.circumstances import Circumstances
from agent.core.invocation import InvocationState
from agent.feed import InvocationView, LogLine
from mee6.errors import Conflict, InvocationNotFound, Mee6Error
from mee6.lane.messages import Step

STEPS_LIMIT: Final = 10_000
"""Remembered of one invocation; a loop of calls must not fill the memory."""
LINES_BYTES_LIMIT: Final = 8 << 20
"""Remembered of one invocation's output, that of all its steps together."""
_GOING_ON: Final = frozenset({InvocationState.QUEUED, InvocationState.STARTING, InvocationState.RUNNING})
_STEP_BYTES: Final = 600
_LINE_BYTES: Final = 200
_CIRCUMSTANCES_BYTES: Final = 300
"""Rough size of a record apart from its text."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an invocation gave."""

    id: str
    result: bytes
    content_type: str


class Subject(Protocol):
    """What an invocation is remembered by: it is looked at when somebody asks, so that nobody tells of its changes."""

    def look(self) -> tuple[InvocationView, Step]:
        """The invocation as it is, and as the first step of its trace."""
        ...

    def outcome(self) -> Outcome | Mee6Error | None:
        """How it ended; None while it goes on."""
        ...


class Record(msgspec.Struct, eq=False):
    """One invocation, remembered. Made for each, and seldom read: hence a struct, and `subject`."""

    id: str
    user: str
    arg_bytes: int
    subject: Subject | None = None
    """Who knows its view, first step and outcome; None where those are told."""
    told: InvocationView | None = None
    """Its view, where it has no subject."""
    ended: bool = False
    steps: dict[str, Step] = {}
    """Without the first one where there is a subject, which knows it."""
    incomplete: bool = False
    """It had more steps than are remembered."""
    circumstances: dict[str, Circumstances] = {}
    """Step -> what it found, of those that the agent gave a worker, or shall give one."""
    lines: list[LogLine] = []
    line_bytes: int = 0
    """What they hold, roughly."""
    told_outcome: Outcome | Mee6Error | None = None
    bytes: int = 0
    """What it holds, roughly."""
    waiters: list[asyncio.Future[None]] = []

    @property
    def view(self) -> InvocationView:
        """The invocation as it is now."""
        if self.subject is not None:
            return self.subject.look()[0]
        assert self.told is not None
        return self.told

    @property
    def trace(self) -> list[Step]:
        """Its steps: the first one first, then by start."""
        root = self.id
        steps = self.steps if self.subject is None else {**self.steps, root: self.subject.look()[1]}
        return sorted(steps.values(), key=lambda step: (step.id != root, step.spans[0].start_ns if step.spans else 0))

    @property
    def outcome(self) -> Outcome | Mee6Error | None:
        """What it gave; None while it goes on."""
        if not self.ended:
            return None
        return self.told_outcome if self.subject is None else self.subject.outcome()

    @property
    def result_bytes(self) -> int:
        """Size of its result; 0 where there is none."""
        outcome = self.outcome
        return len(outcome.result) if isinstance(outcome, Outcome) else 0


def root_of(step: str) -> str:
    """The invocation that a step belongs to: steps are `<invocation>.<n>.<m>...`."""
    return step.partition(".")[0]


class History:
    """Recent invocations.

    Args:
        kept_invocations: how many to remember, those going on included.
        kept_bytes: of results, output and steps together.
    """

    def __init__(self, kept_invocations: int, kept_bytes: int) -> None:
        self._kept_invocations = kept_invocations
        self._kept_bytes = kept_bytes
        self._records: dict[str, Record] = {}
        self._ended: deque[Record] = deque()
        self._bytes = 0

    def admit(self, id_: str, user: str, arg_bytes: int, subject: Subject) -> None:
        """Takes in a new invocation, that is looked at when somebody asks; its end is told by `closed`."""
        self._records[id_] = Record(id_, user, arg_bytes, subject)
        if len(self._records) > self._kept_invocations:
            self._evict()

    def closed(self, id_: str, size: int) -> None:
        """Notes the end of one that was admitted, and wakes who waits for it.

        Args:
            size: bytes of its result, or of what is said of its failure.
        """
        record = self._records.get(id_)
        if record is not None and not record.ended:
            self._end(record, size + _STEP_BYTES)

    def accepted(self, view: InvocationView, arg_bytes: int) -> None:
        """Takes in a new invocation whose changes are told."""
        self._records[view.id] = Record(view.id, view.user, arg_bytes, told=view)
        if len(self._records) > self._kept_invocations:
            self._evict()

    def changed(self, view: InvocationView) -> None:
        """Notes the present state of one that is told of; nothing for one that is not remembered."""
        record = self._records.get(view.id)
        if record is not None:
            record.told = view

    def step(self, step: Step) -> bool:
        """Notes a step; a later record of the same step replaces the earlier one. Whether this one ends it."""
        ends = step.state not in _GOING_ON
        record = self._records.get(root_of(step.id))
        if record is None:
            return ends
        before = record.steps.get(step.id)
        if before is None:
            if len(record.steps) >= STEPS_LIMIT:
                record.incomplete = True
                return ends
            self._grow(record, _STEP_BYTES)
        record.steps[step.id] = step
        return ends and (before is None or before.state in _GOING_ON)

    def going_on(self, above: str, worker: str) -> list[Step]:
        """The steps below one that have not ended as far as is known, of those that run in a worker."""
        record = self._records.get(root_of(above))
        if record is None:
            return []
        inside = [step for step in record.steps.values() if step.worker == worker]  # few of many, and cheap to tell
        return [step for step in inside if step.state in _GOING_ON and step.id.startswith(f"{above}.")]

    def found(self, step: str, circumstances: Circumstances) -> None:
        """Notes what a step found when it was accepted."""
        record = self._records.get(root_of(step))
        if record is None or len(record.circumstances) >= STEPS_LIMIT:
            return
        if step not in record.circumstances:
            self._grow(record, _CIRCUMSTANCES_BYTES)
        record.circumstances[step] = circumstances

    def log(self, line: LogLine) -> None:
        """Notes output; what an invocation writes beyond its bound is counted, not kept."""
        record = self._records.get(root_of(line.invocation))
        if record is None:
            return
        size = _LINE_BYTES + len(line.text)
        if record.line_bytes + size > LINES_BYTES_LIMIT and record.lines:
            last = record.lines[-1]
            dropped = last.dropped_bytes + len(line.text) + line.dropped_bytes
            record.lines[-1] = msgspec.structs.replace(last, dropped_bytes=dropped)
            return
        record.lines.append(line)
        record.line_bytes += size
        self._grow(record, size)

    def ended(self, view: InvocationView, outcome: Outcome | Mee6Error) -> None:
        """Notes the end of one that is told of, and wakes who waits for it. A second end is ignored."""
        record = self._records.get(view.id)
        if record is None or record.ended:
            return
        record.told, record.told_outcome = view, outcome
        size = len(outcome.result) if isinstance(outcome, Outcome) else len(outcome.message) + len(outcome.traceback)
        self._end(record, size)

    def _end(self, record: Record, size: int) -> None:
        record.ended = True
        self._ended.append(record)
        if record.waiters:
            for waiter in record.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            record.waiters.clear()
        self._grow(record, size)

    def find(self, id_or_prefix: str) -> Record:
        """The invocation with this id, or the only one whose id begins so; of a step's id, its invocation.

        Raises:
            InvocationNotFound: there is none, or more than one.
        """
        wanted = root_of(id_or_prefix)
        record = self._records.get(wanted)
        if record is not None:
            return record
        found = [record for id_, record in self._records.items() if wanted and id_.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvocationNotFound(f"{len(found)} invocations begin with {wanted!r}; give more of the id")
        raise InvocationNotFound(f"no invocation {wanted!r}: it never was, or has been forgotten; see: mee6 trace")

    def latest(self, user: str = "") -> Record:
        """The one accepted last.

        Args:
            user: whose; empty = anybody's.

        Raises:
            InvocationNotFound: there has been none.
        """
        for record in reversed(self._records.values()):
            if user in ("", record.user):
                return record
        whose = f" of user {user!r}" if user and self._records else ""
        raise InvocationNotFound(f"no invocation{whose} yet; make one with: mee6 act invoke NAME")

    def like(self, record: Record) -> Iterator[list[Step]]:
        """The steps of all other invocations of the same user's that have ended, the latest first."""
        for other in reversed(self._records.values()):
            if other is not record and other.ended and other.user == record.user:
                yield other.trace

    def knows(self, user: str, function: str) -> bool:
        """Whether output of the user's function is remembered, which may have been removed since."""
        return any(True for _line in self._lines(user, function, ""))

    def live_steps(self, most: int) -> tuple[Step, ...]:
        """All steps of the invocations that go on, of the newest first where they are more than `most`."""
        steps: list[Step] = []
        for record in reversed(self._records.values()):
            if not record.ended:
                steps += record.trace[: most - len(steps)]
                if len(steps) >= most:
                    break
        return tuple(steps)

    def recent(self, ended: int = 100) -> tuple[InvocationView, ...]:
        """Those going on and the last `ended` that have ended, oldest first."""
        kept = []
        for record in reversed(self._records.values()):
            if not record.ended:
                kept.append(record.view)
            elif ended > 0:
                ended -= 1
                kept.append(record.view)
        return tuple(reversed(kept))

    async def outcome(self, id_or_prefix: str, wait_s: float = 0.0) -> Outcome:
        """What the invocation gave.

        Args:
            wait_s: how long to wait for its end.

        Raises:
            InvocationNotFound: as `find`.
            Conflict: it still goes on after that time.
            Mee6Error: how it failed.
        """
        record = self.find(id_or_prefix)
        if record.outcome is None and wait_s > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            record.waiters.append(waiter)
            await asyncio.wait((waiter,), timeout=wait_s)
            if waiter in record.waiters:
                record.waiters.remove(waiter)
        match record.outcome:
            case None:
                raise Conflict(f"invocation {record.view.id} is still {record.view.state}; ask again later")
            case Outcome() as outcome:
                return outcome
            case error:
                raise error.with_traceback(None)

    def lines(
        self, user: str, *, function: str = "", invocation: str = "", tail: int = 0, since_ns: int = 0
    ) -> list[LogLine]:
        """Remembered output in the order of its times.

        Args:
            function: only of this function.
            invocation: only of this invocation, or of one of its steps.
            tail: at most the last so many, of which a record may hold several; 0 = all.
            since_ns: only what was written from then on.

        Raises:
            InvocationNotFound: there is no such invocation of the user's.
        """
        found = (line for line in self._lines(user, function, invocation) if line.at_ns >= since_ns)
        lines = sorted(found, key=lambda line: line.at_ns)
        return _last(lines, tail) if tail else lines

    def _lines(self, user: str, function: str, invocation: str) -> Iterator[LogLine]:
        if invocation:
            record = self.find(invocation)
            if record.user != user:
                raise InvocationNotFound(f"no invocation {invocation!r} of user {user!r}; see: mee6 trace")
            records = [record]
        else:
            records = [record for record in self._records.values() if record.user == user]
        for record in records:
            for line in record.lines:
                if function and line.function != function:
                    continue
                if "." in invocation and line.invocation != invocation:
                    continue
                yield line

    def _grow(self, record: Record, size: int) -> None:
        record.bytes += size
        self._bytes += size
        if self._bytes > self._kept_bytes:
            self._evict()

    def _evict(self) -> None:
        while self._ended and (len(self._records) > self._kept_invocations or self._bytes > self._kept_bytes):
            record = self._ended.popleft()
            del self._records[record.id]
            self._bytes -= record.bytes


def _last(records: list[LogLine], tail: int) -> list[LogLine]:
    """The records of the last `tail` lines of text; of the first one only what belongs to them."""
    kept: list[LogLine] = []
    for record in reversed(records):
        body = record.text.removesuffix("\n")
        lines = body.split("\n")
        if len(lines) > tail:
            text = "\n".join(lines[-tail:]) + record.text[len(body) :]
            record = msgspec.structs.replace(record, text=text)  # noqa: PLW2901
        kept.append(record)
        tail -= len(lines)
        if tail <= 0:
            break
    return kept[::-1]
