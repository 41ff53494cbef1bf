"""What thaws the containers of an agent that was killed, so that they end instead of holding their memory.

A frozen container does not notice that its agent has gone; once it runs, its first process does, and ends it. So a
process that does nothing but wait for the agent's end thaws them then: a shell of half a megabyte, which the kernel
tells by the end of a pipe. It knows the files to write by the links in a folder, needs no engine, and removes nothing:
the containers, ended, are still there for the agent's next start or `mee6 agent destroy`.

It does not help where whoever kills the agent kills this process too, as a service manager does with all of a unit.
"""

from __future__ import annotations

import logging
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.drivers.process.group import Freezer
from mee6.trees import remove_tree

_END_S: Final = 2.0
_FIRST_VERSION: Final = ".1"
_SCRIPT: Final = f"""read -r _
for file in "$1"/*; do
  case $file in *{_FIRST_VERSION}) state=THAWED ;; *) state=0 ;; esac
  echo $state >"$file"
done 2>/dev/null
"""
_log: Final = logging.getLogger("mee6.agent")


class Watchdog:
    """Knows the freezers of the workers that there are.

    Args:
        folder: for the links; nobody else's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Begins to watch. Without a shell it does nothing, and the log says so."""
        remove_tree(self._folder)  # of a life that was killed
        self._folder.mkdir(parents=True)
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "mee6-watchdog", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,  # a Ctrl-C is the agent's, which then ends in its own way
            )
        except OSError as error:
            _log.warning("frozen containers will stay if the agent is killed: no /bin/sh: %s", error.strerror)

    def add(self, worker: str, freezer: Freezer | None) -> None:
        """Takes note of a worker's freezer."""
        if self._process is not None and freezer is not None:
            with suppress(OSError):
                self._link(worker, freezer).symlink_to(freezer.file)

    def remove(self, worker: str, freezer: Freezer | None) -> None:
        """Forgets it. Idempotent."""
        if self._process is not None and freezer is not None:
            self._link(worker, freezer).unlink(missing_ok=True)

    def close(self) -> None:
        """Watches no more. Idempotent; there are no workers any more."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        remove_tree(self._folder)
        process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _link(self, worker: str, freezer: Freezer) -> Path:
        return self._folder / f"{worker}{_FIRST_VERSION if freezer.version == 1 else ''}"
