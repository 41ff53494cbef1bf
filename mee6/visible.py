"""Text of others as it may be shown: control characters are written out, so that no terminal obeys them.

What a function prints, raises or is described by reaches the screens of people who did not write it. Newlines and
tabs stay; so does every letter. Those that turn the direction of writing are written out too: they make a line
read as what it is not.
"""

from __future__ import annotations

from typing import Final

_TURNING: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"},
    **{code: f"\\u{code:04x}" for code in (*_TURNING, 0x2028, 0x2029)},
}


def visible(text: str) -> str:
    """The text with its control characters written out, as in `\\x1b[31m`."""
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)
