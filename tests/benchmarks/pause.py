"""What does it cost that idle workers are paused: to freeze, to thaw, and for the reply of a paused warm worker?"""

from __future__ import annotations

from time import monotonic_ns

from tests.benchmarks.harness import inside
from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.support.agents import write_function


async def measure(bench: Bench) -> None:
    """Rows: the reply of a worker that is paused, and of the same one awake right after; the driver's part alone."""
    count = bench.count(60)
    for language in bench.languages:
        async with bench.agent(linger_s=0.02, prewarm={}) as running:
            await running.function("echo", ECHO[language], runtime=language)
            await _replies(bench, running, language, count)
            if bench.driver != "process":  # what follows drives that driver from within
                continue
            folder = write_function(running.folder, "inside", ECHO[language], runtime=language)
            found = await inside.samples(folder, count * 10, "pause")
        bench.add(f"{language}, the driver's pause", found["pause"], "us", note="until the kernel says so")
        bench.add(f"{language}, the driver's resume", found["resume"], "us", note="the call alone")
        bench.add(f"{language}, thaw to answer", found["answer"], "us", note="without gRPC")


async def _replies(bench: Bench, running: Running, language: str, count: int) -> None:
    paused: list[int] = []
    resume: list[int] = []
    awake: list[int] = []
    async with running.client.stream() as stream:
        await stream.invoke("echo", PAYLOAD)
        for _ in range(count):
            await running.until_workers(lambda found: all(worker.state == "paused" for worker in found), "paused")
            for samples in (paused, awake):
                began = monotonic_ns()
                await stream.invoke("echo", PAYLOAD)
                samples.append(monotonic_ns() - began)
                if samples is paused:
                    spans = (await running.client.trace()).steps[0].spans
                    resume.extend(span.end_ns - span.start_ns for span in spans if span.kind == "resume")
    bench.add(f"{language}, paused to reply", paused, "us")
    bench.add(f"{language}, of it resume", resume, "us")
    bench.add(f"{language}, awake to reply", awake, "us")
