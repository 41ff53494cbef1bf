"""What memory do an idle agent and its idle workers hold (PSS: shared pages counted by shares)?"""

from __future__ import annotations

import psutil

from tests.benchmarks.harness.bench import ECHO, PAYLOAD, Bench, Running

WORKERS = 4


async def measure(bench: Bench) -> None:
    """Rows: the agent, the launcher, and each kind of process of idle workers."""
    async with bench.agent(linger_s=0.5, prewarm=dict.fromkeys(bench.languages, WORKERS)) as running:
        wanted = WORKERS * len(bench.languages)
        await running.until_workers(lambda found: sum(one.state == "paused" for one in found) == wanted, "all paused")
        agent = psutil.Process(running.agent.pid)
        bench.add("agent, RSS", [agent.memory_info().rss], "MB", note="nothing invoked yet")
        bench.add("agent, PSS", [_pss(agent.pid)], "MB")
        for pid in running.agent.launcher():
            bench.add(f"launcher ({psutil.Process(pid).name()}), PSS", [_pss(pid)], "MB")
        for language in bench.languages:
            await _prewarmed(bench, running, language)
        for language in bench.languages:
            await _warm(bench, running, language)
        for _ in range(bench.count(2000)):
            await running.client.invoke(f"echo-{bench.languages[0]}", PAYLOAD)
        note = f"after {bench.count(2000)} invocations"
        bench.add("agent, RSS", [agent.memory_info().rss], "MB", note=note)
        bench.add("agent, PSS", [_pss(agent.pid)], "MB", note=note)


async def _prewarmed(bench: Bench, running: Running, language: str) -> None:
    ids = [one.id for one in await running.workers() if one.pool.startswith(language)]
    insides = [running.agent.inside(id_) for id_ in ids]
    parts = {
        "init": [[inside.init] for inside in insides],
        "proxy": [[inside.proxy] for inside in insides],
        "spare runtime": [inside.runtimes for inside in insides],
    }
    for part, pids in parts.items():
        bench.add(f"{language}, prewarmed: {part}", [sum(map(_pss, one)) for one in pids], "MB")
    whole = [sum(map(_pss, (inside.init, inside.proxy, *inside.runtimes))) for inside in insides]
    bench.add(f"{language}, prewarmed: whole worker", whole, "MB")


async def _warm(bench: Bench, running: Running, language: str) -> None:
    name = f"echo-{language}"
    await running.function(name, ECHO[language], runtime=language)
    await running.client.invoke(name, PAYLOAD)
    found = await running.until_workers(
        lambda found: [one for one in found if one.function == name and one.via == "direct" and one.state == "paused"],
        "a paused warm worker",
    )
    (worker,) = [one.id for one in found if one.function == name]
    inside = running.agent.inside(worker)
    processes = [pid for pid in (inside.init, inside.proxy, *inside.runtimes) if pid]
    note = f"{len(processes)} processes, handed over"
    bench.add(f"{language}, warm: whole worker", [sum(map(_pss, processes))], "MB", note=note)


def _pss(pid: int) -> int:
    return int(psutil.Process(pid).memory_full_info().pss)
