"""The console's terminal: what comes from it never ends the console, and when it is gone the console ends.

Textual's input thread decodes strictly, so that one stray byte, as a paste cut within a letter leaves, would end the
console with a traceback. Importing this changes how it decodes; there is no option for that (Textual 8.2). A terminal
that went away without a signal, as one that is not the controlling one does, would be read and written to forever.
"""

from __future__ import annotations

import codecs
import signal
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from textual.drivers import linux_driver
from textual.drivers.linux_driver import LinuxDriver

from mee6tui.console.leaving import end_anyway

if TYPE_CHECKING:
    from textual.app import App

HUNG_UP: Final = 128 + signal.SIGHUP
"""The exit code, as if it had been told by the signal."""


class TerminalDriver(LinuxDriver):
    """Draws on a terminal, and ends with it."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if self._file is not None:
            self._file = cast("TextIOWrapper", _Screen(self._file))

    def run_input_thread(self) -> None:
        """Reads keys until there are none any more."""
        try:
            super().run_input_thread()
        except (EOFError, OSError):
            end_anyway(HUNG_UP)
            with suppress(RuntimeError):  # it is ending
                self._loop.call_soon_threadsafe(self._app.exit, None, HUNG_UP)


class _Screen:
    """A file that is written to though nobody has the other end any more."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Writes it, where that is possible."""
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        """Flushes it, where that is possible."""
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        """Its own."""
        return self._file.fileno()


class _Decoder(codecs.IncrementalDecoder):
    """UTF-8, also where it is none; nothing at all is the end."""

    def __init__(self, errors: str = "replace") -> None:
        super().__init__(errors)
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors)

    def decode(self, data: Any, final: bool = False) -> str:
        """The text of the bytes so far.

        Raises:
            EOFError: none came.
        """
        if not data and not final:
            raise EOFError
        return self._utf8.decode(data, final)


linux_driver.getincrementaldecoder = lambda _encoding: _Decoder  # type: ignore[attr-defined, assignment]
