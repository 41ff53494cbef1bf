"""`mee6 console`, and `mee6` alone on a terminal: the console on one or several agents."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from mee6.config import Settings, resolve
from mee6.errors import InvalidInput
from mee6tui.cli import completion, failure, typeahead
from mee6tui.cli.groups import examples, group
from mee6tui.cli.root import on_terminal

app = group()


@app.command(epilog=examples("mee6 console", "mee6 console --context edge --context lab"))
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
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="FILE",
            help="Write all that is sent to a file, up to 256 MiB. It holds names, log lines and errors as they are.",
        ),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option("--replay", metavar="FILE", help="Play a recording instead; no agent is needed.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="TIMES", help="Of a replay; 0 = all at once. [default: 1]")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look, and do nothing to agents.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Show it in a browser instead of here, until Ctrl-C.")] = False,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Of --serve. [default: 127.0.0.1:8000]")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Of --serve: a name that browsers may know it by."),
    ] = None,
    viewers: Annotated[
        int, typer.Option("--viewers", metavar="N", min=1, help="Of --serve: how many may look at once.")
    ] = 4,
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")] = False,  # noqa: ARG001 - looked at where failures are told
) -> None:
    """Open the console on one or several agents.

    Pools, workers, functions, invocations and what they do, live; ? shows the keys. With --serve it is opened in a
    browser by the address that is printed, once, and whoever has it can do all that this user can: add --read-only.
    """
    if context and address:
        raise InvalidInput("give --address or --context, not both; see: mee6 context add")
    if replay and (record or context or address):
        raise InvalidInput("--replay needs no agent; leave out --record, --context and --address")
    if speed is not None and replay is None:
        raise InvalidInput("--speed is for a recording; add --replay FILE")
    if serve and record:
        raise InvalidInput("--serve does not record; run mee6 console --record FILE beside it")
    if not serve and (listen or allow_host):
        raise InvalidInput("--listen and --allow-host are for the browser; add --serve")
    look = Look(theme, ascii_only, read_only)
    if serve:
        _serve(Agents(context or [], address, user), replay, speed, look, listen, allow_host or [], viewers)
        return
    require_terminal()
    if replay:
        play_recording(replay, 1.0 if speed is None else speed, look)
    open_console(Agents(context or [], address, user), look, record)


@dataclass(frozen=True, slots=True)
class Agents:
    """Which agents were asked for."""

    contexts: list[str] = field(default_factory=list)
    address: str | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How it is shown, and whether anything can be done."""

    theme: str = "mee6-dark"
    ascii_only: bool = False
    read_only: bool = False


def require_terminal() -> None:
    """Refuses where a console cannot be drawn.

    Raises:
        InvalidInput: standard input or output is no terminal, or one that cannot move its cursor.
    """
    instead = "use `mee6 top` for a plain view or `mee6 watch` for the events"
    if os.environ.get("TEXTUAL_DRIVER"):  # a browser, or whatever else is drawn on
        return
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # it is drawn on the last
        raise InvalidInput(f"the console needs a terminal; {instead}")
    if not on_terminal():
        raise InvalidInput(f"the console cannot be drawn on this terminal (TERM=dumb); {instead}")


def open_console(agents: Agents, look: Look | None = None, record: Path | None = None) -> NoReturn:
    """Opens it on these agents, or on the one that is in use.

    Raises:
        Mee6Error: a context or an address is none, or the recording cannot be written; nothing was opened.
    """
    look = look or Look()
    address, user = agents.address, agents.user
    named: list[str | None] = [*agents.contexts] or [None]
    found = [resolve(address=address, user=user, context=name) for name in named]

    _spare_collector()
    with typeahead.kept_as_pressed():
        import asyncio

        from mee6tui.console.app import ConsoleApp
        from mee6tui.console.connections import Connections, Watch
        from mee6tui.console.recording import Recorder
        from mee6tui.console.source import AgentSource

    flagged = f" --user {user}" if user else ""

    async def run(recorder: Recorder | None) -> int:
        settings_of: dict[str, Settings] = {}
        flags: dict[str, str] = {}
        read_only: dict[str, str] = {}
        for settings in found:
            in_use = settings.context.value if settings.context and not address else ""
            name = in_use or _short(settings.address.value)
            settings_of[name] = settings
            given = (
                f" --context {in_use}" if agents.contexts else f" --address {shlex.quote(address)}" if address else ""
            )
            flags[name] = given + flagged
            if in_use and settings.read_only:
                read_only[name] = f"context {in_use!r} is read-only: the console only looks at it"
        clients = Connections(settings_of)
        sources = [AgentSource(name, Watch(clients, name)) for name in clients]
        if look.read_only:
            read_only = dict.fromkeys(clients, "the console was opened with --read-only: it only looks")
        app = ConsoleApp(
            sources,
            clients=clients,
            flags=flags,
            read_only=read_only,
            recorder=recorder,
            theme=look.theme,
            ascii_only=look.ascii_only,
        )
        try:
            await app.run_async()
        finally:
            await clients.close()
        return app.return_code or 0

    with Recorder(record) if record else nullcontext() as recorder:
        code = asyncio.run(run(recorder))
    if recorder is not None:
        why = f"; {recorder.stopped}" if recorder.stopped else ""
        failure.say(f"wrote {recorder.path}, {recorder.bytes} bytes{why}; play it with: mee6 console --replay {record}")
    raise typer.Exit(code)


def _short(address: str) -> str:
    """An agent's address as the console shows it: of a socket in a state folder, the folder's name."""
    path = Path(address.removeprefix("unix:"))
    return path.parent.name or address if path.name == "agent.sock" else address


def _spare_collector() -> None:
    """Spares it the start, of which nearly all stays; once the console is open, it says what holds from then on."""
    gc.set_threshold(200_000)


def _serve(
    agents: Agents,
    replay: Path | None,
    speed: float | None,
    look: Look,
    listen: str | None,
    names: list[str],
    viewers: int,
) -> None:
    """Serves it to browsers, each of which gets a process that is told the same as this one was."""
    if replay:
        from mee6tui.console.replay import Tape

        Tape(replay, speed=speed or 0.0)  # what is wrong with it is said here, and not in every browser
    else:
        named: list[str | None] = [*agents.contexts] or [None]
        for name in named:
            resolve(address=agents.address, user=agents.user, context=name)
    given: dict[str, object] = {"address": agents.address, "user": agents.user, "replay": replay, "speed": speed}
    arguments = [f"--{name}={value}" for name, value in given.items() if value is not None]
    arguments += [f"--context={name}" for name in agents.contexts]
    arguments += [f"--theme={look.theme}", *["--ascii"] * look.ascii_only, *["--read-only"] * look.read_only]

    from mee6tui.console.web import serve

    serve(arguments, listen or "127.0.0.1:8000", names=names, viewers=viewers, said=failure.say)


def play_recording(path: Path, speed: float, look: Look) -> NoReturn:
    """Opens it on a recording.

    Raises:
        InvalidInput: it is none; nothing was opened.
    """
    _spare_collector()
    with typeahead.kept_as_pressed():
        from mee6tui.console.replay import ReplaySource, Tape

        tape = Tape(path, speed=speed)

        from mee6tui.console.app import ConsoleApp

    app = ConsoleApp([ReplaySource(tape)], tape=tape, theme=look.theme, ascii_only=look.ascii_only)
    app.run()
    raise typer.Exit(app.return_code or 0)
