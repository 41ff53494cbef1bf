"""What every command that talks to an agent shares: its options, the connection, and how it waits.

`@connected` gives a command the options and, as first argument, a `Session`; `@local` does so for one that needs no
agent, without the options about it. A command's work runs in an event loop of its own; Ctrl-C cancels it, which calls
the invocation off, and the exit code is 130.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from msgspec.structs import replace

from mee6.config import OUTPUTS, Settings, Value, resolve, resolve_output, state_path
from mee6.errors import AgentUnreachable
from mee6tui.cli import failure

if TYPE_CHECKING:  # grpc is imported when a connection is made, not for --help
    from mee6.client import Client

T = TypeVar("T")

SLOW_S = 0.8
"""After which a wait shows that it is one."""


class Session(msgspec.Struct, frozen=True):
    """One run of one command."""

    settings: Settings
    color: bool
    """Whether standard output may be coloured."""
    quiet: bool = False
    debug: bool = False

    @property
    def form(self) -> str:
        """What `-o` asked for."""
        return self.settings.output.value

    @property
    def for_people(self) -> bool:
        """Whether the form is one for people: `table`, or `plain`, the same without anything that moves."""
        return self.form in {"table", "plain"}

    @property
    def listing(self) -> str:
        """The form of a command that lists things: `--quiet` leaves their names."""
        return "name" if self.quiet and self.for_people else self.form

    def note(self, text: str) -> None:
        """A word on standard error that is no error: what to do next, what was left out."""
        if not self.quiet:
            failure.say(text)

    def at(self, address: str) -> Session:
        """The same, with another agent."""
        return replace(self, settings=replace(self.settings, address=Value(address, "the state folder")))

    def run(self, work: Callable[[Client], Awaitable[T]], doing: str = "", *, quiet: bool = False) -> T:
        """Connects, does the work and disconnects.

        Args:
            doing: shown on a terminal when it takes long.
            quiet: shows nothing: the wait is what was asked for.
        """
        import asyncio

        from mee6.client import Client

        async def connected() -> T:
            async with Client(self.settings.address.value, user=self.settings.user.value) as client:
                try:
                    return await work(client)
                except AgentUnreachable as error:
                    raise self._unreached(error) from error

        with (
            contextlib.nullcontext()
            if quiet or self.quiet
            else waiting(doing or f"waiting for {self.settings.address}")
        ):
            return asyncio.run(connected())

    def _unreached(self, error: AgentUnreachable) -> AgentUnreachable:
        """With the address of the state folder's own agent, where that is another than the one nobody named."""
        from mee6tui.cli import daemon

        if self.settings.address.origin != "default" or not daemon.running(state_path()):
            return error
        found = daemon.facts(state_path())
        if found is None or found.listen == self.settings.address.value:
            return error
        return AgentUnreachable(
            f"no agent answers at {self.settings.address.value}; the one on {state_path()} listens on {found.listen}; "
            f"use it with: export MEE6_ADDRESS={found.listen}"
        )


@contextlib.contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Shows on standard error what is waited for, if that is a terminal and it takes over a second."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    lock, status, over = threading.Lock(), contextlib.ExitStack(), False

    def show() -> None:
        from rich.console import Console

        with lock:
            if not over:
                status.enter_context(Console(stderr=True).status(doing))

    timer = threading.Timer(SLOW_S, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over = True
            status.close()


Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="The agent's address. [env: MEE6_ADDRESS]")
]
User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Whose functions. [env: MEE6_USER]")]
ContextName = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="A named agent; see: mee6 context. [env: MEE6_CONTEXT]")
]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FORM", help=f"{', '.join(OUTPUTS)}. [env: MEE6_OUTPUT]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Short for -o json.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Plain text. [env: NO_COLOR]")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors; of a list, only the names.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")]

_SHARED = {
    "address": (Address, None),
    "user": (User, None),
    "context": (ContextName, None),
    "output": (Output, None),
    "json": (AsJson, False),
    "no_color": (NoColor, False),
    "quiet": (Quiet, False),
    "debug": (Debug, False),
}
_OF_AN_AGENT = {"address", "user", "context"}


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the shared options; its first parameter becomes the `Session`."""
    return _sharing(command, _SHARED)


def local(command: Callable[..., None]) -> Callable[..., None]:
    """As `connected`, for a command that talks to no agent, or finds it by its state folder."""
    return _sharing(command, {name: option for name, option in _SHARED.items() if name not in _OF_AN_AGENT})


def _sharing(command: Callable[..., None], options: dict[str, tuple[Any, Any]]) -> Callable[..., None]:
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        said = {name: given.pop(name) for name in options}
        command(session(**said) if "address" in said else _local_session(**said), **given)

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    wrapped.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # what typer reads
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return wrapped


def session(
    *,
    address: str | None = None,
    user: str | None = None,
    context: str | None = None,
    output: str | None = None,
    json: bool = False,
    no_color: bool = False,
    quiet: bool = False,
    debug: bool = False,
) -> Session:
    """The session that these options, the environment and the configuration file make."""
    settings = resolve(address=address, user=user, context=context, output=output or ("json" if json else None))
    return Session(settings, _color(no_color=no_color), quiet, debug)


def _local_session(*, output: str | None, json: bool, no_color: bool, quiet: bool, debug: bool) -> Session:
    """A session of a command that needs no agent: works also where the configuration names none that is there."""
    nobody = Value("", "default")
    settings = Settings(nobody, nobody, resolve_output(output or ("json" if json else None)))
    return Session(settings, _color(no_color=no_color), quiet, debug)


def _color(*, no_color: bool) -> bool:
    return sys.stdout.isatty() and not no_color and not os.environ.get("NO_COLOR")
