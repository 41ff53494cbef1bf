"""`mee6 explain`: why an invocation took as long as it did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mee6tui.cli import output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.output import Column
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.records import Node, Trace
    from mee6tui.explain import Explanation, Facts

app = group()

ROWS: Final = 12
"""Parts in the table; the others are summed up."""
MOST_FUNCTIONS: Final = 64
"""Looked up, of one invocation's."""


@app.command(epilog=examples("mee6 explain", "mee6 explain 0c4f", "mee6 explain -o json"))
@connected
def explain(
    here: Session,
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="An invocation's id or its beginning; the latest if left out.")
    ] = "",
) -> None:
    """Say why an invocation took as long as it did.

    Each part of the chain of steps that its result waited for, against how long it usually takes in the runs that are
    remembered; why it was cold or had to wait; and what would have avoided it. What is as usual needs no reason.
    """
    import asyncio

    from mee6tui.explain import explain as reasons

    async def work(client: Client) -> tuple[Trace, dict[str, Facts], Node]:
        trace = await client.trace(identity, usual=True)
        (node, *_others), facts = await asyncio.gather(client.nodes(), _facts(client, trace))
        return trace, facts, node

    trace, facts, node = here.run(work, "fetching the trace")
    found = reasons(trace, facts, node)
    if here.for_people:
        output.write("\n".join(lines(found)))
    elif here.form == "name":
        output.write(found.id)
    else:
        from dataclasses import asdict

        output.show_one(here.form, asdict(found), list)


async def _facts(client: Client, trace: Trace) -> dict[str, Facts]:
    """Of the functions in a trace, in the versions that ran, what is known; nothing of those removed since."""
    from mee6.errors import NotFound
    from mee6.outflow import DEFAULT_PARALLELISM
    from mee6tui.explain import Facts

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
        )
    return known


def lines(found: Explanation) -> Iterator[str]:
    """The explanation for people."""
    from mee6.visible import visible
    from mee6tui.causes import NAMES
    from mee6tui.cli.units import duration

    yield f"{found.id}  {found.function} v{found.version}  {found.state}  {duration(found.took_ns)}{_usually(found)}"
    for note in found.notes:
        yield from ("", visible(note.text), *_remedy(note.remedy))
    shown = found.findings[:ROWS]
    if shown:
        yield ""
        yield from output.table([_row(one) for one in shown], _COLUMNS)
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
    from mee6tui.cli.units import duration

    if found.usual_ns is None or found.p95_ns is None:
        return ""
    return f"  usually {duration(found.usual_ns)}, p95 {duration(found.p95_ns)} of {found.samples} runs"


def _remedy(remedy: str) -> list[str]:
    return [f"  avoided by: {remedy}"] if remedy else []


def _row(one: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(one)  # type: ignore[call-overload, no-any-return]


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
