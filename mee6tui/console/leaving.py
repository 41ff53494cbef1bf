"""How the console ends when it is told to from outside: in order, or in the end anyway."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

LEAVE_S: Final = 3.0
"""How long the terminal has to be given back after a signal."""


def end_with_signals(app: ConsoleApp) -> None:
    """Leaves in order, or in the end anyway: a terminal that nobody reads any more would be waited for forever."""
    loop = asyncio.get_running_loop()

    def leave(number: int, _frame: object) -> None:  # runs even while the loop is held by a write
        with suppress(RuntimeError):  # it has ended
            loop.call_soon_threadsafe(app.exit, None, 128 + number)
        end_anyway(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, leave)


def end_anyway(code: int) -> None:
    """Ends the process after a while, whatever holds it."""
    timer = threading.Timer(LEAVE_S, os._exit, (code,))
    timer.daemon = True
    timer.start()
