"""How long the steps of declared workflows take and what they give, and the groups that follow from it.

The groups are made anew when a workflow has run 3, 6, 12, ... times, in a thread, and count from the next invocation
on: one that runs keeps those it began with. Until then each step runs in its workflow's worker where that is free, else
in another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Final

from agent.flows import Graphs
from agent.plan import Plan
from mee6.declared.estimate import CALL_S, FOOTPRINT_BYTES, Measure
from mee6.declared.graph import Graph
from mee6.declared.grouping import Grouping, Known, grouping
from mee6.lane.messages import Step
from mee6.manifest import FunctionLimits
from mee6.outflow import DEFAULT_PARALLELISM

FIRST: Final = 3
"""Runs after which there are groups; the first is cold."""
_WINDOW: Final = 16
"""Runs of a step that count, the latest."""
_KEPT: Final = 256
"""Workflows of which something is known."""


class _Usual:
    """One step's last runs."""

    __slots__ = ("count", "result_bytes", "runs_s")

    def __init__(self) -> None:
        self.count = 0
        self.runs_s: deque[float] = deque(maxlen=_WINDOW)
        self.result_bytes: deque[int] = deque(maxlen=_WINDOW)

    def add(self, run_s: float, result_bytes: int) -> None:
        self.count += 1
        self.runs_s.append(run_s)
        self.result_bytes.append(result_bytes)

    @property
    def run_s(self) -> float:
        """A quarter took no longer: what it takes where nothing else wants the cores, its first run left out."""
        return sorted(self.runs_s)[len(self.runs_s) // 4]


@dataclass(slots=True)
class _Counted:
    """What is known of one version of a workflow, on one set of versions of what it calls."""

    runs: int = 0
    next_at: int = FIRST
    args_bytes: int = 0
    """Of the latest."""
    steps: dict[str, _Usual] = field(default_factory=dict)
    found: Grouping | None = None


class Measured:
    """Of all declared workflows.

    Args:
        spawn: begins a task that the node owns.
        memory_bytes: of a worker with these limits.
        parallel_calls: of one workflow in other workers at once, at most.
    """

    def __init__(
        self,
        graphs: Graphs,
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        memory_bytes: Callable[[FunctionLimits], int],
        parallel_calls: int,
    ) -> None:
        self._graphs = graphs
        self._spawn = spawn
        self._memory_bytes = memory_bytes
        self._parallel_calls = parallel_calls
        self._known: dict[str, _Counted] = {}
        """By the digest of its plan."""

    def groups(self, plan: Plan) -> dict[str, int]:
        """Those of a workflow; empty while too little is known."""
        known = self._known.get(plan.digest)
        return known.found.groups if known is not None and known.found is not None else {}

    def known(self, plan: Plan) -> Known | None:
        """What is known of a workflow; None of a function with code."""
        graph = self._graphs.of(plan)
        if graph is None:
            return None
        known = self._known.get(plan.digest) or _Counted()
        return Known(known.runs, self._measures(plan, known, graph), known.found)

    def step(self, plan: Plan, step: Step, *, away: bool = False) -> None:
        """Takes note of a step that has ended.

        Args:
            plan: of the workflow.
            away: it was a call to another worker; its run is then told with the way there and back.
        """
        run_ns = sum(span.end_ns - span.start_ns for span in step.spans if span.kind == "run" and span.end_ns)
        run_ns = max(run_ns - int(away * CALL_S * 1e9), 0)
        if step.state != "succeeded" or not step.name:
            return
        self._of(plan).steps.setdefault(step.name, _Usual()).add(run_ns / 1e9, step.result_bytes)

    def ended(self, plan: Plan, args_bytes: int) -> None:
        """Takes note of a workflow that has ended well."""
        known = self._of(plan)
        known.runs += 1
        known.args_bytes = args_bytes
        graph = self._graphs.of(plan)
        if known.runs >= known.next_at and graph is not None:
            known.next_at *= 2
            self._spawn(self._group(plan, known, graph))

    async def _group(self, plan: Plan, known: _Counted, graph: Graph) -> None:
        manifest = plan.root.manifest
        known.found = await asyncio.to_thread(
            grouping,
            graph,
            self._measures(plan, known, graph),
            self._memory_bytes(manifest.limits),
            min(manifest.max_parallelism or DEFAULT_PARALLELISM, self._parallel_calls),
            known.args_bytes,
        )

    def _of(self, plan: Plan) -> _Counted:
        known = self._known.get(plan.digest)
        if known is None:
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            known = self._known[plan.digest] = _Counted()
        return known

    def _measures(self, plan: Plan, known: _Counted, graph: Graph) -> dict[str, Measure]:
        found: dict[str, Measure] = {}
        for name, node in graph.nodes.items():
            usual = known.steps.get(name)
            if usual is None:
                continue
            record = plan.functions.get(node.step.function)
            limit_mib = record.manifest.limits.memory_mib if record is not None else None
            memory_bytes = limit_mib << 20 if limit_mib else FOOTPRINT_BYTES
            calls = usual.count / max(known.runs, 1) if node.foreach is not None else 1.0
            found[name] = Measure(usual.run_s, mean(usual.result_bytes), calls, memory_bytes)
        return found
