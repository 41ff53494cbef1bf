"""`mee6 worker`: the sandboxes of a node."""

from __future__ import annotations

from dataclasses import asdict

from mee6tui.cli import output
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
