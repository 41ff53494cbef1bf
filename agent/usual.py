"""How long each part of a function's runs usually takes, of what is remembered of them; looked up when asked.

Nothing is counted while invocations run: whoever wants to know pays. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from mee6.lane.messages import Step

PARTS: Final = ("queued", "start", "resume", "load", "run", "total")
MOST_SAMPLES: Final = 256
"""Of one function, the latest."""
MOST_STEPS: Final = 10_000
"""Looked at in all, so that a few long traces do not hold up the agent."""

Key = tuple[str, int]
"""(function, version)."""


class Usual(msgspec.Struct, frozen=True, gc=False):
    """One part of one function's runs that succeeded; nanoseconds. A run that had no such part counts as 0."""

    function: str
    version: int
    part: str
    samples: int
    had: int
    """Of the samples, those with such a part."""
    p50_ns: int
    p95_ns: int
    had_p50_ns: int
    """The median of those with such a part."""


def usual(wanted: Iterable[Step], traces: Iterable[Sequence[Step]]) -> list[Usual]:
    """How long the parts of the wanted steps' functions usually take, in these versions.

    Args:
        traces: all steps of each invocation to go by, the latest first.
    """
    samples: dict[Key, list[dict[str, int]]] = {(step.function, step.version): [] for step in wanted}
    looked_at = 0
    for steps in traces:
        looked_at += len(steps)
        if looked_at > MOST_STEPS:
            break
        called: dict[str, list[Step]] = {}
        for step in steps:
            called.setdefault(step.parent, []).append(step)
        for step in steps:
            found = samples.get((step.function, step.version))
            if found is not None and len(found) < MOST_SAMPLES and step.state == "succeeded":
                found.append(parts(step, called.get(step.id, [])))
    return [_figures(key, part, taken) for key, taken in samples.items() if taken for part in PARTS]


def parts(step: Step, called: Iterable[Step]) -> dict[str, int]:
    """How long each part of a step took; of its run only what it spent in none of the steps it called."""
    taken: dict[str, int] = {}
    for span in step.spans:
        if span.end_ns:
            taken[span.kind] = taken.get(span.kind, 0) + span.end_ns - span.start_ns
    taken["total"] = max(0, step.spans[-1].end_ns - step.spans[0].start_ns) if step.spans else 0
    if "run" in taken:
        taken["run"] = max(0, taken["run"] - _covered(called))
    return taken


def _covered(steps: Iterable[Step]) -> int:
    """Time in which at least one of the steps went on."""
    lives = sorted((step.spans[0].start_ns, step.spans[-1].end_ns) for step in steps if step.spans)
    covered = until = 0
    for start, end in lives:
        covered += max(0, end - max(start, until))
        until = max(until, end)
    return covered


def _figures(key: Key, part: str, taken: list[dict[str, int]]) -> Usual:
    ordered = sorted(one.get(part, 0) for one in taken)
    had = sorted(one[part] for one in taken if part in one)
    return Usual(*key, part, len(ordered), len(had), _at(ordered, 0.5), _at(ordered, 0.95), _at(had, 0.5))


def _at(ordered: list[int], share: float) -> int:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0
