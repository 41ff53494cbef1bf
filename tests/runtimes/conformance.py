"""What the conformance suite needs to know of a language.

To put a language through the suite: write `behaviours/<language>/` with a main file that does the same as
`behaviours/python/main.py`, and add it to `LANGUAGES` with what is its own: the class its `raise_it` raises,
and code that cannot be loaded.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mee6.lane.messages import Function

BEHAVIOURS: Final = Path(__file__).parent / "behaviours"


@dataclass(frozen=True)
class Language:
    """One language under test."""

    name: str
    main_file: str
    raises: str
    """The class of `raise_it`'s error."""
    broken: dict[str, tuple[str, str]]
    """Case -> code of a main file, and a part of the message of its refusal."""
    exit_by_call: str
    """What the fault of the language's ordinary way to exit has in its message; `{status}` is filled in."""
    exit_by_call_code: str
    program: str = ""

    def missing(self) -> bool:
        """Whether this machine does not have it."""
        return bool(self.program) and shutil.which(self.program) is None

    def function(
        self,
        name: str = "f",
        dependencies: dict[str, str] | None = None,
        *,
        max_parallelism: int = 0,
        timeout_s: float = 60.0,
    ) -> Function:
        """The function with all behaviours, under a name."""
        path = str(BEHAVIOURS / self.name)
        return Function(
            name, 1, self.name, path, dependencies or {}, max_parallelism, timeout_s, env={"GREETING": "hello"}
        )


LANGUAGES: Final = {
    "python": Language(
        "python",
        "main.py",
        raises="ValueError",
        broken={
            "nothing": ("", "has no main"),
            "syntax": ("def main(arg):\n    return (\n", "line 2"),
            "raises": ("import json\n\n1 / 0\n", "ZeroDivisionError: division by zero"),
            "not callable": ("main = 3\n", "int, not a function"),
        },
        exit_by_call="called sys.exit({status})",
        exit_by_call_code="function_raised",
    ),
    "nodejs": Language(
        "nodejs",
        "main.js",
        raises="TypeError",
        broken={
            "syntax": ("module.exports = (arg) => {\n", "SyntaxError"),
            "raises": ("throw new Error('division by zero')\n", "Error: division by zero"),
            "not callable": ("module.exports = 3\n", "function"),
        },
        exit_by_call="exited with code {status}",
        exit_by_call_code="function_exited",
        program="node",
    ),
}
