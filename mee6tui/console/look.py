"""How things look: the sign, letter, word and tone of every state, and the palettes that give tones their colours.

A tone is a name, never a colour: widgets ask a `Palette` for the style of a tone, so that a theme, ASCII and
terminals without colour are one object. No meaning is carried by colour alone. The palettes keep to hues that
people with deuteranopia or tritanopia tell apart (after Okabe and Ito, 2008); red-orange is for errors only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from rich.style import Style

from mee6tui.cli.units import duration
from mee6tui.console.widgets.harmless import clean

__all__ = ["DARK", "HANDOVERS", "INVOCATIONS", "LIGHT", "LINKS", "PALETTES", "STEPS", "WORKERS", "Palette", "Sign"]


@dataclass(frozen=True, slots=True)
class Sign:
    """How a state is shown: by sign, letter and word, and a tone."""

    word: str
    glyph: str
    """One cell wide."""
    ascii: str
    """The same where only ASCII can be shown."""
    letter: str
    """Unique among its kind."""
    tone: str


def _signs(*signs: Sign) -> Mapping[str, Sign]:
    return {sign.word: sign for sign in signs}


WORKERS: Final = _signs(
    Sign("starting", "◌", ".", "S", "starting"),
    Sign("prewarmed", "○", "o", "P", "prewarmed"),
    Sign("loading", "◔", "+", "L", "loading"),
    Sign("busy", "●", "@", "B", "busy"),
    Sign("warm", "◉", "O", "W", "warm"),
    Sign("pausing", "◑", "(", "N", "paused"),
    Sign("paused", "‖", "=", "Z", "paused"),
    Sign("resuming", "◐", ")", "R", "loading"),
    Sign("waking", "◒", "/", "K", "loading"),
    Sign("gone", "✕", "x", "X", "gone"),
)
"""By `agent.core.worker.WorkerState`; `Z` is asleep, `N` nods off, `K` is woken by hand."""

INVOCATIONS: Final = _signs(
    Sign("queued", "…", ".", "Q", "queued"),
    Sign("starting", "◔", "+", "S", "loading"),
    Sign("running", "▶", ">", "R", "busy"),
    Sign("succeeded", "✓", "v", "V", "good"),
    Sign("failed", "✗", "!", "F", "error"),
    Sign("cancelled", "∅", "-", "C", "gone"),
    Sign("timed out", "⧗", "t", "T", "error"),
    Sign("lost", "?", "?", "L", "error"),
)
"""By `agent.core.invocation.InvocationState`."""

STEPS: Final = INVOCATIONS

HANDOVERS: Final = _signs(
    Sign("proxied", "◇", "p", "P", "prewarmed"),
    Sign("granted", "◈", "g", "G", "loading"),
    Sign("connected", "◆", "c", "C", "loading"),
    Sign("direct", "▸", "d", "D", "busy"),
    Sign("alone", "▶", "a", "A", "good"),
)
"""By `agent.core.handover.HandoverState`."""

LINKS: Final = _signs(
    Sign("connecting", "◌", ".", "C", "queued"),
    Sign("live", "●", "*", "L", "good"),
    Sign("lagging", "◒", "~", "G", "warning"),
    Sign("restarted", "↺", "s", "S", "warning"),
    Sign("cut off", "⊘", "/", "X", "error"),
    Sign("reconnecting", "↻", "r", "R", "warning"),
    Sign("replay", "▷", ">", "P", "accent"),
    Sign("ended", "■", "#", "E", "quiet"),
)
"""By `source.LinkState`."""

UNKNOWN: Final = Sign("unknown", "?", "?", "?", "quiet")
"""For a state that this version does not know."""

_DARK: Final = {
    "text": "#d5d9e0",
    "quiet": "#7d8696",
    "faint": "#4a5261",
    "accent": "#7cc4f4",
    "good": "#45b58a",
    "warning": "#e8b04a",
    "error": "#f0764f",
    "starting": "#8a93a3",
    "prewarmed": "#aab4c6",
    "loading": "#f0e26a",
    "busy": "#3ec9a0",
    "warm": "#e8a33d",
    "paused": "#6d8fd6",
    "gone": "#7a6570",
    "queued": "#c39bd3",
    "background": "#0f1218",
    "panel": "#171b23",
    "raised": "#222835",
    "cursor": "#2b3b52",
    "flash": "#273b3a",
}
_LIGHT: Final = {
    "text": "#23272f",
    "quiet": "#5f6878",
    "faint": "#aab1bd",
    "accent": "#00609f",
    "good": "#00734f",
    "warning": "#8a5a00",
    "error": "#b83a0c",
    "starting": "#667080",
    "prewarmed": "#4c566a",
    "loading": "#7d6f00",
    "busy": "#00795a",
    "warm": "#9a5b00",
    "paused": "#2f55a8",
    "gone": "#8b6b78",
    "queued": "#7b3f91",
    "background": "#fafbfc",
    "panel": "#f0f2f5",
    "raised": "#e2e6ec",
    "cursor": "#cfe0f3",
    "flash": "#d3ebe2",
}


GROUNDS: Final = frozenset({"background", "panel", "raised", "cursor", "flash"})
"""The tones that others stand on."""


@dataclass(frozen=True)
class Palette:
    """What gives tones their colours and signs their characters.

    Args:
        ascii: shows nothing but ASCII.
    """

    name: str
    colors: Mapping[str, str] = field(hash=False, compare=False)
    dark: bool = True
    ascii: bool = False

    def style(self, tone: str, on: str = "", *, bold: bool = False, reverse: bool = False) -> Style:
        """The style of a tone, on the ground of another."""
        return _style(
            self.colors[tone], self.colors[on] if on else "", bold=bold, reverse=reverse
        )  # prebuilt: making one costs 20 times a look-up

    @property
    def faded(self) -> Palette:
        """The same for what is as it was some time ago: all in one quiet tone."""
        return _faded(self)

    def glyph(self, sign: Sign) -> str:
        """The sign's one character."""
        return sign.ascii if self.ascii else sign.glyph

    def word(self, sign: Sign) -> str:
        """The sign's character and word."""
        return f"{self.glyph(sign)} {sign.word}"

    def plain(self, text: str) -> str:
        """Text as it may be shown: without control characters; with `ascii`, what is not ASCII is replaced."""
        text = clean(text)
        return text.translate(_TO_ASCII).encode("ascii", "replace").decode() if self.ascii else text


_TO_ASCII: Final = str.maketrans(
    {
        "·": "-",
        "→": ">",
        "…": "~",
        "─": "-",
        "│": "|",
        "▲": "^",
        "▼": "v",
        "▸": ">",
        "●": "*",
        "▌": ">",
        "»": ">",
        "✕": "x",
        "—": "-",
    }
    | dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True))
)


@lru_cache(maxsize=1024)
def _style(color: str, ground: str, *, bold: bool, reverse: bool) -> Style:
    return Style(color=color, bgcolor=ground or None, bold=bold, reverse=reverse)


@lru_cache(maxsize=16)
def _faded(palette: Palette) -> Palette:
    quiet = palette.colors["quiet"]
    colors = {tone: color if tone in GROUNDS else quiet for tone, color in palette.colors.items()}
    return replace(palette, name=f"{palette.name}, faded", colors=colors)


DARK: Final = Palette("mee6-dark", _DARK)
LIGHT: Final = Palette("mee6-light", _LIGHT, dark=False)
PALETTES: Final = {palette.name: palette for palette in (DARK, LIGHT)}


def short(name: str, width: int = 24) -> str:
    """A name in at most so many cells; of a long one its end, which tells more of a path or an address."""
    return name if len(name) <= width else "…" + name[1 - width :]


def count(number: float) -> str:
    """A number in at most five characters: `7`, `4,211`, `12.5k`, `3.1M`."""
    if number < 10_000:
        return f"{number:,.0f}"
    for size, unit in ((1e6, "k"), (1e9, "M"), (1e12, "G")):
        if number < size * 0.9995:
            amount = number / (size / 1000)
            return f"{amount:.1f}{unit}" if amount < 99.95 else f"{amount:.0f}{unit}"
    return f"{number / 1e12:.1f}T"


def rate(number: float) -> str:
    """A number a second: `0`, `0.4`, `7.2`, `120`."""
    return f"{number:.1f}" if 0.05 <= number < 9.95 else count(number)


def bytes_(number: float) -> str:
    """Bytes in about three digits: `512 B`, `1.4 MiB`, `31 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.95 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def milliseconds(value: float) -> str:
    """A duration given in milliseconds, as `units.duration` writes it; empty for less than none."""
    return duration(int(value * 1e6)) if value > 0 else ""


def clock_time(wall_ns: int, *, millis: bool = False) -> str:
    """The time of day here: `12:03:04` or `12:03:04.567`."""
    try:
        moment = dt.datetime.fromtimestamp(wall_ns / 1e9, tz=dt.UTC).astimezone()
    except (ValueError, OverflowError, OSError):  # of a clock that is thousands of years off
        return "?"
    return moment.strftime("%H:%M:%S") + (f".{wall_ns // 1_000_000 % 1000:03d}" if millis else "")


@lru_cache(maxsize=20_000)
def numbered(identity: str) -> tuple[int, str]:
    """What sorts `w10` after `w9`; kept, since each ordering asks for it again of every row."""
    digits = "".join(filter(str.isdigit, identity))
    return (int(digits) if digits and len(digits) < 12 else 0, identity)
