"""`mee6 flow plan`, in words: what is fetched for it, and what it says. The arithmetic is `mee6tui.planning`'s."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mee6.errors import AgentUnreachable, Conflict
from mee6.outflow import DEFAULT_PARALLELISM
from mee6.records import Invocation, Node, Snapshot
from mee6tui.cli import output, units
from mee6tui.cli.output import Column, column
from mee6tui.planning.distribution import Distribution, measured
from mee6tui.planning.prediction import Predictor
from mee6tui.planning.profile import FEWEST, Profile, TooFew, profile
from mee6tui.planning.proposal import PERCENTILE, WORTH, Proposal, propose

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.declared.graph import Graph
    from mee6.manifest import Manifest
    from mee6.records import Description, Trace

SHARES: Final = (0.5, 0.95, 0.99)
_AT_ONCE: Final = 8
"""Traces fetched at once."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What an agent remembers of a workflow's current version."""

    traces: tuple[Trace, ...]
    """The latest last."""
    cores: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, with what it stands on."""

    name: str
    version: int
    profile: Profile
    now: Distribution
    """Predicted as it is."""
    planned: Distribution
    """Predicted for the proposal."""
    proposal: Proposal
    bound_ns: float | None


async def fetch(client: Client, found: Description) -> Runs:
    """The traces of the ended invocations that the agent lists, at most 100 with those of other functions."""
    function, calls, cores = found.function, list[Invocation](), 0
    async with aclosing(client.watch(kinds=["node", "invocation"])) as items:
        # The agent measures its machine while it is watched, once a second; until then it has no measurement.
        async for item in items:
            if isinstance(item, Snapshot):
                calls += item.invocations
                cores = item.node.cores
            else:
                cores = next((event.what.cores for event in item.events if isinstance(event.what, Node)), cores)
            if cores:
                break
        else:
            raise AgentUnreachable(f"the agent at {client.address} has ended; see: mee6 agent status")
    this = (client.user, function.name, function.version)
    ids = [call.id for call in calls if call.ended_ns and (call.username, call.function, call.version) == this]
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(identity: str) -> Trace:
        async with turn:
            return await client.trace(identity)

    return Runs(tuple(await asyncio.gather(*map(one, ids))), cores)


def plan(version: int, manifest: Manifest, graph: Graph, runs: Runs, bound_ns: float | None) -> Plan:
    """The plan of a workflow.

    Raises:
        Conflict: too few runs are remembered to stand on.
    """
    name = manifest.name
    try:
        known = profile(graph, runs.traces)
    except TooFew as error:
        raise Conflict(
            f"a plan of {name!r} v{version} stands on {FEWEST} warm runs with its steps where they are "
            f"now, and the agent lists {error.warm}; make more with: mee6 bench {name} --closed 1 -d 5s"
        ) from None
    predictor = Predictor(graph, known, runs.cores)
    most = (manifest.max_parallelism or DEFAULT_PARALLELISM) + 1  # one more in the worker that holds it
    widest = {step: min(most, max(len(fan) for fan in one.fans)) for step, one in known.steps.items() if one.spreads}
    now = predictor.predict()
    measured_at = {step: known.steps[step].width for step in widest}
    proposal = propose(widest, lambda widths: predictor.predict(widths).percentile(PERCENTILE), bound_ns)
    if bound_ns is None and now.percentile(PERCENTILE) <= proposal.p95 / (1 + WORTH):
        proposal = Proposal(measured_at, now.percentile(PERCENTILE), is_met=True)
    planned = predictor.predict(proposal.widths)
    return Plan(name, version, known, now, planned, proposal, bound_ns)


def row(made: Plan) -> dict[str, Any]:
    """A plan for programs."""
    known = made.profile
    return {
        "name": made.name,
        "version": made.version,
        "runs": len(known.totals),
        "cold": known.cold,
        "failed": known.failed,
        "moved": known.moved,
        "measured": _figures(measured(known.totals)),
        "predicted": _figures(made.now),
        "planned": _figures(made.planned),
        "is_met": made.proposal.is_met,
        "steps": [
            {
                "step": name,
                "wait": _figures(measured(step.waits)),
                "takes": _figures(measured(step.takes)),
                "at_once": step.width if step.spreads else None,
                "planned_at_once": made.proposal.widths.get(name),
            }
            for name, step in known.steps.items()
        ],
    }


def lines(made: Plan) -> Iterator[str]:
    """A plan for people."""
    known = made.profile
    left = [
        f"{count} {what}"
        for count, what in (
            (known.cold, "that were cold"),
            (known.moved, "with steps in other workers"),
            (known.failed, "that failed"),
        )
        if count
    ]
    yield f"{made.name} v{made.version}, from {len(known.totals)} warm runs" + (
        f"; left out: {', '.join(left)}" if left else ""
    )
    yield ""
    yield from output.table([_step_row(one) for one in row(made)["steps"]], _STEPS)
    yield ""
    kinds = [("measured", measured(known.totals)), ("predicted", made.now)]
    if made.proposal.widths:
        kinds.append(("with the plan", made.planned))
    yield from output.table([{"whole": what, **_said(_figures(one))} for what, one in kinds], _WHOLE)
    yield ""
    yield from _advice(made)


def _advice(made: Plan) -> Iterator[str]:
    changes = {name: width for name, width in made.proposal.widths.items() if width != made.profile.steps[name].width}
    if not made.proposal.is_met and made.bound_ns is not None:
        p95 = units.duration(round(made.proposal.p95))
        yield f"no plan keeps its p95 under {units.duration(round(made.bound_ns))}; the lowest is {p95}"
    for name, width in changes.items():
        now = made.profile.steps[name].width
        yield f'plan: "concurrency": {width} in step {name} of its activity.json, where {now} ran at once'
    if not changes:
        where = (
            "its fan-outs spread as they should" if made.proposal.widths else "none of its steps spreads over workers"
        )
        yield f"nothing to change: {where}"


def _figures(found: Distribution) -> dict[str, int]:
    return {f"p{round(share * 100)}_ns": round(found.percentile(share)) for share in SHARES}


def _said(figures: dict[str, int]) -> dict[str, str]:
    return {key: units.duration(value) for key, value in figures.items()}


def _step_row(step: dict[str, Any]) -> dict[str, str]:
    now, planned = step["at_once"], step["planned_at_once"]
    return {
        "step": step["step"],
        "wait": " ".join(_said(step["wait"])[key] for key in ("p50_ns", "p95_ns")),
        "takes": " ".join(_said(step["takes"])[key] for key in ("p50_ns", "p95_ns")),
        "at_once": "" if now is None else str(now) if planned in (None, now) else f"{now} > {planned}",
    }


_STEPS: Final[tuple[Column, ...]] = (
    column("STEP", "step"),
    column("WAITS P50 P95", "wait", right=True),
    column("TAKES P50 P95", "takes", right=True),
    column("AT ONCE", "at_once", right=True),
)
_WHOLE: Final[tuple[Column, ...]] = (
    column("WHOLE", "whole"),
    *(column(f"P{round(share * 100)}", f"p{round(share * 100)}_ns", right=True) for share in SHARES),
)
