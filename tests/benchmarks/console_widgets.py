"""What does a frame of the console's waterfall, theatre and logs cost, in a terminal of 160x45, 20 times a second?"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Final

from textual.widget import Widget

from tests.benchmarks.harness.bench import Bench
from tests.benchmarks.harness.terminal import report, terminal

NAMES: Final = (
    "waterfall, 20 steps",
    "waterfall, 10,000 steps",
    "theatre",
    "logs, 50 lines a frame",
    "logs, 1,000 lines a frame",
)


async def measure(bench: Bench) -> None:
    """Rows: the CPU time of all the process from one frame to the next; every frame has something new to draw."""
    for name in NAMES:
        bench.add(name, await _in_a_terminal(name, bench.count(200)), "us", note="CPU")


async def _in_a_terminal(name: str, frames: int) -> list[int]:
    """The samples of a process of its own."""
    async with terminal("-m", __name__, name, str(frames)) as running:
        found: list[int] = json.loads(await running.reported(30 + frames * 0.5))
    return found


def _run(name: str, frames: int) -> None:
    from textual.app import App, ComposeResult

    widget, frame = _contender(name)

    class Measured(App[None]):
        def compose(self) -> ComposeResult:
            yield widget

        def on_mount(self) -> None:
            self.run_worker(self.measure())

        async def measure(self) -> None:
            samples = []
            for number in range(frames + 10):
                began = time.process_time_ns()
                frame(number)
                await asyncio.sleep(1 / 20)
                samples.append(time.process_time_ns() - began)
            report(json.dumps(samples[10:]))
            self.exit()

    Measured().run()


def _contender(name: str) -> tuple[Widget, Callable[[int], None]]:
    if name.startswith("waterfall"):
        return _waterfall(10_000 if "10,000" in name else 20)
    if name == "theatre":
        return _theatre()
    return _logs(1000 if "1,000" in name else 50)


def _waterfall(count: int) -> tuple[Widget, Callable[[int], None]]:
    from mee6tui.console.widgets.waterfall import Waterfall
    from tests.console.made import invocation, step

    widget = Waterfall()
    steps = {
        f"i7.{n}": step(f"i7.{n}", ("queued", n, n + 2), ("load", n + 2, n + 6), ("run", n + 6, 0 if n % 2 else n + 40))
        for n in range(count)
    }
    call = invocation()

    def frame(number: int) -> None:
        steps[f"i7.{number % count}"] = step(f"i7.{number % count}", ("run", number, 0))
        widget.set_model(call, steps)
        widget.flush(count / 1000 + 1 + number / 20)

    return widget, frame


def _theatre() -> tuple[Widget, Callable[[int], None]]:
    from mee6tui.console.widgets.theatre import Theatre
    from tests.console.made import handover, worker

    widget = Theatre()
    told = [(0, worker("starting")), (1, worker("prewarmed"))]
    stages = [(n + 2, handover(state)) for n, state in enumerate(("granted", "connected", "direct", "alone"))]
    widget.set_story("w3", [*told, *stages, (9, worker("busy", via="direct"))])
    return widget, lambda number: widget.flush(number / 20)


def _logs(lines: int) -> tuple[Widget, Callable[[int], None]]:
    from mee6tui.console.widgets.log_view import LogView

    widget = LogView()
    texts = ["handled in 12 ms", '{"level":"info","msg":"order","id":7,"total":{"eur":12.5}}', "ERROR no \x1b[31mluck"]

    def frame(number: int) -> None:
        for line in range(lines):
            widget.put(number * 50_000_000, f"checkout/w{line % 9}", f"{texts[line % 3]} {number}")
        widget.flush(number / 20)

    return widget, frame


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
