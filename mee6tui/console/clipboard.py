"""The terminal's clipboard (OSC 52), also from inside tmux, and words that promise no more than is known. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from mee6.sizes import size_text

LIMIT_BYTES: Final = 74_000
"""What terminals still take as a clipboard's content."""


def sequence(text: str, env: Mapping[str, str]) -> str:
    """What makes the terminal put the text into its clipboard.

    Inside tmux both forms are written: tmux takes the first where `set-clipboard` is on, and hands the second to the
    terminal around it where `allow-passthrough` is.
    """
    plain = f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode()}\a"
    if env.get("TMUX"):
        doubled = plain.replace("\x1b", "\x1b\x1b")
        return f"{plain}\x1bPtmux;{doubled}\x1b\\"
    return plain


def told(text: str, env: Mapping[str, str]) -> str:
    """What was sent where: a terminal never says whether it took it."""
    lines = text.splitlines()
    size = size_text(len(text.encode("utf-8", "replace")))
    much = size if len(lines) < 2 else f"{len(lines)} lines, {size}"
    first = lines[0] if lines else ""
    begin = first if len(first) <= 60 and len(lines) < 2 else first[:59] + "…"
    where = "tmux and its terminal" if env.get("TMUX") else "the terminal's clipboard"
    return f"sent to {where}, {much}: {begin}"
