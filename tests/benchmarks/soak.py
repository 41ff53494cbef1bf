"""What is left of sixty thousand workflows: of the agent's memory, processes, descriptors, files, stores, and mounts?

Workflows of every kind, four at a time: a chain, calls in other workers with large values between them, files in the
workflow's folder, a declared graph, one that fails and one that is called off in the midst of a step. Every thousandth
time a worker is killed. It is counted each time that a tenth of them has ended and nothing goes on. The first tenths
fill what is bounded (the history, pools, stores); from the fifth on nothing may grow: where it does, the answer is an
error. Five minutes at most: what had no time left is not run, and the note says how many were.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from mee6.errors import Cancelled, FunctionError, WorkerLost
from tests.benchmarks.harness.bench import PATIENCE_S, Bench, Running
from tests.benchmarks.harness.processes import pss_bytes
from tests.support.agents import kill

WORKFLOWS: Final = 60_000
AT_ONCE: Final = 4
TENTHS: Final = 10
SETTLED: Final = 4
"""Tenths until all that is bounded is full, the history for one."""
LIMIT_S: Final = 270.0
"""Of the five minutes; the rest is for start and end."""
KILLED_EVERY: Final = 1000
CALLED_OFF_S: Final = 0.05
"""After it was accepted: most have reached the step that sleeps."""
ASLEEP: Final = ("paused", "prewarmed")
Counts = dict[str, float]
MIB: Final = 1 << 20
GROWTH: Final[Counts] = {
    "agent: RSS": 6 * MIB,
    "agent: descriptors": 8,
    "agent: threads": 4,
    "processes of workers": 6,
    "descriptors of workers": 100,
    "memory of workers": 24 * MIB,
    "files in stores": 6,
    "mounts": 6,
    "files in the state folder": 50,
}
"""Thing -> how much more of it there may be in the last tenth than once settled: what pools and allocators take."""

LEAF: Final = "def main(arg):\n    return arg\n"
LARGE: Final = "def main(arg):\n    return bytes(200 * 1024)\n"
FAILS: Final = "def main(arg):\n    raise ValueError('as asked')\n"
NAPS: Final = "import time\n\ndef main(arg):\n    time.sleep(30)\n"
WORKFLOW: Final = {
    "chain": """
import mee6
def main(arg):
    for _ in range(3):
        arg = mee6.invoke("leaf", arg)
    return arg
""",
    "spread": """
import mee6
def main(arg):
    return sum(map(len, mee6.gather(*[("large", number) for number in range(3)])))
""",
    "files": """
import mee6
def main(arg):
    (mee6.flow / "made").write_bytes(bytes(100 * 1024))
    return mee6.invoke("leaf", arg)
""",
    "tries": """
import mee6
def main(arg):
    try:
        mee6.invoke("fails", arg)
    except mee6.errors.FunctionRaised:
        return "caught"
""",
    "raises": 'import mee6\ndef main(arg):\n    return mee6.invoke("fails", arg)\n',
    "waits": 'import mee6\ndef main(arg):\n    return mee6.invoke("naps", arg)\n',
}
GRAPH: Final = {
    "split": {"function": "leaf"},
    "left": {"function": "leaf", "after": "split"},
    "right": {"function": "large", "after": "split"},
    "join": {"function": "leaf", "input": "$left", "after": ["left", "right"]},
}
KINDS: Final = (*("chain", "spread", "files", "graph", "tries", "raises") * 3, "chain", "waits")
"""What runs, over and over."""


async def measure(bench: Bench) -> None:
    """Rows: workflows a second, and for each thing counted how much of it there was in each tenth, once settled.

    Raises:
        AssertionError: something has grown.
    """
    count, ends, rates, counted = bench.count(WORKFLOWS), Counter[str](), list[float](), list[Counts]()
    until_s = time.monotonic() + LIMIT_S
    async with bench.agent(linger_s=1.0, prewarm={"python": 2}) as running:
        await _add(running)
        numbers = iter(range(count))
        for _ in range(TENTHS):
            since, before = time.monotonic(), ends.total()
            tenth = itertools.islice(numbers, count // TENTHS)
            await asyncio.gather(*(_caller(running, tenth, until_s, ends) for _ in range(AT_ONCE)))
            rates.append((ends.total() - before) / (time.monotonic() - since))
            await running.until_workers(lambda found: all(one.state in ASLEEP for one in found), "asleep")
            counted.append(_counted(running))
    bench.add("workflows", rates, "1/s", note=f"{AT_ONCE} at a time")
    for thing in GROWTH:
        unit = "MB" if GROWTH[thing] > MIB else "count"
        bench.add(thing, [one[thing] for one in counted[SETTLED:]], unit, note=_told(counted, thing))
    said = ", ".join(f"{number:,} {how}" for how, number in ends.most_common())
    bench.notes.append(f"{ends.total():,} of {count:,} workflows: {said}")
    grown = [
        f"{thing} {_told(counted, thing)}"
        for thing, most in GROWTH.items()
        if counted[-1][thing] - counted[SETTLED][thing] > most
    ]
    assert not grown, f"grown: {'; '.join(grown)}"


async def _add(running: Running) -> None:
    for name, code in {"leaf": LEAF, "large": LARGE, "fails": FAILS, "naps": NAPS}.items():
        await running.function(name, code)
    outflows = dict.fromkeys(("leaf", "fails", "naps"), "") | {"large": "always"}
    for name, code in WORKFLOW.items():
        await running.function(
            name, code, calls={called: to for called, to in outflows.items() if f'"{called}"' in code}
        )
    folder = running.folder / "graph"
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": "graph", "steps": GRAPH, "maxParallelism": 2}))
    await running.client.add(folder)


async def _caller(running: Running, numbers: Iterator[int], until_s: float, ends: Counter[str]) -> None:
    """Runs workflows, one after the other, as long as there are numbers and time."""
    for number in numbers:
        if time.monotonic() > until_s:
            return
        if number % KILLED_EVERY == KILLED_EVERY - 1:
            _kill_one(running)
        kind = KINDS[number % len(KINDS)]
        try:
            if kind == "waits":
                id_ = await running.client.submit(kind, number)
                await asyncio.sleep(CALLED_OFF_S)
                await running.client.cancel(id_)
                await running.client.result(id_, wait=PATIENCE_S)
            else:
                await running.client.invoke(kind, number)
            ends["returned"] += 1
        except (FunctionError, Cancelled, WorkerLost) as error:
            ends[error.code.replace("_", " ")] += 1


def _kill_one(running: Running) -> None:
    workers = sorted(running.agent.workers())
    with contextlib.suppress(LookupError, ProcessLookupError, IndexError):
        kill(running.agent.inside(workers[0]).init)


def _counted(running: Running) -> Counts:
    """How much there is of each thing, while nothing goes on and the workers sleep."""
    agent = psutil.Process(running.agent.pid)
    files: dict[tuple[int, int], int] = {}
    descriptors, memory = 0, 0
    workers = running.agent.processes()
    for pid in workers:
        with contextlib.suppress(OSError, psutil.Error):
            memory += pss_bytes(pid)
            for file in list(Path(f"/proc/{pid}/fd").iterdir()):
                descriptors += 1
                if "store/" in str(file.readlink()):
                    found = os.stat(file)  # noqa: PTH116 - /proc
                    files[found.st_dev, found.st_ino] = found.st_size
    held = (
        agent.memory_info().rss,
        agent.num_fds(),
        agent.num_threads(),
        len(workers),
        descriptors,
        memory,
        len(files),
        len(Path(f"/proc/{running.agent.launcher()[-1]}/mountinfo").read_text().splitlines()),
        sum(1 for path in running.agent.state.rglob("*") if path.is_file()),
    )
    return dict(zip(GROWTH, map(float, held), strict=True))


def _told(counted: list[Counts], thing: str) -> str:
    scale = MIB if GROWTH[thing] > MIB else 1
    return " ".join(f"{one[thing] / scale:.0f}" for one in counted)
