"""`mee6 doctor`: what this machine can do for an agent, and the command that mends what it cannot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.config import DEFAULT_HTTP_LISTEN, DEFAULT_LISTEN, OFF
from mee6.config import state_path
from mee6tui.cli import failure, output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, local, waiting

app = group()


@app.command(epilog=examples("mee6 doctor", "mee6 doctor --driver docker", "mee6 doctor -o json"))
@local
def doctor(
    here: Session,
    driver: Annotated[
        Literal["process", "docker", "auto"], typer.Option("--driver", help="What shall make workers.")
    ] = "process",
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", envvar="MEE6_LISTEN", help="Where it shall listen.")
    ] = DEFAULT_LISTEN,
    http_listen: Annotated[
        str,
        typer.Option("--http-listen", metavar="HOST:PORT", envvar="MEE6_HTTP_LISTEN", help="HTTP; off for none."),
    ] = DEFAULT_HTTP_LISTEN,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", metavar="DIR", envvar="MEE6_STATE_DIR", help="The agent's folder."),
    ] = None,
) -> None:
    """Look at what `mee6 agent serve` with these options needs of this machine; change nothing.

    Prints what is well, what could be better and what fails, with the command that mends it. The exit code is 1
    when something fails that the driver cannot do without.
    """
    from agent.doctor import Level, Patient, examine

    state = (state_dir or state_path()).absolute()
    with waiting("looking"):
        patient, findings = Patient(state, driver, listen, "" if http_listen == OFF else http_listen).settled()
        findings += examine(patient)
    columns = [
        output.column("CHECK", "check"),
        output.column("", "level"),
        output.column("FOUND", "found"),
        output.column("MEND WITH", "mend"),
    ]
    output.show(here.listing, [asdict(finding) for finding in findings], columns, name="check")
    failing = [finding.check for finding in findings if finding.level is Level.FAILING]
    if failing:
        failure.say(f"the {patient.driver} driver cannot serve here: {', '.join(failing)}")
        raise typer.Exit(1)
