"""Durations and sizes as people write them: `30s`, `1.5m`, `250ms`, `512M`, `1GiB`; and back."""

from __future__ import annotations

import re
from typing import Final

from mee6.errors import InvalidInput

_DURATIONS: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES: Final = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30}
MOST_SECONDS: Final = 1e9
"""30 years: longer is a mistake."""
MOST_BYTES: Final = 1 << 53
"""8 PiB."""
_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)")


def seconds(text: str) -> float:
    """The seconds of `30`, `30s`, `250ms`, `2m`, `1h`.

    Raises:
        InvalidInput: it is none of these.
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or found[2] not in _DURATIONS:
        raise InvalidInput(f"{text!r} is no duration; write it as 30s, 250ms, 2m or 1h")
    found_s = float(found[1]) * _DURATIONS[found[2]]
    if found_s > MOST_SECONDS:
        raise InvalidInput(f"{text!r} is longer than 30 years; write it as 30s, 250ms, 2m or 1h")
    return found_s


def size(text: str) -> int:
    """The bytes of `4096`, `512k`, `512M`, `1GiB`.

    Raises:
        InvalidInput: it is none of these.
    """
    found = _NUMBER.fullmatch(text.strip())
    unit = found[2].lower().removesuffix("ib").removesuffix("b") if found else "?"
    if found is None or unit not in _SIZES:
        raise InvalidInput(f"{text!r} is no size; write it as 512k, 512M or 1G")
    amount = float(found[1]) * (1 << _SIZES[unit])
    if amount > MOST_BYTES:
        raise InvalidInput(f"{text!r} is more than any machine has; write it as 512k, 512M or 1G")
    return int(amount)


def size_given(count: int) -> str:
    """Bytes as `size` reads them: `256M`, `1000`; empty for none."""
    if not count:
        return ""
    return f"{count >> 20}M" if count % (1 << 20) == 0 else str(count)


def duration(ns: int) -> str:
    """Nanoseconds in about three digits: `0`, `42us`, `1.25ms`, `310ms`, `12.4s`, `3m20s`."""
    if ns <= 0:
        return "0"
    for size_ns, unit in ((1_000, "us"), (1_000_000, "ms"), (1_000_000_000, "s")):
        amount = ns / size_ns
        if amount < (99.95 if unit == "s" else 999.5):
            places = 2 if amount < 9.995 else 1 if amount < 99.95 else 0
            return f"{amount:.0f}{unit}" if unit == "us" else f"{amount:.{places}f}{unit}"
    minutes, rest = divmod(ns // 1_000_000_000, 60)
    return f"{minutes}m{rest:02d}s"


def milliseconds(amount: float) -> str:
    """Milliseconds, as `duration` writes them."""
    return duration(round(amount * 1e6))


def age(seconds_ago: float) -> str:
    """How long ago, in one unit: `5s`, `3m`, `2h`, `9d`."""
    for limit, unit, size_s in ((100, "s", 1), (6000, "m", 60), (360_000, "h", 3600)):
        if seconds_ago < limit:
            return f"{max(0, int(seconds_ago / size_s))}{unit}"
    return f"{int(seconds_ago / 86400)}d"


def mebibytes(count: int) -> str:
    """Bytes in MiB, or in GiB from 10 of them on: `5.9 MiB`, `512 MiB`, `31.2 GiB`."""
    amount, unit = (count / (1 << 20), "MiB") if count < 10 << 30 else (count / (1 << 30), "GiB")
    return f"{amount:.{1 if amount < 100 else 0}f} {unit}"


def count(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def stored(blocks: int, size: int, over: int) -> str:
    """What passed by the stores of workflows; empty for nothing."""
    if not blocks and not over:
        return ""
    from mee6.sizes import size_text

    return f"{count(blocks, 'value')}, {size_text(size)}" + (f"; {over} more had no room there" if over else "")
