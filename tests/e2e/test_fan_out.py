"""A workflow that calls workflows that call: as wide as one may be, and how others fare meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mee6.errors import Cancelled
from tests.e2e.test_workflows import add, peak
from tests.support.agents import Agent

pytestmark = pytest.mark.slow
CALLS = "import mee6\ndef main(arg):\n    return sum(mee6.gather(*(('{}', arg) for _ in range(5))))\n"
LEAF = "import time\ndef main(arg):\n    time.sleep(float(arg))\n    return 1\n"


async def test_a_tree_of_calls_takes_no_more_workers_than_it_may_and_comes_to_its_end(tmp_path: Path) -> None:
    with Agent.start(max_workers=6, parallel_calls=2, prewarm={"python": 2}, linger_s=60.0) as agent:
        async with agent.client() as client:
            await add(client, tmp_path, "tree", CALLS.format("branch"), calls={"branch": "always"})
            await add(client, tmp_path, "branch", CALLS.format("leaf"), calls={"leaf": "always"})
            await add(client, tmp_path, "leaf", LEAF)
            await add(client, tmp_path, "other", LEAF)
            assert await client.invoke("tree", "0.01") == 25
            steps = (await client.trace()).steps
            for name, count in (("branch", 5), ("leaf", 25)):
                found = [step for step in steps if step.function == name]
                assert (len(found), peak(found)) == (count, 2)

            tree = asyncio.create_task(client.invoke("tree", "0.3"))
            while (await client.nodes())[0].busy < 5:  # the tree, two branches and two leaves
                assert not tree.done()
                await asyncio.sleep(0.01)
            assert await client.invoke("other", "0") == 1, "there is a worker for others"
            assert not tree.done()
            tree.cancel()
            with pytest.raises((asyncio.CancelledError, Cancelled)):
                await tree
            assert await client.invoke("tree", "0") == 25, "nothing of what was called off takes a place"


async def test_what_waits_of_a_call_that_was_called_off_takes_nobodys_place(tmp_path: Path) -> None:
    tree = """
import mee6
from mee6.errors import Mee6Error
def main(arg):
    try:
        mee6.invoke("branch", "30")
    except Mee6Error as error:
        return [error.code, mee6.invoke("branch", "0")]
"""
    with Agent.start(max_workers=6, parallel_calls=1, prewarm={"python": 2}, linger_s=60.0) as agent:
        async with agent.client() as client:
            await add(client, tmp_path, "leaf", LEAF)
            await add(client, tmp_path, "branch", CALLS.format("leaf"), calls={"leaf": "always"}, timeoutS=1)
            await add(client, tmp_path, "tree", tree, calls={"branch": "always"})
            assert await client.invoke("tree") == ["timed_out", 5]
