"""Functions over HTTP, by the clients that people use: curl, httpx, and the standard library's."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mee6.client import Client
from tests.support.agents import Agent, until, write_function

WEB = {
    "python": """
import mee6

def main(arg):
    request = mee6.request
    if request.path == "/teapot":
        return mee6.Response({"short": True}, status=418, headers={"X-Pot": "stout"})
    if request.path == "/fail":
        raise ValueError("no good")
    return [request.method, request.path, request.query, arg, request.event]
""",
    "nodejs": """
const Box = require("@m6s/box");
module.exports = (arg) => {
  const { method, path, query, event } = Box.request;
  if (path === "/teapot") return new Box.Response({ short: true }, { status: 418, headers: { "X-Pot": "stout" } });
  if (path === "/fail") throw new Error("no good");
  return [method, path, Object.fromEntries(query), arg, event];
};
""",
}
TICKS = """
import time, mee6

def main(arg):
    for number in range(mee6.request.query.get("n", "3") and int(mee6.request.query.get("n", "3"))):
        yield mee6.Event({"n": number}, id=str(number))
        time.sleep(float(mee6.request.query.get("s", "0")))
"""
UPPER = """
import mee6

def main(_arg):
    for piece in mee6.request.body:
        yield piece.upper()
"""


class Place:
    """A user's functions at an agent."""

    def __init__(self, agent: Agent, client: Client, folder: Path) -> None:
        self.agent = agent
        self.client = client
        self.folder = folder

    async def add(self, name: str, code: str, runtime: str = "python", **more: Any) -> str:
        """Adds a function; its URL."""
        await self.client.add(write_function(self.folder, name, code, runtime=runtime, **more))
        return f"{self.agent.http}/user/{self.client.user}/function/{name}"


@pytest.fixture
async def here(agent: Agent, client: Client, tmp_path: Path) -> Place:
    return Place(agent, client, tmp_path)


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("runtime", ["python", pytest.param("nodejs", marks=pytest.mark.node)])
async def test_a_request_reaches_the_function_and_its_answer_the_client(
    here: Place, web: httpx.AsyncClient, runtime: str
) -> None:
    url = await here.add("web", WEB[runtime], runtime)
    answer = await web.post(f"{url}/a%20b?x=1", json={"a": [1]})
    assert (answer.status_code, answer.json()) == (200, ["POST", "/a b", {"x": "1"}, {"a": [1]}, {}])
    assert answer.headers["content-type"] == "application/json"
    trace = await here.client.trace(answer.headers["x-call-id"])
    assert trace.steps[0].function == "web"
    assert (await web.get(url)).json() == ["GET", "", {}, None, {}]
    assert (await web.put(url, content="text", headers={"Content-Type": "text/csv"})).json()[3] == "text"
    pot = await web.get(f"{url}/teapot")
    assert (pot.status_code, pot.headers["x-pot"], pot.json()) == (418, "stout", {"short": True})
    failed = await web.get(f"{url}/fail")
    assert (failed.status_code, failed.json()["code"]) == (500, "function_raised")
    assert "no good" in failed.json()["detail"]
    written = [line.log async for line in here.client.logs(invocation=failed.headers["x-call-id"])]
    assert [log.stream for log in written if "no good" in log.text and "main." in log.text] == ["err"]
    broken = await web.post(url, content="{", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_input")
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"k": "v"}}
    structured = {"Content-Type": "application/cloudevents+json"}
    said = (await web.post(url, content=json.dumps(event), headers=structured)).json()
    assert said[3:] == [{"k": "v"}, {name: event[name] for name in ("specversion", "id", "source", "type")}]


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", *arguments], capture_output=True, timeout=30, check=True)
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
async def test_curl_as_people_type_it(here: Place, tmp_path: Path) -> None:
    url = await here.add("echo", "def main(arg):\n    return arg\n")
    run = asyncio.to_thread
    assert await run(curl, url, "-d", "hello") == "hello"
    assert await run(curl, url) == "null"
    assert await run(curl, url, "--json", '{"a":1}') == '{"a":1}'
    large = tmp_path / "large"
    large.write_bytes(b"\0\1" * (1 << 20))
    stream = ["-T", str(large), "-X", "POST", "-H", "Transfer-Encoding: chunked", "-o", str(tmp_path / "back")]
    await run(curl, url, *stream)
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    assert await run(curl, url, "--data-binary", f"@{large}", "-H", "Expect: 100-continue", "-o", "/dev/null") == ""
    assert (await run(curl, url, "-I")).startswith("HTTP/1.1 200 OK")
    assert (await run(curl, url, "-d", "up", "--http2")).startswith('{"title":"Bad Request"')
    assert "HTTP/1.1 200" in await run(curl, "-i", url, "--http1.0", "-d", "old")


async def test_the_standard_librarys_client(here: Place) -> None:
    url = await here.add("echo", "def main(arg):\n    return arg\n")

    def ask() -> tuple[bytes, int]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(url, b"[1]", {"Content-Type": "application/json"})) as answer:
            body = answer.read()
        try:
            opener.open(f"{url}-not-there")
        except urllib.error.HTTPError as error:
            with error:
                return body, error.code
        return body, 0

    assert await asyncio.to_thread(ask) == (b"[1]", 404)


async def test_events_come_as_they_are_sent_and_beyond_the_functions_own_limit(
    here: Place, web: httpx.AsyncClient
) -> None:
    url = await here.add("ticks", TICKS, timeoutS=0.5)
    async with web.stream("GET", f"{url}?n=4&s=0.3") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        seen = [time.monotonic() async for line in answer.aiter_lines() if line.startswith("data: ")]
    assert len(seen) == 4
    assert seen[-1] - seen[0] > 0.7
    assert (await here.client.invoke("ticks")).count("data: ") == 3, "in one piece for who takes no pieces"


async def test_a_body_goes_through_the_function_while_it_is_sent(here: Place, web: httpx.AsyncClient) -> None:
    url = await here.add("upper", UPPER, http={"body": "stream"})

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"ab" * 10_000

    async with web.stream("POST", url, content=body()) as answer:
        total = b"".join([piece async for piece in answer.aiter_bytes()])
    assert total == b"AB" * 1_000_000


async def test_a_workflow_that_its_proxy_serves_streams_too(here: Place, web: httpx.AsyncClient) -> None:
    await here.add("inner", "def main(arg):\n    return arg + 1\n")
    code = "import mee6\n\ndef main(arg):\n    for n in range(3):\n        yield {'n': mee6.invoke('inner', n)}\n"
    url = await here.add("outer", code, calls={"inner": "no"})
    answer = await web.post(url)
    assert answer.text == '{"n":1}\n{"n":2}\n{"n":3}\n'
    assert answer.headers["content-type"] == "application/x-ndjson"
    (step, *_rest) = (await here.client.trace(answer.headers["x-call-id"])).steps
    assert step.via == "proxy"


async def test_a_client_that_hangs_up_calls_the_invocation_off(here: Place, web: httpx.AsyncClient) -> None:
    url = await here.add("ticks", TICKS)
    async with web.stream("GET", f"{url}?n=1000&s=0.05") as answer:
        call = answer.headers["x-call-id"]
        await anext(answer.aiter_lines())

    async def called_off() -> bool:
        return (await here.client.trace(call)).invocation.state == "cancelled"

    await until(called_off, "called off")


async def test_what_takes_too_long_is_told_so(here: Place, web: httpx.AsyncClient) -> None:
    url = await here.add("late", "import time\ndef main(arg):\n    time.sleep(30)\n", timeoutS=0.2)
    answer = await web.post(url)
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
    assert answer.headers["x-call-id"] == answer.json()["invocation"]


@pytest.fixture
def small() -> Iterator[Agent]:
    with Agent.start(prewarm={}, http_inflight=2, http_idle_s=0.3, drain_s=5.0) as agent:
        yield agent


async def test_the_excess_is_refused_while_the_rest_goes_on(
    small: Agent, web: httpx.AsyncClient, tmp_path: Path
) -> None:
    async with small.client() as client:
        here = Place(small, client, tmp_path)
        url = await here.add("slow", "import time\ndef main(arg):\n    time.sleep(0.5)\n    return arg\n")
        await web.post(url)
        answers = await asyncio.gather(*(web.post(url) for _ in range(6)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200, 200, 429, 429, 429, 429]
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        silent = await here.add("silent", "import time\ndef main(arg):\n    yield 'a'\n    time.sleep(60)\n")
        with pytest.raises(httpx.RemoteProtocolError):
            await web.get(silent)


async def test_a_stop_lets_what_runs_finish(web: httpx.AsyncClient, tmp_path: Path) -> None:
    with Agent.start(prewarm={}) as agent:
        async with agent.client() as client:
            url = await Place(agent, client, tmp_path).add(
                "slow", "import time\ndef main(arg):\n    time.sleep(1)\n    return 'whole'\n"
            )
        asked = asyncio.create_task(web.post(url))
        ready = f"{agent.http}/readyz"
        assert (await web.get(ready)).status_code == 200
        await until(agent.marked, "a worker")
        await asyncio.sleep(0.3)
        stopping = asyncio.create_task(asyncio.to_thread(agent.stop))
        answer = await asked
        assert (answer.status_code, answer.text) == (200, "whole")
        assert await stopping == 0


async def test_it_can_be_left_out(tmp_path: Path) -> None:
    with Agent.start(prewarm={}, http_listen="off") as agent:
        async with agent.client() as client:
            (node,) = await client.nodes()
            assert node.http == ""
            await client.add(write_function(tmp_path, "echo", "def main(arg):\n    return arg\n"))
            assert (await client.describe("echo")).url == ""


async def test_metrics_and_description_of_a_real_agent(here: Place, web: httpx.AsyncClient) -> None:
    url = await here.add("echo", "def main(arg):\n    return arg\n")
    assert (await here.client.describe("echo")).url == url
    await web.post(url, content="x")
    text = (await web.get(f"{here.agent.http}/metrics")).text
    name = f'function="echo",le="+Inf",user="{here.client.user}"'
    assert f"mee6_invocation_seconds_bucket{{{name}}} 1.0" in text
    assert "mee6_handovers_total" in text
    document = (await web.get(f"{here.agent.http}/user/{here.client.user}/openapi.json")).json()
    assert list(document["paths"]) == [f"/user/{here.client.user}/function/echo"]
