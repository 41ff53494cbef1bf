"""`mee6 worker`: the sandboxes of a node."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mee6.errors import InvalidInput
from mee6tui.cli import output, units
from mee6tui.cli.session import Session, connected, examples, group

app = group("See the workers, in which functions run.")


@app.command("ls", epilog=examples("mee6 worker ls", "mee6 worker ls -o json"))
@connected
def list_workers(here: Session) -> None:
    """List the workers: what they hold, what they do, what they use."""
    found = here.run(lambda client: client.workers())
    columns = [
        output.column("WORKER", "id"),
        output.column("POOL", "pool"),
        output.column("STATE", "state"),
        output.column("FUNCTION", "function"),
        output.column("USER", "username"),
        output.column("VIA", "via"),
        output.column("INVOCATIONS", "invocations", right=True),
        output.Column(
            "MEMORY",
            lambda row: f"{row['memory_bytes'] / (1 << 20):.1f} MiB" if row["memory_bytes"] else "",
            right=True,
        ),
    ]
    output.show(here.form, [asdict(worker) for worker in found], columns, name="id")


@app.command(epilog=examples("mee6 worker limits w3 --memory 256M", "mee6 worker limits w3 --cpus 0.5"))
@connected
def limits(
    here: Session,
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="Its id; see: mee6 worker ls.")],
    memory: Annotated[str | None, typer.Option("--memory", metavar="256M", help="Of all its processes.")] = None,
    cpus: Annotated[float | None, typer.Option("--cpus", min=0.0, help="Cores; 0 = all.")] = None,
) -> None:
    """Change what a live worker may use.

    Less memory than it uses now is refused, and changes nothing.
    """
    if memory is None and cpus is None:
        raise InvalidInput("say what to change: --memory 256M, --cpus 0.5")
    wanted = None if memory is None else units.size(memory)
    held, cores = here.run(lambda client: client.set_limits(worker, memory_bytes=wanted, cpus=cpus))
    row = {"id": worker, "memory_bytes": held, "cpus": cores}
    text = f"worker {worker} may use {held / (1 << 20):.0f} MiB and {f'{cores:g} cores' if cores else 'all cores'}"
    output.show_one(here.form, row, lambda: [text], name="id")
