"""How a failed command ends: one line on standard error that names the thing and the next step, and an exit code.

0 ok               4 the function failed      8 exhausted
1 general          5 agent unreachable      124 timeout
2 usage            6 not allowed            130 interrupted
3 not found        7 conflict               141 nobody reads standard output any more
"""

from __future__ import annotations

import errno
import re
import sys
import traceback
from pathlib import Path
from typing import Any, Final

import typer

from mee6.errors import DependencyFailed, Exhausted, FunctionError, FunctionRaised, Mee6Error
from mee6.visible import visible

EXIT_CODES: Final = """
Exit codes: 0 ok, 1 general, 2 usage or bad input, 3 not found, 4 the function
failed, 5 no agent, 6 not allowed, 7 conflict, 8 exhausted, 124 timed out,
130 called off, 141 nobody reads on.
"""
INTERRUPTED: Final = 130
UNREAD: Final = 141

_PLAINER: Final = (
    (r"Input should be a valid integer.*", "it must be a whole number"),
    (r"Input should be a valid number.*", "it must be a number"),
    (r"Input should be greater than or equal to (\S+)", r"it must be \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"it must be \1 or less"),
    (r"Value error, ", ""),
    (r" \(Possible options: (.+)\)", r"; did you mean \1?"),
)
"""What typer says of a value -> what we say."""
_AFTER: Final = frozenset(
    ("--address", "--user", "--context", "--output", "-o", "--json", "--no-color", "--quiet", "-q", "--debug")
)
"""Options of commands, which people also write before them."""

_CLICK_ERROR: Final[type[Exception]] = typer.BadParameter.__mro__[2]
"""`ClickException`, wherever this typer keeps it."""


def tell(error: Exception, *, debug: bool = False, about: str = "", verbose: bool = False) -> int:
    """Says what went wrong and returns the exit code.

    Args:
        debug: shows the Python traceback first.
        about: which of several things it is about, where the message does not say so itself.
        verbose: shows all that pip or npm said, not just what tells why.
    """
    if debug:
        traceback.print_exception(error)
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    if isinstance(error, _CLICK_ERROR):
        say(_usage(error))
        return 2
    if isinstance(error, Mee6Error):
        more = ""
        if error.traceback:
            shown = error.traceback.rstrip("\n").split("\n")
            if not verbose and isinstance(error, DependencyFailed | Exhausted):
                from mee6tui.cli.packages import essential

                said, shown = len(shown), essential(error.traceback)
                more = f" (-v shows all {said} lines)" if said > len(shown) else ""
            sys.stderr.writelines(visible(line) + "\n" for line in shown)
        say((f"{about}: " if about and not _names(error.message, about) else "") + _line(error) + more)
        return error.exit
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EIO} and error.filename is None:
        say(f"the output could not be written: {error.strerror}")
        return 1
    hint = "" if debug else "; --debug shows where"
    say(f"internal error: {type(error).__name__}: {error}{hint}")
    return 1


def say(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write("mee6: " + visible(" ".join(message.split("\n"))) + "\n")


def _names(message: str, thing: str) -> bool:
    """Whether a message says by itself which of several things it is about."""
    begins = (f"{thing} ", f"{thing}/", f"{Path(thing).name}/", f"worker {thing} ")
    return message.startswith(begins) or repr(thing) in message or f" in {thing};" in message


def _line(error: Mee6Error) -> str:
    if isinstance(error, FunctionRaised) and not error.message.startswith(repr(error.function)):
        kind = f" {error.error_type}" if error.error_type else ""
        return f"{error.function or 'the function'!r} raised{kind}: {error.message}"
    if isinstance(error, FunctionError) and error.function and repr(error.function) not in error.message:
        return f"{error.function!r}: {error.message}"
    return error.message


def _usage(error: Any) -> str:
    """Click's message as ours: `no command 'lss'; did you mean 'ls'? see: mee6 act --help`."""
    message = error.format_message().strip().rstrip(".")
    message = message.replace("No such command", "no command").replace(". Did you mean", "; did you mean")
    message = message.replace("No such option:", "no option").replace(" Did you mean", "; did you mean")
    for pattern, ours in _PLAINER:
        message = re.sub(pattern, ours, message)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mee6"
    joint = " " if message.endswith("?") else "; "
    return f"{message[:1].lower()}{message[1:]}{_misplaced(error, context)}{joint}see: {path} --help"


def _misplaced(error: Any, context: Any) -> str:
    """What to say of an option that stands before the command it belongs to."""
    option = getattr(error, "option_name", "")
    if not option or not hasattr(getattr(context, "command", None), "commands"):
        return ""
    return ", or it belongs after the command" if option in _AFTER else ""
