"""Makes `mee6tui/pictures` again: a real agent with the samples under load, and the console driven by its keys.

`python -m tests.support.pictures` (`make pictures`). Nothing in a picture tells which machine it was made on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mee6.client import Client
from mee6.errors import Mee6Error
from tests.support.agents import Agent, until

ROOT: Final = Path(__file__).parents[2]
PICTURES: Final = ROOT / "mee6tui" / "pictures"
SAMPLES: Final = (
    "echo",
    "slow",
    "boom",
    *("pingpong/pinger", "pingpong/ponger"),
    *("sequence/pipeline", "sequence/clean", "sequence/enrich", "sequence/publish"),
    *("wordcount/wordcount", "wordcount/count", "wordcount/merge"),
)
LOAD: Final[Sequence[tuple[str, str, float]]] = (
    ("echo", "hello", 0.15),
    ("echo", "hello again", 0.4),
    ("pinger", "ponger", 0.5),
    ("pipeline", "apple, 2, 1.5\npear, 1, 2", 0.7),
    ("wordcount", "the quick brown fox jumps over the lazy dog " * 400, 0.9),
    ("slow", "0.8", 0.1),
    ("slow", "1.5", 0.2),
    ("boom", "x", 1.7),
)
"""A caller each: function, argument, seconds between calls."""


@dataclass(frozen=True)
class Picture:
    """A page, how to come to it from the landing page, and what it shows when it is ready."""

    name: str
    size: tuple[int, int]
    keys: Sequence[str]
    shows: str


INVOKED: Final = (
    *("3", "wait:pipeline", "slash", *"^pipeline$", "enter"),
    *("i", "wait:Invoke pipeline", *"apple, 2, 1.5", "ctrl+r"),
)
SHOWN: Final = (
    Picture("pools-80x24", (80, 24), (), "running"),
    Picture("pools-120x40", (120, 40), (), "running"),
    Picture("pools-200x50", (200, 50), (), "running"),
    Picture("workers", (120, 40), ("2",), "paused"),
    Picture("functions", (120, 40), ("3",), "pipeline"),
    Picture("invocations", (120, 40), ("4",), "succeeded"),
    Picture("invoke", (120, 40), INVOKED, "succeeded"),
    Picture("trace", (120, 40), (*INVOKED, "wait:succeeded", "t"), "enrich"),
    Picture("trace-200x50", (200, 50), (*INVOKED, "wait:succeeded", "t"), "enrich"),
    Picture("theatre", (120, 40), ("2", "slash", *"function=echo", "enter", "h"), "agent"),
    Picture("logs", (80, 24), ("8",), "ping to"),
)


async def add(client: Client) -> None:
    """Adds the samples."""
    for folder in SAMPLES:
        await client.add(ROOT / "samples" / "python" / folder)


async def call(client: Client, function: str, argument: str, pause_s: float) -> None:
    """Calls a function again and again; what it raises is part of the picture."""
    while True:
        with contextlib.suppress(Mee6Error):
            await client.invoke(function, argument)
        await asyncio.sleep(pause_s)


async def take(agent: Agent, picture: Picture) -> str:
    """The SVG of a page."""
    from mee6tui.console.app import ConsoleApp
    from mee6tui.console.recall import Recall
    from mee6tui.console.source import AgentSource

    async with agent.client() as client:
        app = ConsoleApp([AgentSource("desk", client)], clients={"desk": client})
        app.recall = Recall(agent.state / f"{picture.name}.json")  # and not what somebody has typed
        async with app.run_test(size=picture.size) as pilot:

            async def shows(wanted: str) -> None:
                async def probe() -> bool:
                    await pilot.pause()
                    return wanted in app.text()

                await until(probe, f"{picture.name} shows {wanted!r}:\n{app.text()}")

            await shows("desk")
            await until(lambda: app.store.functions, "the agent is known")
            for key in picture.keys:
                if key.startswith("wait:"):
                    await shows(key.removeprefix("wait:"))
                else:
                    await pilot.press(key)
                    await pilot.pause()
            await shows(picture.shows)
            began = app.now()
            await until(lambda: app.now() - began > 2.5, "there is something to be seen")
            for toast in list(app._notifications):
                app._unnotify(toast, refresh=True)
            await pilot.pause()
            return app.export_screenshot(title=f"mee6: {picture.name.partition('-')[0]}", simplify=True)


def plain(svg: str, name: str) -> str:
    """Without a font from the network, and with names that stay the same."""
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)
    return re.sub(r"terminal-\d+", f"mee6-{name}", svg) + "\n"


async def main(wanted: Sequence[str]) -> None:
    """Takes those wanted, or all."""
    PICTURES.mkdir(exist_ok=True)
    with Agent.start(prewarm={"python": 4}, linger_s=1.0) as agent:
        async with agent.client() as client, asyncio.TaskGroup() as group:
            await add(client)
            calling = [group.create_task(call(client, *load)) for load in LOAD]
            for picture in SHOWN:
                if wanted and picture.name not in wanted:
                    continue
                svg = plain(await take(agent, picture), picture.name)
                for told in (str(agent.state), str(ROOT), os.uname().nodename, str(Path.home())):
                    assert told not in svg, f"{picture.name} tells of this machine: {told}"
                (PICTURES / f"{picture.name}.svg").write_text(svg)
                print(picture.name, len(svg), flush=True)
            for task in calling:
                task.cancel()


if __name__ == "__main__":
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ["TZ"] = "UTC"
    os.environ.pop("NO_COLOR", None)
    time.tzset()
    asyncio.run(main(sys.argv[1:]))
