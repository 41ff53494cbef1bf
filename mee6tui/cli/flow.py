"""`mee6 flow`: what a declared workflow looks like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mee6tui.cli import output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, local

if TYPE_CHECKING:
    from mee6.declared.graph import Declaration

app = group("Look at declared workflows: their steps, and where these run.")


@app.callback()
def flow() -> None:
    """Is every sub-command's beginning; with it one alone is a sub-command still."""


@app.command(epilog=examples("mee6 flow show ./order", "mee6 flow show ./order --svg > order.svg"))
@local
def show(
    here: Session,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A declared workflow's folder.")],
    *,
    svg: Annotated[bool, typer.Option("--svg", help="As an SVG picture.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
) -> None:
    """Draw the steps of a declared workflow.

    Each step waits for those above it that a line comes from. Of the steps below a switch those run that it chooses.
    """
    from mee6.declared import drawing
    from mee6.declared.graph import graph_of

    name, declaration = _in_folder(folder)
    graph = graph_of(declaration)
    if svg:
        output.write(drawing.svg_of(graph))
    elif mermaid:
        output.write(drawing.mermaid_of(graph))
    elif here.for_people:
        output.write(drawing.text_of(graph))
    else:
        output.show_one(here.form, {"name": name, "steps": drawing.facts_of(graph)}, list)


def _in_folder(folder: Path) -> tuple[str, Declaration]:
    from mee6.errors import InvalidInput
    from mee6.manifest import read

    manifest = read(folder)
    if manifest.declaration is None:
        raise InvalidInput(f"{manifest.name!r} has code and no declared steps; what it did is in: mee6 trace")
    return manifest.name, manifest.declaration
