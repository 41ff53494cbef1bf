"""Who may see the console in a browser: a token in the address, once, then a cookie; and from where.

Whatever page the user has open may send requests to this machine, and any name may be made to point to it. So a
request must name this server by a name that it knows (`Host`), must not come from another page (`Origin`), and must
carry a secret that no other page can read. Knows requests and secrets, and nothing of the console.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

SESSIONS: Final = 32
"""Browsers that are remembered; the one that came first is forgotten first."""
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_ENTER: Final = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=./"><title>mee6</title>'
    '<link rel="icon" href="data:,">'
)
"""Goes on by itself: a redirection from another page's link would come without the cookie."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Lets in whoever brings the token, and then knows them by a cookie.

    Args:
        names: under which browsers may know the server, besides `localhost` and addresses in numbers.
        renewed: called with the next token, whenever one has been used.
    """

    def __init__(self, names: Collection[str], renewed: Callable[[str], None]) -> None:
        self.names = {"localhost", *(name.lower() for name in names)}
        self.token = secrets.token_urlsafe(32)
        self.cookie = f"mee6-{secrets.token_hex(4)}"  # a browser shares cookies between all ports of a host
        self._sessions: deque[str] = deque(maxlen=SESSIONS)
        self._renewed = renewed

    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """An aiohttp middleware, before everything else."""
        host, origin = request.headers.get("Host", ""), request.headers.get("Origin")
        if not self.knows(host):
            raise web.HTTPForbidden(
                text=f"this console is not called {host[:100]!r}; see: --allow-host", headers=HEADERS
            )
        upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
        if (origin is None and upgrade) or (origin is not None and not same(origin, host)):
            raise web.HTTPForbidden(text="this console is not for other pages", headers=HEADERS)
        if (offered := request.query.get("token")) is not None and request.path == "/":
            return self._enter(request, offered)
        if not self._is_known(request.cookies.get(self.cookie, "")):
            raise web.HTTPUnauthorized(text="open the address that mee6 console --serve has printed", headers=HEADERS)
        return await handler(request)

    def knows(self, host: str) -> bool:
        """Whether a `Host` may be ours: a name that was allowed, or numbers, which nobody else can point here."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if set(host) & set("/@?#\\ "):
                return False
            return name in self.names or bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _enter(self, request: web.Request, offered: str) -> web.Response:
        if not secrets.compare_digest(offered.encode(), self.token.encode()):
            raise web.HTTPUnauthorized(text="this address has been used; a new one was printed then", headers=HEADERS)
        self.token, session = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self._sessions.append(session)
        self._renewed(self.token)
        response = web.Response(text=_ENTER, content_type="text/html", headers=HEADERS)
        secure = request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(self.cookie, session, httponly=True, samesite="Strict", secure=secure, path="/")
        return response

    def _is_known(self, session: str) -> bool:
        found = False
        for known in self._sessions:  # all of them, so that the time tells nothing
            found |= secrets.compare_digest(session.encode(), known.encode())
        return found


def same(origin: str, host: str) -> bool:
    """Whether a page of that origin is one of this host's."""
    try:
        found = urlsplit(origin)
    except ValueError:
        return False
    return found.scheme in {"http", "https"} and found.netloc.lower() == host.lower()
