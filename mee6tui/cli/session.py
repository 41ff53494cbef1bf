"""What every command that talks to an agent shares: its options, the connection, and how it waits.

`@connected` gives a command the options and, as first argument, a `Session`. A command's work runs in an
event loop of its own; Ctrl-C cancels it, which calls the invocation off, and the exit code is 130.
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

from mee6.config import OUTPUTS, Settings, Value, resolve

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

    @property
    def form(self) -> str:
        """What `-o` asked for."""
        return self.settings.output.value

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
                return await work(client)

        with contextlib.nullcontext() if quiet else waiting(doing or f"waiting for {self.settings.address}"):
            return asyncio.run(connected())


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
Debug = Annotated[bool, typer.Option("--debug", help="Show the Python traceback of a failure.")]

_SHARED = {
    "address": (Address, None),
    "user": (User, None),
    "context": (ContextName, None),
    "output": (Output, None),
    "json": (AsJson, False),
    "no_color": (NoColor, False),
    "debug": (Debug, False),
}


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the shared options; its first parameter becomes the `Session`."""
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in _SHARED.items()
    ]

    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        said = {name: options.pop(name) for name in _SHARED}
        command(session(**said), **options)

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
    debug: bool = False,  # noqa: ARG001 - looked at where failures are told
) -> Session:
    """The session that these options, the environment and the configuration file make."""
    settings = resolve(address=address, user=user, context=context, output=output or ("json" if json else None))
    color = sys.stdout.isatty() and not no_color and not os.environ.get("NO_COLOR")
    return Session(settings, color)
