"""Looking ahead on a real agent: what a trace tells of it, what is learnt, and that a restart keeps it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mee6.client import Client
from mee6.errors import FunctionRaised, InvalidInput
from mee6.records import Foreseen, Trace
from tests.e2e.conftest import Start
from tests.support.agents import until, write_function

pytestmark = pytest.mark.slow
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")
LANGUAGES = ["python", pytest.param("nodejs", marks=[pytest.mark.node, NODE])]
CHAIN = {
    "python": 'import time, mee6\ndef main(arg=None):\n    time.sleep(0.05)\n    return mee6.invoke("{}")\n',
    "nodejs": """
const Box = require("@m6s/box")
module.exports = async () => {{ await new Promise((go) => setTimeout(go, 50)); return await Box.invoke("{}") }}
""",
}
LAST = {"python": "def main(arg=None):\n    return 'done'\n", "nodejs": "module.exports = () => 'done'\n"}
WAITS = {
    "python": "import time\ndef main(arg=None):\n    time.sleep({})\n    return arg\n",
    "nodejs": """
module.exports = async (arg) => {{ await new Promise((go) => setTimeout(go, {} * 1000)); return arg }}
""",
}
CHOICE = """
import mee6
def main(arg):
    return mee6.invoke(arg)
"""
"""Calls whom it is told to."""


async def add_chain(client: Client, base: Path, language: str, length: int = 10, **manifest: object) -> None:
    for place in range(length):
        following = f"s{place + 1}" if place + 1 < length else ""
        code = CHAIN[language].format(following) if following else LAST[language]
        calls = {following: ""} if following else {}
        more = manifest if place else {}
        await client.add(write_function(base, f"s{place}", code, runtime=language, calls=calls, **more))


async def add_choice(client: Client, base: Path, *callees: str) -> None:
    await client.add(write_function(base, "choice", CHOICE, calls=dict.fromkeys(callees, "")))
    for name in callees:
        await client.add(write_function(base, name, LAST["python"]))


async def foreseen(client: Client, name: str = "choice") -> dict[str, Foreseen]:
    return {one.function: one for one in (await client.describe(name)).foreseen}


async def learnt(client: Client, name: str, runs: float) -> None:
    async def probe() -> bool:
        return (await foreseen(client))[name].runs >= runs - 0.5

    await until(probe, f"{runs} runs learnt")


def starts(trace: Trace) -> list[str]:
    return [step.start for step in trace.steps]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_chain_of_ten_that_never_ran_pays_one_start(any_client: Client, tmp_path: Path, language: str) -> None:
    await add_chain(any_client, tmp_path, language)
    assert await any_client.invoke("s0") == "done"
    trace = await any_client.trace()
    assert starts(trace)[1:] == ["ahead"] * 9
    assert {step.state for step in trace.steps} == {"succeeded"}
    assert len({step.worker for step in trace.steps}) == 1
    await any_client.invoke("s0")
    assert "cold" not in starts(await any_client.trace())


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_declared_chain_of_ten_that_never_ran_pays_one_start(
    any_client: Client, tmp_path: Path, language: str
) -> None:
    for place in range(10):
        code = WAITS[language].format(0.3 if place == 0 else 0.05)
        await any_client.add(write_function(tmp_path, f"d{place}", code, runtime=language))
    steps = {f"d{n}": {"function": f"d{n}", "after": [f"d{n - 1}"] if n else []} for n in range(10)}
    folder = tmp_path / "ten"
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": "ten", "runtime": language, "steps": steps}))
    await any_client.add(folder)
    assert all(one.is_loaded_ahead and one.chance == 1 for one in (await foreseen(any_client, "ten")).values())
    await any_client.invoke("ten")
    trace = await any_client.trace()
    begun = [step.start for step in trace.steps if step.name][1:]
    assert begun[:8] == ["ahead"] * 8, "the last one finds as many processes there as may be, in some workers"
    assert {step.state for step in trace.steps} == {"succeeded"}


async def test_off_is_off_and_can_be_changed_while_the_agent_serves(start: Start, tmp_path: Path) -> None:
    with start(look_ahead="off") as agent:
        async with agent.client() as client:
            await add_chain(client, tmp_path, "python", 4)
            await client.invoke("s0")
            assert "ahead" not in starts(await client.trace())
            assert not any(one.is_loaded_ahead for one in (await client.describe("s0")).foreseen)
            assert (await client.configure(look_ahead="declared")).look_ahead == "declared"
            for place in range(4):
                await client.remove(f"s{place}")
            await add_chain(client, tmp_path, "python", 4)
            await client.invoke("s0")
            assert starts(await client.trace())[1:] == ["ahead"] * 3

            async def told() -> bool:  # which comes after the result
                (node,) = await client.nodes()
                return (node.ahead_hits, node.ahead_misses) == (3, 0) and node.ahead_saved_ns > 0

            await until(told, "the guesses are counted")
            with pytest.raises(
                InvalidInput, match="no way to look ahead 'sideways'; use one of: off, declared, learnt"
            ):
                await client.configure(look_ahead="sideways")


async def test_a_function_that_opts_out_is_never_loaded_before_its_call(any_client: Client, tmp_path: Path) -> None:
    await add_chain(any_client, tmp_path, "python", 3, lookAhead=False)
    await any_client.invoke("s0")
    assert "ahead" not in starts(await any_client.trace())


async def test_code_that_breaks_when_it_is_loaded_ahead_hurts_nobody_who_does_not_call_it(
    any_client: Client, tmp_path: Path
) -> None:
    await add_choice(any_client, tmp_path, "bad", "good")
    await any_client.add(write_function(tmp_path, "bad", "raise RuntimeError('at the top')\n"))
    assert await any_client.invoke("choice", "good") == "done"
    with pytest.raises(FunctionRaised):
        await any_client.invoke("choice", "bad")


async def test_what_runs_show_is_learnt_and_still_known_after_a_restart(tmp_path: Path, start: Start) -> None:
    first = start(prewarm={"python": 1})
    async with first.client() as client:
        await add_choice(client, tmp_path, "left", "right")
        assert {name: one.runs for name, one in (await foreseen(client)).items()} == {"left": 0, "right": 0}
        assert [one.chance for one in (await foreseen(client)).values()] == [1.0, 0.5]
        for _ in range(8):
            await client.invoke("choice", "right")
        await learnt(client, "right", 8)
        before = await foreseen(client)
        assert before["right"].is_loaded_ahead
        assert not before["left"].is_loaded_ahead
        assert before["right"].chance > 0.8
        assert before["left"].chance < 0.3
    assert first.stop() == 0
    with first.restarted() as agent:
        async with agent.client() as client:
            after = await foreseen(client)
            assert after["right"].chance == pytest.approx(before["right"].chance, abs=0.05)
            assert after["right"].hits == pytest.approx(before["right"].hits, abs=0.2)
            await client.invoke("choice", "right")
            trace = await client.trace()
            assert [step.start for step in trace.steps if step.function == "right"] == ["ahead"]
            await client.add(write_function(tmp_path, "choice", f"{CHOICE}# more\n", calls={"left": "", "right": ""}))
            newer = await foreseen(client)
            assert newer["right"].chance > 0.7, "a new version begins with what the old one taught"


async def test_a_worker_is_thawed_before_a_call_that_leaves_and_comes_late(tmp_path: Path, start: Start) -> None:
    late = 'import time, mee6\ndef main(arg=None):\n    time.sleep(0.4)\n    return mee6.invoke("away")\n'
    with start(prewarm={"python": 2}, linger_s=0.25, pause="always") as agent:
        async with agent.client() as client:
            if (await client.nodes())[0].pause_policy == "never":
                pytest.skip("workers cannot be paused here")
            await client.add(write_function(tmp_path, "late", late, calls={"away": "always"}))
            await client.add(write_function(tmp_path, "away", LAST["python"]))
            for _ in range(3):
                await client.invoke("late")

            async def known() -> bool:
                return (await foreseen(client, "late"))["away"].after_ns > 0

            async def asleep() -> bool:
                return all(worker.state == "paused" for worker in await client.workers())

            await until(known, "it is known when the call comes")
            await until(asleep, "all workers are paused")
            await client.invoke("late")
            (away,) = [step for step in (await client.trace()).steps if step.function == "away"]
            assert away.start == "warm"
            assert "resume" not in [span.kind for span in away.spans]


async def test_a_killed_agent_starts_again_with_what_it_had_kept(tmp_path: Path, start: Start) -> None:
    first = start(prewarm={"python": 1})
    async with first.client() as client:
        await add_choice(client, tmp_path, "left", "right")
        await client.invoke("choice", "right")
        await learnt(client, "right", 1)
    first.kill()
    with first.restarted() as agent:
        async with agent.client() as client:
            assert await client.invoke("choice", "right") == "done"
            assert set(await foreseen(client)) == {"left", "right"}
