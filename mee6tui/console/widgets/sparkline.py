"""Small charts as text: a row of blocks, a bar, an area. Pure; 20-80 us each, a widget would cost 600."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*#@"
_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"


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
    """The last `width` values as columns of blocks over several lines, from the top.

    Args:
        top: what reaches the upper edge; None = the largest of them.
    """
    shown = [0.0] * max(0, width - len(values)) + list(values[-width:])
    high = top if top is not None else max(shown, default=0.0)
    if high <= 0:
        return [" " * width] * height  # what an idle console shows, again and again
    full = 8 * height
    levels = [0 if value <= 0 else max(1, min(full, round(value / high * full))) for value in shown]
    return ["".join(_BLOCKS[max(0, min(8, level - 8 * row))] for level in levels) for row in range(height - 1, -1, -1)]
