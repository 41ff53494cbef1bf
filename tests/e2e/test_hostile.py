"""The escape list, platform: functions that turn on the agent, on others and on those who read of them.

Through a real agent, on containers and on the process driver, isolated. What such a function gets is an error that
says what happened; what its neighbour notices is nothing. Where the driver holds it alone (files, tokens, sockets,
signals) it is tried in `tests/agent/drivers/escape`. Not tried, and why: *replay an old claim epoch*: there are no
durable claims yet (a worker's one-time claim: there); *pickle and yaml payloads*: arguments are text, JSON or bytes,
and nobody loads any other (`tests/mee6/test_content.py`). Clients that smuggle headers: `tests/agent/http`. What
such functions leave behind, and what others read of them: `test_hostile_remains.py`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from mee6.client import Client
from mee6.errors import (
    CallRefused,
    FunctionError,
    FunctionExited,
    FunctionNotFound,
    FunctionRaised,
    Mee6Error,
    ResultRefused,
    TimedOut,
    WorkerLost,
)
from tests.e2e.conftest import user_of
from tests.e2e.hostility import ECHO, LANE, MIB, bad
from tests.support.agents import Agent, until, write_function

pytestmark = pytest.mark.slow


# Frames in the runtime's name


async def test_a_forged_report_answers_its_own_invocation_and_the_true_one_is_dropped(
    here: Client, tmp_path: Path
) -> None:
    code = f"{LANE}\ndef main(arg):\n    say(Report(me(), b'forged'), Report(me(), b'twice'))\n    return arg\n"
    assert await bad(here, tmp_path, code) == "forged"
    assert await here.invoke("bad", "again", timeout=20) == "forged"


async def test_a_report_for_an_invocation_of_somebody_else_reaches_nobody(
    hostile: Agent, here: Client, user: str, tmp_path: Path
) -> None:
    slow = "import time\ndef main(arg):\n    time.sleep(1000)\n"
    async with user_of(hostile, user + "victim") as victim:
        await victim.add(write_function(tmp_path, "waits", slow))
        theirs = await victim.submit_raw("waits", b"", "text/plain", timeout=30)
        forge = f"{LANE}\ndef main(arg):\n    say(Report(arg, b'forged'), Report('load/' + arg))\n    return 'mine'\n"
        assert await bad(here, tmp_path, forge, theirs) == "mine"
        with pytest.raises(Mee6Error, match="still"):
            await victim.result_raw(theirs)
        await victim.cancel(theirs)


@pytest.mark.parametrize("code", ["agent_unreachable", "cancelled", "not_allowed", "internal", "version_mismatch"])
async def test_a_function_cannot_pass_its_failure_off_as_the_agents(client: Client, tmp_path: Path, code: str) -> None:
    forge = (
        f"{LANE}\ndef main(arg):\n    say(Report(me(), fault=Fault({code!r}, 'no', 'somebody', 'T' * 9999, 'tb')))\n"
    )
    error = await bad(client, tmp_path, forge)
    assert type(error) is FunctionRaised
    assert error.function == "bad"
    assert len(error.error_type) <= 600


async def test_a_result_over_the_limit_is_refused_whoever_wrote_it(client: Client, tmp_path: Path) -> None:
    forge = f"{LANE}\ndef main(arg):\n    say(Report(me(), bytes(9 << 20)))\n"
    error = await bad(client, tmp_path, forge)
    assert type(error) is ResultRefused
    assert str(8 << 20) in error.message


FRAMES: Final = {
    "half a frame, then silence": "lane().sendall(bytes([0, 0, 1, 0]) + b'half')",
    "a length of four gigabytes": "lane().sendall(b'\\xff' * 8)",
    "a message for proxies": "say(AskHandover(), Steps([]))",
    "a message for servers": "say(Welcome('w9'), Goodbye())",
    "a load that nobody asked for": "say(Report('load/' + me(), handed_over=True))",
    "a second hello": "say(Hello('', 'proxy', 'python', 1))",
    "a call in another's name": "say(Call('0.1', '0', 'good', b'', 'text/plain'))",
    "a stream that nobody asked for": "say(Head(me(), 'text/plain'), Chunk(me(), b'x'))",
    "room for what was never sent": "say(Credit(me(), 1 << 40))",
    "a call of another's step": "say(Call(me() + '.1', me(), 'good', b'', 'text/plain', ['other']))",
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_a_frame_that_breaks_the_rules_ends_its_own_worker_at_most(
    here: Client, tmp_path: Path, frame: str
) -> None:
    code = f"{LANE}\ndef main(arg):\n    {FRAMES[frame]}\n    time.sleep(1000)\n"
    error = await bad(here, tmp_path, code, limit_s=3)
    assert type(error) in (WorkerLost, TimedOut, FunctionExited), repr(error)
    if frame == "a length of four gigabytes":
        assert "4294967295" in error.message, error.message


STREAMS: Final = {
    "headers for two": "say(Report(me(), b'', 'text/plain', response=Response(200, [Header('A', 'b\\r\\nC: d')])))",
    "a status that is none": "say(Report(me(), b'', 'text/plain', response=Response(7)))",
    "a stream's headers for two": "say(Head(me(), 'text/plain', Response(200, [Header('A\\r\\nC', 'd')])))",
    "a content type for two": "say(Report(me(), b'{}', 'text/plain\\r\\nC: d'))",
    "a stream's content type for two": "say(Head(me(), 'text/plain\\r\\nC: d'), Chunk(me(), b'x'))",
    "pieces without a head": "say(Chunk(me(), b'x'))",
    "two heads": "say(Head(me(), 'a/b'), Head(me(), 'a/b'))",
    "more than there is room for": "say(Head(me(), 'a/b'), *[Chunk(me(), bytes(65536))] * 64)",
    "room for what was never sent": "say(Credit(me(), 1 << 40))",
}


@pytest.mark.parametrize("frame", STREAMS)
async def test_what_a_function_says_over_http_in_its_runtimes_name_goes_no_further(
    hostile: Agent, here: Client, user: str, tmp_path: Path, frame: str
) -> None:
    code = f"{LANE}\ndef main(arg):\n    {STREAMS[frame]}\n    time.sleep(0.5)\n"
    await here.add(write_function(tmp_path, "bad", code, timeoutS=5))
    await here.add(write_function(tmp_path, "good", ECHO))
    url = f"{hostile.http}/user/{user}/function"
    async with httpx.AsyncClient(timeout=30, trust_env=False) as web:
        try:
            answer = await web.post(f"{url}/bad")
            assert "c" not in answer.headers
            assert answer.status_code in (200, 502, 504), answer.text
        except httpx.RemoteProtocolError:
            pass  # cut off in the middle of a stream
        assert (await web.post(f"{url}/good", json=1)).text == "1"


async def test_a_flood_of_frames_costs_the_agent_bounded_memory_and_its_neighbours_nothing(
    hostile: Agent, here: Client, tmp_path: Path
) -> None:
    flood = f"""{LANE}
def main(arg):
    sock = lane()
    few = bytes(encode(Log(me(), "out", "x" * 4000))) * 64
    tiny = bytes(encode(Log(me(), "err", "y"))) * 4096
    for _ in range(100):
        sock.sendall(few)
        sock.sendall(tiny)
    return "done"
"""
    await here.add(write_function(tmp_path, "calm", ECHO))
    await here.invoke("calm", "warm", timeout=30)
    before = most = hostile.rss_bytes()
    task = asyncio.create_task(bad(here, tmp_path, flood, limit_s=60))
    served = 0
    while not task.done():
        assert await here.invoke("calm", "on", timeout=30) == "on"
        served += 1
        most = max(most, hostile.rss_bytes())
    got = await task
    assert got == "done" or isinstance(got, TimedOut), repr(got)
    assert served > 3
    assert most - before < 100 * MIB
    lines = [line.log async for line in here.logs("bad")]
    assert sum(len(log.text) for log in lines) < 9 * MIB
    assert any(log.dropped_bytes for log in lines), "the loss is told"


async def test_output_in_one_piece_over_the_limit_cuts_the_lane_and_says_why(client: Client, tmp_path: Path) -> None:
    code = f"{LANE}\ndef main(arg):\n    say(Log(me(), 'out', 'x' * (5 << 20)))\n    time.sleep(1000)\n"
    error = await bad(client, tmp_path, code)
    assert type(error) is WorkerLost
    assert "more output at once than an invocation may write" in error.message


async def test_calls_without_end_are_refused_past_a_bound(client: Client, tmp_path: Path) -> None:
    code = f"""{LANE}
from mee6.lane.codec import Decoder
def main(arg):
    sock, decoder, told = lane(), Decoder(), []
    for n in range(100, 180):
        sock.sendall(bytes(encode(Call(f"{{me()}}.{{n}}", me(), "naps", b"x" * (1 << 20), "text/plain"))))
    while not told:
        told = decoder.feed(sock.recv(65536))
    return told[0].fault.message
"""
    await client.add(write_function(tmp_path, "naps", "import time\ndef main(arg):\n    time.sleep(1000)\n"))
    told = await bad(client, tmp_path, code, limit_s=20, calls={"naps": "always"})
    assert told.startswith("'bad' has 64 calls under way, with 64 MiB of arguments")
    assert told.endswith("wait for some of them first")


async def test_connections_that_say_nothing_are_closed(hostile: Agent, here: Client, tmp_path: Path) -> None:
    code = """
import socket
from pathlib import Path
def main(arg):
    kept, closed = [], 0
    for _ in range(300):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(10)
        try:
            sock.connect("/mee6/lane/agent.sock")
        except OSError as error:
            return f"{len(kept)}: {error}"
        kept.append(sock)
    for sock in kept[64:]:
        closed += sock.recv(1) == b""
    return [len(kept), closed]
"""
    assert await bad(here, tmp_path, code, limit_s=60) == [300, 300 - 64]


# The agent, and other users


async def test_tokens_that_are_guessed_or_used_open_nothing(here: Client, tmp_path: Path) -> None:
    code = f"""{LANE}
import gc
from mee6.lane.blocking import BlockingLane
def main(arg):
    seen = {{text for text in gc.get_objects() if isinstance(text, str) and len(text) == 32}}
    seen |= {{getattr(o, "token", "") for o in gc.get_objects() if type(o).__name__ in ("Setup", "Handover", "Hello")}}
    said = []
    for token in ["", "0" * 32, *seen]:
        for role in ("proxy", "runtime"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(10)
            sock.connect("/mee6/lane/agent.sock")
            sock.sendall(bytes(encode(Hello(token, role, "python", os.getpid()))))
            said.append(sock.recv(100))
    return [len(said) >= 4, set(said) == {{b""}}]
"""
    assert await bad(here, tmp_path, code, limit_s=60) == [True, True]


async def test_the_agents_own_sockets_are_not_there(hostile: Agent, here: Client, tmp_path: Path) -> None:
    code = """
import socket
def main(places):
    got = []
    for place in places:
        try:
            sock = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
            sock.settimeout(5)
            sock.connect(place if isinstance(place, str) else tuple(place))
            got.append("connected")
        except OSError as error:
            got.append(error.errno)
    return got
"""
    host, _, port = hostile.address.rpartition(":")
    places: list[Any] = [str(hostile.state / "agent.sock"), "/mee6/lane/../agent.sock", [host, int(port)]]
    assert os.path.exists(str(places[0])), "it is there, outside"  # noqa: ASYNC240, PTH110
    got = await bad(here, tmp_path, code, places)
    assert got == [2, 2, 111], "nothing there, and its own loopback"


async def test_nobody_calls_what_is_anothers_or_not_declared(
    hostile: Agent, here: Client, user: str, tmp_path: Path
) -> None:
    async with user_of(hostile, user + "victim") as victim:
        await victim.add(write_function(tmp_path, "treasure", "def main(arg):\n    return 'treasure'\n"))
        code = "import mee6\ndef main(arg):\n    return mee6.invoke(arg, 'x')\n"
        undeclared = await bad(here, tmp_path / "a", code, "treasure")
        assert isinstance(undeclared, CallRefused | FunctionRaised)
        assert "not among its dependencies" in undeclared.message
        declared = await bad(here, tmp_path / "b", code, "treasure", calls={"treasure": "always"})
        assert "has not been added" in declared.message, "another user's is as none"
        with pytest.raises(FunctionNotFound):
            await here.invoke("treasure", "x")


async def test_a_function_that_calls_itself_for_ever_is_told_to_stop(here: Client, tmp_path: Path) -> None:
    code = "import mee6\ndef main(arg):\n    return mee6.invoke('bad', arg)\n"
    for outflow in ("no", "always"):
        error = await bad(here, tmp_path / outflow, code, calls={"bad": outflow}, limit_s=60)
        assert "is it a cycle?" in error.message + error.traceback


async def test_a_bomb_of_calls_within_calls_ends_with_its_time(hostile: Agent, here: Client, tmp_path: Path) -> None:
    code = "import mee6\ndef main(arg):\n    return mee6.gather(*[mee6.call('bad', arg)] * 8)\n"
    error = await bad(here, tmp_path, code, calls={"bad": "always"}, limit_s=6)
    assert isinstance(error, TimedOut | FunctionError | Mee6Error)
    await until(lambda: _idle(here), "all that it had started has ended", 60)


async def _idle(client: Client) -> bool:
    (node,) = await client.nodes()
    return node.busy == 0 and node.queued == 0


async def test_one_that_crashes_each_time_is_not_tried_for_ever(here: Client, tmp_path: Path) -> None:
    for number, code in enumerate(("import os\nos._exit(9)\n", "import os\ndef main(arg):\n    os._exit(9)\n")):
        for _ in range(3):
            error = await bad(here, tmp_path / str(number), code)
            assert type(error) is FunctionExited, repr(error)
            assert "exited with code 9" in error.message
    described = await here.describe("bad")
    assert described.stats.failures == 6, "each call failed once, and none was repeated"
