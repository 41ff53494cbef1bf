"""What a warm invocation and a warm step ask of the kernel, a process at a time, and that it does not become more.

Counts, not times: they hold on a machine under load as on an idle one. Each is of `CALLS` calls one after the other,
so what happens once a second or once an invocation does not show, and what happens once a call does. A number that
falls may be lowered here; one that grows needs a reason, for a system call and what it wakes cost more than most of
our own code does: a core that is woken answers some 10 to 20 us later (`tests/benchmarks/harness/floors.py`).

For comparison, Nightcore's engine (ASPLOS'21), which is C++ and of one machine too, sends and receives a message of
1024 bytes by one `write` and one `read` on a pipe, besides waiting for it: what a lane takes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from agent.plan import path_of
from mee6.client import Client
from mee6.stream import InvokeStream
from runtimes.python.direct import TELL_S
from tests.benchmarks.harness.bench import ECHO, PAYLOAD
from tests.benchmarks.harness.http_client import one_by_one, request
from tests.benchmarks.step import CALLER as STEPS
from tests.e2e.conftest import user_of
from tests.support.agents import Agent, until, write_function
from tests.support.kernel import READS, WAITS, WRITES, Counts, counted, growth, traced

pytestmark = pytest.mark.slow

CALLS: Final = 200
ALLOWED: Final = 0.5
"""A call, beyond the table: ticks, lingers, and what is sent once for many calls, on a machine that takes its time."""

AGENT: Final = "agent"
PROXY: Final = "proxy"
CALLER: Final = "caller"
CALLEE: Final = "callee"
HTTP: Final = "over HTTP"
STREAM: Final = "on a gRPC stream"
BY_PROXY: Final = "a step through the proxy"
DIRECT: Final = "a step on a direct lane"

TABLE: Final[Mapping[tuple[str, str], Mapping[str, tuple[int, str]]]] = {
    (HTTP, AGENT): {
        "epoll_pwait": (2, "for the request, and for the report"),
        "read": (2, "the request, the report"),
        "write": (2, "the invocation, the answer"),
        "newfstatat": (1, "whether the workflow's storage is still empty"),
        READS: (2, "as `read`"),
        WRITES: (2, "as `write`"),
        WAITS: (2, "as `epoll_pwait`"),
    },
    (HTTP, CALLEE): {
        "recvfrom": (1, "the invocation"),
        "sendto": (1, "its report"),
        "newfstatat": (1, "whether its own folder is still empty"),
        WAITS: (2, "for the invocation; and woken in vain as the agent takes the report, which is room to send again"),
    },
    (STREAM, AGENT): {
        "epoll_pwait": (4, "the lane, and gRPC's thread waking the loop"),
        "read": (3, "the report, and twice gRPC's wake-up"),
        "write": (5, "the invocation, and four of gRPC's wake-ups"),
        "newfstatat": (1, "as over HTTP"),
        READS: (3, "as `read`"),
        WRITES: (5, "as `write`"),
    },
    (STREAM, CALLEE): {
        "recvfrom": (1, "the invocation"),
        "sendto": (1, "its report"),
        "newfstatat": (1, "as over HTTP"),
        WAITS: (2, "as over HTTP"),
    },
    (BY_PROXY, PROXY): {
        "epoll_wait": (2, "for the call, and for its report"),
        "recvfrom": (2, "the call, its report"),
        "sendto": (2, "the invocation, the result"),
        WAITS: (2, "as `epoll_wait`"),
    },
    (BY_PROXY, CALLER): {
        "sendto": (1, "the call"),
        "recvfrom": (1, "its result"),
        WAITS: (2, "for the result; and woken in vain as the proxy takes the call"),
    },
    (BY_PROXY, CALLEE): {
        "recvfrom": (1, "the invocation"),
        "sendto": (1, "its report"),
        "renameat2": (2, "/act/cur changes places with the callee's, and back"),
        "newfstatat": (1, "whether its own folder is still empty"),
        WAITS: (2, "for the invocation; and woken in vain as the proxy takes the report"),
    },
    (DIRECT, PROXY): {},
    (DIRECT, CALLER): {
        "sendto": (1, "the call"),
        "recvfrom": (1, "its result"),
        WAITS: (2, "for the result; and woken in vain as the callee takes the call"),
    },
    (DIRECT, CALLEE): {
        "epoll_wait": (1, "for the call, or a word of the proxy's"),
        "recvfrom": (1, "the call"),
        "sendto": (1, "its result"),
        "renameat2": (2, "/act/cur changes places with the callee's, and back"),
        "newfstatat": (1, "whether its own folder is still empty"),
        WAITS: (1, "as `epoll_wait`"),
    },
}
"""(case, process) -> what is counted -> (how often a call, why). What is not here is not to be there."""

GRPCS_OWN: Final = {"epoll_wait", "futex", "getpid", "recvfrom", "recvmsg", "sendmsg", WAITS}
"""What gRPC's threads do in the agent, of which there are as many as it likes."""


CASES: Final = (HTTP, STREAM, BY_PROXY, DIRECT)


@dataclass(frozen=True, slots=True)
class Made:
    """What is counted of a case."""

    pids: dict[str, int]
    """Process -> its number."""
    call: Callable[[], Awaitable[object]]
    """Makes `CALLS` calls, one after the other."""


Make = Callable[[str], Awaitable[Made]]


@pytest.fixture(scope="module")
def agents() -> Iterator[dict[bool, Agent]]:
    """Two that differ in whether processes of a worker call each other without the proxy."""
    settings: dict[str, Any] = {"prewarm": {}, "linger_s": 600.0}
    with Agent.start(**settings) as direct, Agent.start(**settings, direct_lanes=False) as relayed:
        yield {True: direct, False: relayed}


@pytest.fixture
async def make(agents: dict[bool, Agent], user: str, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes a case warm, for a user of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def made(case: str) -> Made:
            agent = agents[case != BY_PROXY]
            client = await stack.enter_async_context(user_of(agent, user))
            if case in (BY_PROXY, DIRECT):
                return await _step(agent, client, tmp_path)
            return await _invocation(agent, client, tmp_path, await stack.enter_async_context(client.stream()), case)

        yield made


async def _invocation(agent: Agent, client: Client, base: Path, stream: InvokeStream, case: str) -> Made:
    """A Python function that was handed over."""
    await client.add(write_function(base, "echo", ECHO["python"]))
    await client.invoke("echo", PAYLOAD)

    async def handed() -> str:
        found = [one for one in await client.workers() if one.function == "echo" and one.via == "direct"]
        return found[0].id if found and not agent.inside(found[0].id).proxy else ""

    worker = await until(handed, "the proxy has left")
    asked = request(path_of(client.user, "echo"), PAYLOAD.encode())

    async def on_the_stream() -> None:
        for _ in range(CALLS):
            await stream.invoke("echo", PAYLOAD)

    address = agent.http.removeprefix("http://")
    call = partial(asyncio.to_thread, one_by_one, address, asked, CALLS, warm_up=0)
    (runtime,) = agent.inside(worker).runtimes
    return Made({AGENT: agent.pid, CALLEE: runtime}, on_the_stream if case == STREAM else call)


async def _step(agent: Agent, client: Client, base: Path) -> Made:
    """A Python function that calls another in its own worker, as often as it is told."""
    await client.add(write_function(base, "callee", ECHO["python"]))
    await client.add(write_function(base, "caller", STEPS["python"], calls={"callee": ""}))
    told = {"name": "callee", "arg": PAYLOAD, "count": CALLS - 1}  # of which it makes one more
    await client.invoke("caller", told)
    steps = (await client.trace()).steps
    worker = steps[0].worker
    pids = {step.function: agent.runtime(worker, step.pid) for step in steps}
    named = {PROXY: agent.inside(worker).proxy, CALLER: pids["caller"], CALLEE: pids["callee"]}
    return Made(named, partial(client.invoke, "caller", told))


def exceeding(case: str, who: str, found: Counts, took_s: float = 0.0) -> dict[str, str]:
    """What is more than the table says.

    Args:
        took_s: how long all calls took; of direct ones that take long, or were not told for long, the proxy is told.
    """
    table = TABLE[case, who]
    allowed = ALLOWED + (2 * took_s / TELL_S / CALLS if case == DIRECT else 0)
    free = GRPCS_OWN if (case, who) == (STREAM, AGENT) else ()
    return {
        what: f"{count:.2f} a call, not {table[what][0] if what in table else 0}"
        for what, count in found.items()
        if what not in free and count > (table[what][0] if what in table else 0) + allowed
    }


@pytest.mark.parametrize("case", CASES)
async def test_a_warm_call_reads_writes_and_waits_no_more_often_than_it_did(make: Make, case: str) -> None:
    made = await make(case)
    try:
        await made.call()
        before = {who: counted(pid) for who, pid in made.pids.items()}
    except PermissionError as error:
        pytest.skip(f"this machine does not tell of its processes: {error}")
    began = time.monotonic()
    await made.call()
    took_s = time.monotonic() - began
    found = {who: growth(before[who], counted(pid), CALLS) for who, pid in made.pids.items()}
    assert not {who: more for who, counts in found.items() if (more := exceeding(case, who, counts, took_s))}, found


@pytest.mark.parametrize("case", CASES)
async def test_a_warm_call_makes_no_more_system_calls_than_it_did(make: Make, case: str, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    made = await make(case)
    await made.call()
    try:
        async with traced(made.pids.values(), tmp_path) as counts:
            began = time.monotonic()
            await made.call()
            took_s = time.monotonic() - began
    except PermissionError as error:
        pytest.skip(f"this machine does not let processes be traced: {error}")
    found = {who: {name: count / CALLS for name, count in counts[pid].items()} for who, pid in made.pids.items()}
    assert any(found.values()), "strace saw nothing"
    assert not {who: more for who, calls in found.items() if (more := exceeding(case, who, calls, took_s))}, found


def test_what_grows_is_told_with_what_it_was() -> None:
    more = exceeding(HTTP, CALLEE, {"recvfrom": 1.2, "sendto": 2.0, "poll": 1.0, WAITS: 2.4})
    assert more == {"sendto": "2.00 a call, not 1", "poll": "1.00 a call, not 0"}
    assert not exceeding(STREAM, AGENT, {"futex": 9.0, "write": 5.4})
