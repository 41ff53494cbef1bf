"""The command `mee6` itself: which commands there are, and how a run ends, failed or not."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final

import typer

from mee6tui.cli import failure
from mee6tui.cli.groups import Elsewhere, Group

_PROGRAM: Final = "mee6"
COMMANDS: Final = (
    Elsewhere("console", "Open the console on one or several agents."),
    Elsewhere("demo", "Run the samples and draw what they did."),
    Elsewhere("init", "Write a working function into a new folder.", "scaffold"),
    Elsewhere("agent", "Run the agent, which runs the functions."),
    Elsewhere("act", "Add functions, run them and look at them."),
    Elsewhere("flow", "Look at declared workflows: their steps, and where these run."),
    Elsewhere("trace", "Draw what an invocation did."),
    Elsewhere("explain", "Say why an invocation took as long as it did."),
    Elsewhere("bench", "Call functions, or any HTTP address, at a rate, and show how long that took."),
    Elsewhere("watch", "Print what the agent does, as it does it, until Ctrl-C."),
    Elsewhere("top", "Show what the agent, its workers and its functions use and do."),
    Elsewhere("worker", "See the workers, in which functions run, and act on them."),
    Elsewhere("image", "Make the images of Docker workers."),
    Elsewhere("doctor", "Look at what `mee6 agent serve` with these options needs of this machine; change nothing."),
    Elsewhere("context", "Name agents, and choose which to talk to."),
    Elsewhere("version", "Show the versions of client and agent."),
    Elsewhere("completion", "Print the script for completion in a shell."),
)
"""In the order of `mee6 --help`."""


def on_terminal() -> bool:
    """Whether there is a terminal that can be drawn on."""
    drawable = os.environ.get("TERM", "dumb") not in {"dumb", ""}
    return drawable and sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()


class Root(Group):
    """Where failures are told and become exit codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for command in COMMANDS:
            self.add_command(command)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes no arguments, on a terminal, for the console."""
        if not args and not ctx.resilient_parsing and on_terminal():
            args = ["console"]
        return super().parse_args(ctx, args)

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
