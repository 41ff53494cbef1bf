"""`mee6 worker`: the sandboxes of a node, and what one may do to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mee6.errors import InvalidInput
from mee6.records import asdict
from mee6tui.cli import output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, connected
from mee6tui.cli.several import Several, say

if TYPE_CHECKING:
    from mee6.client import Client

app = group("See the workers, in which functions run, and act on them.")

Ids = Annotated[list[str], typer.Argument(metavar="WORKER...", help="Their ids; see: mee6 worker ls.")]


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
            lambda row: units.mebibytes(row["memory_bytes"]) if row["memory_bytes"] else "",
            right=True,
        ),
    ]
    output.show(here.listing, [asdict(worker) for worker in found], columns, name="id")


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


@app.command(epilog=examples("mee6 worker evict w3", "mee6 worker evict w3 w4 --force"))
@connected
def evict(
    here: Session,
    workers: Ids,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that runs an invocation, which is lost then.")
    ] = False,
) -> None:
    """End workers; their pool makes others where it is to keep some ready.

    One that runs an invocation is refused without --force.
    """

    async def one(client: Client, worker: str) -> dict[str, Any]:
        await client.evict(worker, force=force)
        say(here, f"evicted {worker}", worker)
        return {}

    _each(here, workers, one, "evicted")


@app.command(epilog=examples("mee6 worker pause w3"))
@connected
def pause(here: Session, workers: Ids) -> None:
    """Freeze idle workers now.

    A paused one is resumed by the next invocation that needs it, as any other.
    """

    async def one(client: Client, worker: str) -> dict[str, Any]:
        found = await client.pause(worker)
        say(here, f"worker {worker} is {found.state}", worker)
        return asdict(found)

    _each(here, workers, one, "paused")


@app.command(epilog=examples("mee6 worker resume w3"))
@connected
def resume(here: Session, workers: Ids) -> None:
    """Thaw paused workers.

    They are idle then, and paused again after their linger; `mee6 agent set pause=never` keeps all awake.
    """

    async def one(client: Client, worker: str) -> dict[str, Any]:
        found = await client.resume(worker)
        say(here, f"worker {worker} is {found.state}", worker)
        return asdict(found)

    _each(here, workers, one, "resumed")


def _each(
    here: Session, workers: list[str], one: Callable[[Client, str], Awaitable[dict[str, Any]]], done: str
) -> None:
    several = Several(here, key="id")

    async def work(client: Client) -> None:
        await several.each(workers, lambda worker: one(client, worker))

    here.run(work, quiet=True)
    several.end(len(workers), done)
