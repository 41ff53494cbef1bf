"""What memory do an idle agent and its idle workers hold (PSS: shared pages counted by shares)?

And an agent that knows many functions, and has called some of them.
"""

from __future__ import annotations

import psutil

from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running
from tests.benchmarks.harness.processes import engine, group_bytes, parts, pss_bytes

WORKERS = 4
FUNCTIONS = 1000
CALLED = 100
"""Of them, one after the other: each has a worker for as long as there is room."""


async def measure(bench: Bench) -> None:
    """Rows: the agent, what makes workers, and each kind of process of idle workers."""
    languages = bench.languages
    async with bench.agent(linger_s=0.5, prewarm=dict.fromkeys(languages, WORKERS)) as running:
        wanted = WORKERS * len(languages)
        await running.until_workers(lambda found: sum(one.state == "paused" for one in found) == wanted, "all paused")
        agent = psutil.Process(running.agent.pid)
        bench.add("agent, RSS", [agent.memory_info().rss], "MB", note="nothing invoked yet")
        bench.add("agent, PSS", [pss_bytes(agent.pid)], "MB")
        if bench.driver == "docker":
            for name, pid in engine().items():
                bench.add(f"engine ({name}), PSS", [pss_bytes(pid)], "MB", note=f"with {wanted} containers of ours")
        else:
            for pid in running.agent.launcher():
                bench.add(f"launcher ({psutil.Process(pid).name()}), PSS", [pss_bytes(pid)], "MB")
        for language in languages:
            await _prewarmed(bench, running, language)
        for language in languages:
            await _warm(bench, running, language)
        for _ in range(bench.count(2000)):
            await running.client.invoke(f"echo-{languages[0]}", PAYLOAD)
        note = f"after {bench.count(2000)} invocations"
        bench.add("agent, RSS", [agent.memory_info().rss], "MB", note=note)
        bench.add("agent, PSS", [pss_bytes(agent.pid)], "MB", note=note)
    await _many(bench)


async def _many(bench: Bench) -> None:
    language, count = bench.languages[0], bench.count(FUNCTIONS)
    async with bench.agent(prewarm={}) as running:
        agent = psutil.Process(running.agent.pid)
        for number in range(count):
            await running.function(f"f{number}", ECHO[language], runtime=language)
        bench.add(f"agent, RSS, with {count:,} functions", [agent.memory_info().rss], "MB")
        for number in range(bench.count(CALLED)):
            await running.client.invoke(f"f{number}", PAYLOAD)
        what = f"agent, RSS, with {count:,} functions, of which {bench.count(CALLED)} were called"
        bench.add(what, [agent.memory_info().rss], "MB")


async def _prewarmed(bench: Bench, running: Running, language: str) -> None:
    ids = [one.id for one in await running.client.workers() if one.pool.startswith(language)]
    found = [parts(running.agent, bench.driver, id_) for id_ in ids]
    for part in found[0]:
        name = "spare runtime" if part == "runtime" else part
        bench.add(f"{language}, prewarmed: {name}", [sum(map(pss_bytes, one.get(part, []))) for one in found], "MB")
    whole = [sum(pss_bytes(pid) for pids in one.values() for pid in pids) for one in found]
    bench.add(f"{language}, prewarmed: whole worker", whole, "MB")
    groups = [group_bytes(one["init"][0]) for one in found]
    bench.add(f"{language}, prewarmed: its control group", groups, "MB", note="what counts against its limit")


async def _warm(bench: Bench, running: Running, language: str) -> None:
    name = f"echo-{language}"
    await running.function(name, ECHO[language], runtime=language)
    await running.client.invoke(name, PAYLOAD)
    found = await running.until_workers(
        lambda found: [one for one in found if one.function == name and one.via == "direct" and one.state == "paused"],
        "a paused warm worker",
    )
    (worker,) = [one.id for one in found if one.function == name]
    processes = [pid for pids in parts(running.agent, bench.driver, worker).values() for pid in pids]
    note = f"{len(processes)} processes, handed over"
    bench.add(f"{language}, warm: whole worker", [sum(map(pss_bytes, processes))], "MB", note=note)
