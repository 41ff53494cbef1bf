"""Whom to call: functions of an agent over gRPC, and any address over HTTP, and what a failure of each is called."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mee6.errors import InvalidInput, Mee6Error
from mee6tui.bench.load import Sender

if TYPE_CHECKING:
    from mee6.client import Client

_WEIGHT: Final = re.compile(r"(.+)=(\d+(?:\.\d+)?)")
_SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Target:
    """A function's name, or a URL."""

    name: str
    weight: float = 1.0

    @property
    def is_url(self) -> bool:
        """Whether it is called over HTTP."""
        return self.name.startswith(_SCHEMES)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent with each call."""

    data: bytes = b""
    content_type: str = "text/plain"
    timeout_s: float = 30.0
    method: str = "POST"
    headers: Mapping[str, str] | None = None
    connections: int = 8
    """To each URL's host; over gRPC streams, which share one."""


def target(text: str) -> Target:
    """The target of `NAME`, `NAME=WEIGHT`, a URL, or `URL=WEIGHT`, where the URL has no query.

    Raises:
        InvalidInput: it is none of these.
    """
    url = text.startswith(_SCHEMES)
    found = None if url and "?" in text else _WEIGHT.fullmatch(text)
    name, weight = (found[1], float(found[2])) if found else (text, 1.0)
    if not weight:
        raise InvalidInput(f"{text!r} is never called; give it a weight above 0, or leave it out")
    if "://" in name and not url:
        raise InvalidInput(f"{name!r} is no address to call; give one that begins with http:// or https://")
    if url:
        from yarl import URL

        try:
            host = URL(name).host
        except ValueError as error:
            raise InvalidInput(f"{name!r} is no address to call: {error}") from error
        if not host:
            raise InvalidInput(f"{name!r} is no address to call: it has no host")
    elif not name or set("=/: ") & set(name):
        raise InvalidInput(f"{text!r} is no target; give a function as NAME or NAME=WEIGHT, or a URL")
    return Target(name, weight)


class Refused(Exception):
    """An HTTP answer that is no success."""


@contextlib.asynccontextmanager
async def senders(targets: Sequence[Target], request: Request, client: Client | None) -> AsyncIterator[list[Sender]]:
    """One sender for each target, for as long as the context is open.

    Args:
        client: of the agent whose functions are called; None where none is.

    Raises:
        Mee6Error: a function is not there, or its agent does not answer.
    """
    async with contextlib.AsyncExitStack() as stack:
        made: dict[bool, list[Sender]] = {}
        names = [one for one in targets if not one.is_url]
        urls = [one for one in targets if one.is_url]
        if names:
            assert client is not None
            made[False] = await _of_functions(stack, names, request, client)
        if urls:
            made[True] = await _of_urls(stack, urls, request)
        kinds = {kind: iter(found) for kind, found in made.items()}
        yield [next(kinds[one.is_url]) for one in targets]


async def _of_functions(
    stack: contextlib.AsyncExitStack, targets: Sequence[Target], request: Request, client: Client
) -> list[Sender]:
    for one in targets:
        await client.describe(one.name)
    streams = itertools.cycle([await stack.enter_async_context(client.stream()) for _ in range(request.connections)])

    def sender(name: str) -> Sender:
        async def send() -> None:
            await next(streams).invoke_raw(name, request.data, request.content_type, timeout=request.timeout_s)

        return send

    return [sender(one.name) for one in targets]


async def _of_urls(stack: contextlib.AsyncExitStack, targets: Sequence[Target], request: Request) -> list[Sender]:
    import aiohttp

    says_what = {"Content-Type": request.content_type} if request.data or request.method != "GET" else {}
    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=request.connections),
            timeout=aiohttp.ClientTimeout(total=request.timeout_s),
            headers={**says_what, **(request.headers or {})},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
    )

    def sender(url: str) -> Sender:
        async def send() -> None:
            async with session.request(request.method, url, data=request.data or None, allow_redirects=False) as answer:
                await answer.read()
                if answer.status >= 400:
                    raise Refused(f"HTTP {answer.status}")

        return send

    return [sender(one.name) for one in targets]


def kind_of(error: BaseException) -> str:
    """What a failed call is counted as."""
    match error:
        case Mee6Error():
            return error.code.replace("_", " ")
        case Refused():
            return str(error)
        case TimeoutError():
            return "timed out"
        case ConnectionRefusedError():
            return "connection refused"
        case OSError() if error.errno:
            cause = getattr(error, "os_error", error)
            return kind_of(cause) if cause is not error else (error.strerror or type(error).__name__).lower()
        case _:
            return re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
