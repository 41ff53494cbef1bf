"""How an agent keeps its workers, as people write it: `pause=never`, `prewarm=python=4`, `keep-alive=5m`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mee6.errors import InvalidInput
from mee6tui.cli import units

CHANGEABLE: Final = (
    "pause",
    "keep-alive",
    "linger",
    "look-ahead",
    "memory-budget",
    "prewarm",
    "ceiling",
    "wait-for-busy",
    "order",
)

MOST_WORKERS: Final = 100_000


def counts(option: str, given: list[str] | None) -> dict[str, int]:
    """Of several `RUNTIME=N`."""
    return dict(_count(option, text) for text in given or [])


def _count(option: str, text: str) -> tuple[str, int]:
    runtime, _, count = text.partition("=")
    if not runtime or not count.isascii() or not count.isdecimal():
        raise InvalidInput(f"{option} {text!r} is not RUNTIME=N, as in python=2")
    if len(count) > len(str(MOST_WORKERS)) or int(count) > MOST_WORKERS:
        raise InvalidInput(f"{option} {text!r} is over {MOST_WORKERS}, more workers than a machine can have")
    return runtime, int(count)


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise InvalidInput(f"wait-for-busy is on or off, not {text!r}")
    return text == "on"


def changes(given: list[str]) -> dict[str, Any]:
    """What `mee6 agent set` was given, as arguments of `Client.configure`.

    Raises:
        InvalidInput: one of them is none; names it, or what can be changed.
    """
    read: dict[str, tuple[str, Callable[[str], Any]]] = {
        "pause": ("pause", str),
        "keep-alive": ("keep_alive_s", units.seconds),
        "linger": ("linger_s", units.seconds),
        "look-ahead": ("look_ahead", str),
        "memory-budget": ("memory_budget_bytes", units.size),
        "wait-for-busy": ("wait_for_busy", _switch),
        "order": ("order", str),
    }
    found: dict[str, Any] = {}
    for text in given:
        name, sign, wanted = text.partition("=")
        if not sign or not wanted:
            raise InvalidInput(f"{text!r} is not NAME=VALUE, as in pause=never; names are {', '.join(CHANGEABLE)}")
        if name in {"prewarm", "ceiling"}:
            runtime, count = _count(name, wanted)
            found.setdefault(name, {})[runtime] = count
        elif name in read:
            argument, of_text = read[name]
            found[argument] = of_text(wanted)
        else:
            raise InvalidInput(f"no setting {name!r} that can be changed; there are: {', '.join(CHANGEABLE)}")
    return found
