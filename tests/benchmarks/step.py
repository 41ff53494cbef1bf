"""What does a warm step inside a workflow cost, from call to result, as the calling function sees it?

The caller makes its calls one after the other and returns its own time stamps, so that nothing outside of
the worker enters: caller, proxy and callee, and the trace that the proxy sends meanwhile.
"""

from __future__ import annotations

from tests.benchmarks.harness import floors
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.benchmarks.harness.samples import Contender, interleaved

ROUNDS = 5
WARM_UP = 50

CALLER = {
    "python": """\
from time import monotonic_ns
import mee6

def main(told):
    name, arg, stamps = told["name"], told["arg"], []
    for _ in range(told["count"] + 1):
        stamps.append(monotonic_ns())
        mee6.invoke(name, arg)
    return [after - before for before, after in zip(stamps, stamps[1:])]
""",
    "nodejs": """\
const Box = require("@m6s/box");

module.exports = async ({ name, arg, count }) => {
  const stamps = [];
  for (let i = 0; i <= count; i++) {
    stamps.push(process.hrtime.bigint());
    await Box.invoke(name, arg);
  }
  return stamps.slice(1).map((stamp, i) => Number(stamp - stamps[i]));
};
""",
}


async def measure(bench: Bench) -> None:
    """Rows: each pair of languages, beside a bare socketpair on one core and across two."""
    count = bench.count(5000) // ROUNDS
    async with bench.agent(linger_s=600.0, prewarm={}) as running:
        contenders = floors.lane(count)
        for callee in bench.languages:
            await running.function(f"callee-{callee}", ECHO[callee], runtime=callee)
        for caller in bench.languages:
            calls = {f"callee-{callee}": "" for callee in bench.languages}
            await running.function(f"caller-{caller}", CALLER[caller], runtime=caller, calls=calls)
            for callee in bench.languages:
                contenders[f"{caller} -> {callee}"] = _steps(running, caller, callee, count)
        bench.add_rounds(await interleaved(ROUNDS, contenders), "us", floors.ONE_CORE)


def _steps(running: Running, caller: str, callee: str, count: int) -> Contender:
    async def take() -> list[int]:
        told = {"name": f"callee-{callee}", "arg": PAYLOAD, "count": WARM_UP}
        await running.client.invoke(f"caller-{caller}", told)
        found: list[int] = await running.client.invoke(f"caller-{caller}", told | {"count": count})
        return found

    return take
