"""A result as text: laid out, as it came, or byte by byte. Pure."""

from __future__ import annotations

import json
from typing import Final

from mee6.errors import InvalidInput, Mee6Error
from mee6.lane.messages import JSON
from mee6.records import Outcome
from mee6.sizes import size_text
from mee6tui.console.widgets.harmless import clean

VIEWS: Final = ("pretty", "raw", "hex")
SHOWN_BYTES: Final = 256 << 10
"""More is not shown, but saved."""
_ROW: Final = 16


def first_view(outcome: Outcome) -> str:
    """The view that tells most of it."""
    try:
        outcome.data.decode()
    except UnicodeDecodeError:
        return "hex"
    return "pretty" if outcome.content_type == JSON else "raw"


def shown(outcome: Outcome, view: str) -> str:
    """The result in one of the `VIEWS`, safe for a terminal."""
    data, rest = outcome.data[:SHOWN_BYTES], len(outcome.data) - SHOWN_BYTES
    if view == "hex":
        text = hex_dump(data)
    elif view == "pretty" and outcome.content_type == JSON and rest <= 0:
        text = _pretty(outcome)
    else:
        text = data.decode("utf-8", "replace")
    safe = "\n".join(clean(line) for line in text.splitlines())
    return safe if rest <= 0 else f"{safe}\n… {size_text(rest)} more; s saves all of it"


def summary(outcome: Outcome) -> str:
    """How much of what it is."""
    return f"{size_text(len(outcome.data))} of {outcome.content_type or 'text/plain'}"


def error_text(error: Mee6Error) -> str:
    """An error with its traceback, where there is one; safe for a terminal."""
    text = error.message if not error.traceback else f"{error.message}\n\n{error.traceback}"
    return "\n".join(clean(line) for line in text.splitlines())


def suffix(outcome: Outcome) -> str:
    """For a file that holds it."""
    return {"application/json": ".json", "text/plain": ".txt"}.get(outcome.content_type, ".bin")


def hex_dump(data: bytes) -> str:
    """Rows of sixteen bytes: where, in hexadecimal, and as ASCII."""
    rows = []
    for place in range(0, len(data), _ROW):
        row = data[place : place + _ROW]
        digits = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        rows.append(f"{place:08x}  {digits:<49} {letters}")
    return "\n".join(rows)


def _pretty(outcome: Outcome) -> str:
    try:
        return json.dumps(outcome.value, indent=2, ensure_ascii=False)
    except (InvalidInput, ValueError, RecursionError):
        return outcome.data.decode("utf-8", "replace")
