"""An explanation as asked of an agent, and in words: what `mee6 explain` writes and the console shows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from mee6.errors import NotFound
from mee6.outflow import DEFAULT_PARALLELISM
from mee6.visible import visible
from mee6tui.causes import NAMES
from mee6tui.cli import output
from mee6tui.cli.output import Column
from mee6tui.cli.units import duration
from mee6tui.explain import Explanation, Facts, explain

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.records import Trace

ROWS: Final = 12
"""Parts in the table; the others are summed up."""
MOST_FUNCTIONS: Final = 64
"""Looked up, of one invocation's."""


async def fetch(client: Client, identity: str, *, user: str | None = None) -> Explanation:
    """Why an invocation took as long as it did, of what the agent knows now.

    Args:
        identity: its id or the beginning of it; empty for the latest.
        user: whose it is; the client's own if None.
    """
    trace = await client.trace(identity, user=user, usual=True)
    (node, *_others), facts = await asyncio.gather(client.nodes(), _facts(client, trace))
    return explain(trace, facts, node)


async def _facts(client: Client, trace: Trace) -> dict[str, Facts]:
    """Of the functions in a trace, in the versions that ran, what is known; nothing of those removed since."""
    user = trace.invocation.username or client.user
    versions = {step.function: step.version for step in trace.steps[: 1 << 14]}
    known: dict[str, Facts] = {}
    for name, version in list(versions.items())[:MOST_FUNCTIONS]:
        try:
            found = await client.describe(name, user=user)
        except NotFound:
            continue
        ran = next((one for one in found.versions if one.version == version), found.function)
        manifest = json.loads(ran.manifest) if ran.manifest else {}
        known[name] = Facts(
            runtime=ran.runtime,
            packages=tuple(package.name for package in found.requirements if package.asked),
            max_parallelism=manifest.get("maxParallelism") or DEFAULT_PARALLELISM,
            declared=bool(manifest.get("steps")),
            retries=tuple(step for step, told in manifest.get("steps", {}).items() if "retry" in told),
        )
    return known


def lines(found: Explanation) -> Iterator[str]:
    """The explanation for people."""
    yield f"{found.id}  {found.function} v{found.version}  {found.state}  {duration(found.took_ns)}{_usually(found)}"
    for note in found.notes:
        yield from ("", visible(note.text), *_remedy(note.remedy))
    shown = found.findings[:ROWS]
    if shown:
        yield ""
        yield from output.table([asdict(one) for one in shown], _COLUMNS)
    if rest := found.findings[ROWS:]:
        took = sum(one.took_ns for one in rest)
        yield f"and {len(rest)} shorter parts, {duration(took)} together"
    told = [one for one in found.findings if one.cause]
    for one in told[:ROWS]:
        beyond = f", {duration(one.took_ns - one.usual_ns)} beyond its usual" if one.usual_ns is not None else ""
        yield from (
            "",
            f"{NAMES[one.part]} of {one.function}{beyond}:",
            f"  {visible(one.cause)}",
            *_remedy(one.remedy),
        )
    if len(told) > ROWS:
        yield f"\n{len(told) - ROWS} more reasons with: mee6 explain {found.id} -o json"
    if found.findings and not told and found.state == "succeeded" and found.usual_ns is not None:
        yield from ("", "every part took as long as it usually does")


def _usually(found: Explanation) -> str:
    if found.usual_ns is None or found.p95_ns is None:
        return ""
    return f"  usually {duration(found.usual_ns)}, p95 {duration(found.p95_ns)} of {found.samples} runs"


def _remedy(remedy: str) -> list[str]:
    return [f"  avoided by: {remedy}"] if remedy else []


def _ns(key: str) -> Column:
    def text(row: output.Row) -> str:
        from mee6tui.cli.units import duration

        return "-" if row[key] is None else duration(row[key])

    return Column({"took_ns": "TOOK", "usual_ns": "USUAL", "p95_ns": "P95"}[key], text, right=True)


_VERDICTS: Final = {"longer": "longer than usual", "usual": "", "unknown": "too few runs to compare"}
_COLUMNS: Final = [
    output.column("PART", "part"),
    output.column("FUNCTION", "function"),
    output.column("STEP", "step"),
    _ns("took_ns"),
    Column("SHARE", lambda row: f"{row['share']:.0%}", right=True),
    _ns("usual_ns"),
    _ns("p95_ns"),
    Column("", lambda row: _VERDICTS[row["verdict"]]),
]
