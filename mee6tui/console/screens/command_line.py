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

    def __init__(self) -> None:
        super().__init__(self._offered)

    @property
    def console(self) -> ConsoleApp:
        """The app, by its own type."""
        return cast("ConsoleApp", self.app)

    def _offered(self, sign: str, text: str) -> list[str]:
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

    def on_prompt_typed(self, event: Prompt.Typed) -> None:
        """A filter is tried while it is typed; one that is not finished is left alone."""
        event.stop()
        if event.sign == "/":
            with suppress(InvalidInput):
                self.console.page.set_filter(event.text)

    def on_prompt_entered(self, event: Prompt.Entered) -> None:
        """Does what was typed."""
        event.stop()
        console = self.console
        console.attend()
        if event.sign == "/":
            console.filter(event.text)
            return
        name, _, arg = event.text.strip().partition(" ")
        if not name:
            return
        command = console.registry.by_name(name)
        if command is None:
            console.notify(f"no command {name!r}; tab offers those there are", severity="error", markup=False)
            return
        console.run_command(command, console.context(arg.strip()))

    def on_prompt_left(self, event: Prompt.Left) -> None:
        """The filter is again what it was."""
        event.stop()
        if event.sign == "/":
            self.console.filter(event.before)
        self.console.attend()
