"""A function's environment as it is given on the command line: `-e KEY=VALUE`, `-e KEY`, `--env-file FILE`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mee6.errors import InvalidInput
from mee6.manifest import is_variable


def given(options: Sequence[str], file: Path | None) -> dict[str, str]:
    """What the options and the file say; an option wins over the file, a later one over an earlier.

    Args:
        options: `KEY=VALUE`, or `KEY` for the value that it has here.
        file: one of them a line; empty lines and those that begin with '#' are passed over, quotes are not special.

    Raises:
        InvalidInput: one is not of that form, has no value here, or the file cannot be read.
    """
    found: dict[str, str] = {}
    for where, text in [*_lines(file), *(("-e", option) for option in options)]:
        name, equals, value = text.partition("=")
        if not is_variable(name):
            raise InvalidInput(f"{where}: {name!r} is not a variable's name; write KEY=VALUE")
        if not equals and name not in os.environ:
            raise InvalidInput(f"{where}: {name!r} has no value here; write {name}=VALUE")
        found[name] = value if equals else os.environ[name]
    return found


def _lines(file: Path | None) -> list[tuple[str, str]]:
    if file is None:
        return []
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    numbered = ((f"{file}, line {number}", line.strip()) for number, line in enumerate(lines, 1))
    return [(where, line) for where, line in numbered if line and not line.startswith("#")]
