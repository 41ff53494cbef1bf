"""`mee6 image`: the images that Docker workers are made of: built, listed, removed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

import typer

from mee6tui.cli import output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, local

app = group("Make the images of Docker workers.")

_RUNTIMES: Final = ("python", "nodejs")


@app.command(
    epilog=examples(
        "mee6 image build all",
        "mee6 image build python --base python:3.12-slim",
        "mee6 image build all --base bootstrap      made of Debian packages here",
    )
)
@local
def build(
    here: Session,
    runtime: Annotated[Literal["python", "nodejs", "all"], typer.Argument(metavar="python|nodejs|all")],
    base: Annotated[
        str,
        typer.Option("--base", metavar="IMAGE", help="Any image with Python 3.11 or later, or bootstrap."),
    ] = "",
) -> None:
    """Build the image of a runtime's workers, in the place of an earlier one."""
    from agent import images

    rows: list[dict[str, Any]] = []
    for name in _RUNTIMES if runtime == "all" else (runtime,):
        began = time.monotonic()
        with _progress(here, name, images.STAGES) as say:
            made = images.build(name, base, say)
        took = time.monotonic() - began
        text = f"{made.name}  {made.size_bytes >> 20} MiB  Python {made.python}  from {made.base}  {took:.1f}s"
        rows.append({**asdict(made), "took_s": took})
        if here.for_people or here.form in {"name", "jsonl"}:
            output.show_one(here.listing, rows[-1], [text].copy)
    if here.form in {"json", "yaml"}:
        output.show(here.form, rows, [])


@app.command("ls", epilog=examples("mee6 image ls", "mee6 image ls -o json"))
@local
def list_images(here: Session) -> None:
    """List the images of workers, and whether they hold what is installed here."""
    from agent import images

    found = images.list_images()
    mends = {image.name: image.build_command for image in found}
    columns = [
        output.column("NAME", "name"),
        output.column("RUNTIME", "runtime"),
        output.column("VERSION", "version"),
        output.column("BASE", "base"),
        output.column("PYTHON", "python"),
        output.column("NODE", "node"),
        output.Column("SIZE", lambda row: f"{row['size_bytes'] >> 20} MiB", right=True),
        output.Column("AGE", lambda row: units.age(time.time() - row["created_s"]), right=True),
        output.Column("STATE", lambda row: "current" if row["is_current"] else f"old; {mends[row['name']]}"),
    ]
    output.show(here.listing, [asdict(image) for image in found], columns, name="name")


@app.command("rm", epilog=examples("mee6 image rm python", "mee6 image rm bootstrap"))
@local
def remove(
    here: Session,
    runtime: Annotated[Literal["python", "nodejs", "bootstrap"], typer.Argument(metavar="python|nodejs|bootstrap")],
) -> None:
    """Remove the image of a runtime's workers, or the base that was made here."""
    from agent import images

    images.remove(runtime)
    output.show_one(here.listing, {"name": runtime}, lambda: [f"removed the image of {runtime}"])


@contextlib.contextmanager
def _progress(here: Session, runtime: str, stages: Sequence[str]) -> Iterator[Callable[[str, str, float], None]]:
    """A bar on a terminal, else a line for each stage; both on standard error."""
    if here.quiet or not sys.stderr.isatty():
        seen: set[str] = set()

        def tell(stage: str, detail: str, _part: float) -> None:
            if stage not in seen:
                seen.add(stage)
                here.note(f"{runtime}: {stage}: {detail}")

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.fields[runtime]}"),
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(stages), runtime=runtime)

        def show(stage: str, detail: str, part: float) -> None:
            bar.update(task, completed=stages.index(stage) + part, description=f"{stage}: {detail}")

        yield show
