"""How long does it take to add a small function: by the client, and by the command line as a person does?"""

from __future__ import annotations

import asyncio
import os
import sys
from time import monotonic_ns

from tests.benchmarks.harness.bench import ECHO, Bench, Running
from tests.support.agents import write_function

_COMMAND = "import sys; from mee6tui.cli.main import main; sys.exit(main())"


async def measure(bench: Bench) -> None:
    """Rows: `Client.add` of a new version each time, and `mee6 act add` as a process."""
    async with bench.agent(prewarm={}) as running:
        took: dict[bool, list[int]] = {False: [], True: []}
        for number in range(bench.count(100)):
            for check in (False, True):  # in turns, so that both meet the same load
                folder = write_function(running.folder, "small", f"{ECHO['python']}# {number} {check}\n")
                began = monotonic_ns()
                await running.client.add(folder, check=check)
                took[check].append(monotonic_ns() - began)
        bench.add("Client.add", took[False], "ms", note="pack, send, unpack, fsync, register")
        bench.add("Client.add, code looked at", took[True], "ms", note="with a process that compiles it")
        bench.add("mee6 act add", await _by_command(running, bench.count(20)), "ms", note="with the command's start")
        bench.add("mee6 version", await _timed(["version"], bench.count(20)), "ms", note="the command's start alone")


async def _by_command(running: Running, count: int) -> list[int]:
    took = []
    for number in range(count):
        folder = write_function(running.folder, "small", f"{ECHO['python']}# command {number}\n")
        took += await _timed(["act", "add", str(folder)], 1, running.agent.address)
    return took


async def _timed(arguments: list[str], count: int, address: str = "") -> list[int]:
    took = []
    for _ in range(count):
        began = monotonic_ns()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _COMMAND,
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "MEE6_ADDRESS": address},
        )
        _none, said = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"mee6 {' '.join(arguments)} failed: {said.decode()[-500:]}")
        took.append(monotonic_ns() - began)
    return took
