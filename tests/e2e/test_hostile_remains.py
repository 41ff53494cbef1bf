"""What a hostile function leaves behind, what others read of it, and what it takes: continues `test_hostile`.

What a re-used worker keeps is decided: a function's own process, and its `/tmp`, are there again for the same
version of the same user's function, as its cache; for anybody else's there is another worker. `flow` and `scratch`
are one workflow's and one invocation's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from mee6.client import Client
from mee6.errors import (
    FunctionExited,
    FunctionRaised,
    Mee6Error,
    TimedOut,
    WorkerLost,
)
from tests.e2e.conftest import SHARED, user_of
from tests.e2e.hostility import ECHO, LANE, MIB, bad
from tests.support.agents import Agent, write_function

pytestmark = pytest.mark.slow
NODE: Final = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on PATH")


# What is left behind


async def test_a_reused_worker_keeps_what_is_the_functions_own_and_only_for_it(
    hostile: Agent, here: Client, user: str, tmp_path: Path
) -> None:
    code = """
import os, mee6
seen = []
def main(arg):
    found = [list(seen), *map(os.listdir, ("/tmp", mee6.flow, mee6.scratch)), os.environ.get("MINE", "")]
    seen.append(arg)
    os.environ["MINE"] = arg
    for place in ("/tmp", mee6.flow, mee6.scratch):
        open(f"{place}/{arg}", "w").close()
    return found
"""
    await here.add(write_function(tmp_path, "keeps", code))
    assert await here.invoke("keeps", "one", timeout=30) == [[], [], [], [], ""]
    first = (await here.trace()).steps[0].worker
    assert await here.invoke("keeps", "two", timeout=30) == [["one"], ["one"], [], [], "one"]
    assert (await here.trace()).steps[0].worker == first
    async with user_of(hostile, user + "other") as other:
        await other.add(write_function(tmp_path, "keeps", code))
        assert await other.invoke("keeps", "three", timeout=30) == [[], [], [], [], ""]
        assert (await other.trace()).steps[0].worker != first


async def test_threads_left_waiting_for_a_call_do_not_take_the_next_invocation(client: Client, tmp_path: Path) -> None:
    code = """
import threading, mee6
def ask(told):
    try:
        mee6.invoke("naps", "0.05")
    except Exception as error:
        told.append(type(error).__name__)
def main(arg):
    told = []
    for _ in range(8):
        threading.Thread(target=ask, args=(told,), daemon=True).start()
    return arg
"""
    await client.add(write_function(tmp_path, "naps", "import time\ndef main(arg):\n    time.sleep(float(arg))\n"))
    for outflow in ("always", "no"):
        await client.add(write_function(tmp_path, "bad", code, calls={"naps": outflow}))
        for number in range(10):
            assert await client.invoke("bad", str(number), timeout=20) == str(number)


async def test_a_call_sent_as_its_invocation_ended_is_refused_and_harms_no_later_one(
    here: Client, tmp_path: Path
) -> None:
    code = f"""{LANE}
ended = []
def main(arg):
    if ended:
        say(Call(ended[-1] + ".7", ended[-1], "naps", b"0", "application/json"))
    ended.append(me())
    return mee6.invoke("naps", 0)
"""
    await here.add(write_function(tmp_path, "naps", "def main(arg):\n    return arg\n"))
    for outflow in ("always", "no"):
        await here.add(write_function(tmp_path, "bad", code, calls={"naps": outflow}))
        for _ in range(3):
            assert await here.invoke("bad", timeout=20) == 0


async def test_a_daemon_that_outlives_the_call_speaks_for_nobody(here: Client, tmp_path: Path) -> None:
    code = f"""{LANE}
def main(arg):
    if arg == "first":
        ready, told = os.pipe()
        sock = lane()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.write(told, b"x")
                for n in range(1000):
                    sock.sendall(bytes(encode(Report("0" * 12, b"forged"))))
                    time.sleep(0.01)
            os._exit(0)
        os.read(ready, 1)
    return arg
"""
    await here.add(write_function(tmp_path, "bad", code))
    for arg in ("first", "second", "third"):
        got: Any
        try:
            got = await here.invoke("bad", arg, timeout=20)
        except Mee6Error as error:
            got = type(error)
        assert got in (arg, WorkerLost, FunctionExited)
    await here.add(write_function(tmp_path, "good", ECHO))
    assert await here.invoke("good", "after", timeout=20) == "after"


async def test_a_limit_that_is_slept_past_with_sigterm_ignored_is_kept(here: Client, tmp_path: Path) -> None:
    code = """
import os, signal, time
def main(arg):
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    if os.fork() == 0:
        os.setsid()
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass
"""
    error = await bad(here, tmp_path, code, limit_s=1)
    assert type(error) is TimedOut


async def test_folders_thousands_deep_and_a_full_storage_are_cleared_for_the_next(here: Client, tmp_path: Path) -> None:
    code = """
import os, mee6
def main(arg):
    found = [os.listdir(mee6.flow), os.listdir(mee6.scratch)]
    for place in (mee6.flow, mee6.scratch):
        os.chdir(place)
        try:
            for _ in range(1500):
                os.mkdir("d")
                os.chdir("d")
        finally:
            os.chdir("/act")
    try:
        for number in range(64):
            with open(f"{mee6.scratch}/{number}", "wb") as file:
                file.write(bytes(16 << 20))
    except OSError as error:
        return [*found, error.errno]
"""
    await here.add(write_function(tmp_path, "bad", code))
    for _ in range(3):
        got = await here.invoke("bad", "x", timeout=60)
        assert got in ([[], [], 28], [[], [], None]), got


# What others read of it


ERRORS: Final = {
    "str that raises": ("class E(Exception):\n    def __str__(self): raise ValueError('no')", "E()"),
    "str that exits": ("class E(Exception):\n    def __str__(self): raise SystemExit(3)", "E()"),
    "str that is no text": ("class E(Exception):\n    def __str__(self): return 7", "E()"),
    "str that is huge": ("class E(Exception):\n    def __str__(self): return 'x' * (30 << 20)", "E()"),
    "a lone surrogate": ("", "ValueError('\\udc80')"),
    "a cause that raises": ("class E(Exception):\n    __cause__ = property(lambda self: 1 / 0)", "E()"),
    "a name that raises": (
        "class M(type):\n    __name__ = property(lambda self: 1 / 0)\nclass E(Exception, metaclass=M): pass",
        "E()",
    ),
    "an exit that cannot be told": (
        "class C:\n    def __repr__(self): raise KeyboardInterrupt\n",
        "SystemExit(C())",
    ),
}


@pytest.mark.parametrize("kind", ERRORS)
async def test_an_error_that_cannot_be_told_is_an_error_of_its_function(
    client: Client, tmp_path: Path, kind: str
) -> None:
    head, raised = ERRORS[kind]
    code = f"{head}\ndef main(arg):\n    if arg == 'x':\n        raise {raised}\n    return arg\n"
    error = await bad(client, tmp_path, code)
    assert type(error) is FunctionRaised, repr(error)
    assert error.message.startswith("'bad' ")
    assert len(error.message) < 3000
    assert await client.invoke("bad", "well", timeout=20) == "well"


@NODE
@pytest.mark.node
async def test_an_error_of_nodejs_that_cannot_be_told_is_one_too(client: Client, tmp_path: Path) -> None:
    told = "[Symbol.for('nodejs.util.inspect.custom')]() { throw 3 }"
    thrown = f"{{ get message() {{ throw 1 }}, get constructor() {{ throw 2 }}, {told} }}"
    code = f"module.exports = (arg) => {{ if (arg === 'x') throw {thrown}; return arg }}"
    await client.add(write_function(tmp_path, "bad", code, runtime="nodejs"))
    with pytest.raises(FunctionRaised, match="'bad' raised"):
        await client.invoke("bad", "x", timeout=20)
    assert await client.invoke("bad", "well", timeout=20) == "well"


async def test_no_control_character_of_a_functions_reaches_a_terminal(
    agent: Agent, client: Client, tmp_path: Path
) -> None:
    escape = "\\x1b]0;mine\\x07\\x1b[2J\\x9b31m\\r"
    said_twice = f"    print('log {escape}')\n    os.write(1, b'raw {escape}')\n"
    code = f"import os\ndef main(arg):\n{said_twice}    raise ValueError('error {escape}')\n"
    await client.add(write_function(tmp_path, "bad", code, description="about \x1b[2J"))
    said: dict[str, str] = {}
    for words in (
        ["act", "invoke", "bad", "x", "--trace"],
        ["act", "logs", "bad"],
        ["trace"],
        ["act", "describe", "bad"],
        ["act", "logs", "bad", "-o", "json"],
        ["trace", "-o", "json"],
        ["act", "ls"],
        ["act", "logs", "bad", "-o", "yaml"],
    ):
        ran = await asyncio.to_thread(
            subprocess.run,
            [str(Path(sys.executable).parent / "mee6"), *words],
            capture_output=True,
            env={**os.environ, "MEE6_ADDRESS": agent.address, "MEE6_USER": client.user, "NO_COLOR": "1"},
        )
        said[" ".join(words)] = (ran.stdout + ran.stderr).decode()
    assert "log " in said["act logs bad"]
    assert "raw " in said["act logs bad"]
    assert "error " in said["act invoke bad x --trace"]
    for command, text in said.items():
        unwanted = {char for char in text if (ord(char) < 32 or 0x7F <= ord(char) < 0xA0) and char not in "\n\t"}
        assert not unwanted, f"mee6 {command}: {text!r}"


async def test_no_secret_of_the_environment_is_in_what_is_told_of_an_error(client: Client, tmp_path: Path) -> None:
    code = "import os\ndef main(arg):\n    secret = os.environ['KEY']\n    raise ValueError('it failed')\n"
    await client.add(write_function(tmp_path, "bad", code), env={"KEY": "hush-hush"})
    with pytest.raises(FunctionRaised) as caught:
        await client.invoke("bad", "x", timeout=20)
    told = f"{caught.value.message} {caught.value.traceback} {await client.trace()} {await client.describe('bad')}"
    assert "it failed" in told
    assert "hush-hush" not in told


# Resources, through the agent


@pytest.mark.timeout(400)
async def test_ten_gigabytes_of_output_cost_the_agent_no_memory(hostile: Agent, here: Client, tmp_path: Path) -> None:
    code = "import os\ndef main(arg):\n    os.system('head -c 10737418240 /dev/zero')\n    return 'done'\n"
    before = most = hostile.rss_bytes()
    task = asyncio.create_task(bad(here, tmp_path, code, limit_s=300, timeoutS=300))
    while not task.done():
        most = max(most, hostile.rss_bytes())
        await asyncio.sleep(0.05)
    assert await task == "done"
    assert most - before < 60 * MIB
    lines = [line.log async for line in here.logs("bad")]
    assert sum(len(log.text) for log in lines) < 9 * MIB
    assert any(log.dropped_bytes or "discarded" in log.text for log in lines), "the loss is told"


async def test_processors_taken_by_one_are_shared_with_the_others(here: Client, tmp_path: Path) -> None:
    spin = """
import os, threading
def main(arg):
    for _ in range(8):
        if os.fork() == 0:
            while True: pass
    lock = threading.Lock()
    def fight():
        while True:
            with lock: pass
    for _ in range(8):
        threading.Thread(target=fight, daemon=True).start()
    while True: pass
"""
    await here.add(write_function(tmp_path, "calm", ECHO))
    await here.invoke("calm", "warm", timeout=30)
    task = asyncio.create_task(bad(here, tmp_path, spin, limit_s=5))
    served = 0
    while not task.done():
        assert await here.invoke("calm", "on", timeout=30) == "on"
        served += 1
    assert isinstance(await task, TimedOut)
    assert served > 10


async def test_an_agent_with_few_descriptors_still_starts_workers(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        with Agent.start(**{**SHARED, "prewarm": {"python": 1}, "open_files": 1 << 30}) as agent:
            async with agent.client() as client:
                await client.add(write_function(tmp_path, "good", ECHO))
                assert await client.invoke("good", "fine", timeout=20) == "fine"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
