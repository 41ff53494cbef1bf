"""Where an invocation's argument is typed: enter runs where it is whole, elsewhere it begins a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from mee6tui.console.payload import Fault, fault_in


class Argument(TextArea):
    """The text.

    Args:
        is_json: whether it should be.
        run: runs it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n,shift+enter,alt+enter", "new_line", "New line", show=False, id="argument.new_line"),
    ]

    def __init__(
        self,
        text: str,
        *,
        is_json: Callable[[], bool],
        run: Callable[[], None],
        id: str | None = None,  # noqa: A002 - Textual's own word
    ) -> None:
        super().__init__(text, compact=True, tab_behavior="focus", id=id, highlight_cursor_line=False, soft_wrap=True)
        self.cursor_blink = False
        self._is_json = is_json
        self._run_it = run

    def is_whole(self, fault: Fault | None) -> bool:
        """Whether the cursor is at the end of a text of one line, or of JSON that is sound.

        Args:
            fault: what is wrong with it as JSON.
        """
        if self.cursor_location != self.document.end:
            return False
        return fault is None if self._is_json() else self.document.line_count == 1

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter" and self.is_whole(fault_in(self.text) if self._is_json() else None):
            event.stop()
            event.prevent_default()
            self._run_it()
        else:
            await super()._on_key(event)

    def action_new_line(self) -> None:
        """Begins a line, wherever the cursor is."""
        self.insert("\n")
