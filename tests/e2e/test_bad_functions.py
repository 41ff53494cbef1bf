"""Functions that misbehave: whoever called one gets a clear error soon, and the agent and everybody else go on."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mee6.client import Client
from mee6.errors import (
    FunctionError,
    FunctionExited,
    FunctionRaised,
    InvalidCode,
    LoadFailed,
    Mee6Error,
    ResultRefused,
    TimedOut,
    WorkerLost,
)
from tests.e2e.conftest import Start
from tests.support.agents import Agent, until, write_function

pytestmark = pytest.mark.slow
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")
node = [pytest.mark.node, NODE]


async def fails(
    client: Client, base: Path, code: str, kind: type[Mee6Error], runtime: str = "python", limit_s: float = 60
) -> Mee6Error:
    """What a function fails with, before its time is over; its neighbour then still works."""
    await client.add(write_function(base, "bad", code, runtime=runtime), check=False)
    with pytest.raises(Mee6Error) as caught:
        await client.invoke("bad", "x", timeout=limit_s)
    assert type(caught.value) is kind, repr(caught.value)
    assert "\n" not in caught.value.message
    # Of one user for all tests, so that it is warm: a container for each would be most of their time.
    async with Client(client.address, user="neighbour") as neighbour:
        await neighbour.add(write_function(base, "good", "def main(arg):\n    return arg\n"))
        assert await neighbour.invoke("good", "fine", timeout=20) == "fine"
    return caught.value


@pytest.mark.parametrize(
    ("runtime", "code", "status"),
    [
        ("python", "import os\ndef main(arg):\n    os._exit(3)\n", "exited with code 3"),
        ("python", "import os\ndef main(arg):\n    os._exit(0)\n", "exited with code 0"),
        ("python", "import os\ndef main(arg):\n    os.kill(os.getpid(), 11)\n", "was killed by signal 11 (SIGSEGV)"),
        pytest.param("nodejs", "module.exports = () => process.exit(3);", "exited with code 3", marks=node),
        pytest.param(
            "nodejs", "module.exports = () => process.abort();", "was killed by signal 6 (SIGABRT)", marks=node
        ),
    ],
)
async def test_a_function_that_ends_its_process(
    any_client: Client, tmp_path: Path, runtime: str, code: str, status: str
) -> None:
    error = await fails(any_client, tmp_path, code, FunctionExited, runtime)
    assert error.message == f"the process of 'bad' {status}"
    assert error.function == "bad"


async def test_sys_exit_is_an_end_of_the_function_and_says_so(any_client: Client, tmp_path: Path) -> None:
    code = "import sys\ndef main(arg):\n    sys.exit(3)\n"
    await any_client.add(write_function(tmp_path, "bad", code))
    with pytest.raises(FunctionError) as caught:
        await any_client.invoke("bad", "x")
    assert "exit" in caught.value.message.lower()
    assert "3" in caught.value.message


@pytest.mark.parametrize(
    ("runtime", "code", "part"),
    [
        ("python", "def main(:\n", "SyntaxError"),
        ("python", "import nothing_of_that_name\ndef main(arg): pass\n", "nothing_of_that_name"),
        ("python", "x = 1\n", "cannot load 'bad': main.py has no main; define: def main(arg)"),
        ("python", "import os\nos._exit(4)\n", "exited with code 4"),
        pytest.param("nodejs", "module.exports = (;", "SyntaxError", marks=node),
        pytest.param("nodejs", "require('nothing-of-that-name')", "nothing-of-that-name", marks=node),
        pytest.param("nodejs", "process.exit(4)", "exited with code 4", marks=node),
    ],
)
async def test_code_that_cannot_be_loaded(client: Client, tmp_path: Path, runtime: str, code: str, part: str) -> None:
    kind = FunctionExited if "exited" in part else LoadFailed
    error = await fails(client, tmp_path, code, kind, runtime)
    assert part in error.message or part in error.error_type, error


@pytest.mark.parametrize(
    ("runtime", "code", "said"),
    [
        ("python", "\ndef main(:\n", "main.py:2: "),
        pytest.param("nodejs", "\nmodule.exports = (;", "main.js:2: Unexpected token ';'", marks=node),
    ],
)
async def test_code_that_cannot_be_read_is_refused_when_it_is_added(
    client: Client, tmp_path: Path, runtime: str, code: str, said: str
) -> None:
    folder = write_function(tmp_path, "bad", code, runtime=runtime)
    with pytest.raises(InvalidCode) as refused:
        await client.add(folder)
    assert refused.value.message.startswith(said)
    assert refused.value.traceback
    assert await client.list() == ()
    await client.add(folder, check=False)
    assert (await client.add(folder)).unchanged, "what is there already is not looked at again"


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("python", "def main(arg):\n    return object()\n"),
        ("python", "def main(arg):\n    loop = []\n    loop.append(loop)\n    return loop\n"),
        ("python", "def main(arg):\n    return {1, (2, 3)} | {lambda: 4}\n"),
        pytest.param("nodejs", "module.exports = () => { const a = {}; a.a = a; return a; };", marks=node),
        pytest.param("nodejs", "module.exports = () => 10n;", marks=node),
    ],
)
async def test_a_result_that_cannot_be_sent(any_client: Client, tmp_path: Path, runtime: str, code: str) -> None:
    error = await fails(any_client, tmp_path, code, ResultRefused, runtime)
    assert "bad" in error.message
    assert error.function == "bad"


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("python", "def main(arg):\n    return 'x' * ((8 << 20) + 1)\n"),
        pytest.param("nodejs", "module.exports = () => 'x'.repeat((8 << 20) + 1);", marks=node),
    ],
)
async def test_a_result_over_the_limit(any_client: Client, tmp_path: Path, runtime: str, code: str) -> None:
    error = await fails(any_client, tmp_path, code, ResultRefused, runtime)
    assert "8388609" in error.message
    assert "8388608" in error.message


async def test_a_result_at_the_limit_passes(client: Client, tmp_path: Path) -> None:
    await client.add(write_function(tmp_path, "f", "def main(arg):\n    return b'x' * (8 << 20)\n"))
    assert len(await client.invoke("f")) == 8 << 20


async def test_a_refused_result_leaves_the_worker_in_use(client: Client, tmp_path: Path) -> None:
    code = "def main(arg):\n    return object() if arg == 'bad' else 'ok'\n"
    await client.add(write_function(tmp_path, "f", code))
    with pytest.raises(ResultRefused):
        await client.invoke("f", "bad")
    first = (await client.trace()).steps[0].worker
    assert await client.invoke("f", "good") == "ok"
    assert (await client.trace()).steps[0].worker == first


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        ("python", "import time\ndef main(arg):\n    time.sleep(1000)\n"),
        ("python", "def main(arg):\n    while True: pass\n"),
        (
            "python",
            "from signal import *\npthread_sigmask(SIG_BLOCK, range(1, 65))\ndef main(arg):\n    while 1: pass\n",
        ),
        pytest.param("nodejs", "module.exports = () => { for (;;); };", marks=node),
        pytest.param("nodejs", "module.exports = () => new Promise(() => {});", marks=node),
    ],
)
async def test_a_function_that_never_returns_is_stopped(
    any_agent: Agent, any_client: Client, tmp_path: Path, runtime: str, code: str
) -> None:
    error = await fails(any_client, tmp_path, code, TimedOut, runtime, limit_s=0.5)
    assert error.message == "'bad' took longer than its limit of 0.5 s and was stopped"


async def test_the_functions_own_limit_holds_where_the_caller_gives_none(client: Client, tmp_path: Path) -> None:
    await client.add(
        write_function(tmp_path, "bad", "import time\ndef main(arg):\n    time.sleep(1000)\n", timeoutS=0.3)
    )
    with pytest.raises(TimedOut) as caught:
        await client.invoke("bad")
    assert caught.value.message == "'bad' took longer than its limit of 0.3 s and was stopped"


@pytest.mark.parametrize(
    ("runtime", "code"),
    [
        (
            "python",
            "def main(arg):\n    for _ in range(1 << 20):\n        print('x' * 1023)\n    return 'done'\n",
        ),
        (
            "python",
            "import os\ndef main(arg):\n    os.system('head -c 1073741824 /dev/zero')\n    return 'done'\n",
        ),
    ],
    ids=["through the SDK", "past it"],
)
async def test_a_function_that_prints_a_gigabyte_costs_the_agent_no_memory(
    agent: Agent, client: Client, tmp_path: Path, runtime: str, code: str
) -> None:
    await client.add(write_function(tmp_path, "loud", code, runtime=runtime))
    before = agent.rss_bytes()
    most = before
    async with asyncio.timeout(100):
        running = asyncio.create_task(client.invoke_raw("loud", b"", "text/plain", timeout=100))
        while not running.done():
            most = max(most, agent.rss_bytes())
            await asyncio.sleep(0.05)
    outcome = await running
    assert outcome.value == "done"
    assert most - before < 50 << 20
    lines = [line.log async for line in client.logs(invocation=outcome.id)]
    kept = sum(len(log.text.encode()) for log in lines)
    assert 0 < kept < 4 << 20
    assert any(log.dropped_bytes or "discarded" in log.text for log in lines), "the loss is told"


async def test_memory_over_the_limit_ends_the_function_and_says_so(start: Start, tmp_path: Path) -> None:
    code = "def main(arg):\n    return len(bytearray(b'x') * (1 << 30))\n"
    with start(memory_bytes=64 << 20, prewarm={"python": 1}) as agent:
        async with agent.client() as client:
            await client.add(write_function(tmp_path, "hungry", code))
            with pytest.raises(FunctionError) as caught:
                await client.invoke("hungry", timeout=20)
            assert type(caught.value) in (FunctionExited, FunctionRaised)
            assert "out of memory (limit 64 MiB)" in caught.value.message or "MemoryError" in caught.value.error_type


async def test_more_processes_than_allowed_fail_in_the_function_alone(client: Client, tmp_path: Path) -> None:
    code = """
import os, time
def main(arg):
    made = 0
    try:
        for _ in range(1000):
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
            made += 1
    except OSError as error:
        return [made, error.errno]
"""
    await client.add(write_function(tmp_path, "forks", code))
    made, number = await client.invoke("forks", timeout=20)
    assert 0 < made < 128
    assert number == 11


async def test_children_that_outlive_their_function_end_with_its_worker(
    any_agent: Agent, any_client: Client, tmp_path: Path
) -> None:
    code = """
import os, subprocess
def main(arg):
    subprocess.Popen(["sleep", "1000"])
    subprocess.Popen(["sleep", "1001"], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.Popen("(sleep 1002 & ) &", shell=True, env={})
    return os.getpid()
"""
    await any_client.add(write_function(tmp_path, "litters", code))
    await any_client.invoke("litters", timeout=20)
    worker = (await any_client.trace()).steps[0].worker
    left = await until(lambda: of(any_agent, worker, ("1000", "1001", "1002"), 3), "its children run")
    await any_client.remove("litters")
    await until(lambda: not any(psutil.pid_exists(pid) for pid in left), "they have ended with it")
    await until(lambda: worker not in any_agent.workers(), "its groups are gone")


def of(agent: Agent, worker: str, args: tuple[str, ...], count: int) -> set[int]:
    """Processes of the worker that run `sleep` with one of these arguments, once there are so many."""
    found = set()
    for pid in agent.processes_of(worker):
        with suppress(OSError):  # it has just ended
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[:1] == [b"sleep"] and words[1].decode() in args:
                found.add(pid)
    return found if len(found) == count else set()


ATTACKS = {
    "closes all": "os.closerange(0, 1024)",
    "kills its parent": "os.kill(os.getppid(), 9)",
    "kills all": "os.kill(-1, 9)",
    "garbage": "everywhere(b'\\xff' * 4096)",
    "half a frame": "everywhere(bytes([0, 0, 1, 0]))",
    "a report of its own making": "everywhere(bytes([0, 0, 0, 9]) + b'\\x92\\xa6report\\xa1x')",
}
ATTACKER = """
import os, time
def everywhere(data):
    for fd in range(3, 64):
        try:
            os.write(fd, data)
        except OSError:
            pass
def main(arg):
    {attack}
    time.sleep(20)
"""


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_function_that_attacks_its_surroundings_loses_its_worker_alone(
    agent: Agent, client: Client, tmp_path: Path, attack: str
) -> None:
    if (await client.nodes())[0].isolation not in {"namespaces", "containers"}:
        pytest.skip("without namespaces it could hit more than its worker")
    await client.add(write_function(tmp_path, "good", "def main(arg):\n    return arg\n"))
    await client.invoke("good", "before")
    good = (await client.trace()).steps[0].worker
    await client.add(write_function(tmp_path, "bad", ATTACKER.format(attack=ATTACKS[attack]), timeoutS=1))
    with pytest.raises(Mee6Error) as caught:
        await client.invoke("bad", "x")
    assert type(caught.value) in (FunctionExited, WorkerLost, TimedOut, FunctionRaised), repr(caught.value)
    assert "\n" not in caught.value.message
    assert await client.invoke("good", "after") == "after"
    step = (await client.trace()).steps[0]
    assert (step.worker, step.start) == (good, "warm"), "its neighbour did not notice"


async def test_without_isolation_a_function_that_kills_its_parent_loses_its_worker(
    bare_agent: Agent, user: str, tmp_path: Path
) -> None:
    async with bare_agent.client(user) as client:
        code = ATTACKER.format(attack="os.kill(os.getppid(), 9)")
        error = await fails(client, tmp_path, code, WorkerLost, limit_s=5)
    assert error.message.endswith("was lost: its first process was killed by SIGKILL")


async def test_a_nodejs_rejection_that_nobody_handles_ends_only_itself(client: Client, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not on PATH")
    code = "module.exports = () => new Promise(() => setTimeout(() => { throw new Error('late'); }, 10));"
    await client.add(write_function(tmp_path, "bad", code, runtime="nodejs"))
    with pytest.raises(FunctionError, match="late"):
        await client.invoke("bad", timeout=10)
    await client.add(write_function(tmp_path, "good", "module.exports = (arg) => arg;", runtime="nodejs"))
    assert await client.invoke("good", "fine") == "fine"


async def test_a_users_own_agent_proxy_and_runtimes_modules_are_the_users(any_client: Client, tmp_path: Path) -> None:
    names = ("agent", "proxy", "runtimes", "grpc", "uvloop", "mee6tui")
    code = f"import {', '.join(names)}\ndef main(arg):\n    return [m.MINE for m in ({', '.join(names)},)]\n"
    folder = write_function(tmp_path, "own", code)
    for name in names:
        (folder / f"{name}.py").write_text("MINE = __name__\n")
    await any_client.add(folder)
    assert await any_client.invoke("own") == list(names)


async def test_packages_of_the_agents_environment_are_not_there(any_client: Client, tmp_path: Path) -> None:
    code = """
import importlib.util
def main(names):
    return [name for name in names if importlib.util.find_spec(name) is not None]
"""
    await any_client.add(write_function(tmp_path, "looks", code))
    names = ["grpc", "uvloop", "typer", "rich", "psutil", "agent", "proxy", "mee6tui", "pytest", "tests"]
    assert await any_client.invoke("looks", names) == []


async def test_in_isolation_a_function_sees_neither_the_network_nor_other_processes_nor_the_agents_state(
    agent: Agent, client: Client, tmp_path: Path
) -> None:
    code = """
import os, socket
def main(state):
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    try:
        socket.create_connection(("127.0.0.1", 5122), 1)
        network = "reached"
    except OSError as error:
        network = "none"
    seen = os.listdir(state) if os.path.isdir(state) else []
    try:
        open("/act/rsc/peeks/main.py", "a")
        code = "writable"
    except OSError:
        code = "read-only"
    return [max(pids) < 100, network, [name for name in seen if name.endswith((".db", ".sock", ".json"))], code]
"""
    await client.add(write_function(tmp_path, "peeks", code))
    assert await client.invoke("peeks", str(agent.state)) == [True, "none", [], "read-only"]
