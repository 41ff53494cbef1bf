"""Looking ahead: what workflows' runs teach, what proxies are told of it, and how often that was right.

Relies on `agent.core.patterns` for what is learnt. Nothing is done on an invocation's way but to note that it has
ended; its steps are looked at in batches afterwards, as the history has them.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from agent.core.patterns import Foreseen, Patterns, Run, pack, unpack
from agent.history import History
from agent.plan import Plan
from agent.seats import Job
from agent.substrate.base import FunctionRecord, PatternStore
from mee6.declared.branches import chances
from mee6.declared.graph import graph_of
from mee6.errors import InvocationNotFound, Mee6Error
from mee6.lane.messages import Expect, Guess, Next, Step

MOST_AT_ONCE: Final = 64
"""Invocations looked at in one batch; of a busy node's it is a sample."""
MOST_PLANS: Final = 256
"""Whose leaving calls are remembered for a second."""
EARLY_NS: Final = 30_000_000
"""How long before its call a worker is awake. Source: a resume through an engine takes 17 ms at p95 (README)."""
KEEP_EVERY_S: Final = 5.0
"""What is learnt meanwhile is lost with a kill -9."""

_log: Final = logging.getLogger("mee6.agent")


class Mode(StrEnum):
    """How far an agent looks ahead."""

    OFF = "off"
    DECLARED = "declared"  # by what manifests declare
    LEARNT = "learnt"  # and by what runs have shown


@dataclass(frozen=True, slots=True)
class Leaving:
    """A function that is expected to be called in other workers."""

    plan: Plan
    width: float
    """Calls of a run."""
    after_s: float
    """When to have workers awake for them, from the beginning of the run."""


@dataclass(slots=True)
class Totals:
    """What came of all guesses since the agent started."""

    hits: int = 0
    misses: int = 0
    saved_ns: int = 0
    """That callers did not wait, as it took to start runtimes and load functions."""


class LookAhead:
    """What a node knows of its workflows.

    Args:
        mode: one of `Mode`.
        at_once: loads ahead of one worker that may be under way.
        store: keeps what is learnt.
    """

    def __init__(self, mode: Mode, at_once: int, history: History, store: PatternStore) -> None:
        self.mode = mode
        self.at_once = at_once
        self.patterns = Patterns()
        self.totals = Totals()
        self._history = history
        self._store = store
        self._ended: deque[Job] = deque(maxlen=MOST_AT_ONCE)
        self._kept_s = 0.0
        self._leaving: dict[str, tuple[float, list[Leaving]]] = {}
        """Plan's digest -> until when this holds (seconds, monotonic), and what it is."""
        self._chances: dict[str, Mapping[str, float]] = {}
        """A declared workflow's content -> how likely each of its functions is called."""

    async def open(self) -> None:
        """Takes up what earlier lives of the agent have learnt."""
        self.patterns = unpack(await self._store.read())

    # What happens

    def ended(self, job: Job) -> None:
        """Notes that a workflow's first invocation has ended."""
        self._ended.append(job)

    def guessed(self, plan: Plan, guesses: Iterable[Guess]) -> None:
        """Takes what a proxy tells of what it loaded ahead."""
        now_s = time.time()
        user = plan.root.user
        for guess in guesses:
            if guess.caller not in plan.functions or guess.function not in plan.functions:
                continue
            if guess.used:
                self.totals.hits += 1
                self.totals.saved_ns += max(guess.saved_ns, 0)
            else:
                self.totals.misses += 1
            if self.mode is not Mode.LEARNT:
                continue
            self.patterns.guessed(user, guess.caller, guess.function, used=guess.used, now_s=now_s)
            if guess.took_ns > 0:
                self.patterns.took(user, guess.function, guess.took_ns, now_s)

    def forget(self, user: str, function: str) -> None:
        """Drops what is known of a function that was removed."""
        self.patterns.forget(user, function)

    def digest(self) -> bool:
        """Learns from what has ended since; whether there was anything."""
        ended, self._ended = self._ended, deque(maxlen=MOST_AT_ONCE)
        if self.mode is not Mode.LEARNT:
            return False
        now_s = time.time()
        for job in ended:
            try:
                steps = self._history.find(job.id).trace
            except InvocationNotFound:  # forgotten already
                continue
            for run in runs(job.plan, steps):
                self.patterns.observe(run, now_s)
            for name, took_ns in loads(job.plan, steps):
                self.patterns.took(job.user, name, took_ns, now_s)
        return bool(ended)

    async def keep(self, *, at_once: bool = False) -> None:
        """Writes what has changed, every so often."""
        now_s = time.monotonic()
        if not self.patterns.changed or (not at_once and now_s - self._kept_s < KEEP_EVERY_S):
            return
        self._kept_s = now_s
        known = self.patterns.known
        rows = {name: pack(known[name]) if name in known else None for name in self.patterns.changed}
        self.patterns.changed = set()
        try:
            await self._store.write(rows)
        except Mee6Error as error:  # it is not worth more than this
            _log.warning("what was learnt of workflows could not be kept: %s", error.message)

    # What is told

    def expect(self, plan: Plan) -> Expect | None:
        """What a proxy shall expect of a plan; None where nothing is looked for."""
        if self.mode is Mode.OFF or not plan.root.manifest.is_workflow:
            return None
        calls = [
            Next(record.name, one.function, round(one.chance, 1), _rough(one.after_ns), -_rough(-one.lead_ns))
            for record in plan.functions.values()
            for one in self.foreseen(record, plan)
            if one.is_worth_it and plan.functions[one.function].manifest.look_ahead
        ]
        return Expect(calls, self.at_once)

    def leaving(self, plan: Plan) -> list[Leaving]:
        """The calls that a plan's first function is expected to make in other workers; looked up once a second."""
        if self.mode is Mode.OFF:
            return []
        now_s = time.monotonic()
        found = self._leaving.get(plan.digest)
        if found is None or found[0] <= now_s:
            if len(self._leaving) >= MOST_PLANS:
                self._leaving.clear()
            away = plan.root.manifest.leaves
            told = [
                Leaving(plan.sub(one.function), one.width, max(0, one.after_ns - EARLY_NS) / 1e9)
                for one in self.foreseen(plan.root, plan)
                if one.function in away and one.is_worth_it
            ]
            found = self._leaving[plan.digest] = (now_s + 1.0, told)
        return found[1]

    def foreseen(self, record: FunctionRecord, plan: Plan) -> list[Foreseen]:
        """What a function of a plan is expected to call."""
        functions = plan.functions
        declared = [
            (name, functions[name].manifest.runtime) for name in record.manifest.dependencies if name in functions
        ]
        learnt, likely = self.mode is Mode.LEARNT, self._chances_in(record)
        return self.patterns.expected(record.user, record.name, declared, time.time(), learnt=learnt, chances=likely)

    def _chances_in(self, record: FunctionRecord) -> Mapping[str, float] | None:
        """What a declared workflow's graph says of its functions; None for one with code. Each is read once."""
        declaration = record.manifest.declaration
        if declaration is None:
            return None
        found = self._chances.get(record.sha256)
        if found is None:
            if len(self._chances) >= MOST_PLANS:
                self._chances.clear()
            found = self._chances[record.sha256] = chances(graph_of(declaration))
        return found


def runs(plan: Plan, steps: Iterable[Step]) -> list[Run]:
    """The runs among the steps of one workflow that tell what their functions call: those that went well."""
    steps = list(steps)
    called: dict[str, list[Step]] = {}
    for step in steps:
        if step.parent and step.spans:
            called.setdefault(step.parent, []).append(step)
    found = []
    for step in steps:
        record = plan.functions.get(step.function)
        began_ns = next((span.start_ns for span in step.spans if span.kind == "run"), 0)
        if record is None or not record.manifest.is_workflow or step.state != "succeeded" or not began_ns:
            continue
        calls = tuple((one.function, one.spans[0].start_ns - began_ns) for one in called.get(step.id, ()))
        found.append(Run(record.user, step.function, step.version, calls))
    return found


def loads(plan: Plan, steps: Iterable[Step]) -> list[tuple[str, int]]:
    """How long the cold starts within workers took, by function."""
    steps = list(steps)
    workers = {step.id: step.worker for step in steps}
    found = []
    for step in steps:
        if step.start == "cold" and step.function in plan.functions and workers.get(step.parent) == step.worker:
            spans = [span for span in step.spans if span.kind in ("start", "load") and span.end_ns]
            found.append((step.function, sum(span.end_ns - span.start_ns for span in spans)))
    return found


def _rough(time_ns: int) -> int:
    """A time cut to its first three bits, so that little changes are none; a negative one grows to them."""
    bits = max(0, time_ns.bit_length() - 3)
    return time_ns >> bits << bits
