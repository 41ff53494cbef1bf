"""The console in a browser: textual-serve's page and protocol, behind our guard, one process a viewer.

Bound to this machine unless told otherwise, and never without `Guard`. A viewer's process begins and ends with its
connection. Nothing is loaded from anywhere else, and all addresses are relative, so that a tunnel or a proxy works.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import textual_serve
from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from mee6.errors import InvalidInput
from mee6tui.console.web_guard import HEADERS, Guard

LOOPBACK: Final = ("127.", "localhost", "::1")
QUIT_S: Final = 2.0
"""How long a viewer's process has to leave by itself."""
DRIVER: Final = "mee6tui.console.web_driver:ViewerDriver"
SAID: Final = 60
"""Characters of a message that is none, in what is said of it."""
_ROOM: Final = (range(2, 1001), range(2, 501))
"""Columns and lines that a browser may ask for."""


class Viewer(AppService):
    """A console for one connection."""

    argv: Sequence[str] = ()

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        return {**super()._build_environment(width, height), "TEXTUAL_DRIVER": DRIVER, "LINES": str(height)}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,  # Ctrl-C is for the server, which ends its viewers in order
        )
        self._stdin = self._process.stdin
        return self._process

    async def stop(self) -> None:
        """Ends the process; one that does not listen is made to."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        self._task = None
        await self._download_manager.cancel_app_downloads(app_service_id=self.app_service_id)
        task.cancel()  # what it still says is read below, and thrown away
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIT_S):
                await self.send_meta({"type": "quit"})
                await process.communicate()
        if process.returncode is None:
            process.kill()
            await process.communicate()


class ConsoleServer(Server):
    """Serves a console to a few browsers.

    Args:
        argv: the command of a viewer's console.
        names: under which browsers may know it, besides `localhost` and addresses in numbers.
        viewers: at most so many at once.
        said: told what whoever started it should read.
    """

    def __init__(
        self,
        argv: Sequence[str],
        host: str,
        port: int,
        *,
        names: Collection[str],
        viewers: int,
        said: Callable[[str], None],
    ) -> None:
        super().__init__(" ".join(argv), host, port, title="mee6")
        self.argv = argv
        self.viewers = viewers
        self.said = said
        self.guard = Guard([*names, host], self._invite)
        self.open: set[Viewer] = set()
        self.address = ""
        """Where it listens: `http://HOST:PORT/`."""

    def _invite(self, token: str) -> None:
        self.said(f"for one more browser, open {self.address}?token={token}")

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[_middleware(self.guard)])
        static = Path(textual_serve.__file__).parent / "static"
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/console.js", self._script),
                web.get("/ws", self.handle_websocket),
                web.static("/static", static, show_index=False),
            ]
        )
        app.on_response_prepare.append(_harden)
        app.on_shutdown.append(self.on_shutdown)
        return app

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=_own("web.html"), content_type="text/html")

    async def _script(self, _request: web.Request) -> web.Response:
        return web.Response(text=_own("web.js"), content_type="text/javascript")

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A viewer, from its first byte to its last."""
        if len(self.open) >= self.viewers:
            raise web.HTTPServiceUnavailable(text=f"{self.viewers} look already; see: --viewers")
        websocket = web.WebSocketResponse(timeout=QUIT_S, heartbeat=15, max_msg_size=1 << 20)

        async def close() -> None:
            await websocket.close()

        viewer = Viewer(
            "",
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=close,
            download_manager=self.download_manager,
        )
        viewer.argv = self.argv
        self.open.add(viewer)
        try:
            await websocket.prepare(request)
            await viewer.start(_within(request, "width", 80, _ROOM[0]), _within(request, "height", 24, _ROOM[1]))
            await self._process_messages(websocket, viewer)
        finally:
            await asyncio.shield(asyncio.ensure_future(self._leave(viewer)))
        return websocket

    async def _process_messages(self, websocket: web.WebSocketResponse, app_service: AppService) -> None:
        async for message in websocket:
            if message.type is not WSMsgType.TEXT:
                continue
            match _read(message.data):
                case ["stdin", str(text)]:
                    if data := text.encode("utf-8", "ignore"):  # nothing at all is the end, for who reads it
                        await app_service.send_bytes(data)
                case ["resize", {"width": int(width), "height": int(height)}]:
                    if width in _ROOM[0] and height in _ROOM[1]:
                        await app_service.set_terminal_size(width, height)
                case ["ping", what]:
                    await websocket.send_json(["pong", what])
                case ["blur", *_]:
                    await app_service.blur()
                case ["focus", *_]:
                    await app_service.focus()
                case _:
                    begin = message.data if len(message.data) <= SAID else message.data[:SAID] + "…"
                    self.said(f"a browser was cut off: {begin!r} is none of the console's messages")
                    return

    async def _leave(self, viewer: Viewer) -> None:
        await viewer.stop()
        self.open.discard(viewer)
        await viewer.remote_close()

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp gives it
        """Ends all viewers."""
        await asyncio.gather(*(self._leave(viewer) for viewer in list(self.open)))

    async def run(self, until: asyncio.Event) -> None:
        """Serves until the event, and ends what is open.

        Raises:
            InvalidInput: nobody can listen there.
        """
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=QUIT_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port)
            try:
                await site.start()
            except OSError as error:
                raise InvalidInput(f"cannot listen on {self.host}:{self.port}: {error.strerror}") from error
            port = runner.addresses[0][1]
            self.address = f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}/"
            if not self.host.startswith(LOOPBACK):
                self.said(
                    f"warning: {self.host} can be reached from other machines, and what is sent is not encrypted; "
                    "anybody on the way can take this console over"
                )
            self.said(f"open {self.address}?token={self.guard.token}")
            await until.wait()
        finally:
            await runner.cleanup()


def serve(
    arguments: Sequence[str],
    listen: str,
    *,
    names: Collection[str],
    viewers: int,
    said: Callable[[str], None],
) -> None:
    """Serves `mee6 console` with these arguments until Ctrl-C or SIGTERM.

    Raises:
        InvalidInput: nobody can listen there.
    """
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(f"--listen {listen!r} is no HOST:PORT, as 127.0.0.1:8000")
    argv = [sys.executable, "-m", "mee6tui.cli.main", "console", *arguments]
    server = ConsoleServer(argv, host.strip("[]") or "127.0.0.1", int(port), names=names, viewers=viewers, said=said)

    async def run() -> None:
        until = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, until.set)
        await server.run(until)

    asyncio.run(run())


def _middleware(guard: Guard) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        return await guard.check(request, handler)

    return check


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _within(request: web.Request, name: str, otherwise: int, room: range) -> int:
    asked = request.query.get(name, "")
    return int(asked) if asked.isdecimal() and len(asked) < 6 and int(asked) in room else otherwise


def _read(text: str) -> Any:
    """What the text says; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _own(name: str) -> str:
    return (files("mee6tui.console") / name).read_text(encoding="utf-8")
