"""`mee6 top`: how an agent stands, in a plain view that can be piped."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mee6.errors import AgentUnreachable, InvalidInput
from mee6.records import Batch, Figures, Node, Snapshot, Worker, asdict
from mee6tui.cli import output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.output import Column, column
from mee6tui.cli.session import Session, connected

if TYPE_CHECKING:
    from mee6.client import Client

app = group()

FIRST_S: Final = 4.0
"""How long the first view waits for a measurement."""
LEAST_INTERVAL_S: Final = 0.2

Row = dict[str, Any]
_WORKERS_BY: Final[dict[str, Callable[[Row], Any]]] = {
    "cpu": lambda row: (-row["cpu"], -row["memory_bytes"]),
    "memory": lambda row: -row["memory_bytes"],
    "invocations": lambda row: -row["invocations"],
    "name": lambda row: (len(row["id"]), row["id"]),
}
_FUNCTIONS_BY: Final[dict[str, Callable[[Row], Any]]] = {
    "rate": lambda row: (-row["rate"], -row["invocations"]),
    "p50": lambda row: -row["p50_ms"],
    "p99": lambda row: -row["p99_ms"],
    "failures": lambda row: -row["failures"],
    "invocations": lambda row: -row["invocations"],
    "name": lambda row: row["function"],
}
SORTS: Final = tuple(dict.fromkeys((*_WORKERS_BY, *_FUNCTIONS_BY)))


@app.command(epilog=examples("mee6 top", "mee6 top --sort memory -n 5 --interval 2s", "mee6 top -o json | jq .workers"))
@connected
def top(
    here: Session,
    sort: Annotated[str, typer.Option("--sort", metavar="KEY", help=f"{', '.join(SORTS)}.")] = "",
    rounds: Annotated[
        int | None,
        typer.Option(
            "-n", "--rounds", min=0, metavar="ROUNDS", help="Views; 0 = until Ctrl-C. By default 1, on a terminal 0."
        ),
    ] = None,
    interval: Annotated[str, typer.Option("--interval", metavar="1s", help="Between views.")] = "1s",
) -> None:
    """Show what the agent, its workers and its functions use and do.

    On a terminal the view is renewed in place; anywhere else it is printed once, or -n times. Workers stand by CPU and
    functions by rate unless --sort says otherwise. CPU is in cores: 1.00 is all of one.
    """
    if sort and sort not in SORTS:
        raise InvalidInput(f"no order {sort!r}; use one of: {', '.join(SORTS)}")
    if here.form not in {"table", "plain", "json", "jsonl"}:
        raise InvalidInput(f"-o {here.form} does not go with this view; use one of: table, json, jsonl")
    interval_s = units.seconds(interval)
    if interval_s < LEAST_INTERVAL_S:
        raise InvalidInput(f"--interval {interval} is less than the {LEAST_INTERVAL_S:g} s that a view takes")
    in_place = here.form == "table" and sys.stdout.isatty()
    left = rounds if rounds is not None else 0 if in_place else 1
    show = _InPlace().show if in_place else _printed

    async def work(client: Client) -> None:
        await _views(client, left, interval_s, lambda view: show(_rendered(here.form, view, sort)))

    here.run(work, quiet=True)


@dataclass(slots=True)
class View:
    """What is known of an agent."""

    node: Node | None = None
    workers: dict[str, Worker] = field(default_factory=dict)
    figures: dict[tuple[str, str], Figures] = field(default_factory=dict)

    def take(self, item: Snapshot | Batch) -> None:
        """Goes on with what the agent said."""
        if isinstance(item, Snapshot):
            self.node = item.node
            self.workers = {worker.id: worker for worker in item.workers}
            self.figures = {(one.username, one.function): one for one in item.figures}
            return
        for event in item.events:
            match event.what:
                case Node() as node:
                    self.node = node
                case Worker(state="gone") as worker:
                    self.workers.pop(worker.id, None)
                case Worker() as worker:
                    self.workers[worker.id] = worker
                case Figures() as one:
                    self.figures[one.username, one.function] = one
                case _:
                    pass


async def _views(client: Client, rounds: int, interval_s: float, show: Callable[[View], None]) -> None:
    """Shows a view as soon as there is a measurement, then one each interval.

    Args:
        rounds: how many; 0 = without end.
    """
    view, shown = View(), 0
    due = time.monotonic() + FIRST_S
    # The agent tells of itself several times a second, so there is no need for a clock beside it.
    async for item in client.watch(kinds=["node", "worker", "figures"]):
        view.take(item)
        measured = view.node is not None and view.node.cores > 0
        if time.monotonic() < due and (shown or not measured):
            continue
        show(view)
        shown += 1
        if shown == rounds:
            return
        due = time.monotonic() + interval_s
    raise AgentUnreachable(f"the agent at {client.address} has ended; see: mee6 agent status")


def _rendered(form: str, view: View, sort: str) -> list[str]:
    assert view.node is not None
    workers = sorted(map(asdict, view.workers.values()), key=_WORKERS_BY.get(sort, _WORKERS_BY["cpu"]))
    functions = sorted(map(asdict, view.figures.values()), key=_FUNCTIONS_BY.get(sort, _FUNCTIONS_BY["rate"]))
    if form in {"json", "jsonl"}:
        value = {"node": asdict(view.node), "workers": workers, "functions": functions}
        return output.as_json(value, indent=0 if form == "jsonl" else 2).splitlines()
    now_ns = view.node.now_ns
    return [
        *_node(view.node),
        "",
        *output.table([asdict(pool) for pool in view.node.pools], _POOLS),
        "",
        *output.table([{**row, "now_ns": now_ns} for row in workers], _WORKERS),
        *(["", *output.table(functions, _FUNCTIONS)] if functions else []),
    ]


def _node(node: Node) -> Iterable[str]:
    state = "stopping" if node.stopping else "draining" if node.draining else "serving"
    up = units.age((node.now_ns - node.started_ns) / 1e9)
    used = node.memory_total_bytes - node.memory_available_bytes
    load = " ".join(f"{average:.2f}" for average in node.load)
    idle = node.workers - node.busy - node.paused
    yield f"node {node.id}: {state}, up {up}, driver {node.driver}, {node.listen}"
    if node.cores:
        yield (
            f"machine: {node.cpu_percent:.0f}% of {node.cores} cores, load {load}, memory {units.mebibytes(used)} "
            f"of {units.mebibytes(node.memory_total_bytes)}"
        )
    yield (
        f"agent: {node.agent_cpu:.2f} cores, {units.mebibytes(node.rss_bytes)}, "
        f"loop late by {node.loop_lag_ms:.1f} ms, {node.watchers} watching"
    )
    yield (
        f"workers: {node.workers} of {node.max_workers} ({node.busy} busy, {idle} idle, {node.paused} paused), "
        f"{node.workers_cpu:.2f} cores, {units.mebibytes(node.memory_bytes)}"
    )
    yield (
        f"invocations: {node.rate:.1f} a second, "
        f"p50 {units.milliseconds(node.p50_ms)}, p99 {units.milliseconds(node.p99_ms)}, {node.queued} waiting, "
        f"{node.failures} of {node.invocations} failed"
    )


def _printed(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


class _InPlace:
    """Writes each view over the one before, without taking the screen: the last one stays."""

    def __init__(self) -> None:
        self._lines = 0

    def show(self, lines: Sequence[str]) -> None:
        """Writes a view, cut to the terminal's size."""
        width, height = shutil.get_terminal_size()
        kept = [line[:width] for line in lines[: max(height - 1, 1)]]
        back = f"\x1b[{self._lines}F" if self._lines else ""
        sys.stdout.write(back + "\x1b[J" + "".join(f"{line}\n" for line in kept))
        sys.stdout.flush()
        self._lines = len(kept)


_POOLS: Final = [
    column("POOL", "name"),
    column("READY", "ready", right=True),
    column("STARTING", "starting", right=True),
    column("KEPT", "floor", right=True),
    Column("AT MOST", lambda row: str(row["ceiling"] or ""), right=True),
    column("FAILURE", "failure"),
]
_WORKERS: Final = [
    column("WORKER", "id"),
    column("STATE", "state"),
    Column("SINCE", lambda row: units.age((row["now_ns"] - row["since_ns"]) / 1e9), right=True),
    Column("CPU", lambda row: f"{row['cpu']:.2f}", right=True),
    Column("MEMORY", lambda row: units.mebibytes(row["memory_bytes"]), right=True),
    column("PROCESSES", "processes", right=True),
    column("INVOCATIONS", "invocations", right=True),
    column("VIA", "via"),
    Column("FUNCTION", lambda row: row["function"] or f"({row['pool']})"),
]
_FUNCTIONS: Final = [
    column("FUNCTION", "function"),
    column("USER", "username"),
    Column("RATE/S", lambda row: f"{row['rate']:.1f}", right=True),
    Column("P50", lambda row: units.milliseconds(row["p50_ms"]), right=True),
    Column("P99", lambda row: units.milliseconds(row["p99_ms"]), right=True),
    column("WAITING", "queued", right=True),
    column("RUNNING", "running", right=True),
    column("FAILED", "failures", right=True),
    column("COLD", "cold", right=True),
    column("PREWARMED", "prewarmed", right=True),
    column("AHEAD", "ahead", right=True),
    column("WARM", "warm", right=True),
]
