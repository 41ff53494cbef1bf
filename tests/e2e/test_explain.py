"""`mee6 explain` and `mee6 bench` on a real agent: what is told is what was done to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mee6.client import Client
from tests.e2e.conftest import starter
from tests.support.agents import Agent, write_function

pytestmark = pytest.mark.slow

SPLIT = "import mee6\n\ndef main(arg):\n    return mee6.gather(*[mee6.call('part', arg) for _ in range(4)])\n"
PART = "import time\n\ndef main(arg):\n    time.sleep(0.02)\n    return arg\n"


def mee6(agent: Agent, user: str, *args: str) -> dict[str, Any]:
    env = {**os.environ, "MEE6_CONFIG": "/nowhere/config.toml"}
    command = [
        sys.executable,
        "-m",
        "mee6tui.cli.main",
        *args,
        "--address",
        agent.address,
        "--user",
        user,
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of(told: dict[str, Any], part: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in told["findings"] if one["part"] == part)
    return found


async def test_cold_and_warm_starts_and_a_bound_on_calls_are_told_apart(tmp_path: Path, user: str) -> None:
    with starter("isolated")(prewarm={"python": 0, "nodejs": 0}, linger_s=0.2) as agent:
        async with agent.client(user) as client:
            await _three(client, agent, user, tmp_path)


async def _three(client: Client, agent: Agent, user: str, folder: Path) -> None:
    await client.add(write_function(folder, "echo", "def main(arg):\n    return arg\n"))
    await client.invoke("echo", "x")
    cold = mee6(agent, user, "explain")
    assert of(cold, "start")["cause"] == "cold because no python worker is kept ready"
    assert of(cold, "start")["remedy"] == "mee6 agent set prewarm=python=1"
    assert of(cold, "load")["cause"].startswith("no worker had held echo v1 yet")
    assert sum(one["took_ns"] for one in cold["findings"]) == cold["took_ns"]

    figures = mee6(
        agent, user, "bench", "echo", "--rate", "100", "--arrivals", "uniform", "--duration", "0.5s", "--arg", "y"
    )
    assert (figures["calls"], figures["succeeded"], figures["errors"]) == (50, 50, {})
    assert figures["generator"]["late"] <= 50
    await client.invoke("echo", "x")
    warm = mee6(agent, user, "explain")
    assert {one["part"] for one in warm["findings"]} <= {"run", "resume", "agent"}
    assert warm["samples"] > 50
    assert of(warm, "run")["usual_ns"] > 0

    await client.add(write_function(folder, "part", PART))
    await client.add(write_function(folder, "split", SPLIT, calls={"part": "always"}, maxParallelism=2))
    await client.invoke("split", "x")
    spread = mee6(agent, user, "explain")
    assert "split made 4 calls in other workers, and 2 at once, as many as it may" in [
        one["text"] for one in spread["notes"]
    ]


async def test_code_and_steps_are_told_apart(tmp_path: Path, user: str) -> None:
    with starter("isolated")(prewarm={"python": 0, "nodejs": 0}) as agent:
        async with Client(agent.address, user=user) as client:
            await client.add(write_function(tmp_path, "part", PART.replace("0.02", "0.2")))
            folder = tmp_path / "steps"
            folder.mkdir()
            retried = {"function": "part", "retry": {"attempts": 2, "backoffS": 0.2}, "timeoutS": 0.001}
            steps = {"a": {"function": "part"}, "b": {**retried, "after": "a", "catch": {"value": 1}}}
            (folder / "activity.json").write_text(json.dumps({"name": "steps", "steps": steps}))
            await client.add(folder)
            await client.invoke("steps", 1)
            told = mee6(agent, user, "explain")
    said = {one["function"]: one["cause"] for one in told["findings"] if one["part"] == "run" and one["cause"]}
    assert said["steps"] == "it went by between its steps, the waits before b ran again included"
    assert said["part"].startswith("it was part's own code")
