"""`mee6 trace`: what an invocation did, drawn by `waterfall`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mee6tui.cli import output, waterfall
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, connected

app = group()


@app.command(epilog=examples("mee6 trace", "mee6 trace 0c4f", "mee6 trace -o json"))
@connected
def trace(
    here: Session,
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="An invocation's id or its beginning; the latest if left out.")
    ] = "",
) -> None:
    """Draw what an invocation did.

    Which step ran where, cold or warm, and where the time went. A row is a step under its caller. START says
    how it found its runtime (cold, prewarmed, loaded ahead of its call, warm), VIA whether it went through the
    worker's proxy or, after a handover, directly. A bar is light until the step ran.
    """
    found = here.run(lambda client: client.trace(identity), "fetching the trace")
    if here.for_people:
        waterfall.draw(found, sys.stdout, color=here.color)
    elif here.form == "name":
        output.write(found.invocation.id)
    else:
        output.show_one(here.form, waterfall.record(found), list)
