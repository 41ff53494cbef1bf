"""What is pressed on a terminal before the console listens to it: kept as it was pressed, and not shown.

A terminal in its usual mode shows what is typed, gives enter as a line's end, and lets backspace take keys back.
"""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Iterator


@contextlib.contextmanager
def kept_as_pressed() -> Iterator[None]:
    """Takes keys as they are while the block runs, and leaves the terminal as it was; what is pressed waits in it.

    Ctrl-C still ends the command. Where standard input is no terminal, nothing is done.
    """
    try:
        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
    except (OSError, ValueError, termios.error):
        yield
        return
    meanwhile = list(before)
    meanwhile[0] &= ~termios.ICRNL
    meanwhile[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(file, termios.TCSANOW, meanwhile)  # and not TCSAFLUSH, which throws away what is there
    try:
        yield
    finally:
        termios.tcsetattr(file, termios.TCSANOW, before)
