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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from mee6.config import OUTPUTS, Settings, Value, resolve, resolve_output, state_path
from mee6.errors import AgentUnreachable
from mee6tui.cli import failure

if TYPE_CHECKING:  # grpc is imported when a connection is made, not for --help
    from mee6.client import Client

T = TypeVar("T")

_PROGRAM = "mee6"
_ORDER = (
    "console",
    "demo",
    "init",
    "agent",
    "act",
    "trace",
    "explain",
    "watch",
    "top",
    "worker",
    "image",
    "doctor",
    "context",
    "version",
    "completion",
)
SLOW_S = 0.8
"""After which a wait shows that it is one."""


@dataclass(frozen=True, slots=True)
class Session:
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


def on_terminal() -> bool:
    """Whether there is a terminal that can be drawn on."""
    drawable = os.environ.get("TERM", "dumb") not in {"dumb", ""}
    return drawable and sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


def examples(*lines: str) -> str:
    """An epilog for `--help`; click leaves a paragraph that opens with a backspace as it is."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Group(TyperGroup):
    """A group of commands whose bare name shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes no arguments for a question."""
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            typer.echo(ctx.get_help())
            raise typer.Exit(0)
        return super().parse_args(ctx, args)


class Root(Group):
    """The `mee6` command itself: where failures are told and become exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes no arguments, on a terminal, for the console; and what other programs are asked for their version."""
        if args == ["--version"]:
            args = ["version"]
        if not args and not ctx.resilient_parsing and on_terminal():
            args = ["console"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of `_ORDER`, whether groups or not."""
        del ctx
        return sorted(self.commands, key=_ORDER.index)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """With the exit codes."""
        super().format_epilog(ctx, formatter)
        formatter.write(failure.EXIT_CODES)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; one whose output nobody reads any more ends quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise typer.Exit(_unread()) from None
        return result

    def main(self, args: Any = None, prog_name: str | None = None, *_: Any, **extra: Any) -> Any:
        """Runs a command line and exits; the name is always ours, however it was started."""
        del prog_name
        said = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            if os.environ.get("_MEE6_COMPLETE"):
                _prepare_completion()
            code = super().main(said, _PROGRAM, **extra)
            sys.stdout.flush()
        except BrokenPipeError:  # of --help
            code = _unread()
        except Exception as error:
            code = failure.tell(error, debug="--debug" in said or bool(os.environ.get("MEE6_DEBUG")))
        except KeyboardInterrupt:
            code = failure.INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _unread() -> int:
    """Ends quietly for whoever does not read on, as in `mee6 ... | head`; the exit code."""
    with contextlib.suppress(OSError, ValueError):  # or the interpreter would try to write the rest, and complain
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return failure.UNREAD


def _prepare_completion() -> None:
    """Has typer know its shells, which it does by itself only for apps that install their completion."""
    import typer.completion

    made: Any = typer.completion
    made.completion_init()


def group(help: str, **settings: Any) -> typer.Typer:  # noqa: A002 - typer's own word
    """A typer app in the house's manner: plain help that is quick to make."""
    settings.setdefault("cls", Group)
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, **settings)
