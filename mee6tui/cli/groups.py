"""Groups of commands, and commands that are elsewhere: named and described here, imported when they are chosen.

So that `mee6 --help`, completion and the word on a mistyped name cost the import of none, and any command only that
of its own module. A command's module holds a typer app named `app`: a group, or the command where it has but one.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from mee6tui.cli import values  # noqa: F401 - how typer reads values from then on

_COMMANDS: Final = "mee6tui.cli"


def examples(*lines: str) -> str:
    """An epilog for `--help`; click leaves a paragraph that opens with a backspace as it is."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def group(help: str = "", **settings: Any) -> typer.Typer:  # noqa: A002 - typer's own word
    """A typer app in the house's manner: plain help that is quick to make. With a single command it is that command."""
    settings.setdefault("cls", Group)
    return typer.Typer(help=help, add_completion=False, rich_markup_mode=None, **settings)


class Group(TyperGroup):
    """A group of commands whose bare name shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes no arguments for a question."""
        if not args and not ctx.resilient_parsing and not self.invoke_without_command:
            typer.echo(ctx.get_help())
            raise typer.Exit(0)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command; one that is elsewhere is fetched."""
        name, found, rest = super().resolve_command(ctx, args)
        return name, found.fetched() if isinstance(found, Elsewhere) else found, rest


class Elsewhere(TyperCommand):
    """A command that stands in for its own until it is chosen.

    Args:
        summary: the first sentence of its help.
        module: of `mee6tui.cli`; None = that of its name.
    """

    def __init__(self, name: str, summary: str, module: str | None = None) -> None:
        super().__init__(name, help=summary, rich_markup_mode=None)
        self.module = module or name

    def fetched(self) -> TyperCommand | TyperGroup:
        """The command itself."""
        found: Any = typer.main.get_command(importlib.import_module(f"{_COMMANDS}.{self.module}").app)
        found.name = self.name
        return found  # type: ignore[no-any-return]  # typer's own click has no public name
