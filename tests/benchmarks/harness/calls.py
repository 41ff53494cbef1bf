"""Invocations of a certain kind, and the parts that their traces name: a function's first, a paused worker's next.

The parts are the spans of the trace; what is not in them is gRPC, client and scheduling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import Final

from mee6 import content
from mee6.records import Step, Worker
from mee6.stream import InvokeStream
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.benchmarks.harness.processes import page_faults
from tests.support.agents import until

_WARM_UP: Final = 2
_COMMENT: Final = {"python": "#", "nodejs": "//"}


@dataclass(slots=True)
class Parts:
    """Of some invocations, what their spans took, and how they found their runtimes."""

    spans: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    starts: Counter[str] = field(default_factory=Counter)

    def note(self, step: Step) -> None:
        """Takes note of an invocation's first step."""
        self.starts[step.start] += 1
        for span in step.spans:
            self.spans[span.kind].append(span.end_ns - span.start_ns)

    def add_to(self, bench: Bench, of: str = "") -> None:
        """A row for each kind of span."""
        for kind, took in self.spans.items():
            bench.add(f"{of}{': ' if of else '  '}of it {kind}", took, "ms")

    @property
    def how(self) -> str:
        """How many were of which start."""
        return ", ".join(f"{start} {count}" for start, count in self.starts.items())


def ready(state: str, count: int, workers: tuple[Worker, ...]) -> bool:
    """Whether there are `count` workers, all without a function and in that state."""
    return len(workers) == count and all(worker.state == state and not worker.function for worker in workers)


@dataclass(slots=True)
class FirstCalls:
    """First invocations of functions, each of its own, so that no worker holds it yet; the worker goes with it.

    Args:
        state: of the workers that are kept ready: `prewarmed`, `paused`.
        pool: how many are.
        faults: takes how many page faults each worker has had by the end of its call; None where that is not asked.
    """

    running: Running
    language: str
    state: str
    pool: int
    faults: list[int] | None = None
    parts: Parts = field(default_factory=Parts)
    _count: int = 0

    async def take(self, count: int) -> list[int]:
        """Nanoseconds of each, end to end; the first two ever do not count."""
        if not self._count:
            for _ in range(_WARM_UP):
                await self._one()
            self.parts = Parts()
            if self.faults is not None:
                self.faults.clear()
        return [await self._one() for _ in range(count)]

    async def _one(self) -> int:
        self._count += 1
        client, name = self.running.client, f"first{self._count}"
        code = f"{ECHO[self.language]}{_COMMENT[self.language]} {name}\n"
        await self.running.function(name, code, runtime=self.language)
        await self._whole()
        began = monotonic_ns()
        outcome = await client.invoke_raw(name, *content.pack(PAYLOAD))
        took = monotonic_ns() - began
        step = (await client.trace(outcome.id)).steps[0]
        self.parts.note(step)
        if self.faults is not None:
            inside = partial(self.running.agent.inside, step.worker)
            await until(lambda: not inside().proxy, "the proxy has left, and its first process counts for it")
            found = inside()
            self.faults.append(page_faults([found.init, *found.runtimes]))
        await client.remove(name)
        await self._whole()  # so that who measures next does so beside an idle agent
        return took

    async def _whole(self) -> None:
        await self.running.until_workers(partial(ready, self.state, self.pool), f"{self.pool} {self.state}")


@dataclass(slots=True)
class PausedCalls:
    """Invocations of a function whose one worker is paused, and of it awake right after.

    Args:
        running: its linger must be short, and longer than a trace's way.
    """

    running: Running
    stream: InvokeStream
    function: str
    awake: list[int] = field(default_factory=list)
    parts: Parts = field(default_factory=Parts)

    async def take(self, count: int) -> list[int]:
        """Nanoseconds of `count` invocations that found it paused; their traces are in `parts`."""
        took = []
        for _ in range(count):
            await self.running.until_workers(self._paused, "paused")
            took.append(await self._one())
            self.parts.note((await self.running.client.trace()).steps[0])
            self.awake.append(await self._one())
        return took

    async def _one(self) -> int:
        began = monotonic_ns()
        await self.stream.invoke(self.function, PAYLOAD)
        return monotonic_ns() - began

    def _paused(self, workers: tuple[Worker, ...]) -> bool:
        return all(worker.state == "paused" for worker in workers if worker.function == self.function)
