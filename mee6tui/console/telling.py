"""How the console tells the user something: toasts, the command log, the clipboard."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

from textual.app import App

from mee6.records import asdict
from mee6tui.console import clipboard
from mee6tui.console.commands import Done, Selection
from mee6tui.console.look import bytes_
from mee6tui.console.store import Store
from mee6tui.console.widgets.harmless import clean

LOGGED: Final = 1_000
"""Command lines that are kept of what was done."""
TOAST: Final = 300
"""Characters."""
AGAIN_S: Final = 3.0
"""Within which the second ctrl+c leaves."""
Severity = Literal["information", "warning", "error"]


class TellingApp(App[int]):
    """The part of the console that speaks.

    Args:
        wall_ns: nanoseconds since 1970, UTC.
    """

    shown: Store

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns) -> None:
        super().__init__()
        self.wall_ns = wall_ns
        self._asked_to_leave_at = float("-inf")
        self.command_log: deque[Done] = deque(maxlen=LOGGED)

    def action_help_quit(self) -> None:
        """Says how to leave, where ctrl+c has nothing to copy; once more, it leaves."""
        if time.monotonic() - self._asked_to_leave_at < AGAIN_S:
            self.exit()
            return
        self._asked_to_leave_at = time.monotonic()
        self.notify("ctrl+c again leaves, as ctrl+q does; q goes back, c copies", timeout=AGAIN_S)

    def did(self, line: str, said: str = "", error: str = "") -> None:
        """Notes the command line of something that was done, or failed, and says so.

        Args:
            said: what was done, past tense.
            error: how it failed.
        """
        self.note(line, error)
        if error:
            self.say(error, title=said or "it failed", severity="error")
        else:
            self.say(f"$ {line}", title=said or "the same as")

    def note(self, line: str, error: str = "") -> None:
        """Notes it in the command log, without a word."""
        self.command_log.append(Done(self.wall_ns(), line, error))

    def notify(self, message: str, *, title: str = "", **how: Any) -> None:
        """Says something in a corner; see `App.notify`. What a function said gives no orders there either."""
        super().notify("\n".join(map(clean, message.split("\n"))), title=clean(title), **how)

    def say(self, text: str, *, title: str = "", severity: Severity = "information") -> None:
        """Says it in a corner, as it is; what is long is cut, since a toast must leave room for the page."""
        short = text if len(text) <= TOAST else text[: TOAST - 1] + "…"
        self.notify(short, title=title, severity=severity, markup=False)

    def copy(self, text: str) -> None:
        """Copies to the terminal's clipboard, as far as terminals allow, and says what was sent where."""
        size = len(text.encode("utf-8", "replace"))
        if size > clipboard.LIMIT_BYTES:
            self.say(f"too much to copy: {bytes_(size)}; terminals take 72 KiB", severity="warning")
        elif text:
            self._send_to_clipboard(text)

    def copy_to_clipboard(self, text: str) -> None:
        """Copies a selection of text: what Textual's own widgets call."""
        self.copy(text)

    def _send_to_clipboard(self, text: str) -> None:
        self._clipboard = text
        if self._driver is not None:
            self._driver.write(clipboard.sequence(text, os.environ))
        self.say(clipboard.told(text, os.environ))

    def copy_raw(self, selection: Selection) -> None:
        """Copies the records as JSON."""
        table = self.shown.table(selection.kind)
        records = [asdict(table[key]) for key in selection.keys if key in table]
        self.copy(json.dumps(records[0] if len(records) == 1 else records, indent=2, ensure_ascii=False))
