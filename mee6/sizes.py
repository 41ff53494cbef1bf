"""A number of bytes as people say it, for whoever packs, limits or shows."""

from __future__ import annotations


def size_text(count: int) -> str:
    """A number of bytes for people: `812 B`, `3.4 MiB`."""
    if count < 1024:
        return f"{count} B"
    amount, units = count / 1024, iter(("KiB", "MiB", "GiB"))
    unit = next(units)
    while amount >= 1024 and unit != "GiB":
        amount, unit = amount / 1024, next(units)
    return f"{amount:.1f} {unit}"
