"""Looks whether a function's code can be read at all, before it is added: compiled, never run.

In a process of its own, since a compiler that strangers feed may take all memory or crash, and holds Python's lock
while it works. It is of the version that the workers will have, or of a later Node.js, which reads all that an earlier
one reads; where this machine has none, nothing is said, and the runtime finds out at the first load.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from mee6.errors import InvalidCode

PATIENCE_S: Final = 10.0
"""For all files of a function; what takes longer is left to the runtime."""
MAX_FILES: Final = 50
"""Of one function; those beside its main file, which comes first."""
_MEMORY_BYTES: Final = 1 << 30
_EXCERPT_CHARS: Final = 2000
_COMPILE: Final = """
import json, resource, sys, traceback
for what, most in ((resource.RLIMIT_AS, int(sys.argv[1])), (resource.RLIMIT_CPU, int(sys.argv[2]))):
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard < 0 else min(most, hard), hard))
for name in sys.argv[3:]:
    try:
        with open(name, "rb") as file:
            compile(file.read(), name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        said = "".join(traceback.format_exception_only(error))
        line = getattr(error, "lineno", 0) or 0
        print(json.dumps({"file": name, "line": line, "message": getattr(error, "msg", str(error)), "excerpt": said}))
        break
    except (RecursionError, MemoryError):
        pass
"""
_NODE_PLACE: Final = re.compile(r"^(?:file://)?/.*?([^/\n]+):(\d+)$", re.MULTILINE)
_NODE_WHY: Final = re.compile(r"^SyntaxError: (.+)$", re.MULTILINE)
_SUFFIXES: Final = {"python": (".py",), "nodejs": (".js", ".cjs", ".mjs")}


class Mistake(msgspec.Struct, frozen=True):
    """Why a file cannot be read, and where."""

    file: str
    line: int
    message: str
    excerpt: str
    """As the language itself shows it."""


class Syntax:
    """Checks the code of functions; one instance serves one agent.

    Args:
        version: of a language, where its workers have another than this machine: `3.12`, `20`; empty: the machine's;
            None: not known.
    """

    def __init__(self, version: Callable[[str], str | None] = lambda _language: "") -> None:
        self._version = version
        self._major = ""
        """Of this machine's Node.js, once it was asked."""

    async def check(self, folder: Path, language: str, main: str) -> None:
        """Checks the files of code that lie in the folder itself.

        Raises:
            InvalidCode: one of them is none; names file and line.
        """
        version = self._version(language)
        if version is None or language not in _SUFFIXES:
            return
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE_S):
                names = _files(folder, language, main)
                find = self._in_python if language == "python" else self._in_node
                mistake, by = await find(folder, names, version)
                if mistake is not None:
                    raise _refusal(mistake, by)

    async def _in_python(self, folder: Path, names: Sequence[str], version: str) -> tuple[Mistake | None, str]:
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        program = sys.executable if version in ("", own) else shutil.which(f"python{version}")
        if program is None:
            return None, ""
        limits = (str(_MEMORY_BYTES), str(int(PATIENCE_S)))
        said = await _said([program, "-I", "-S", "-W", "ignore", "-c", _COMPILE, *limits, *names], folder)
        try:
            return msgspec.json.decode(said, type=Mistake), f"Python {version or own}"
        except msgspec.MsgspecError:  # nothing, or the compiler did not live to say it
            return None, ""

    async def _in_node(self, folder: Path, names: Sequence[str], version: str) -> tuple[Mistake | None, str]:
        node = shutil.which("node")
        if node is None:
            return None, ""
        if version:
            self._major = self._major or (await _said([node, "--version"], folder)).decode().strip("v \n").split(".")[0]
            if not self._major.isdigit() or not version.isdigit() or int(self._major) < int(version):
                return None, ""
        for name in names:
            said = (await _said([node, "--max-old-space-size=512", "--check", name], folder)).decode("utf-8", "replace")
            place, why = _NODE_PLACE.search(said), _NODE_WHY.search(said)
            if place and why:
                shown = [line for line in said[place.end() : why.end()].splitlines() if line.strip()]
                excerpt = "\n".join([f"{name}:{place[2]}", *shown])
                return Mistake(name, int(place[2]), why[1], excerpt), "Node.js"
        return None, ""


def _files(folder: Path, language: str, main: str) -> list[str]:
    """The main file and those beside it; what lies deeper may be meant for others than the runtime."""
    found = sorted(path.name for path in folder.iterdir() if path.suffix in _SUFFIXES[language] and path.is_file())
    return [main, *(name for name in found if name != main)][:MAX_FILES]


async def _said(command: list[str], folder: Path) -> bytes:
    """What a program says to its end, on either stream; killed when nobody waits any more."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    try:
        return (await process.communicate())[0]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
        raise


def _refusal(mistake: Mistake, by: str) -> InvalidCode:
    where = f"{mistake.file}:{mistake.line}" if mistake.line else mistake.file
    return InvalidCode(
        f"{where}: {mistake.message} ({by}); mend it, or add it unchecked with --no-check",
        traceback=mistake.excerpt[:_EXCERPT_CHARS],
    )
