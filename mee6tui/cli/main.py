"""The entry point of the command `mee6`.

Nothing is imported here that a command may do without: what there is stands in `root`, and a command's own module is
imported when the command is chosen.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from mee6.version import VERSION
from mee6tui.cli.groups import examples, group
from mee6tui.cli.root import Root

app = group(
    "Run functions and workflows on this machine, and see what happens.",
    cls=Root,
    epilog=examples(
        "mee6 demo                       all of it in half a minute",
        "mee6                            open the console, on a terminal",
        "mee6 agent serve --detach       start an agent",
        "mee6 init hello                 write a function",
        "mee6 act add hello              add it",
        "mee6 act invoke hello you       run it",
        "mee6 trace                      see what that did",
    ),
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mee6 {VERSION}\n")
        raise typer.Exit


@app.callback()
def mee6(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Is every command's beginning."""


def main() -> None:
    """The entry point."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was started with that closed
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as this runs
    gc.set_threshold(50_000)  # what is imported stays; looking through it takes a tenth of a short command's time
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what its C core has to say is not for whoever runs a command
    app()


if __name__ == "__main__":
    main()
