"""What does it cost to start: help, an invocation, the console's first paint, and the libraries that they import?"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.benchmarks.harness.bench import ECHO, Bench
from tests.benchmarks.harness.processes import cpu_ns
from tests.benchmarks.harness.samples import Contender, Rounds, interleaved
from tests.benchmarks.harness.terminal import terminal

COMMAND: Final = ("-c", "from mee6tui.cli.main import main; main()")
RECORDING: Final = Path(__file__).parents[1] / "console" / "recordings" / "busy.jsonl"
FLOORS: Final = {
    "python": "pass",
    "python, typer": "import typer.main",
    "python, grpc": "import grpc.aio",
    "python, textual": "import textual.app",
}
Start = Callable[[], Awaitable[tuple[int, int]]]
"""Nanoseconds from the start to the end, or to what is waited for, and those of processors."""


async def measure(bench: Bench) -> None:
    """Rows: wall time and CPU of each, in turns, with compiled modules as an installation has them."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    async with bench.agent() as running:
        await running.function("echo", ECHO["python"])
        await running.until_workers(bool, "there are workers")
        env |= {"MEE6_ADDRESS": running.agent.address, "MEE6_CONFIG": str(running.folder / "config.toml")}
        replay = ("console", "--replay", str(RECORDING))
        starts: dict[str, Start] = {
            **{name: _ends(env, "-c", code) for name, code in FLOORS.items()},
            "mee6 --version": _ends(env, *COMMAND, "--version"),
            "mee6 --help": _ends(env, *COMMAND, "--help"),
            "mee6 act invoke": _ends(env, *COMMAND, "act", "invoke", "echo", "hi"),
            "mee6 console --replay: first paint": _paints(env, rb"pools", *replay),
            "mee6 console: first paint": _paints(env, rb"pools", "console"),
            "mee6 console: the agent's workers": _paints(env, rb"prewarmed|paused", "console"),
        }
        for start in starts.values():
            await start()  # compiles what is not
        used: Rounds = {name: [] for name in starts}
        contenders = {name: _contender(start, used[name]) for name, start in starts.items()}
        took = await interleaved(bench.count(20), contenders)
    bench.add_rounds({f"{name}: wall": samples for name, samples in took.items()}, "ms", "python: wall")
    bench.add_rounds({f"{name}: CPU": samples for name, samples in used.items()}, "ms", "python: CPU")


def _contender(start: Start, used: list[list[int]]) -> Contender:
    """Samples of wall time; the others go into `used`."""

    async def take() -> list[int]:
        took, cpu = await start()
        used.append([cpu])
        return [took]

    return take


def _ends(env: dict[str, str], *argv: str) -> Start:
    """Until the process has ended."""

    def run() -> tuple[int, int]:
        nowhere = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
        began = time.monotonic_ns()
        pid = os.posix_spawn(sys.executable, [sys.executable, *argv], env, file_actions=[nowhere])
        _pid, status, usage = os.wait4(pid, 0)
        took = time.monotonic_ns() - began
        if status:
            raise RuntimeError(f"{' '.join(argv[2:])} ended with {os.waitstatus_to_exitcode(status)}")
        return took, int((usage.ru_utime + usage.ru_stime) * 1e9)

    return lambda: asyncio.to_thread(run)


def _paints(env: dict[str, str], wanted: bytes, *arguments: str) -> Start:
    """Until the console has written that."""

    async def start() -> tuple[int, int]:
        painted = asyncio.Event()
        written = b""

        def seen(more: bytes) -> None:
            nonlocal written
            written += more
            if re.search(wanted, written):
                painted.set()

        began = time.monotonic_ns()
        async with terminal(*COMMAND, *arguments, seen=seen, env=env) as running:
            await asyncio.wait_for(painted.wait(), 60)
            return time.monotonic_ns() - began, cpu_ns(running.process.pid)

    return start
