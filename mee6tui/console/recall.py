"""What was typed before, kept across sessions: the last arguments of each function, and the folder it was added from.

One JSON file that only its owner can read, in the user's state folder; bounded, and written whole or not at all. A
file that cannot be read or understood is as good as none: nothing that matters is kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from mee6tui.console.payload import Payload

PAYLOADS: Final = 20
"""Kept of each function."""
FUNCTIONS: Final = 200
"""Those used last."""
TEXT_LIMIT: Final = 16 << 10
"""Characters; a longer argument is not kept."""
FILE_LIMIT: Final = 4 << 20
"""Bytes; the least recent functions are left out of a larger file."""


def recall_path() -> Path:
    """Where it is kept."""
    import platformdirs

    return platformdirs.user_state_path("mee6-console") / "recall.json"


class Known(msgspec.Struct):
    """Of one function."""

    payloads: list[Payload] = []
    """The latest last."""
    folder: str = ""
    """Where it was added from; empty where that is not known."""


class Recall:
    """What is remembered, by `user/name`.

    Args:
        path: None = `recall_path()`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: dict[str, Known] | None = None
        self._writing = asyncio.Lock()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path or recall_path()

    def of(self, function: str) -> Known:
        """What is known of a function."""
        return self._all().get(function, Known())

    async def used(self, function: str, payload: Payload) -> None:
        """Notes an argument that has been sent."""
        if len(payload.text) > TEXT_LIMIT:
            return
        known = self.of(function)
        payloads = [before for before in known.payloads if before != payload]
        await self._note(function, Known([*payloads, payload][-PAYLOADS:], known.folder))

    async def added(self, function: str, folder: Path) -> None:
        """Notes where a function was added from."""
        await self._note(function, Known(self.of(function).payloads, str(folder)))

    def _all(self) -> dict[str, Known]:
        if self._known is None:
            self._known = _read(self.path)
        return self._known

    async def _note(self, function: str, known: Known) -> None:
        everything = self._all()
        everything.pop(function, None)
        everything[function] = known
        for oldest in list(everything)[:-FUNCTIONS]:
            del everything[oldest]
        content = msgspec.json.encode(everything)
        while len(content) > FILE_LIMIT and len(everything) > 1:
            del everything[next(iter(everything))]
            content = msgspec.json.encode(everything)
        async with self._writing:
            with contextlib.suppress(OSError):  # a full or read-only disk costs the memory, not the act
                await asyncio.to_thread(_write, self.path, content)


def _read(path: Path) -> dict[str, Known]:
    try:
        if path.stat().st_size > 2 * FILE_LIMIT:
            return {}
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Known])
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".recall-")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(name, path)  # noqa: PTH105 - of a name, not a Path
    except BaseException:
        os.unlink(name)  # noqa: PTH108 - as above
        raise
