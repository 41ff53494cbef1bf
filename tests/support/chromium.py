"""A real Chromium without a window, driven by its own protocol: open a page, press keys, read what it was sent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.support.agents import until

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,800",
    "--remote-debugging-port=0",
)
WAIT_S: Final = 60.0


def executable() -> str | None:
    """Chromium, if this machine has it."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """A tab, and all that happened in it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.requests: list[str] = []
        """Addresses that it asked for."""
        self.errors: list[str] = []
        """What its scripts, or its policy, complained of."""
        self.received = b""
        """What its WebSocket was sent, in binary messages."""

    async def listen(self) -> None:
        """Takes in what the browser says, until it leaves."""
        async for message in self._socket:
            said = message.json()
            if (number := said.get("id")) is not None:
                self._answers.pop(number).set_result(said)
                continue
            told = said.get("params", {})
            match said["method"]:
                case "Network.requestWillBeSent":
                    self.requests.append(told["request"]["url"])
                case "Network.webSocketFrameReceived" if told["response"]["opcode"] == 2:
                    self.received += base64.b64decode(told["response"]["payloadData"])
                case "Runtime.exceptionThrown":
                    self.errors.append(str(told["exceptionDetails"].get("exception", told)))
                case "Log.entryAdded" if told["entry"]["level"] == "error":
                    self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
                case _:
                    pass

    async def call(self, method: str, **told: Any) -> dict[str, Any]:
        """Asks the browser for something; returns what it answers."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": told})
        async with asyncio.timeout(WAIT_S):
            said = await answer
        assert "error" not in said, said
        return dict(said["result"])

    async def open(self, address: str) -> None:
        """Goes there."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.bringToFront")
        await self.call("Page.navigate", url=address)

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    async def press(self, key: str) -> None:
        """Types a letter."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self) -> bytes:
        """What is seen: a PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot"))["data"])

    async def colors(self, picture: bytes) -> int:
        """How many colours a picture has."""
        data = base64.b64encode(picture).decode()
        script = f"""(async () => {{
            const bytes = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
            const image = await createImageBitmap(new Blob([bytes]));
            const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
            canvas.drawImage(image, 0, 0);
            const pixels = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
            return new Set(pixels).size;
        }})()"""
        return int(await self.evaluate(script))


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Page]:
    """A browser with a profile of its own, and its one tab; nothing of it is left."""
    found = executable()
    assert found is not None
    profile = Path(tempfile.mkdtemp(prefix="m6c"))
    browser = await asyncio.create_subprocess_exec(
        found,
        *FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        told = profile / "DevToolsActivePort"
        await until(lambda: told.exists() and told.read_text().count("\n") > 0, "the browser is up", WAIT_S)
        base = f"http://127.0.0.1:{told.read_text().splitlines()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{base}/json/list") as answer:
                (tab,) = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                try:
                    yield page
                    await page.call("Browser.close")
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(browser.wait(), 10)
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
        shutil.rmtree(profile, ignore_errors=True)
