"""`mee6 act`: add, list, describe and remove functions; what runs them stands in `invoke`."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mee6.errors import InvalidCode, InvalidInput, InvalidManifest
from mee6.records import asdict
from mee6.visible import visible
from mee6tui.cli import completion, environment, invoke, output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.output import Column, column
from mee6tui.cli.session import Session, connected
from mee6tui.cli.several import Several, say

if TYPE_CHECKING:
    from mee6.client import Client, Line, Progress
    from mee6.records import Added, Demand, Description, Function

app = group("Add functions, run them and look at them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The function's name.", autocompletion=completion.functions)]


@app.command(
    epilog=examples(
        "mee6 act add samples/python/echo",
        "mee6 act add samples/python/pingpong/*",
        "mee6 act add */ -o json | jq '.[] | select(.error)'",
    )
)
@connected
def add(
    here: Session,
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders, each with an activity.json or activity.yaml; DIR/... = all of those below."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Refuse a folder whose manifest has another name.")] = "",
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", metavar="KEY=VALUE", help="For its environment, over the manifest's. Repeatable."),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option("--env-file", metavar="FILE", help="The same from a file, one KEY=VALUE a line.")
    ] = None,
    no_check: Annotated[
        bool,
        typer.Option("--no-check", help="Add it even if its code cannot be read."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all that pip or npm say when they fail.")
    ] = False,
) -> None:
    """Add functions from their folders.

    One that is there already gets a new version; what runs of the old one finishes on it. The packages that a
    requirements.txt or package.json asks for are resolved by the agent, once for all functions that ask the same.
    Of several folders, one that cannot be added is told and the others are; the exit code is that of the failures, or 1
    where they differ. With -o json each has its folder and an error, or null.
    """
    given = environment.given(env or [], env_file)
    folders = list(_expanded(folders))
    if name and len(folders) > 1:
        raise InvalidInput("--name is for one folder; leave it out, or add them one by one")
    several = Several(here, key="folder", verbose=verbose)

    async def work(client: Client) -> None:
        async def one(folder: Path) -> dict[str, Any]:
            with _progress(here, folder) as on_progress, _lines(here) as on_line:
                try:
                    added = await client.add(
                        folder, name=name, env=given, check=not no_check, on_progress=on_progress, on_line=on_line
                    )
                except InvalidCode as error:  # the agent knows the file, but not where it is here
                    raise InvalidCode(f"{folder}/{error.message}", traceback=error.traceback) from error
            say(here, _story(added), added.function.name)
            return _added(added)

        await several.each(folders, one)

    here.run(work, quiet=True)
    done = [row for row in several.rows if not row["error"]]
    missing = sorted({one for row in done for one in row["missing"]} - {row["name"] for row in done})
    if missing and here.for_people:
        here.note(f"still missing, declared as dependencies: {', '.join(missing)}")
    several.end(len(folders), "added")


@app.command("ls", epilog=examples("mee6 act ls", "mee6 act ls -o name", "mee6 act ls -o json"))
@connected
def ls(here: Session) -> None:
    """List the functions."""
    found = here.run(lambda client: client.list(), "listing")
    output.show(here.listing, [_row(function) for function in found], _COLUMNS)
    if not found and here.for_people:
        here.note("no functions yet; make one with: mee6 init NAME")


@app.command(epilog=examples("mee6 act describe echo", "mee6 act describe echo -o yaml"))
@connected
def describe(
    here: Session,
    name: Name,
    show_env: Annotated[bool, typer.Option("--show-env", help="With the values given by `add -e`.")] = False,
) -> None:
    """Show all about one function."""
    found = here.run(lambda client: client.describe(name, show_env=show_env))
    row = {
        **_row(found.function),
        "versions": [_row(version) for version in found.versions],
        "missing": list(found.missing),
        "workers": list(found.workers),
        "stats": asdict(found.stats),
        "env": found.env if show_env else dict.fromkeys(found.env),
        "packages": found.packages,
        "requirements": [asdict(package) for package in found.requirements],
        "url": found.url,
    }
    output.show_one(here.form, row, lambda: _portrait(found, show_env=show_env))


@app.command(epilog=examples("mee6 act rm echo", "mee6 act rm pinger ponger"))
@connected
def rm(
    here: Session,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Functions.", autocompletion=completion.functions)
    ],
) -> None:
    """Remove functions with all their versions.

    What runs of them finishes.
    """

    several = Several(here)

    async def work(client: Client) -> None:
        async def one(name: str) -> dict[str, Any]:
            await client.remove(name)
            say(here, f"removed {name}", name)
            return {}

        await several.each(names, one)

    here.run(work, quiet=True)
    several.end(len(names), "removed")


invoke.mount(app)


def _row(function: Function) -> dict[str, Any]:
    import json

    when = datetime.fromtimestamp(function.added_s, UTC).isoformat(timespec="seconds")
    return {
        "name": function.name,
        "runtime": function.runtime,
        "version": function.version,
        "workflow": function.is_workflow,
        "size": function.size,
        "sha256": function.sha256,
        "added": when.replace("+00:00", "Z"),
        "user": function.user,
        "manifest": json.loads(function.manifest) if function.manifest else None,
    }


def _added(added: Added) -> dict[str, Any]:
    return {**_row(added.function), "unchanged": added.unchanged, "missing": list(added.missing)}


def _expanded(folders: Iterable[Path]) -> Iterator[Path]:
    """The folders, with those below in place of one that ends in `/...`."""
    from mee6.manifest import FILE_NAME, YAML_NAMES, folders_below, read

    for folder in folders:
        if folder.name != "...":
            yield folder
            continue
        below = folders_below(folder.parent)
        if not below:
            raise InvalidInput(f"no folder below {folder.parent} has an {FILE_NAME} or {YAML_NAMES[0]}")
        named: dict[str, Path] = {}
        for one in below:
            with contextlib.suppress(InvalidManifest):  # said when it is added
                name = read(one).name
                if name in named:
                    raise InvalidInput(f"{name!r} stands in {named[name]} and in {one}; add one of them")
                named[name] = one
        yield from below


def _story(added: Added) -> str:
    import json

    function = added.function
    what = "unchanged" if added.unchanged else "added" if function.version == 1 else "updated"
    declared = json.loads(function.manifest or "{}").get("steps")
    kind = "workflow" if declared else function.runtime
    return f"{what} {function.name} ({kind}, version {function.version})"


def _ago(row: output.Row) -> str:
    return units.age(time.time() - datetime.fromisoformat(row["added"]).timestamp())


_COLUMNS = [
    column("NAME", "name"),
    column("RUNTIME", "runtime"),
    column("VERSION", "version", right=True),
    Column("KIND", lambda row: "workflow" if row["workflow"] else "function"),
    Column("SIZE", lambda row: _size(row["size"]), right=True),
    Column("ADDED", _ago, right=True),
]


_FORESEEN = [
    column("WILL CALL", "function"),
    Column("CHANCE", lambda row: f"{row['chance']:.0%}", right=True),
    Column("AFTER", lambda row: units.duration(row["after_ns"]) if row["after_ns"] else "", right=True),
    Column("TO LOAD", lambda row: units.duration(row["lead_ns"]), right=True),
    Column("FROM", lambda row: units.count(round(row["runs"]), "run") if row["runs"] >= 0.5 else "its manifest"),
    Column("GUESSED", lambda row: f"{row['hits']:.0f} right, {row['misses']:.0f} wrong"),
    Column("LOADED AHEAD", lambda row: "yes" if row["is_loaded_ahead"] else "no"),
]
"""What it is expected to call."""


def _size(count: int) -> str:
    from mee6.sizes import size_text

    return size_text(count)


def _packages(found: Description) -> str:
    """`numpy==2.1, pandas==2.2 (and 3 that they need)`; the key where an older agent tells nothing else."""
    sign = "==" if found.function.runtime == "python" else "@"
    asked = [f"{package.name}{sign}{package.version}" for package in found.requirements if package.asked]
    rest = len(found.requirements) - len(asked)
    if not found.requirements:
        return found.packages
    return ", ".join(asked) + (f" (and {rest} that {'it needs' if len(asked) == 1 else 'they need'})" if rest else "")


def _demand(demand: Demand) -> str:
    """`20 a second x 10.0ms = 0.2 at once on average, 1 now`."""
    rate, took = f"{demand.rate:.3g} a second", units.duration(round(demand.time_s * 1e9))
    return f"{rate} x {took} = {demand.tau:.3g} at once on average, {demand.executing} now"


def _portrait(found: Description, *, show_env: bool) -> Iterator[str]:
    row, stats = _row(found.function), found.stats
    manifest = row["manifest"] or {}
    calls = {
        name: (dependency or {}).get("outflow") or "no" for name, dependency in manifest.get("dependencies", {}).items()
    }
    yield from output.facts(
        [
            ("name", row["name"]),
            ("description", manifest.get("description", "")),
            ("runtime", row["runtime"]),
            ("version", f"{row['version']} (added {row['added']}, {_size(row['size'])}, sha256 {row['sha256'][:12]})"),
            ("steps", ", ".join(_steps(manifest))),
            (
                "calls",
                ", ".join(
                    name if manifest.get("steps") else f"{name} (outflow {outflow})" for name, outflow in calls.items()
                ),
            ),
            ("missing", ", ".join(found.missing)),
            ("env", ", ".join(f"{key}={value}" if show_env else key for key, value in sorted(found.env.items()))),
            ("packages", _packages(found)),
            ("url", found.url),
            ("workers", ", ".join(found.workers)),
            ("invocations", f"{stats.invocations}, of which failed {stats.failures}"),
            (
                "starts",
                f"{stats.cold} cold, {stats.prewarmed} prewarmed, {stats.ahead} ahead, {stats.warm} warm"
                if stats.invocations
                else "",
            ),
            ("demand", _demand(found.demand) if found.demand and found.demand.samples else ""),
            (
                "latency",
                f"p50 {units.milliseconds(stats.p50_ms)}, p99 {units.milliseconds(stats.p99_ms)}"
                if stats.invocations
                else "",
            ),
            ("store", units.stored(stats.stored_blocks, stats.stored_bytes, stats.stored_over)),
        ]
    )
    if found.foreseen:
        yield ""
        yield from output.table([asdict(one) for one in found.foreseen], _FORESEEN)
    if len(found.versions) > 1:
        yield ""
        rows = [_row(version) for version in found.versions]
        yield from output.table(
            rows, [_COLUMNS[2], _COLUMNS[4], _COLUMNS[5], Column("SHA256", lambda row: row["sha256"][:12])]
        )


def _steps(manifest: dict[str, Any]) -> Iterator[str]:
    """Those of a declared workflow, with their functions."""
    for name, step in (manifest.get("steps") or {}).items():
        function = step.get("function") or "switch"
        yield name if name == function else f"{name} ({function})"


@contextlib.contextmanager
def _progress(here: Session, folder: Path) -> Iterator[Progress | None]:
    """A bar on standard error for an upload that takes over a second."""
    if here.quiet or not sys.stderr.isatty():
        yield None
        return
    began, bars = time.monotonic(), contextlib.ExitStack()
    bar: Any = None

    def on_progress(sent: int, total: int) -> None:
        nonlocal bar
        if bar is None and time.monotonic() - began > 1:
            from rich.console import Console
            from rich.progress import Progress as Bar

            bar = bars.enter_context(Bar(console=Console(stderr=True), transient=True))
            bar.add_task(f"sending {folder.name}", total=total)
        if bar is not None:
            bar.update(0, completed=sent)

    with bars:
        yield on_progress


@contextlib.contextmanager
def _lines(here: Session) -> Iterator[Line | None]:
    """The last line of what takes long, on standard error; of all of them only the first where nobody looks."""
    status: Any = None
    if here.quiet:
        yield None
        return

    def on_line(line: str) -> None:
        nonlocal status
        if status is None and not sys.stderr.isatty():
            status = contextlib.nullcontext()
            here.note(line)
        elif status is None:
            from rich.console import Console

            status = shown.enter_context(Console(stderr=True).status("", spinner="line"))
        if sys.stderr.isatty():
            from rich.markup import escape

            status.update(escape(visible(line)))

    with contextlib.ExitStack() as shown:
        yield on_line
