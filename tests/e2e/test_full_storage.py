"""A worker's folders hold so much: what its function is told when one is full, and that it is full for nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from mee6.errors import FunctionRaised
from tests.agent.drivers.engines import need_engine
from tests.support.agents import Agent, until, write_function
from tests.support.docker_agents import DockerAgent

pytestmark = pytest.mark.slow
WRITES: Final = {
    "python": "import mee6\ndef main(arg):\n    place, size = arg\n"
    "    with open(f'{place}/x', 'wb', buffering=0) as file:\n"
    "        for _ in range(size):\n            assert file.write(bytes(1 << 20)) == 1 << 20\n    return size\n",
    "nodejs": "const fs = require('node:fs')\nmodule.exports = ([place, size]) => {\n"
    "  fs.writeFileSync(`${place}/x`, Buffer.alloc(size * 1048576))\n  return size\n}\n",
}
KEEPS: Final = """
import mee6
def main(arg):
    (mee6.flow / "mine").write_bytes(bytes(7 << 20))
    try:
        mee6.invoke("fills", ["/act/flow", 8])
    finally:
        (mee6.flow / "mine").unlink()
"""


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def some_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    if request.param == "docker":
        need_engine("python")
        need_engine("nodejs")
    kind = DockerAgent if request.param == "docker" else Agent
    with kind.start(prewarm={"python": 1, "nodejs": 1}, scratch_bytes=8 << 20, start_timeout_s=60.0) as agent:
        yield agent


@pytest.mark.parametrize("place", ["/act/flow", "/act", "/tmp"])
@pytest.mark.parametrize(
    "language",
    ["python", pytest.param("nodejs", marks=pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on PATH"))],
)
async def test_a_function_is_told_which_folder_is_full(
    some_agent: Agent, user: str, tmp_path: Path, language: str, place: str
) -> None:
    async with some_agent.client(user) as client:
        if (await client.nodes())[0].isolation == "none":
            pytest.skip("without namespaces there is no storage of limited size")
        await client.add(write_function(tmp_path, "fills", WRITES[language], runtime=language))
        told = rf"(?i)no space left on device.*; {place}(/flow)? is full, with 8 MiB"
        with pytest.raises(FunctionRaised, match=told):
            await client.invoke("fills", [place, 9])
        if place == "/act/flow":  # what filled it is out of the way at once; its room is free when it is removed

            async def fits() -> bool:
                with suppress(FunctionRaised):
                    return bool(await client.invoke("fills", [place, 6]) == 6)
                return False

            await until(fits, "there is room again")


async def test_a_callee_fills_its_workflows_flow_and_not_the_next_workflows(
    some_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with some_agent.client(user) as client:
        if (await client.nodes())[0].isolation == "none":
            pytest.skip("without namespaces there is no storage of limited size")
        await client.add(write_function(tmp_path, "keeps", KEEPS, calls={"fills": "always"}))
        await client.add(write_function(tmp_path, "fills", WRITES["python"]))
        with pytest.raises(FunctionRaised, match=r"'fills' raised OSError.*; /act/flow is full, with 8 MiB"):
            await client.invoke("keeps")
        assert await client.invoke("fills", ["/act/flow", 6]) == 6
