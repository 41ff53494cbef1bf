"""`mee6 console`, and `mee6` alone on a terminal: the console on one or several agents."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from mee6.config import resolve
from mee6.errors import InvalidInput
from mee6tui.cli import completion
from mee6tui.cli.session import on_terminal


def console(
    context: Annotated[
        list[str] | None,
        typer.Option(
            "--context",
            metavar="NAME",
            help="A named agent; may be given again for several. [env: MEE6_CONTEXT]",
            autocompletion=completion.contexts,
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", metavar="HOST:PORT", help="The agent's address. [env: MEE6_ADDRESS]")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Whose functions. [env: MEE6_USER]")
    ] = None,
    theme: Annotated[str, typer.Option("--theme", metavar="NAME", help="Colours; :theme changes them.")] = "mee6-dark",
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Show nothing but ASCII.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")] = False,  # noqa: ARG001 - looked at where failures are told
) -> None:
    """Open the console on one or several agents.

    Pools, workers, functions, invocations and what they do, live; ? shows the keys.
    """
    if context and address:
        raise InvalidInput("give --address or --context, not both; see: mee6 context add")
    require_terminal()
    open_console(context or [], address, user, theme=theme, ascii_only=ascii_only)


def require_terminal() -> None:
    """Refuses where a console cannot be drawn.

    Raises:
        InvalidInput: standard input or output is no terminal, or one that cannot move its cursor.
    """
    instead = "use `mee6 top` for a plain view or `mee6 watch` for the events"
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # it is drawn on the last
        raise InvalidInput(f"the console needs a terminal; {instead}")
    if not on_terminal():
        raise InvalidInput(f"the console cannot be drawn on this terminal (TERM=dumb); {instead}")


def open_console(
    contexts: list[str], address: str | None, user: str | None, *, theme: str = "mee6-dark", ascii_only: bool = False
) -> None:
    """Opens it on these agents, or on the one that is in use.

    Raises:
        Mee6Error: a context or an address is none; nothing was opened.
    """
    named: list[str | None] = [*contexts] or [None]
    found = [resolve(address=address, user=user, context=name) for name in named]

    import asyncio

    from mee6.client import Client
    from mee6tui.console.app import ConsoleApp
    from mee6tui.console.source import AgentSource

    flagged = f" --user {user}" if user else ""

    async def run() -> int:
        clients: dict[str, Client] = {}
        flags: dict[str, str] = {}
        read_only: dict[str, str] = {}
        for settings in found:
            in_use = settings.context.value if settings.context and not address else ""
            name = in_use or settings.address.value
            clients[name] = Client(settings.address.value, user=settings.user.value)
            given = f" --context {in_use}" if contexts else f" --address {shlex.quote(address)}" if address else ""
            flags[name] = given + flagged
            if in_use and settings.read_only:
                read_only[name] = f"context {in_use!r} is read-only: the console only looks at it"
        sources = [AgentSource(name, client) for name, client in clients.items()]
        app = ConsoleApp(sources, clients=clients, flags=flags, read_only=read_only, theme=theme, ascii_only=ascii_only)
        try:
            await app.run_async()
        finally:
            for client in clients.values():
                await client.close()
        return app.return_code or 0

    raise typer.Exit(asyncio.run(run()))
