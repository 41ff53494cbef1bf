"""What does a warm invocation cost from outside (unary, on a stream; 64 bytes), and the agent's part of it alone?"""

from __future__ import annotations

from functools import partial

from mee6.client import Client
from mee6.stream import InvokeStream
from tests.benchmarks.harness import floors, inside
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running, timed
from tests.benchmarks.harness.samples import Contender, interleaved
from tests.support.agents import write_function

ROUNDS = 5


async def measure(bench: Bench) -> None:
    """Rows: each way in and each language, beside gRPC that does nothing else."""
    count = bench.count(2000) // ROUNDS
    async with (
        bench.agent(linger_s=600.0, prewarm={}) as running,
        running.client.stream() as stream,
        floors.over_grpc(count) as beside,
    ):
        contenders = dict(beside)
        for language in bench.languages:
            await running.function(f"echo-{language}", ECHO[language], runtime=language)
            contenders.update(_ways(running, stream, language, count))
        rounds = await interleaved(ROUNDS, contenders)
        unary = {name: rounds[name] for name in rounds if "unary" in name}
        streamed = {name: rounds[name] for name in rounds if "stream" in name}
        bench.add_rounds(unary, "us", floors.UNARY)
        bench.add_rounds(streamed, "us", floors.STREAM)
        for language in bench.languages:
            folder = write_function(running.folder, f"inside-{language}", ECHO[language], runtime=language)
            async with inside.node(folder, bench.driver) as node:
                bench.add(f"{language}, agent's part: begin to outcome", await node.begin(count * 2), "us")


def _ways(running: Running, stream: InvokeStream, language: str, count: int) -> dict[str, Contender]:
    async def take(way: Client | InvokeStream) -> list[int]:
        return await timed(count, partial(way.invoke, f"echo-{language}", PAYLOAD))

    return {
        f"{language}, unary": lambda: take(running.client),
        f"{language}, stream": lambda: take(stream),
    }
