"""A step that runs in this worker, and the trace of them all.

Without I/O. The trace costs a dictionary entry while steps run; records are made when they are sent, so a
step that began and ended between two batches is one record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mee6.lane.messages import Block, Chunk, Credit, Fault, Function, Report, Request, Span, Step, Steps
from mee6.outflow import Gate
from proxy.events import SendAgent

BATCH_NS: Final = 10_000_000
"""How long a changed step may wait before its record is sent."""


class LocalStep:
    """One run of a function here: the invocation's first, or a call that stayed."""

    __slots__ = (
        "arg",
        "chain",
        "content_type",
        "deadline_ns",
        "early",
        "ended",
        "error",
        "function",
        "gate",
        "held",
        "id",
        "lane",
        "limit_s",
        "name",
        "open",
        "over",
        "parent",
        "passed",
        "pid",
        "request",
        "result_bytes",
        "room",
        "runtime",
        "spans",
        "start",
        "state",
        "stored",
        "window",
    )

    def __init__(
        self, number: str, parent: str, function: Function, arg: bytes, content_type: str, chain: list[str]
    ) -> None:
        self.id = number
        self.parent = parent
        """The calling step; empty for the invocation's first."""
        self.function = function
        self.arg = arg
        self.content_type = content_type
        self.chain = chain
        self.request: Request | None = None
        self.window = 0
        """Of streams; only the invocation's first has any."""
        self.stored: Block | None = None
        """Where its argument lies, if it is not `arg`; and the next, where its result may."""
        self.room: Block | None = None
        self.early: list[Chunk | Credit] = []
        """What the agent streamed before it ran; the window bounds it."""
        self.runtime: int | None = None
        self.pid = 0
        self.gate: Gate | None = None
        self.open: set[str] = set()
        """Calls it made that have not ended, waiting ones included."""
        self.held: Report | None = None
        """Its outcome, while calls it did not wait for are under way: a step ends after its calls."""
        self.lane = 0
        """The direct lane that it was called over; 0 = through the proxy."""
        self.over = False
        """Its caller has its outcome, by a direct lane."""
        self.passed = 0
        """The count of its last direct call that is known to have ended."""
        self.deadline_ns = 0
        self.limit_s = 0.0
        self.name = ""
        """Of a declared workflow's step."""
        self.ended: Callable[[LocalStep, Report, int], None] | None = None
        """Takes its outcome, where no function called it: see `proxy.flow`."""
        self.start = ""
        self.state = "queued"
        self.error = ""
        self.result_bytes = 0
        self.spans: list[tuple[str, int, int]] = []

    def limit(self, seconds: float, since_ns: int) -> None:
        """Says how long it may take, and from when on."""
        self.limit_s = seconds
        self.deadline_ns = since_ns + int(seconds * 1e9)

    @property
    def overdue(self) -> Fault:
        """What it ends with when that is over."""
        name = self.function.name
        what = f"step {self.name!r} ({name})" if self.name else f"{name!r}"
        return Fault("timed_out", f"{what} took longer than its {self.limit_s:g} s", function=name)

    def enter(self, kind: str, now_ns: int) -> None:
        """Ends the span that goes on, and begins another."""
        self.end_span(now_ns)
        self.spans.append((kind, now_ns, 0))

    def end_span(self, now_ns: int) -> None:
        """Ends the span that goes on; one that took no time is dropped."""
        if self.spans:
            kind, start_ns, end_ns = self.spans[-1]
            if end_ns == 0:
                if start_ns == now_ns and kind != "run":
                    self.spans.pop()
                else:
                    self.spans[-1] = (kind, start_ns, now_ns)

    def conclude(self, fault: Fault | None) -> None:
        """Takes its outcome."""
        if fault is None:
            self.state = "succeeded"
        else:
            self.state = "timed out" if fault.code == "timed_out" else "failed"
            self.error = fault.message

    def record(self, worker: str) -> Step:
        """How it stands, for the trace."""
        return Step(
            id=self.id,
            parent=self.parent,
            function=self.function.name,
            version=self.function.version,
            worker=worker,
            start=self.start,
            via="lane" if self.lane else "proxy",
            state=self.state,
            pid=self.pid,
            error=self.error,
            spans=[Span(*span) for span in self.spans],
            name=self.name,
            result_bytes=self.result_bytes,
        )


class Trace:
    """The records that the agent has not seen yet.

    Args:
        do: takes the command that sends them.
    """

    __slots__ = ("_changed", "_do", "_root_pid", "due_ns", "worker")

    def __init__(self, do: Callable[[SendAgent], None]) -> None:
        self._changed: dict[str, LocalStep] = {}
        self._do = do
        self._root_pid = 0
        self.worker = ""
        """The worker's id, once the agent has told it."""
        self.due_ns = 0
        """When the batch must go; 0 = there is none."""

    def note(self, step: LocalStep, now_ns: int) -> None:
        """Marks a step as changed. Of the invocation's first the agent knows all but the process that runs it."""
        if step.parent or step.pid != self._root_pid:
            if not step.parent:
                self._root_pid = step.pid
            self._changed[step.id] = step
            if not self.due_ns:
                self.due_ns = now_ns + BATCH_NS

    def flush(self) -> None:
        """Sends the batch, if there is one."""
        if self.due_ns:
            self._do(SendAgent(Steps([step.record(self.worker) for step in self._changed.values()])))
            self._changed.clear()
            self.due_ns = 0
