"""What does a workflow of two warm functions, one calling the other, cost from outside over HTTP?"""

from __future__ import annotations

import asyncio
from functools import partial

from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench
from tests.benchmarks.harness.http_client import one_by_one, request
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.benchmarks.http import http_of

ROUNDS = 5
FLOOR = "floor: the second alone"
"""A function that calls nothing: what the workflow takes over it is the workflow's."""
FIRST = {
    "python": "import mee6\n\ndef main(arg):\n    return mee6.invoke('{name}', arg)\n",
    "nodejs": "const Box = require('@m6s/box');\nmodule.exports = (arg) => Box.invoke('{name}', arg);\n",
}


async def measure(bench: Bench) -> None:
    """Rows: each language calling its own, beside the called function alone, in the same rounds."""
    count = bench.count(2000) // ROUNDS
    async with bench.agent(linger_s=600.0, prewarm={}) as running:
        address = http_of(running)
        contenders: dict[str, Contender] = {}
        for language in bench.languages:
            second = f"second-{language}"
            await running.function(second, ECHO[language], runtime=language)
            first = FIRST[language].replace("{name}", second)
            await running.function(f"first-{language}", first, runtime=language, calls={second: "no"})
            for name, what in ((second, f"{FLOOR}, {language}"), (f"first-{language}", f"{language}: a chain of two")):
                asked = request(f"/function/{name}", PAYLOAD.encode())
                contenders[what] = partial(asyncio.to_thread, one_by_one, address, asked, count)
        bench.add_rounds(await interleaved(ROUNDS, contenders), "us", f"{FLOOR}, python")
