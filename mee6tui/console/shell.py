"""The command lines that do the same as what is done from here, quoted so that they can be pasted. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path

from mee6tui.console.payload import Mode, Payload


def line(words: Iterable[str], flags: str = "", user: str = "") -> str:
    """A `mee6` command.

    Args:
        flags: what makes it talk to the agent, as ` --context edge`.
        user: whose functions, where that is another than the flags' or the default.
    """
    given = shlex.split(flags)
    if user:
        place = given.index("--user") if "--user" in given else len(given)
        given[place : place + 2] = ["--user", user]
    return shlex.join(["mee6", *words, *given])


def words(text: str) -> list[str]:
    """What is typed as a shell would take it apart; while a quote is open, at blanks."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def invoke(name: str, payload: Payload, flags: str = "", user: str = "") -> str:
    """What invokes a function with an argument."""
    words = ["act", "invoke", name]
    limit = ["--timeout", payload.timeout.strip()] if payload.timeout.strip() else []
    if payload.mode is Mode.FILE:
        path = str(Path(payload.text).expanduser())
        return line([*words, "-f", path, *limit], flags, user)
    as_json = ["--as-json"] if payload.mode is Mode.JSON else []
    if payload.text[:1] in {"-", "@"}:  # would be taken for an option, standard input or a file
        return f"printf %s {shlex.quote(payload.text)} | " + line([*words, "-", *as_json, *limit], flags, user)
    text = [payload.text] if payload.text else []
    return line([*words, *text, *as_json, *limit], flags, user)
