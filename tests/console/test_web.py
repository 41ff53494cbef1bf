"""The console in a browser: who is let in, what a viewer costs, and that a real browser shows it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest

from mee6tui.console.web import ConsoleServer
from mee6tui.console.web_guard import Guard, same
from tests.console.conftest import BUSY
from tests.support import chromium
from tests.support.agents import until

pytestmark = pytest.mark.slow


@dataclass
class Serving:
    """`mee6 console --serve` as a process, on a recording."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)

    def line(self) -> str:
        assert self.process.stderr is not None
        self.said.append(self.process.stderr.readline())
        return self.said[-1]

    @property
    def address(self) -> str:
        """With the token that was printed last."""
        found = [match[0] for line in self.said if (match := re.search(r"http://\S+", line))]
        return found[-1]

    @property
    def bare(self) -> str:
        return self.address.partition("?")[0]

    def viewers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()


@contextmanager
def serving(*options: str) -> Iterator[Serving]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "mee6tui.cli.main", "console", "--serve", "--listen", "127.0.0.1:0"),
            *("--replay", str(BUSY), "--speed", "0", *options),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            found = Serving(process)
            while "?token=" not in found.line():
                assert found.said[-1], found.said
            yield found
        finally:
            process.kill()


@asynccontextmanager
async def entered(server: Serving) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser that was given the address."""
    jar = aiohttp.CookieJar(unsafe=True)  # of an address in numbers, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(server.address) as answer:
            assert answer.status == 200
        server.line()  # the next token
        yield session


def host_of(server: Serving) -> str:
    return server.bare.removeprefix("http://").rstrip("/")


@asynccontextmanager
async def looking(server: Serving, session: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    origin = {"Origin": f"http://{host_of(server)}"}
    async with session.ws_connect(f"{server.bare}ws?width=100&height=30", headers=origin) as socket:
        yield socket


async def painted(socket: aiohttp.ClientWebSocketResponse, wanted: bytes) -> None:
    seen = b""
    async with asyncio.timeout(30):
        while wanted not in seen:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, message
            seen += message.data


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("", {}, 401),
        ("static/js/textual.js", {}, 401),
        ("ws", {}, 401),
        ("?token=wrong", {}, 401),
        ("?token=", {}, 401),
        ("?token=%C3%A9", {}, 401),
        ("", {"Host": "evil.example"}, 403),
        ("", {"Host": "127.0.0.1@evil.example"}, 403),
        ("", {"Origin": "http://evil.example"}, 403),
        ("", {"Origin": "null"}, 403),
        ("", {"Cookie": "mee6=x; mee6-00000000=y"}, 401),
    ],
)
async def test_who_brings_no_token_or_comes_from_elsewhere_is_not_let_in(
    shared: Serving, path: str, headers: dict[str, str], status: int
) -> None:
    async with aiohttp.ClientSession() as session, session.get(shared.bare + path, headers=headers) as answer:
        assert answer.status == status
        assert "Set-Cookie" not in answer.headers
    assert shared.viewers() == []


@pytest.fixture(scope="module")
def shared() -> Iterator[Serving]:
    with serving("--viewers", "1") as server:
        yield server


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "file://"}, 403),
        ({}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
    ],
    ids=["other page", "other port", "file", "none", "rebound name"],
)
async def test_with_the_cookie_another_page_still_gets_no_console(
    shared: Serving, headers: dict[str, str], status: int
) -> None:
    async with entered(shared) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{shared.bare}ws", headers=headers)
        assert refused.value.status == status
    assert shared.viewers() == []


async def test_the_token_lets_one_in_once_and_its_cookie_is_for_no_script_and_no_other_page(shared: Serving) -> None:
    used = shared.address
    async with aiohttp.ClientSession() as session:
        async with session.get(used) as answer:
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "for one more browser" in shared.line()
        async with session.get(used) as answer:
            assert answer.status == 401
    assert shared.address != used


async def test_the_page_is_relative_loads_nothing_from_elsewhere_and_lists_no_folder(shared: Serving) -> None:
    async with entered(shared) as session:
        async with session.get(shared.bare) as answer:
            page = await answer.text()
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.findall(r"https?://", page)
        for path in ("static/", "static/js/", "static/../server.py", "static/%2e%2e/server.py"):
            async with session.get(shared.bare + path) as answer:
                assert answer.status in {403, 404}, path
        for path in re.findall(r"(?:src|href)=\"([^\"]+)\"|url\(\"([^\"]+)\"\)", page):
            if "".join(path).startswith("data:"):
                continue
            async with session.get(shared.bare + "".join(path)) as answer:
                assert answer.status == 200, path


async def test_a_viewer_looks_presses_keys_and_its_process_ends_with_its_connection(shared: Serving) -> None:
    async with entered(shared) as session:
        async with looking(shared, session) as socket:
            await painted(socket, b"replay of")
            await socket.send_json(["stdin", "2"])
            await painted(socket, b"worker")
            (viewer,) = shared.viewers()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:  # --viewers 1
                async with looking(shared, session):
                    pass
            assert refused.value.status == 503
        await until(lambda: not shared.viewers(), "no viewer is left")
        assert not viewer.is_running()


@pytest.mark.parametrize(
    "nonsense",
    [
        "[",
        "{}",
        "[]",
        "5",
        '["stdin"]',
        '["stdin",5]',
        '["resize", {}]',
        '["resize", {"width": "x"}]',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
async def test_nonsense_ends_a_viewer_with_a_line_and_nothing_else(shared: Serving, nonsense: str) -> None:
    async with entered(shared) as session:
        async with looking(shared, session) as socket:
            await painted(socket, b"replay of")
            await socket.send_str(nonsense)
            async with asyncio.timeout(30):
                while (await socket.receive()).type not in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}:
                    pass
        await until(lambda: not shared.viewers(), "no viewer is left")
    while "for one more browser" in shared.line():
        pass
    begin = nonsense if len(nonsense) <= 60 else nonsense[:60] + "…"
    assert shared.said[-1] == f"mee6: a browser was cut off: {begin!r} is none of the console's messages\n"
    assert shared.process.poll() is None


async def test_a_size_that_no_screen_has_is_passed_over(shared: Serving) -> None:
    async with entered(shared) as session, looking(shared, session) as socket:
        await painted(socket, b"replay of")
        await socket.send_json(["resize", {"width": 10**9, "height": 10**9}])
        await socket.send_json(["stdin", ""])
        await socket.send_json(["stdin", "\ud800"])
        await socket.send_json(["stdin", "2"])
        await painted(socket, b"WORKER")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_all_viewers_end_with_the_server(number: int) -> None:
    with serving() as server:
        async with entered(server) as session, looking(server, session) as one, looking(server, session) as two:
            await painted(one, b"replay of")
            await painted(two, b"replay of")
            viewers = server.viewers()
            assert len(viewers) == 2
            os.kill(server.process.pid, number)
            await asyncio.to_thread(server.process.wait, 30)
            await until(lambda: not any(viewer.is_running() for viewer in viewers), "the viewers have ended")
        assert server.process.returncode == (0 if number != signal.SIGKILL else -number)


async def test_a_viewer_that_does_not_read_is_ended_when_it_leaves() -> None:
    talker = "print('__GANGLION__', flush=True)\nimport sys\nwhile True: sys.stdout.write('D\\0\\0\\0\\1x')"
    server = ConsoleServer([sys.executable, "-c", talker], "127.0.0.1", 0, names=[], viewers=1, said=lambda _line: None)
    ended = asyncio.Event()
    running = asyncio.create_task(server.run(ended))
    await until(lambda: server.address, "it listens")
    token = server.guard.token
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        await session.get(f"{server.address}?token={token}")
        headers = {"Origin": server.address.rstrip("/")}
        socket = await session.ws_connect(f"{server.address}ws", headers=headers)
        await until(lambda: psutil.Process().children(), "the viewer runs")
        (viewer,) = server.open
        process = await until(lambda: viewer._process, "its process is known")
        await socket.close()
    await until(lambda: not server.open, "the viewer has ended")
    assert process is not None
    assert process.returncode is not None
    ended.set()
    await running


def test_a_name_is_known_when_it_was_allowed_or_is_numbers() -> None:
    guard = Guard(["desk.example"], lambda _token: None)
    known = ["127.0.0.1:8000", "[::1]:8000", "localhost:1", "LOCALHOST", "desk.example:8000", "10.0.0.7"]
    assert [host for host in known if not guard.knows(host)] == []
    unknown = ["", "evil.example", "desk.example.evil.example", "x@localhost", "localhost/x", "[", "127.0.0.1.nip.io"]
    assert [host for host in unknown if guard.knows(host)] == []


@pytest.mark.parametrize(("origin", "alike"), [
    ("http://h:1", True), ("https://h:1", True), ("http://H:1", True), ("http://h", False), ("null", False),
    ("", False), ("http://h:1.evil", False), ("ws://h:1", False), ("http://[", False),
])  # fmt: skip
def test_an_origin_is_ours_when_it_is_the_host(origin: str, alike: bool) -> None:
    assert same(origin, "h:1") is alike


@pytest.mark.browser
@pytest.mark.skipif(
    chromium.executable() is None, reason="needs Chromium; Debian's packages chromium, fonts-dejavu-core"
)
async def test_a_real_browser_shows_the_console_and_a_key_changes_it(tmp_path: Path) -> None:
    with serving() as server:
        async with chromium.chromium() as page:
            await page.open(server.address)
            await until(lambda: b"replay of" in page.received, "the console paints", chromium.WAIT_S)
            before = await seen(page, b"")
            assert await page.evaluate("document.fonts.check('16px \"Roboto Mono\"')")
            await until(lambda: page.evaluate("document.activeElement.tagName === 'TEXTAREA'"), "keys are for it")
            length = len(page.received)
            await page.press("2")
            await until(lambda: b"worker" in page.received[length:], "the key leads to the workers")
            after = await seen(page, before)
            (tmp_path / "browser.png").write_bytes(after)
            assert page.errors == []
            assert {address for address in page.requests if not address.startswith(server.bare)} == set()
            assert await page.evaluate("document.cookie") == ""
            assert "token" not in await page.evaluate("location.href")
            (viewer,) = server.viewers()
        await until(lambda: not viewer.is_running(), "the viewer ends with the browser")


async def seen(page: chromium.Page, before: bytes) -> bytes:
    """A picture with more on it than a ground, once there is another one than before."""
    found = b""

    async def probe() -> bool:
        nonlocal found
        found = await page.picture()
        return found != before and await page.colors(found) > 30

    await until(probe, "something else is seen", chromium.WAIT_S)
    return found
