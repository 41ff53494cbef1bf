"""An invocation's argument as it is typed: text, JSON or a file; whether it is sound, and its bytes. No Textual."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from mee6.errors import InvalidInput
from mee6.lane.messages import JSON, TEXT
from mee6tui.cli import units
from mee6tui.cli.invoke import argument

CHECKED_CHARACTERS: Final = 1 << 20
"""Longer JSON is not checked while it is typed, only when it is sent."""


class Mode(StrEnum):
    """What the typed text is."""

    TEXT = "text"
    JSON = "JSON"
    FILE = "file"  # the path of one, whose bytes are sent


class Payload(msgspec.Struct, frozen=True):
    """An argument and how long the invocation may take."""

    mode: Mode = Mode.TEXT
    text: str = ""
    timeout: str = ""
    """As people write it; empty = the function's own."""

    @property
    def timeout_s(self) -> float | None:
        """Seconds; None where the function's own limit holds.

        Raises:
            InvalidInput: it is no duration.
        """
        return units.seconds(self.timeout) if self.timeout.strip() else None


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a text that should be JSON, and where."""

    message: str
    line: int
    """From 1."""
    column: int
    excerpt: str
    """The line it is in."""

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.message}"


def fault_in(text: str) -> Fault | None:
    """The first thing that is wrong with it; None for JSON, and for nothing, which is sent as `null`."""
    if not text.strip():
        return None
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines() or [""]
        excerpt = lines[error.lineno - 1] if error.lineno <= len(lines) else ""
        message = error.msg[0].lower() + error.msg[1:]
        return Fault(message, error.lineno, error.colno, excerpt)
    except RecursionError:
        return Fault("nested too deeply", 1, 1, "")
    return None


async def pack(payload: Payload) -> tuple[bytes, str]:
    """Its bytes and their content type.

    Raises:
        InvalidInput: it is not the JSON it should be, or the file cannot be read.
    """
    match payload.mode:
        case Mode.TEXT:
            return payload.text.encode("utf-8", "surrogateescape"), TEXT
        case Mode.JSON:
            fault = await asyncio.to_thread(fault_in, payload.text)
            if fault is not None:
                raise InvalidInput(f"the argument is not valid JSON: {fault}")
            return payload.text.encode() if payload.text.strip() else b"null", JSON
        case Mode.FILE:
            if not payload.text.strip():
                raise InvalidInput("name the file whose bytes are to be sent")
            return await asyncio.to_thread(_of_file, payload.text)


def _of_file(path: str) -> tuple[bytes, str]:
    return argument(None, Path(path).expanduser(), as_json=False)
