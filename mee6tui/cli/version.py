"""`mee6 version`: the client's and the agents', and whether they go together."""

from __future__ import annotations

from typing import Any

from mee6.errors import AgentUnreachable
from mee6.version import VERSION
from mee6tui.cli import failure, output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.session import Session, connected

app = group()


@app.command(epilog=examples("mee6 version", "mee6 version -o json"))
@connected
def version(here: Session) -> None:
    """Show the versions of client and agent.

    Says so when they do not go together.
    """
    from mee6.api.faults import API_LEVEL

    client = {"version": VERSION, "api": API_LEVEL}
    row: dict[str, Any] = {"client": client, "address": here.settings.address.value, "agent": None}
    try:
        node = here.run(lambda client: client.nodes())[0]
        row["agent"] = {"version": node.version, "api": node.api}
    except AgentUnreachable as error:
        here.note(error.message)
    agent = row["agent"]
    row["skew"] = bool(agent) and (agent["version"], agent["api"]) != (VERSION, API_LEVEL)
    output.show_one(here.form, row, lambda: _lines(row), name="address")
    if agent and agent["api"] != API_LEVEL:
        failure.say("client and agent cannot work together; install the same version on both")
    elif row["skew"]:
        here.note("client and agent are of different versions; they work together, but update the older")


def _lines(row: dict[str, Any]) -> list[str]:
    agent = row["agent"]
    theirs = (
        f"mee6 {agent['version']} (API {agent['api']}) at {row['address']}" if agent else f"none at {row['address']}"
    )
    mine = row["client"]
    return output.facts([("client", f"mee6 {mine['version']} (API {mine['api']})"), ("agent", theirs)])
