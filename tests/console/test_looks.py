"""The pages at three sizes, in colour and without: as text, with a letter a tone beside it.

After a change that is meant: `python -m tests.console.test_looks`, and look at the difference.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mee6tui.console.app import ConsoleApp
from mee6tui.console.recording import read
from tests.console.conftest import BUSY, Played, Time

FOLDER = Path(__file__).parent / "looks"
SIZES = ((80, 24), (120, 40), (200, 50))
KEYS: Mapping[str, Sequence[str]] = {
    "pools": ["1"],
    "workers": ["2"],
    "functions": ["3"],
    "invocations": ["4"],
    "logs": ["8"],
    "trace": ["4", "slash", *"function=pipeline", "enter", "t"],
    "theatre": ["7", "enter"],
}
WAYS = ("colour", "no-color")


async def look(page: str, size: tuple[int, int], way: str) -> str:
    """What is seen, line by line; in colour the colours too, one line below the other."""
    at = Time()
    source = Played("desk", at, list(read(BUSY)))
    app = ConsoleApp([source], now=lambda: at.now, wall_ns=lambda: at.wall_ns)
    async with app.run_test(size=size) as pilot:
        await source.done.wait()
        for key in ("", *KEYS[page], ""):
            if key:
                await pilot.press(key)
            at.on(1.1)
            await pilot.pause()
            app.flush(at.now)
            await pilot.pause()
        strips = app.screen._compositor.render_strips()
    lines = []
    for strip in strips:
        lines.append(strip.text.rstrip())
        colors = [
            f"{segment.style.color.name}{' bold' * bool(segment.style.bold)} {len(segment.text)}"
            for segment in strip
            if segment.style and segment.style.color and segment.text.strip()
        ]
        lines += [f"    {', '.join(colors)}"] * (way == "colour" and bool(colors))
    return "\n".join(lines) + "\n"


def plain(way: str) -> dict[str, str]:
    """The environment for it."""
    return {"TZ": "UTC", "TEXTUAL_ANIMATIONS": "none", **({"NO_COLOR": "1"} if way == "no-color" else {})}


def place(page: str, size: tuple[int, int], way: str) -> Path:
    """Where it is kept."""
    return FOLDER / f"{page}-{size[0]}x{size[1]}-{way}.txt"


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("page", KEYS)
async def test_a_page_reads_as_it_did(
    page: str, size: tuple[int, int], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in plain(way).items():
        monkeypatch.setenv(name, value)
    assert await look(page, size, way) == place(page, size, way).read_text()


def main() -> None:
    """Keeps what is seen now."""
    FOLDER.mkdir(exist_ok=True)
    for way in WAYS:
        os.environ.pop("NO_COLOR", None)
        os.environ.update(plain(way))
        time.tzset()
        for page in KEYS:
            for size in SIZES:
                place(page, size, way).write_text(asyncio.run(look(page, size, way)))


if __name__ == "__main__":
    main()
