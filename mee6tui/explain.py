"""Why an invocation took as long as it did: each part of it against its usual, the cause, and what would avoid it.

Pure: a `Trace` with what is usual, and facts about functions and node, in; findings out. The parts are those of the
chain of steps that the result waited for, so that together they are the whole time; what went on beside it is none
of them. Causes stand in `causes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mee6.outflow import DEFAULT_PARALLELISM
from mee6tui import causes

if TYPE_CHECKING:
    from mee6.records import Circumstances, Node, Step, Trace, Usual

FEWEST_SAMPLES: Final = 8
"""With fewer runs to compare with, nothing is called unusual."""
NOISE_NS: Final = 200_000
"""Longer than usual by less than this is not worth a word."""
SEEN: Final = 0.01
"""The share of the whole below which nothing is called unusual."""
WORTH_A_WORD: Final = 0.05
"""The share of the whole from which on a part gets a reason though what is usual is not known."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a function beside its runs."""

    runtime: str
    packages: tuple[str, ...] = ()
    """Those it asks for."""
    max_parallelism: int = DEFAULT_PARALLELISM
    declared: bool = False
    """It has steps and no code."""
    retries: tuple[str, ...] = ()
    """Its steps that run again where they fail."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of time that the result waited for."""

    step: Step
    part: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of one step."""

    part: str
    """As `Span.kind`, where `run` is the function's own code, without the steps it called; or `agent`, its own work."""
    step: str
    function: str
    took_ns: int
    share: float
    """Of the whole, 0 to 1."""
    usual_ns: int | None
    """The median of the other runs; None where there are too few to know."""
    p95_ns: int | None
    samples: int
    verdict: str
    """`longer`, `usual` or `unknown`."""
    cause: str = ""
    remedy: str = ""
    """A command, or a key of the manifest; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about the whole: how it ended, what was not seen."""

    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All there is to say."""

    id: str
    function: str
    version: int
    state: str
    took_ns: int
    usual_ns: int | None
    """The median of the other runs; None where there are too few to know."""
    p95_ns: int | None
    samples: int
    findings: tuple[Finding, ...]
    """The longest first."""
    notes: tuple[Note, ...]


def explain(trace: Trace, functions: Mapping[str, Facts], node: Node) -> Explanation:
    """Why an invocation took as long as it did.

    Args:
        functions: of those in the trace, what is known.
        node: as it is now.
    """
    call = trace.invocation
    end = call.ended_ns or node.now_ns
    took = end - call.accepted_ns
    usual = {(one.function, one.version, one.part): one for one in trace.usual}
    found = {one.step: one for one in trace.circumstances}
    steps = {step.id: step for step in trace.steps}
    pieces = list(critical_path(trace, end))
    whole = usual.get((call.function, call.version, "total"))
    findings = []
    for step, part, length in _together(pieces[::-1]):
        compared = usual.get((step.function, step.version, part))
        finding = _compared(step, part, length, took, compared)
        if finding.verdict == "longer" or (finding.verdict == "unknown" and finding.share >= WORTH_A_WORD):
            scene = causes.Scene(
                step=step,
                caller=steps.get(step.parent),
                found=found.get(step.id) or _nothing(step),
                told=step.id in found,
                runtime=functions[step.function].runtime if step.function in functions else "",
                packages=functions[step.function].packages if step.function in functions else (),
                parallelism=functions[caller.function].max_parallelism
                if (caller := steps.get(step.parent)) and caller.function in functions
                else 0,
                node=node,
                calls=any(one.parent == step.id for one in trace.steps),
                declared=step.function in functions and functions[step.function].declared,
                again=_again(step, trace.steps, functions[step.function].retries if step.function in functions else ()),
            )
            cause, remedy = causes.of(part, scene)
            finding = _with(finding, cause, remedy)
        findings.append(finding)
    return Explanation(
        id=call.id,
        function=call.function,
        version=call.version,
        state=call.state,
        took_ns=took,
        usual_ns=whole.p50_ns if whole and _enough(whole) else None,
        p95_ns=whole.p95_ns if whole and _enough(whole) else None,
        samples=whole.samples if whole else 0,
        findings=tuple(sorted(findings, key=lambda finding: -finding.took_ns)),
        notes=tuple(_notes(trace, functions, pieces, whole)),
    )


def critical_path(trace: Trace, end: int) -> Iterator[Piece]:
    """The stretches that the end waited for, the latest first; each moment is in one of them."""
    root = next((step for step in trace.steps if not step.parent), None)
    if root is None:
        return
    below: dict[str, list[Step]] = {}
    for step in trace.steps:
        if step.spans and step.id != root.id:
            below.setdefault(step.parent, []).append(step)
    for called in below.values():
        called.sort(key=lambda step: -_end(step, end))
    accepted = trace.invocation.accepted_ns
    first = min((span.start_ns for span in root.spans), default=end)
    yield from _path(root, first, end, end, below)
    if accepted < first:
        yield Piece(root, "agent", accepted, first)


def _path(step: Step, start: int, until: int, now: int, below: Mapping[str, list[Step]]) -> Iterator[Piece]:
    """Of one step between two moments."""
    last = max((span.end_ns or now for span in step.spans), default=until)
    if not step.parent and step.spans and last < until:
        yield Piece(step, "agent", last, until)
    for span in reversed(step.spans):
        begin, cursor = max(start, span.start_ns), min(until, span.end_ns or now)
        if span.kind == "run":
            for called in below.get(step.id, ()):
                first, end = max(begin, called.spans[0].start_ns), min(cursor, _end(called, now))
                if first >= end:
                    continue
                if end < cursor:
                    yield Piece(step, "run", end, cursor)
                yield from _path(called, first, end, now, below)
                cursor = first
        if begin < cursor:
            yield Piece(step, span.kind, begin, cursor)


def _again(caller: Step, steps: Iterable[Step], retries: Iterable[str]) -> tuple[str, ...]:
    """The steps of a declared workflow that ran again after they had failed."""
    failed = {one.name for one in steps if one.parent == caller.id and one.state != "succeeded"}
    return tuple(name for name in retries if name in failed)


def _end(step: Step, now: int) -> int:
    return max((span.end_ns or now for span in step.spans), default=now)


def _together(pieces: list[Piece]) -> list[tuple[Step, str, int]]:
    """How long each part of each step took."""
    lengths: dict[tuple[str, str], int] = {}
    steps: dict[str, Step] = {}
    for piece in pieces:
        steps[piece.step.id] = piece.step
        key = piece.step.id, piece.part
        lengths[key] = lengths.get(key, 0) + piece.end_ns - piece.start_ns
    return [(steps[step], part, length) for (step, part), length in lengths.items()]


def _enough(usual: Usual | None) -> bool:
    return usual is not None and usual.samples >= FEWEST_SAMPLES


def _compared(step: Step, part: str, length: int, took: int, usual: Usual | None) -> Finding:
    samples = usual.samples if usual else 0
    share = length / took if took > 0 else 0.0
    if part == "agent":  # its own work, before and after, which is compared with nothing
        return Finding(part, step.id, step.function, length, share, None, None, samples, "usual")
    if usual is None or not _enough(usual):
        return Finding(part, step.id, step.function, length, share, None, None, samples, "unknown")
    beyond = length - usual.p50_ns >= max(NOISE_NS, usual.p50_ns // 4)
    longer = beyond and share >= SEEN and (not usual.p50_ns or length > usual.p95_ns)
    verdict = "longer" if longer else "usual"
    return Finding(part, step.id, step.function, length, share, usual.p50_ns, usual.p95_ns, samples, verdict)


def _with(finding: Finding, cause: str, remedy: str) -> Finding:
    from dataclasses import replace

    return replace(finding, cause=cause, remedy=remedy)


def _nothing(step: Step) -> Circumstances:
    from mee6.records import Circumstances

    return Circumstances(step.id)


def _notes(trace: Trace, functions: Mapping[str, Facts], pieces: list[Piece], whole: Usual | None) -> Iterator[Note]:
    call = trace.invocation
    last = next((piece for piece in pieces if piece.part != "agent"), None)
    where = f"in {causes.NAMES[last.part]} of {last.step.function}" if last else "before it began"
    error = call.error.splitlines()[0] if call.error else "without a word"
    match call.state:
        case "succeeded":
            pass
        case "failed":
            yield Note(f"it failed {where}: {error}; what it wrote: mee6 act logs --id {call.id}")
        case "timed out":
            remedy = f'a larger "timeoutS" in the activity.json of {call.function}, or a longer --timeout'
            late = next((one for one in trace.steps if one.name and one.error == call.error), None)
            if late is not None:  # a declared step did, whose limit is the lower one of its own and its function's
                owner = next((one.function for one in trace.steps if one.id == late.parent), call.function)
                remedy = f'a larger "timeoutS" of step {late.name} in the activity.json of {owner}'
                remedy += f", and no smaller one in that of {late.function}"
            yield Note(f"it ran out of time {where}: {error}", remedy)
        case "cancelled":
            yield Note(f"it was ended {where}: {error}")
        case "lost":
            yield Note(f"its worker was lost {where}: {error}; see: mee6 agent status")
        case _:
            yield Note(f"it still goes on, now {where}; times are up to now")
    if trace.incomplete:
        yield Note(f"it had more steps than are remembered, {len(trace.steps)}: calls that are not known count as run")
    if not trace.steps:
        yield Note("none of its steps is known: it has not started, or they have been forgotten")
    if not _enough(whole):
        known = whole.samples if whole else 0
        others = f"only {known} other run{'s' if known != 1 else ''}" if known else "no other run"
        which = f"of {call.function} v{call.version} that succeeded {'is' if known < 2 else 'are'} remembered"
        yield Note(f"{others} {which}, and it takes {FEWEST_SAMPLES} to say what is usual")
    for caller in trace.steps:
        most = functions[caller.function].max_parallelism if caller.function in functions else 0
        away = [step for step in trace.steps if step.parent == caller.id and step.worker != caller.worker]
        if most and len(away) > most and most_at_once(away) >= most:
            yield Note(
                f"{caller.function} made {len(away)} calls in other workers, and {most} at once, as many as it may",
                f'"maxParallelism": {2 * most} in the activity.json of {caller.function}',
            )


def most_at_once(steps: list[Step]) -> int:
    """How many of the steps went on at the same time, at most."""
    edges = [
        edge for step in steps for edge in ((step.spans[0].start_ns, 1), (step.spans[-1].end_ns, -1)) if step.spans
    ]
    now = most = 0
    for _at, change in sorted(edges):
        now += change
        most = max(most, now)
    return most
