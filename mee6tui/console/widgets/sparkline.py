"""Small charts as text: a row of blocks, a bar, an area in braille. Pure; 20-80 us each, a widget would cost 600."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*#@"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
# Dots of a braille character, by column and height from the bottom.
_LEFT: Final = (0x40, 0x04, 0x02, 0x01)
_RIGHT: Final = (0x80, 0x20, 0x10, 0x08)


def sparkline(values: Sequence[float], width: int, *, top: float | None = None, ascii_only: bool = False) -> str:
    """The last `width` values, each as a block; a value above 0 is always seen.

    Args:
        top: what fills a cell; None = the largest of them.
    """
    ramp = _ASCII if ascii_only else _BLOCKS
    shown = list(values[-width:]) if width > 0 else []
    high = top if top is not None else max(shown, default=0.0)
    cells = (ramp[0 if value <= 0 or high <= 0 else max(1, min(8, round(value / high * 8)))] for value in shown)
    return "".join(cells).rjust(max(0, width))


def bar(part: float, width: int, *, ascii_only: bool = False) -> str:
    """A bar that is filled for the part of 0 to 1, to an eighth of a cell."""
    part = max(0.0, min(1.0, part))
    if ascii_only:
        return ("#" * round(part * width)).ljust(width, "-")
    eighths = round(part * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def area(values: Sequence[float], width: int, height: int, *, top: float | None = None) -> list[str]:
    """The last `2 * width` values as an area of braille, one text a line, from the top.

    Args:
        top: what reaches the upper edge; None = the largest of them.
    """
    shown = list(values[-2 * width :])
    shown = [0.0] * (2 * width - len(shown)) + shown
    high = top if top is not None else max(shown, default=0.0)
    levels = [
        0 if value <= 0 or high <= 0 else max(1, min(4 * height, round(value / high * 4 * height))) for value in shown
    ]
    lines = []
    for row in range(height - 1, -1, -1):
        cells = []
        for place in range(0, 2 * width, 2):
            left = max(0, min(4, levels[place] - 4 * row))
            right = max(0, min(4, levels[place + 1] - 4 * row))
            cells.append(chr(0x2800 + sum(_LEFT[:left]) + sum(_RIGHT[:right])))
        lines.append("".join(cells))
    return lines
