"""The palette of commands: every one that can be done where one is, found by its title."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider

from mee6tui.console.commands import Command, Context, key_name

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp


class Finder(Provider):
    """Every command that can be done here."""

    async def discover(self) -> Hits:
        """All of them."""
        for command, context in self._here():
            yield DiscoveryHit(command.title, self._runner(command, context), help=_palette_help(command))

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for command, context in self._here():
            if (score := matcher.match(command.title)) > 0:
                yield Hit(score, matcher.highlight(command.title), self._runner(command, context), help=command.help)

    def _here(self) -> list[tuple[Command, Context]]:
        console = cast("ConsoleApp", self.app)
        context = console.context()
        found = console.registry.here(context.page, context.selection)
        return [(command, context) for command in found if command.menu]

    def _runner(self, command: Command, context: Context) -> Callable[[], None]:
        return lambda: context.app.run_command(command, context)


class CommandFinder(CommandPalette):
    """Textual's, which fails on a page that is turned where its list has no room, or none yet."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):
            super()._action_command_list(action)


def _palette_help(command: Command) -> str:
    keys = f"{key_name(command.keys[0])}: " if command.keys else ""
    return keys + command.help
