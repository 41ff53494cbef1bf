"""`mee6 doctor`: what this machine can do for an agent, and the command that mends what it cannot."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.config import DEFAULT_HTTP_LISTEN, DEFAULT_LISTEN
from mee6.config import state_path
from mee6tui.cli import output
from mee6tui.cli.session import AsJson, Output, session, waiting


def doctor(
    driver: Annotated[
        Literal["docker", "process"], typer.Option("--driver", help="What shall make workers.")
    ] = "process",
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", envvar="MEE6_STATE_DIR", help="The agent's folder."),
    ] = None,
    form: Output = None,
    json: AsJson = False,
) -> None:
    """Look at what an agent needs of this machine; change nothing.

    Prints what is well, what could be better and what fails, with the command that mends it. The exit code is 1
    when something fails that the driver cannot do without.
    """
    from agent.doctor import Level, Patient, examine

    here = session(output=form, json=json)
    state = (state_dir or state_path()).absolute()
    with waiting("looking"):
        findings = list(examine(Patient(state, driver, DEFAULT_LISTEN, DEFAULT_HTTP_LISTEN)))
    columns = [
        output.column("CHECK", "check"),
        output.column("", "level"),
        output.column("FOUND", "found"),
        output.column("MEND WITH", "mend"),
    ]
    output.show(here.form, [asdict(finding) for finding in findings], columns, name="check")
    failing = [finding.check for finding in findings if finding.level is Level.FAILING]
    if failing:
        sys.stderr.write(f"mee6: the {driver} driver cannot serve here: {', '.join(failing)}\n")
        raise typer.Exit(1)
