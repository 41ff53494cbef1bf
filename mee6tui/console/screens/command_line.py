"""The prompt of the console: `:` runs commands by their names, `/` filters the page while it is typed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from mee6.errors import InvalidInput
from mee6tui.console.widgets.prompt import Prompt

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp


class CommandLine(Prompt):
    """What is typed is a command, or a filter."""

    @property
    def console(self) -> ConsoleApp:
        """The app, by its own type."""
        return cast("ConsoleApp", self.app)

    def offers(self, sign: str, text: str) -> list[str]:
        """Names, and after one what may follow it."""
        if sign != ":":
            return []
        registry = self.console.registry
        name, space, rest = text.lstrip().partition(" ")
        if not space:
            return [found for found in registry.names() if found.startswith(name)]
        command = registry.by_name(name)
        if command is None or command.complete is None:
            return []
        return [f"{name} {offer}" for offer in command.complete(self.console) if offer.startswith(rest)]

    def about(self, sign: str, text: str) -> str:
        """The command's title."""
        command = self.console.registry.by_name(text.strip()) if sign == ":" else None
        return command.title if command else ""

    def typed(self, sign: str, text: str) -> None:
        """A filter is tried while it is typed; one that is not finished is left alone."""
        if sign == "/":
            with suppress(InvalidInput):
                self.console.page.set_filter(text)

    def entered(self, sign: str, text: str) -> None:
        """Does what was typed."""
        console = self.console
        console.attend()
        if sign == "/":
            console.filter(text)
            return
        name, _, arg = text.strip().partition(" ")
        if not name:
            return
        command = console.registry.by_name(name)
        if command is None:
            console.notify(f"no command {name!r}; tab offers those there are", severity="error", markup=False)
            return
        console.run_command(command, console.context(arg.strip()))

    def left(self, sign: str, before: str) -> None:
        """The filter is again what it was."""
        if sign == "/":
            self.console.filter(before)
        self.console.attend()
