"""How the console draws for a browser: packets on standard output, by a thread, so that a slow browser blocks no loop.

Textual's own driver writes while the loop waits, and goes on when whoever started it is gone. This one is behind in
a way that the frame clock sees, and ends with its connection. The environment names it: `TEXTUAL_DRIVER`.
"""

from __future__ import annotations

import os
from typing import IO, Any, cast

from textual import messages
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.web_driver import WebDriver


class ViewerDriver(WebDriver):
    """For `mee6 console --serve`, which starts one process a viewer."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._writer_thread = WriterThread(cast("IO[str]", _Packets(self.fileno)))
        self._write = self._writer_thread.write  # type: ignore[assignment]  # the thread takes what `_Packets` takes

    def start_application_mode(self) -> None:
        """Begins to draw."""
        self._writer_thread.start()
        super().start_application_mode()

    def stop_application_mode(self) -> None:
        """Says goodbye and writes what is left."""
        super().stop_application_mode()
        self._writer_thread.stop()

    def run_input_thread(self) -> None:
        """Reads keys until there are none any more; then nobody looks."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.call_from_thread(self._app.post_message, messages.ExitApp())


class _Packets:
    """What a `WriterThread` writes to."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno

    def write(self, packet: bytes) -> None:
        """Writes all of it."""
        while packet:
            packet = packet[os.write(self._fileno, packet) :]

    def flush(self) -> None:
        """There is nothing kept back."""
