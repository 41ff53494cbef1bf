"""`mee6 image`: the images that Docker workers are made of: built, listed, removed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Final, Literal

import typer

from mee6tui.cli import output, units
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import AsJson, Output, session

app = group("Make the images of Docker workers.")

_RUNTIMES: Final = ("python", "nodejs")


@app.command(
    epilog=examples(
        "mee6 image build all",
        "mee6 image build python --base python:3.12-slim",
        "mee6 image build all --base bootstrap      made of Debian packages here",
    )
)
def build(
    runtime: Annotated[Literal["python", "nodejs", "all"], typer.Argument(metavar="python|nodejs|all")],
    base: Annotated[
        str,
        typer.Option("--base", metavar="IMAGE", help="Any image with Python 3.11 or later, or bootstrap."),
    ] = "",
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")] = False,  # noqa: ARG001 - looked at where failures are told
) -> None:
    """Build the image of a runtime's workers, in the place of an earlier one."""
    from agent import images

    for name in _RUNTIMES if runtime == "all" else (runtime,):
        began = time.monotonic()
        with _progress(name, images.STAGES) as say:
            made = images.build(name, base, say)
        took = time.monotonic() - began
        output.write(f"{made.name}  {made.size_bytes >> 20} MiB  Python {made.python}  from {made.base}  {took:.1f}s")


@app.command("ls", epilog=examples("mee6 image ls", "mee6 image ls -o json"))
def list_images(form: Output = None, json: AsJson = False) -> None:
    """List the images of workers, and whether they hold what is installed here."""
    from agent import images

    here = session(output=form, json=json)
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
    output.show(here.form, [asdict(image) for image in found], columns, name="name")


@app.command("rm", epilog=examples("mee6 image rm python", "mee6 image rm bootstrap"))
def remove(
    runtime: Annotated[Literal["python", "nodejs", "bootstrap"], typer.Argument(metavar="python|nodejs|bootstrap")],
) -> None:
    """Remove the image of a runtime's workers, or the base that was made here."""
    from agent import images

    images.remove(runtime)
    sys.stderr.write(f"mee6: removed the image of {runtime}\n")


@contextlib.contextmanager
def _progress(runtime: str, stages: Sequence[str]) -> Iterator[Callable[[str, str, float], None]]:
    """A bar on a terminal, else a line for each stage; both on standard error."""
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def tell(stage: str, detail: str, _part: float) -> None:
            if stage not in seen:
                seen.add(stage)
                sys.stderr.write(f"mee6: {runtime}: {stage}: {detail}\n")

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
