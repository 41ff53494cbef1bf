"""`mee6 flow`: what a declared workflow looks like, and where its steps run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import UNSET

from mee6.errors import InvalidInput
from mee6tui.cli import completion, output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.output import Column, column
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6.declared.graph import Declaration, Graph
    from mee6.declared.grouping import Known
    from mee6.manifest import Manifest
    from mee6.records import Description

app = group("Look at declared workflows: their steps, and where these run.")


@app.command(epilog=examples("mee6 flow show till", "mee6 flow show ./till", "mee6 flow show ./till --svg > till.svg"))
@connected
def show(
    here: Session,
    what: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FOLDER",
            help="A function, or a folder that is not added.",
            autocompletion=completion.functions,
        ),
    ],
    *,
    svg: Annotated[bool, typer.Option("--svg", help="As an SVG picture.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
) -> None:
    """Draw the steps of a declared workflow.

    Each step waits for those above it that a line comes from. Of the steps below a switch those run that it chooses.
    """
    from mee6.declared import drawing
    from mee6.declared.graph import graph_of
    from mee6.manifest import path_in, read

    if "/" in what or path_in(Path(what)) is not None:
        manifest = read(Path(what))
    else:
        manifest = _manifest(here.run(lambda client: client.describe(what)))
    graph = graph_of(_declaration(manifest))
    if svg and mermaid:
        raise InvalidInput("--svg and --mermaid are two drawings; ask for one of them")
    if svg:
        output.write(drawing.svg_of(graph))
    elif mermaid:
        output.write(drawing.mermaid_of(graph))
    elif here.for_people:
        output.write(drawing.text_of(graph))
    else:
        row = {"name": manifest.name, "steps": drawing.facts_of(graph)}
        if manifest.output is not UNSET:
            row["output"] = manifest.output
        output.show_one(here.form, row, list)


@app.command(epilog=examples("mee6 flow explain till", "mee6 flow explain till -o json"))
@connected
def explain(
    here: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.functions)],
) -> None:
    """Say which steps of a declared workflow share a worker, and why.

    Group 0 is the worker that holds the workflow; any other group is sent to one other worker. It follows from how long
    the steps took and how much they gave: two steps share a worker where that does not make the whole longer.
    """
    import msgspec

    from mee6.declared.graph import graph_of
    from mee6.declared.grouping import Known

    if "/" in name:
        raise InvalidInput(f"{name} is a folder; what shares a worker follows from runs, so first: mee6 act add {name}")
    found = here.run(lambda client: client.describe(name))
    graph = graph_of(_declaration(_manifest(found)))
    known = msgspec.json.decode(found.known, type=Known) if found.known else Known(0, {})
    row = {"name": name, **msgspec.to_builtins(known)}
    output.show_one(here.form, row, lambda: _story(graph, known))


@app.command(epilog=examples("mee6 flow plan till", "mee6 flow plan till --p95 200ms", "mee6 flow plan till -o json"))
@connected
def plan(
    here: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.functions)],
    *,
    p95: Annotated[
        str, typer.Option("--p95", metavar="DURATION", help="To be kept with as few workers as can be, as 200ms.")
    ] = "",
) -> None:
    """Predict how long a declared workflow takes, and propose how many items of its fan-outs run at once.

    From the warm runs that the agent lists: steps in series by convolution, steps side by side by the later one.
    Without --p95, items at once are added as long as that lowers the 95th percentile by 3 % or more.
    """
    from mee6.declared.graph import graph_of
    from mee6tui.cli import plan as planning

    bound_ns = units.seconds(p95) * 1e9 if p95 else None

    async def work(client: Client) -> planning.Plan:
        found = await client.describe(name)
        manifest = _manifest(found)
        graph = graph_of(_declaration(manifest))
        return planning.plan(found.function.version, manifest, graph, await planning.fetch(client, found), bound_ns)

    made = here.run(work, "fetching its traces")
    output.show_one(here.form, planning.row(made), lambda: planning.lines(made))


def _manifest(found: Description) -> Manifest:
    from mee6.manifest import parse

    return parse(found.function.manifest)


def _declaration(manifest: Manifest) -> Declaration:
    if manifest.declaration is None:
        raise InvalidInput(f"{manifest.name!r} has code and no declared steps; what it did is in: mee6 trace")
    return manifest.declaration


def _story(graph: Graph, known: Known) -> Iterator[str]:
    grouping = known.grouping
    rows = []
    for name, node in graph.nodes.items():
        measure = known.measures.get(name)
        where = "-" if grouping is None or node.step.is_switch else str(grouping.groups.get(name, "spread"))
        rows.append({
            "step": name,
            "function": node.step.function or "switch",
            "group": where,
            "run": units.duration(round(measure.run_s * 1e9)) if measure else "-",
            "gives": f"{measure.result_bytes:.0f} B" if measure else "-",
            "calls": f"{measure.calls:.1f}" if measure and node.foreach is not None else "",
        })  # fmt: skip
    yield from output.table(rows, _COLUMNS)
    yield ""
    if grouping is None:
        yield f"it ran {known.runs} times; after 3 runs its steps are put into groups, and until then each runs in the"
        yield "worker that holds the workflow where that is free, else in another"
        return
    yield (
        f"the longest way is estimated at {units.duration(round(grouping.takes_s * 1e9))}; "
        f"with each step in a worker of its own, at {units.duration(round(grouping.spread_s * 1e9))}"
    )
    for merge in grouping.merges:
        yield f"together  {merge.above} > {merge.below}: saves {units.duration(round(merge.saves_s * 1e9))}"
    for apart in grouping.apart:
        yield f"apart     {apart.above} > {apart.below}: {apart.why}"


_COLUMNS: tuple[Column, ...] = (
    column("STEP", "step"),
    column("FUNCTION", "function"),
    column("GROUP", "group", right=True),
    column("RUN", "run", right=True),
    column("GIVES", "gives", right=True),
    column("CALLS", "calls", right=True),
)
