"""`mee6 context`: named agents in the configuration file."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import replace

from mee6 import config
from mee6.config import ConfigFile, Context, Value
from mee6.errors import Conflict, InvalidInput, NotFound
from mee6.manifest import NAME_RULE, is_name
from mee6tui.cli import completion, output
from mee6tui.cli.groups import examples, group
from mee6tui.cli.output import Column, column
from mee6tui.cli.session import Session, connected, local

app = group("Name agents, and choose which to talk to.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The context's name.", autocompletion=completion.contexts)]


@app.command(epilog=examples("mee6 context ls", "mee6 context ls -o json"))
@connected
def ls(here: Session) -> None:
    """List the contexts and what is in use."""
    file = config.load(config.config_path())
    used = here.settings.context.value if here.settings.context else ""
    rows = [
        {
            "name": name,
            "address": context.address,
            "user": context.user,
            "current": name == used,
            "read_only": context.read_only,
        }
        for name, context in sorted(file.contexts.items())
    ]
    mark = Column("", lambda row: "*" if row["current"] else " ")
    columns = [mark, column("NAME", "name"), column("ADDRESS", "address"), column("USER", "user")]
    if any(row["read_only"] for row in rows):
        columns.append(Column("CONSOLE", lambda row: "only looks" if row["read_only"] else ""))
    output.show(here.listing, rows, columns)
    if here.listing != "name" and here.for_people:
        settings = here.settings
        said = [
            (title, f"{value} (from {value.origin})")
            for title, value in (("address", settings.address), ("user", settings.user))
        ]
        output.write("\n".join(([""] if rows else []) + output.facts([*said, ("file", str(file.path))])))


@app.command(epilog=examples("mee6 context use edge", "mee6 context use --none"))
@local
def use(
    here: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The context's name.", autocompletion=completion.contexts)
    ] = "",
    none: Annotated[bool, typer.Option("--none", help="Use no context.")] = False,
) -> None:
    """Talk to this agent from now on."""
    if none == bool(name):
        raise InvalidInput("give a context's name, or --none; see: mee6 context ls")
    file = config.load(config.config_path())
    if name:
        _known(file, name)
    replace(file, current=name).save()
    _done(here, f"using {name}" if name else "using no context", name)


@app.command(
    epilog=examples(
        "mee6 context add edge 10.0.0.7:5122 --as ann",
        "mee6 context add lab unix:/run/lab.sock",
        "mee6 context add prod 10.0.0.9:5122 --read-only",
    )
)
@local
def add(
    here: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A new name.")],
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="HOST:PORT or unix:/PATH.")],
    user: Annotated[str, typer.Option("--as", metavar="USER", help="Whose functions.")] = "",
    read_only: Annotated[bool, typer.Option("--read-only", help="The console only looks at it.")] = False,
    replace_: Annotated[bool, typer.Option("--replace", help="Over one of that name.")] = False,
) -> None:
    """Name an agent.

    The first one named is used at once.
    """
    for what in (name, *([user] if user else [])):
        if not is_name(what):
            raise InvalidInput(f"name {what!r} is not allowed: {NAME_RULE}")
    config.check_address(Value(address, "the command line"))
    file = config.load(config.config_path())
    if name in file.contexts and not replace_:
        raise Conflict(f"there is a context {name!r} already; use --replace, or another name")
    contexts = {**file.contexts, name: Context(address, user, read_only)}
    replace(file, contexts=contexts, current=file.current if file.contexts else name).save()
    _done(here, f"added {name}", name)


@app.command(epilog=examples("mee6 context rm edge"))
@local
def rm(here: Session, name: Name) -> None:
    """Forget a context."""
    file = config.load(config.config_path())
    _known(file, name)
    contexts = {key: value for key, value in file.contexts.items() if key != name}
    replace(file, contexts=contexts, current="" if file.current == name else file.current).save()
    _done(here, f"removed {name}", name)


def _done(here: Session, text: str, name: str) -> None:
    output.show_one(here.listing, {"name": name}, lambda: [text])


def _known(file: ConfigFile, name: str) -> None:
    if name not in file.contexts:
        raise NotFound(f"no context {name!r}; see: mee6 context ls")
