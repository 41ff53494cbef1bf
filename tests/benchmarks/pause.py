"""What does it cost that idle workers are paused: to freeze, to thaw, and for the reply of a paused warm worker?"""

from __future__ import annotations

from tests.benchmarks.harness import inside
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench
from tests.benchmarks.harness.calls import PausedCalls
from tests.support.agents import write_function


async def measure(bench: Bench) -> None:
    """Rows: the reply of a worker that is paused, and of the same one awake right after; the driver's part alone."""
    count = bench.count(60)
    for language in bench.languages:
        async with bench.agent(linger_s=0.02, prewarm={}) as running, running.client.stream() as stream:
            await running.function("echo", ECHO[language], runtime=language)
            await stream.invoke("echo", PAYLOAD)
            calls = PausedCalls(running, stream, "echo")
            bench.add(f"{language}, paused to reply", await calls.take(count), "us")
            bench.add(f"{language}, of it resume", calls.parts.spans["resume"], "us")
            bench.add(f"{language}, awake to reply", calls.awake, "us")
            folder = write_function(running.folder, "inside", ECHO[language], runtime=language)
            async with inside.node(folder, bench.driver) as node:
                found = await node.freeze(count)
        bench.add(f"{language}, the driver's pause", found["pause"], "us", note="until the kernel says so")
        bench.add(f"{language}, the driver's resume", found["resume"], "us", note="the call alone")
        bench.add(f"{language}, thaw to answer", found["answer"], "us", note="without gRPC")
