"""What one log line says: its level, its message, its fields where it is JSON; and how it is laid out. Pure.

Looked at only when a line is to be seen, so that lines cost nothing while they come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from rich.cells import cell_len

from mee6tui.console.widgets.harmless import clean
from mee6tui.console.widgets.pieces import Piece

SHOWN: Final = 1_000
"""Characters of a line that are shown; the whole is copied."""
_PARSED: Final = 64_000
"""Characters of the longest line that is read as JSON."""
LEVELS: Final[Mapping[str, str]] = {
    "FATAL": "error",
    "ERROR": "error",
    "WARN": "warning",
    "INFO": "good",
    "DEBUG": "quiet",
    "TRACE": "faint",
}
"""Level -> tone."""
_SAME: Final = {"WARNING": "WARN", "ERR": "ERROR", "CRITICAL": "FATAL", "PANIC": "FATAL", "INFORMATION": "INFO"}
_NUMBERED: Final = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "FATAL"}  # pino's and bunyan's
_LEVEL_KEYS: Final = ("level", "lvl", "severity", "levelname", "log.level")
_MESSAGE_KEYS: Final = ("message", "msg", "event", "text")
_TIME_KEYS: Final = frozenset({"time", "ts", "timestamp", "@timestamp", "asctime"})
_WORD: Final = re.compile(r"\b(FATAL|CRITICAL|PANIC|ERROR|ERR|WARNING|WARN|INFO|DEBUG|TRACE)\b")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a line says."""

    level: str
    """One of `LEVELS`, or empty."""
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The rest of a JSON line, without its time."""


def facts(text: str) -> Facts:
    """What a line says."""
    if text[:1] == "{" and text.rstrip()[-1:] == "}" and len(text) <= _PARSED:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            return _of_json(found)
    word = _WORD.search(text[:80])
    return Facts(_SAME.get(word[1], word[1]) if word else "", text)


def _of_json(found: dict[str, Any]) -> Facts:
    level_key = next((key for key in _LEVEL_KEYS if isinstance(found.get(key), str | int)), "")
    message_key = next((key for key in _MESSAGE_KEYS if isinstance(found.get(key), str)), "")
    left_out = {level_key, message_key, *_TIME_KEYS}
    fields = {key: value for key, value in found.items() if key not in left_out}
    return Facts(_level(found.get(level_key, "")), clean(found.get(message_key, "")), fields)


def _level(said: str | int) -> str:
    if isinstance(said, int):
        return _NUMBERED.get(said, "")
    word = said.upper()
    word = _SAME.get(word, word)
    return word if word in LEVELS else ""


def body(known: Facts) -> list[Piece]:
    """The line without time and source: what is shown of it."""
    tone = "error" if LEVELS.get(known.level) == "error" else "text"
    pieces = [Piece(known.message, tone)] if known.message else []
    for key, value in known.fields.items():
        said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        pieces += [Piece(f"{' ' if pieces else ''}{clean(key)}=", "quiet"), Piece(clean(said), tone)]
    return _bounded(pieces)


def _bounded(pieces: Sequence[Piece]) -> list[Piece]:
    made: list[Piece] = []
    left = SHOWN
    total = sum(len(piece.text) for piece in pieces)
    for piece in pieces:
        if left <= 0:
            break
        made.append(piece._replace(text=piece.text[:left]))
        left -= len(piece.text)
    if total > SHOWN:
        made.append(Piece(f" … {total - SHOWN:,} more characters", "warning"))
    return made


def pretty(text: str) -> list[list[Piece]]:
    """One line at full length: JSON indented with a piece for each key, anything else as it is."""
    try:
        found = json.loads(text) if text[:1] in "{[" and len(text) <= _PARSED else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict | list):
        return [[Piece(text)]]
    made = []
    for line in map(clean, json.dumps(found, indent=2, ensure_ascii=False).split("\n")):
        key = re.match(r'(\s*)("(?:[^"\\]|\\.)*": )(.*)', line)
        made.append([Piece(key[1]), Piece(key[2], "accent"), Piece(key[3])] if key else [Piece(line)])
    return made


def wrapped(pieces: Sequence[Piece], width: int) -> list[list[Piece]]:
    """The pieces in lines of at most `width` cells, broken where they are full."""
    if width < 1:
        return [list(pieces)]
    lines: list[list[Piece]] = [[]]
    left = width
    for piece in pieces:
        text = piece.text
        while text:
            taken = _fitting(text, left)
            if not taken and left < width:
                lines.append([])
                left = width
                continue
            taken = max(taken, 1)
            lines[-1].append(piece._replace(text=text[:taken]))
            left -= cell_len(text[:taken])
            text = text[taken:]
            if text:
                lines.append([])
                left = width
    return lines


def _fitting(text: str, cells: int) -> int:
    """How many of its first characters fit."""
    if text.isascii():
        return min(len(text), max(0, cells))
    count, used = 0, 0
    for char in text:
        used += cell_len(char)
        if used > cells:
            break
        count += 1
    return count


def marked(pieces: Sequence[Piece], spans: Sequence[tuple[int, int]], tone: str, on: str) -> list[Piece]:
    """The pieces with some stretches of their text in another tone, on another ground."""
    if not spans:
        return list(pieces)
    made: list[Piece] = []
    at = 0
    for piece in pieces:
        edges = {0, len(piece.text)}
        edges |= {place - at for span in spans for place in span if 0 < place - at < len(piece.text)}
        cuts = sorted(edges)
        for start, end in pairwise(cuts):
            part = piece._replace(text=piece.text[start:end])
            inside = any(first <= at + start and at + end <= last for first, last in spans)
            made.append(part._replace(tone=tone, on=on) if inside else part)
        at += len(piece.text)
    return made
