"""A command on several things: one that cannot be done keeps none of the others from it.

Each failure is told as it happens; the exit code is theirs where they agree on one, else 1. Only what concerns all of
them, an agent that is gone, ends it at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import typer

from mee6.errors import AgentUnreachable, Mee6Error, VersionMismatch
from mee6tui.cli import failure, output
from mee6tui.cli.session import Session

T = TypeVar("T")

_CONCERNS_ALL: Final = (AgentUnreachable, VersionMismatch)


@dataclass(slots=True)
class Several:
    """What became of each; `end` shows it and exits.

    Args:
        key: by which a row of structured output names its thing.
        verbose: whether to show all that a tool said of a failure.
    """

    here: Session
    key: str = "name"
    verbose: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of what was done, and of what failed, which has an `error`."""
    failed: list[Mee6Error] = field(default_factory=list)

    async def each(self, things: Sequence[T], act: Callable[[T], Awaitable[dict[str, Any]]]) -> None:
        """Does it to one after the other.

        Args:
            act: makes the row of one, or raises.
        """
        for thing in things:
            try:
                self.rows.append({self.key: str(thing), **await act(thing), "error": None})
            except Mee6Error as error:
                about = str(thing) if len(things) > 1 and not isinstance(error, _CONCERNS_ALL) else ""
                failure.tell(error, debug=self.here.debug, about=about, verbose=self.verbose)
                self.rows.append({self.key: str(thing), "error": {"code": error.code, "message": error.message}})
                self.failed.append(error)
                if isinstance(error, _CONCERNS_ALL):
                    break

    def end(self, whole: int, done: str) -> None:
        """Writes structured output, and exits with the failures' code.

        Args:
            whole: how many it was asked for.
            done: what was not, for several: `added`.
        """
        if self.here.form in {"json", "jsonl", "yaml"}:
            output.show(self.here.form, self.rows, [])
        if not self.failed:
            return
        if whole > 1:
            undone = whole - len(self.rows) + len(self.failed)
            self.here.note(f"{undone} of {whole} {'was' if undone == 1 else 'were'} not {done}")
        codes = {error.exit for error in self.failed}
        raise typer.Exit(codes.pop() if len(codes) == 1 else 1)


def say(here: Session, text: str, name: str) -> None:
    """Tells people that one is done as soon as it is; as its name where only names were asked for."""
    if here.listing == "name" or here.for_people:
        output.write(name if here.listing == "name" else text)
