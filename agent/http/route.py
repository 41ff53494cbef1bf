"""What a request asks for, by its target and its head alone. Pure."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

import msgspec

from agent.http.wire import Head
from agent.plan import DEFAULT_USER
from mee6.manifest import METHODS, Http, is_name

FIXED: Final = ("/", "/healthz", "/readyz", "/metrics", "/openapi.json")


class ToFunction(msgspec.Struct, frozen=True, gc=False):
    """A function is asked for."""

    user: str
    name: str
    path: str
    """What follows its name, decoded: empty, or beginning with `/`."""
    query: str


class ToFixed(msgspec.Struct, frozen=True, gc=False):
    """One of the door's own resources."""

    path: str
    user: str = DEFAULT_USER


class Refuse(msgspec.Struct, frozen=True, gc=False):
    """It cannot be had."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


Route = ToFunction | ToFixed | Refuse

MOST_ROUTES: Final = 1024


class Routes:
    """The routes of targets asked for before: who calls a function calls it again."""

    def __init__(self) -> None:
        self._known: dict[bytes, Route] = {}

    def __getitem__(self, target: bytes) -> Route:
        found = self._known.get(target)
        if found is None:
            found = route(target)
            if len(self._known) >= MOST_ROUTES:
                self._known.clear()
            if len(target) < 256:
                self._known[target] = found
        return found


def route(target: bytes) -> Route:
    """What a target names.

    `/function/NAME[/path]` is a function of the default user, `/user/USER/function/NAME[/path]` one of another;
    `/user/USER/openapi.json` describes that one's.
    """
    text = target.decode("latin-1")
    if text.startswith(("http://", "https://")):  # as to a proxy; servers have to take it
        text = "/" + text.split("/", 3)[3] if text.count("/") > 2 else "/"
    path, _, query = text.partition("?")
    if not path.startswith("/"):
        return Refuse(400, "invalid_input", f"the target {text[:100]!r} is not a path; ask for /function/NAME")
    if path in FIXED:
        return ToFixed(path)
    parts = path.split("/")
    user, rest = DEFAULT_USER, parts[1:]
    if rest[0] == "user" and len(rest) > 2:
        user, rest = unquote(rest[1]), rest[2:]
        if not is_name(user):
            return Refuse(404, "not_found", f"{user[:100]!r} is no user's name")
        if rest == ["openapi.json"]:
            return ToFixed("/openapi.json", user)
    if rest[0] != "function":
        return Refuse(
            404, "not_found", f"nothing at {path[:200]!r}; functions are at /function/NAME, listed in /openapi.json"
        )
    name = unquote(rest[1]) if len(rest) > 1 else ""
    if not is_name(name):
        return Refuse(404, "function_not_found", f"{name[:100]!r} is no function's name; see: mee6 act ls")
    below = "".join(f"/{unquote(part, errors='replace')}" for part in rest[2:])
    return ToFunction(user, name, below, query)


def allowed(http: Http) -> tuple[str, ...]:
    """The methods of a function, as `Allow` names them."""
    return (*(http.methods or METHODS), "OPTIONS")


def refused_method(method: str, methods: Collection[str]) -> Refuse | None:
    """The refusal of a method that is not among those of the resource."""
    if method in methods:
        return None
    listed = ", ".join(methods)
    detail = f"{method[:20]} is not answered here; use {listed}"
    return Refuse(405, "method_not_allowed", detail, (("Allow", listed),))


def refused_host(host: str, known: Collection[str]) -> Refuse | None:
    """The refusal of a host that is not this machine by a name of its own.

    A page in a browser can have a name of its own point at 127.0.0.1 and then read what answers there; the name that it
    asks for stays the page's.

    Args:
        known: names that are good besides those of loopback.
    """
    name = host_name(host)
    if name == "localhost" or name.endswith(".localhost") or name in known:
        return None
    try:
        if ip_address(name).is_loopback:
            return None
    except ValueError:
        pass
    return Refuse(
        421,
        "not_allowed",
        f"this agent is not {name[:100]!r}: on loopback it answers to localhost and 127.0.0.1; "
        "name others with: mee6 agent serve --http-host NAME",
    )


def host_name(host: str) -> str:
    """The host without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") < 2 else host


def expects(head: Head) -> bool | None:
    """Whether a client waits for a word before it sends the body; None for an expectation that nobody can meet."""
    wanted = head.headers.get("expect")
    if wanted is None:
        return False
    return True if wanted.strip().lower() == "100-continue" else None
