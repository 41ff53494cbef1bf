"""The store of a workflow, by real agents: what passes through it, who may be killed meanwhile, and what is left of it.

`calls` is a workflow whose `big` runs in another worker and whose `near` runs in its own; both give so many bytes, or
the length of what they got.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from mee6.client import Client
from mee6.errors import FunctionRaised
from tests.agent.drivers.engines import need_engine
from tests.support.agents import Agent, write_function
from tests.support.docker_agents import DockerAgent

pytestmark = pytest.mark.slow
MIB: Final = 1 << 20
NODE: Final = pytest.param("nodejs", marks=pytest.mark.skipif(not shutil.which("node"), reason="no Node.js on PATH"))
GIVES: Final = {
    "python": "def main(arg):\n    return len(arg) if isinstance(arg, bytes) else bytes([arg % 251]) * arg\n",
    "nodejs": "module.exports = (arg) => Buffer.isBuffer(arg) ? arg.length : Buffer.alloc(arg, arg % 251)\n",
}
CALLS: Final = {
    "python": """
import mee6
def main(arg):
    found = []
    for name, size, times in arg:
        for _ in range(times):
            got = mee6.invoke(name, size)
            assert got == bytes([size % 251]) * size, (name, len(got))
            found.append(mee6.invoke(name, got))
    many = mee6.gather(*[(name, size) for name, size, _ in arg for _ in range(3)])
    return found + [len(one) for one in many]
""",
    "nodejs": """
const Box = require("@m6s/box")
module.exports = async (arg) => {
  const found = []
  for (const [name, size, times] of arg) {
    for (let n = 0; n < times; n++) {
      const got = await Box.invoke(name, size)
      if (!got.equals(Buffer.alloc(size, size % 251))) throw new Error(`${name}: ${got.length} bytes`)
      found.push(await Box.invoke(name, got))
    }
  }
  const many = await Promise.all(arg.flatMap(([name, size]) => [1, 2, 3].map(() => Box.invoke(name, size))))
  return [...found, ...many.map((one) => one.length)]
}
""",
}
OUTFLOW: Final = {"big": "always", "near": ""}


@pytest.fixture(scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def some_agent(request: pytest.FixtureRequest) -> Iterator[Agent]:
    if request.param == "docker":
        need_engine("python")
        need_engine("nodejs")
    kind = DockerAgent if request.param == "docker" else Agent
    with kind.start(prewarm={"python": 1}, start_timeout_s=60.0) as agent:
        yield agent


async def add(client: Client, folder: Path, caller: str = "python", callee: str = "python", **code: str) -> None:
    for name in OUTFLOW:
        await client.add(write_function(folder, name, code.get(name, GIVES[callee]), runtime=callee))
    await client.add(write_function(folder, "calls", code.get("calls", CALLS[caller]), runtime=caller, calls=OUTFLOW))


async def passed(client: Client) -> tuple[int, int, int]:
    """Blocks, bytes, and what there was no room for, by all workflows of the agent."""
    (node,) = await client.nodes()
    return node.stored_blocks, node.stored_bytes, node.stored_over


@pytest.mark.parametrize("caller", ["python", NODE])
@pytest.mark.parametrize("callee", ["python", NODE])
async def test_large_values_arrive_whole_in_both_languages_within_a_worker_and_between(
    some_agent: Agent, user: str, tmp_path: Path, caller: str, callee: str
) -> None:
    sizes = [1, 32 << 10, (32 << 10) + 1, 100_000, 3 * MIB + 5]
    async with some_agent.client(user) as client:
        await add(client, tmp_path, caller, callee)
        before = await passed(client)
        arg = [(name, size, 3) for name in OUTFLOW for size in sizes]
        expected = [size for _name, size, times in arg for _ in range(times)]
        assert await client.invoke("calls", arg) == expected + expected
        after = await passed(client)
        large = [size for size in expected if size > 32 << 10]
        stored, size, over = (now - then for now, then in zip(after, before, strict=True))
        assert stored + over == 3 * len(large), "of each its result, that as an argument, and one more result"
        assert stored >= 2 * len(large), "one after the other all pass; of thirty at once, as many as there is room for"
        assert 2 * sum(large) <= size <= 3 * sum(large)


async def test_a_result_within_a_workflow_may_be_larger_than_a_lanes(
    some_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with some_agent.client(user) as client:
        await add(client, tmp_path)
        code = "import mee6\ndef main(size):\n"
        code += "    return [mee6.invoke(name, mee6.invoke(name, size)) for name in ('big', 'near')]\n"
        await client.add(write_function(tmp_path, "calls", code, calls=OUTFLOW))
        assert await client.invoke("calls", 20 * MIB) == [20 * MIB] * 2
        with pytest.raises(FunctionRaised, match="no room for more than"):
            await client.invoke("calls", 200 * MIB)


VIEWS: Final = """
import mee6
def main(size):
    one, two = mee6.invoke("big", size, view=True), mee6.invoke("near", size, view=True)
    assert type(one) is type(two) is memoryview and one.readonly, type(one)
    part = two[5:9]
    del two
    mee6.invoke("near", size + 1)
    assert one == bytes([size % 251]) * size and part == bytes([size % 251]) * 4
    return [mee6.invoke("big", one), mee6.invoke("near", one[:100_000])]
"""
TAKES_VIEW: Final = """
def main(arg: memoryview):
    return arg.nbytes if type(arg) is memoryview else bytes([arg % 251]) * arg
"""


async def test_who_asks_for_a_view_gets_one_that_stays(some_agent: Agent, user: str, tmp_path: Path) -> None:
    async with some_agent.client(user) as client:
        await add(client, tmp_path, big=TAKES_VIEW, near=TAKES_VIEW, calls=VIEWS)
        for _ in range(3):
            assert await client.invoke("calls", 2 * MIB) == [2 * MIB, 100_000]
        assert await client.invoke("big", b"x" * 99) == 99, "from outside too"


async def test_without_the_store_all_goes_over_the_lanes(user: str, tmp_path: Path) -> None:
    with Agent.start(store=False) as agent:
        async with agent.client(user) as client:
            await add(client, tmp_path)
            assert await client.invoke("calls", [("big", MIB, 1), ("near", MIB, 1)]) == [MIB] * 8
            assert await passed(client) == (0, 0, 0)
            with pytest.raises(FunctionRaised, match="over the limit of 8388608"):
                await client.invoke("calls", [("big", 9 * MIB, 1)])


SMALL: Final = {"memoryMib": 64, "scratchMib": 1}


async def test_what_is_over_the_quota_goes_over_the_lanes_and_is_counted(
    some_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with some_agent.client(user) as client:
        await add(client, tmp_path)
        folder = write_function(tmp_path, "calls", CALLS["python"], calls=OUTFLOW, limits=SMALL)
        await client.add(folder)
        before = await passed(client)
        assert (
            await client.invoke("calls", [("big", 2 * MIB, 2), ("near", 100_000, 2)])
            == [2 * MIB] * 2 + [100_000] * 2 + [2 * MIB] * 3 + [100_000] * 3
        )
        after = await passed(client)
        assert after[0] > before[0]
        assert after[2] - before[2] >= 4
        with pytest.raises(FunctionRaised, match="no room for more than"):
            await client.invoke("calls", [("near", 9 * MIB, 1)])


def regions(pids: set[int]) -> dict[str, int]:
    """Name -> bytes in memory of all files in stores that these processes have open."""
    found = {}
    for pid in pids:
        with suppress(OSError):
            for file in list(Path(f"/proc/{pid}/fd").iterdir()):
                with suppress(OSError):
                    target = str(file.readlink())
                    if "/store/" in target or "/.store/" in target:
                        found[target] = file.stat().st_blocks * 512
    return found


DIES: Final = {
    "writer": "import os, signal\ndef main(arg):\n    if arg == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
    "    return bytes(1 << 20)\n",
    "reader": "import os, signal\ndef main(arg):\n    if len(arg) == 4 << 20: os.kill(os.getpid(), signal.SIGKILL)\n"
    "    return b'x' * (1 << 20)\n",
}
SURVIVES: Final = """
import mee6
from mee6.errors import Mee6Error
def main(arg):
    name, what = arg
    for n in range(20):
        small, dies = (n, 4) if what == "writer" else (bytes(1 << 20), bytes(4 << 20))
        if small == dies: continue
        assert len(mee6.invoke(name, small)) == 1 << 20
        if n % 5 == 3:
            try:
                mee6.invoke(name, dies)
            except Mee6Error as error:
                last = error.code
    return last
"""


@pytest.mark.parametrize("callee", ["big", "near"])
@pytest.mark.parametrize("what", ["writer", "reader"])
async def test_a_callee_that_is_killed_costs_its_call_and_nothing_of_the_store(
    some_agent: Agent, user: str, tmp_path: Path, what: str, callee: str
) -> None:
    async with some_agent.client(user) as client:
        await add(client, tmp_path, big=DIES[what], near=DIES[what], calls=SURVIVES)
        assert await client.invoke("calls", [callee, what]) == "function_exited"
        assert await client.invoke("calls", [callee, what]) == "function_exited"


KILLED: Final = """
import mee6, os, signal, threading
def main(arg):
    got = mee6.invoke("big", 1 << 20, view=True), mee6.invoke("near", 1 << 20, view=True)
    if arg:
        os.kill(os.getpid(), signal.SIGKILL)
    return sorted(os.listdir(mee6.flow.parent / ".store"))
"""


OUTER: Final = """
import mee6
from mee6.errors import Mee6Error
def main(arg):
    for one in arg:
        try:
            found = mee6.invoke("calls", one)
        except Mee6Error as error:
            assert error.code == "function_exited", error
    return found
"""


async def test_a_caller_that_is_killed_leaves_no_region_behind(some_agent: Agent, user: str, tmp_path: Path) -> None:
    """Its proxy removes what it had; within the worker that lives on, if it does."""
    async with some_agent.client(user) as client:
        await add(client, tmp_path, calls=KILLED)
        for outflow in ("", "always"):
            await client.add(write_function(tmp_path, f"outer{outflow}", OUTER, calls={"calls": outflow}))
            for _ in range(2):
                found = await client.invoke(f"outer{outflow}", [1, 1, 0, 1, 1, 0])
                assert len(found) == 2, f"its own and its caller's: {found}"


async def test_nothing_leaks_over_hundreds_of_workflows(some_agent: Agent, user: str, tmp_path: Path) -> None:
    async with some_agent.client(user) as client:
        await add(client, tmp_path)

        async def run(times: int) -> Any:
            for _ in range(times):
                await client.invoke("calls", [("big", 200_000, 1), ("near", 100_000, 1)])
            pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
            return regions(pids), {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in some_agent.processes()}

        await run(20)
        before, open_before = await run(1)
        after, open_after = await run(200)
        assert after.items() >= before.items(), "the same files, with the same pages"
        assert len(after) <= len(before) + 2, "or a worker of a fan-out that came late"
        more = {pid: (open_before[pid], now) for pid, now in open_after.items() if now > open_before.get(pid, now) + 8}
        assert not more, "descriptors: a process keeps those of its last callers"


async def test_the_files_of_a_workflow_are_where_they_were(some_agent: Agent, user: str, tmp_path: Path) -> None:
    code = 'import mee6, os\ndef main(arg):\n    (mee6.flow / "x").write_text("y")\n'
    code += '    mee6.invoke("big", 1 << 20)\n    return os.listdir(mee6.flow)\n'
    async with some_agent.client(user) as client:
        await add(client, tmp_path, calls=code)
        assert await client.invoke("calls", None) == ["x"]
        assert await client.invoke("calls", None) == ["x"], "and it was emptied in between"
