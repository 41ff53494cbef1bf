"""`mee6 explain`: why an invocation took as long as it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mee6tui.cli import output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client
    from mee6tui.explain import Explanation

app = group()


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
    from mee6tui import reasons

    async def work(client: Client) -> Explanation:
        return await reasons.fetch(client, identity)

    found = here.run(work, "fetching the trace")
    if here.for_people:
        output.write("\n".join(reasons.lines(found)))
    elif here.form == "name":
        output.write(found.id)
    else:
        from dataclasses import asdict

        output.show_one(here.form, asdict(found), list)
