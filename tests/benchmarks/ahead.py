"""What does a chain of ten functions cost that never ran before, with and without looking ahead?

Each sample is a chain of its own: ten functions in one worker, of which each declares the next and calls it, at once
or after it has waited for something else. The looking ahead is switched between the rounds of one agent; the notes
tell the starts of a run, as its traces have them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from tests.benchmarks.harness.bench import Bench, Running
from tests.benchmarks.harness.calls import ready
from tests.benchmarks.harness.samples import Contender, interleaved

LENGTH = 10
ROUNDS = 5
POOL = 2
WAITS_MS = (0, 20)
"""What a step does before it calls the next."""

CODE = {
    "python": """\
from time import sleep
import mee6

def main(_arg=None):
    sleep({ms} / 1000)
    return {call}
""",
    "nodejs": """\
const Box = require("@m6s/box");

module.exports = async () => {{
  if ({ms}) await new Promise((go) => setTimeout(go, {ms}));
  return {call};
}};
""",
}
CALL = {"python": 'mee6.invoke("{}")', "nodejs": 'await Box.invoke("{}")'}


@dataclass(slots=True)
class Chains:
    """Chains that never ran before, called with one way of looking ahead."""

    running: Running
    language: str
    waits_ms: int
    mode: str
    starts: Counter[str] = field(default_factory=Counter)
    waited_ns: list[int] = field(default_factory=list)
    """Of each chain, what its callers waited for starts and loads of those that they called."""
    taken: int = 0

    async def take(self, count: int) -> list[int]:
        """Nanoseconds of each, from its acceptance to its result."""
        await self.running.client.configure(look_ahead=self.mode)
        return [await self._one() for _ in range(count)]

    async def _one(self) -> int:
        self.taken += 1
        client = self.running.client
        names = [f"{self.mode}-{self.waits_ms}-{self.taken}-{place}" for place in range(LENGTH)]
        for name, following in zip(names, [*names[1:], ""], strict=True):
            call = CALL[self.language].format(following) if following else '"done"'
            code = CODE[self.language].format(ms=self.waits_ms, call=call)
            calls = {following: ""} if following else {}
            await self.running.function(name, code, runtime=self.language, calls=calls)
        await self.running.until_workers(partial(ready, "paused", POOL), f"{POOL} paused")
        await client.invoke(names[0])
        trace = await client.trace()
        self.starts.update(step.start for step in trace.steps)
        called = [span for step in trace.steps if step.parent for span in step.spans]
        self.waited_ns.append(sum(span.end_ns - span.start_ns for span in called if span.kind in ("start", "load")))
        for name in names:
            await client.remove(name)
        return trace.invocation.ended_ns - trace.invocation.accepted_ns

    @property
    def how(self) -> str:
        """The starts of one run."""
        kinds = (f"{count / self.taken:.3g} {start}" for start, count in sorted(self.starts.items()))
        return f"starts of a run: {', '.join(kinds)}"


async def measure(bench: Bench) -> None:
    """Rows: each language, with steps that take no time and some; without, and by what manifests declare."""
    count = max(bench.count(50) // ROUNDS, 1)
    for language in bench.languages:
        async with bench.agent(prewarm={language: POOL}, linger_s=0.05, pause="always") as running:
            for waits_ms in WAITS_MS:
                both = {mode: Chains(running, language, waits_ms, mode) for mode in ("off", "learnt")}
                contenders: dict[str, Contender] = {mode: partial(one.take, count) for mode, one in both.items()}
                found = await interleaved(ROUNDS, contenders)
                for mode, rounds in found.items():
                    samples = [sample for round_ in rounds for sample in round_]
                    what = f"{language}, {waits_ms} ms waited a step, look-ahead {mode}"
                    bench.add(what, samples, "ms", note=both[mode].how)
                    bench.add("  of it waited for starts and loads of calls", both[mode].waited_ns, "ms")
