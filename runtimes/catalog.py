"""The languages that mee6 can run, and how a worker starts each.

A `fork` runtime is a Python callable that the worker's first process runs in a fork of itself, with all its
imports already made. An `exec` runtime is a program that finds its lane on file descriptor 3.
To add a language: write its folder, add it here, and run the conformance suite with its name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

_HERE: Final = Path(__file__).parent

LANE_FD: Final = 3
"""Where an `exec` runtime finds its lane."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One language."""

    name: str
    kind: Literal["fork", "exec"]
    main_file: str
    """What a function's folder must hold."""
    entry: str = ""
    """`module:callable` taking the lane's socket; for a `fork` runtime."""
    program: str = ""
    """Looked up on PATH; for an `exec` runtime."""
    script: Path | None = None

    def missing(self) -> str:
        """Why this machine cannot run it, in one line; empty when it can."""
        if self.kind == "exec" and shutil.which(self.program) is None:
            return f"runtime {self.name!r} needs {self.program!r}, which is not on PATH"
        return ""

    def argv(self) -> list[str]:
        """The command of an `exec` runtime; the lane is descriptor 3."""
        assert self.script is not None
        return [shutil.which(self.program) or self.program, str(self.script)]


RUNTIMES: Final[dict[str, Runtime]] = {
    runtime.name: runtime
    for runtime in (
        Runtime("python", kind="fork", main_file="main.py", entry="runtimes.python.runtime:serve"),
        Runtime("nodejs", kind="exec", main_file="main.js", program="node", script=_HERE / "nodejs" / "runtime.js"),
    )
}
