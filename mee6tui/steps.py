"""An invocation's steps in the order of their calls, and where the time of each went.

What the command line's and the console's waterfall have in common; pure. A step's times are its spans'; time
that it spent in the steps it called is part of its run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mee6.records import Step

KINDS: Final = ("queued", "start", "resume", "load", "run")
"""Of spans, in the order in which a step goes through them; a handover goes on beside them."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A step's place among the others."""

    step: Step
    depth: int
    calls: int
    """How many steps it called itself."""


@dataclass(frozen=True, slots=True)
class Times:
    """A step's times, nanoseconds, on the agent's clock."""

    start_ns: int
    run_ns: int
    """When it began to run; its end where it never did."""
    end_ns: int
    parts: dict[str, int]
    """Kind -> how long."""
    running: bool
    """One of its spans has not ended."""


def in_call_order(steps: Iterable[Step], folded: Collection[str] = ()) -> list[Placed]:
    """Each step under its caller; a caller that is not known counts as none.

    Args:
        folded: ids of steps whose calls are left out.
    """
    given = {step.id: step for step in steps}
    below: dict[str, list[Step]] = {}
    for step in given.values():
        parent = step.parent if step.parent in given and step.parent != step.id else ""
        below.setdefault(parent, []).append(step)
    made: list[Placed] = []
    stack = [(step, 0) for step in reversed(below.get("", []))]
    while stack:
        step, depth = stack.pop()
        called = below.get(step.id, [])
        made.append(Placed(step, depth, len(called)))
        if called and step.id not in folded:
            stack += [(child, depth + 1) for child in reversed(called)]
    return made


def times(step: Step, now: int) -> Times:
    """Where its time went.

    Args:
        now: the end of what has not ended, nanoseconds on the agent's clock.
    """
    parts: dict[str, int] = {}
    start = end = run = -1
    running = False
    for span in step.spans:
        ended = span.end_ns or max(now, span.start_ns)
        running = running or not span.end_ns
        parts[span.kind] = parts.get(span.kind, 0) + max(0, ended - span.start_ns)
        start = span.start_ns if start < 0 else min(start, span.start_ns)
        end = max(end, ended)
        if span.kind == "run" and (run < 0 or span.start_ns < run):
            run = span.start_ns
    if start < 0:
        start = end = now
    return Times(start, end if run < 0 else run, end, parts, running)
