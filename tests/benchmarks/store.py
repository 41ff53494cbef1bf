"""What does it cost to pass a large value to a function and back: by the store, over sockets, as a file?

Four agents take turns. In the first, values pass by the store of the workflow, and are asked for as views or as bytes;
in the second, without a store, they go over sockets. In the last two the callee writes a file into the workflow's
folder and returns its name, and the caller reads that: in memory, and, in an agent without namespaces, on the disk
that its state folder is on. The callee is called in another worker and in its caller's own. At the end as many
workflows as are asked for are run, and what is left of them in stores is counted.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.harness.bench import Bench, Running
from tests.benchmarks.harness.samples import Contender, interleaved

ROUNDS: Final = 5
WARM_UP: Final = 10
KIB: Final = 1 << 10
MIB: Final = 1 << 20
SIZES: Final = {
    "nothing": 0,
    "16 KiB": 16 * KIB,
    "64 KiB": 64 * KIB,
    "256 KiB": 256 * KIB,
    "1 MiB": MIB,
    "8 MiB": 8 * MIB,
}
OUTFLOWS: Final = {"between workers": "always", "within one": ""}
CALLEE: Final = """
import mee6
made = {}
def main(told):
    size, is_file = told
    data = made.get(size)
    if data is None:
        data = made[size] = bytes(size)
    if not is_file:
        return data
    with open(mee6.flow / "passed", "wb") as file:
        file.write(data)
    return "passed"
"""
CALLER: Final = """
from time import monotonic_ns
import mee6
def main(told):
    size, is_file, took = told["size"], told["is_file"], []
    for _ in range(told["count"]):
        began = monotonic_ns()
        value = mee6.invoke(told["name"], [size, is_file], view=told["view"])
        if is_file:
            with open(mee6.flow / value, "rb") as file:
                value = file.read()
        took.append(monotonic_ns() - began)
        assert len(value) == size
        del value
    return took
"""
WAYS: Final = {
    "store, view": ("store", True, False),
    "store, bytes": ("store", False, False),
    "sockets": ("sockets", False, False),
    "file in memory": ("sockets", False, True),
    "file on disk": ("disk", False, True),
}
"""Way -> the agent, whether a view is asked for, whether it is a file."""


async def measure(bench: Bench) -> None:
    """Rows: each size in each way, between two workers and within one."""
    async with contextlib.AsyncExitStack() as stack:
        agents: dict[str, Running] = {}
        for name in ("store", "sockets", "disk"):
            env = {"MEE6_PROCESS_ISOLATION": "none"} if name == "disk" else None
            if name == "disk" and bench.driver != "process":
                bench.notes.append("a container's worker has no disk")
                continue
            agent = bench.agent(linger_s=600.0, prewarm={}, env=env, store=name == "store")
            agents[name] = await stack.enter_async_context(agent)
            for outflow in OUTFLOWS.values():
                await agents[name].function(f"callee{outflow}", CALLEE)
            calls = {f"callee{outflow}": outflow for outflow in OUTFLOWS.values()}
            await agents[name].function("caller", CALLER, calls=calls)
        cpu: dict[str, list[float]] = {}
        for where, outflow in OUTFLOWS.items():
            for what, size in SIZES.items():
                count = max(bench.count(2000 if size < MIB else 400 * MIB // size) // ROUNDS, 3)
                contenders: dict[str, Contender] = {}
                for way, (name, view, is_file) in WAYS.items():
                    if name in agents and (size or not is_file):
                        told = {"name": f"callee{outflow}", "size": size, "view": view, "is_file": is_file}
                        label = f"{what} {where}, {way}"
                        contenders[label] = _calls(agents[name], told, count, cpu.setdefault(label, []))
                bench.add_rounds(await interleaved(ROUNDS, contenders), "us")
        for what in ("1 MiB", "8 MiB"):
            used = ", ".join(f"{way} {sum(one) / len(one):.0f}" for way, one in _of(cpu, f"{what} between workers, "))
            bench.notes.append(f"processor time of {what} between workers, us of all processes for each call: {used}")
        await _many(bench, agents["store"])


def _of(cpu: dict[str, list[float]], begins: str) -> Iterable[tuple[str, list[float]]]:
    return ((label.removeprefix(begins), found) for label, found in cpu.items() if label.startswith(begins))


def _calls(running: Running, told: dict[str, object], count: int, cpu: list[float]) -> Contender:
    async def take() -> list[int]:
        await running.client.invoke("caller", told | {"count": WARM_UP})
        before = _cpu_s(running)
        found: list[int] = await running.client.invoke("caller", told | {"count": count})
        cpu.append((_cpu_s(running) - before) / count * 1e6)
        return found

    return take


def _cpu_s(running: Running) -> float:
    """Processor time of the agent and all of its workers until now."""
    agent = psutil.Process(running.agent.pid)
    total = 0.0
    for process in (agent, *agent.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def _many(bench: Bench, running: Running) -> None:
    """Runs many workflows, each with three large values, and counts what they leave."""
    count = bench.count(10_000)
    told = {"name": "callee", "size": 100 * KIB, "view": True, "is_file": False, "count": 3}
    async with running.client.stream() as stream:
        for _ in range(100):
            await stream.invoke("caller", told)
        before = _left(running)
        for _ in range(count):
            await stream.invoke("caller", told)
        after = _left(running)
    (node,) = await running.client.nodes()
    bench.notes.append(
        f"{count} workflows of 3 values of 100 KiB: {_text(*after)}; before them {_text(*before)}; in all "
        f"{node.stored_blocks} values with {node.stored_bytes / MIB:.0f} MiB passed, and {node.stored_over} had no room"
    )


def _text(files: int, size: int, descriptors: int) -> str:
    return f"{files} files with {size / MIB:.1f} MiB in stores, {descriptors} descriptors"


def _left(running: Running) -> tuple[int, int, int]:
    """Files in stores that the workers have open, their bytes in memory, and all descriptors."""
    files: dict[tuple[int, int], int] = {}
    descriptors = 0
    for pid in running.agent.processes():
        with contextlib.suppress(OSError):
            for file in list(Path(f"/proc/{pid}/fd").iterdir()):
                descriptors += 1
                with contextlib.suppress(OSError):
                    if "store/" in str(file.readlink()):
                        found = os.stat(file)  # noqa: PTH116 - /proc
                        files[found.st_dev, found.st_ino] = found.st_blocks * 512
    return len(files), sum(files.values()), descriptors
