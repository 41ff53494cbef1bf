from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientConnectorError, ServerDisconnectedError, web
from aiohttp.client_reqrep import ConnectionKey

from mee6.errors import Exhausted, FunctionRaised, InvalidInput
from mee6tui.bench.targets import Refused, Request, Target, kind_of, senders, target
from tests.support.registry import free_port


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("echo", Target("echo")),
        ("echo=3", Target("echo", 3)),
        ("echo=0.5", Target("echo", 0.5)),
        ("http://h:1/a", Target("http://h:1/a")),
        ("http://h:1/a=2", Target("http://h:1/a", 2)),
        ("http://h/a?b=2", Target("http://h/a?b=2")),
    ],
)
def test_a_target_has_a_name_and_a_weight(text: str, made: Target) -> None:
    assert target(text) == made


@pytest.mark.parametrize("text", ["", "=3", "echo=x", "echo=0", "a b", "ftp://h/", "http://", "http://h:port/"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        target(text)


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, list[tuple[str, str, bytes, str]]]]:
    seen: list[tuple[str, str, bytes, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.path, await request.read(), request.headers.get("X-Who", "")))
        if request.path == "/slow":
            await asyncio.sleep(5)
        return web.Response(status=int(request.path.removeprefix("/")) if request.path[1:].isdigit() else 200)

    app = web.Application()
    app.router.add_route("*", "/{any}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", seen
    await runner.cleanup()


async def test_a_url_is_called_as_it_was_said(site: tuple[str, list[tuple[str, str, bytes, str]]]) -> None:
    url, seen = site
    request = Request(b"foo", headers={"X-Who": "me"})
    async with senders([Target(f"{url}/a"), Target(f"{url}/302")], request, None) as (first, second):
        await first()
        await second()
    assert seen == [("POST", "/a", b"foo", "me"), ("POST", "/302", b"foo", "me")]


async def test_an_answer_that_is_no_success_is_a_failure_of_its_status(site: tuple[str, list[object]]) -> None:
    url, _seen = site
    async with senders([Target(f"{url}/503"), Target(f"{url}/slow")], Request(timeout_s=0.05), None) as (first, second):
        assert await failure(first()) == "HTTP 503"
        assert await failure(second()) == "timed out"


async def test_an_address_that_nobody_answers_at_is_refused_by_name() -> None:
    async with senders([Target(f"http://127.0.0.1:{free_port()}/")], Request(), None) as (send,):
        assert await failure(send()) == "connection refused"


async def failure(call: object) -> str:
    try:
        await call  # type: ignore[misc]
    except Exception as error:
        return kind_of(error)
    return ""


def test_failures_have_a_kind_that_is_read() -> None:
    key = ConnectionKey("h", 1, False, True, None, None, None)
    assert kind_of(ClientConnectorError(key, ConnectionRefusedError(111, "no"))) == "connection refused"
    assert kind_of(ClientConnectorError(key, OSError(113, "No route to host"))) == "no route to host"
    assert kind_of(ServerDisconnectedError()) == "server disconnected"
    assert kind_of(Exhausted("full")) == "exhausted"
    assert kind_of(FunctionRaised("no", function="f")) == "function raised"
    assert kind_of(Refused("HTTP 500")) == "HTTP 500"
    assert kind_of(TimeoutError()) == "timed out"
