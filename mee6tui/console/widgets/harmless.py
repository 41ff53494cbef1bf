"""Text of others, made harmless: no control character, escape or lone surrogate ever reaches the terminal. Pure."""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;:]*m")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]")
_TAB: Final = 4


def clean(text: str) -> str:
    """The text as it may be shown on one line.

    Colours (`ESC [ ... m`) are left out; other control characters become their pictures (`␀`, `␛`), tabs become
    blanks, marks that turn the direction of writing and lone surrogates become `�`.
    """
    if text.isprintable():
        return text
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\t" in text:
        text = text.expandtabs(_TAB)
    return _UNSAFE.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"
