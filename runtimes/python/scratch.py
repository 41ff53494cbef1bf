"""The folders of an invocation: `<act>/<invocation>`, and `<act>/cur` which points to the current one.

Made at `Invoke` and removed after the report has gone out. A caller points `cur` back at its own after each
call: of a worker's steps only one runs at a time, so there is one truth at any time.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path


class Scratch:
    """The folders of one process's invocations."""

    def __init__(self, act: str) -> None:
        self._act = act
        self._cur = f"{act}/cur"

    def make(self, invocation: str) -> None:
        """Makes the invocation's folder, and makes it current."""
        try:
            os.mkdir(f"{self._act}/{invocation}")  # noqa: PTH102 - on the path of every step: Path costs as much again
        except FileExistsError:
            pass
        self.point(invocation)

    def point(self, invocation: str) -> None:
        """Makes the folder of a running invocation current."""
        try:
            os.unlink(self._cur)  # noqa: PTH108 - as above
        except FileNotFoundError:
            pass
        os.symlink(invocation, self._cur)  # noqa: PTH211 - as above

    def remove(self, invocation: str) -> None:
        """Removes the invocation's folder with all that is in it."""
        folder = f"{self._act}/{invocation}"
        try:
            os.rmdir(folder)  # noqa: PTH106 - as above
        except FileNotFoundError:
            pass
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)

    def path(self, invocation: str) -> Path:
        """The invocation's folder."""
        return Path(self._act, invocation)

    def flow(self) -> Path:
        """The workflow's folder."""
        return Path(self._act, "flow")
