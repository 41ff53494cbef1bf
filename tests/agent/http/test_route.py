"""What a request asks for, and who may ask: decisions without I/O."""

from __future__ import annotations

import base64
import json

import pytest

from agent.http import answers, cors
from agent.http.content import argument
from agent.http.route import MOST_ROUTES, Refuse, Routes, ToFixed, ToFunction, allowed, refused_host, route
from mee6.errors import BY_CODE, InvalidInput, Mee6Error, by_code
from mee6.lane.messages import BINARY, JSON, TEXT, Header, Response
from mee6.manifest import METHODS, Http


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/function/echo", ToFunction("default", "echo", "", "")),
        ("/function/echo?", ToFunction("default", "echo", "", "")),
        ("/function/echo/", ToFunction("default", "echo", "/", "")),
        ("/function/echo/a%20b/c?x=1&y=%20", ToFunction("default", "echo", "/a b/c", "x=1&y=%20")),
        ("/function/echo/../healthz", ToFunction("default", "echo", "/../healthz", "")),
        ("/function/echo/%ff", ToFunction("default", "echo", "/\ufffd", "")),
        ("/user/ann/function/a.b-c_1/x", ToFunction("ann", "a.b-c_1", "/x", "")),
        ("http://localhost:5123/function/echo/x", ToFunction("default", "echo", "/x", "")),
        ("/user/ann/openapi.json", ToFixed("/openapi.json", "ann")),
        ("/openapi.json?x", ToFixed("/openapi.json")),
        ("/healthz", ToFixed("/healthz")),
        ("/", ToFixed("/")),
        ("http://localhost", ToFixed("/")),
    ],
)
def test_a_target_names_a_function_or_a_resource(target: str, wanted: object) -> None:
    assert route(target.encode()) == wanted


@pytest.mark.parametrize(
    ("target", "status", "next_step"),
    [
        ("/nothing", 404, "/openapi.json"),
        ("/function", 404, "mee6 act ls"),
        ("/function/", 404, "mee6 act ls"),
        ("/function/..", 404, "mee6 act ls"),
        ("/function/%2e%2e/x", 404, "mee6 act ls"),
        ("/function/a%00b", 404, "mee6 act ls"),
        ("/functions/echo", 404, "/function/NAME"),
        ("//function/echo", 404, "/function/NAME"),
        ("/user/..%2f/function/echo", 404, "user's name"),
        ("/healthz/", 404, "/function/NAME"),
        ("*", 400, "/function/NAME"),
        ("example.org:443", 400, "/function/NAME"),
        ("", 400, "/function/NAME"),
    ],
)
def test_what_is_not_there_is_refused_with_the_next_step(target: str, status: int, next_step: str) -> None:
    refusal = route(target.encode())
    assert isinstance(refusal, Refuse)
    assert refusal.status == status
    assert next_step in refusal.detail


def test_routes_are_remembered_up_to_a_bound() -> None:
    routes = Routes()
    for number in range(3 * MOST_ROUTES):
        assert routes[f"/function/f{number}".encode()] == ToFunction("default", f"f{number}", "", "")
        assert len(routes._known) <= MOST_ROUTES
    assert routes[b"/function/f" + b"x" * 500] not in routes._known.values()


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:5123", "LOCALHOST", "127.0.0.1", "127.8.9.1:80", "[::1]:5123", "a.localhost:1"]
)
def test_on_loopback_this_machines_names_are_answered_to(host: str) -> None:
    assert refused_host(host, ()) is None


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5123", "10.0.0.7", "127.0.0.1.evil.example", "localhost.evil", "[fe80::1]", ""],
)
def test_on_loopback_other_names_are_refused_unless_they_were_given(host: str) -> None:
    refusal = refused_host(host, ())
    assert refusal is not None
    assert refusal.status == 421
    assert "--http-host" in refusal.detail
    if host == "evil.example":
        assert refused_host(host, {"evil.example"}) is None


# Cross-origin requests ---------------------------------------------------------------------------------------

APP = "https://app.example"


def said(origin: str | None, **more: str) -> dict[str, str]:
    named = {"origin": origin} if origin is not None else {}
    return {"host": "localhost:5123", **named, **{name.replace("_", "-"): value for name, value in more.items()}}


@pytest.mark.parametrize(
    ("origin", "allowed_", "wanted"),
    [
        (None, [], ()),
        (None, [APP], (("Vary", "Origin"),)),
        ("http://localhost:5123", [], ()),
        (APP, ["*"], (("Access-Control-Allow-Origin", "*"), ("Access-Control-Expose-Headers", cors.EXPOSED))),
    ],
)
def test_an_origin_that_may_is_told_so(origin: str | None, allowed_: list[str], wanted: object) -> None:
    assert cors.check(said(origin), Http(cors=allowed_), "f") == wanted


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9", f"{APP}.evil", "https://app"])
def test_a_foreign_origin_is_refused_before_the_function_runs(origin: str) -> None:
    refusal = cors.check(said(origin), Http(cors=[APP]), "f")
    assert isinstance(refusal, Refuse)
    assert refusal.status == 403
    assert "activity.json" in refusal.detail


@pytest.mark.parametrize(("mode", "refused"), [("no-cors", True), ("cors", True), ("navigate", False)])
def test_a_foreign_page_cannot_have_a_function_called_as_a_picture(mode: str, refused: bool) -> None:
    fetched = said(None, sec_fetch_site="cross-site", sec_fetch_mode=mode)
    assert isinstance(cors.check(fetched, Http(), "f"), Refuse) is refused
    assert not isinstance(cors.check(fetched, Http(cors=["*"]), "f"), Refuse)
    assert cors.check(said(None, sec_fetch_site="same-origin", sec_fetch_mode=mode), Http(), "f") == ()


def test_a_preflight_says_what_may_be_sent() -> None:
    http = Http(cors=[APP], methods=["POST"])
    granted = cors.check(said(APP), http, "f")
    assert isinstance(granted, tuple)
    answer = dict(cors.preflight(granted, "content-type, x-a", http))
    assert answer["Access-Control-Allow-Origin"] == APP
    assert answer["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert answer["Access-Control-Allow-Headers"] == "content-type, x-a"
    assert answer["Vary"] == "Origin"
    assert "Access-Control-Allow-Headers" not in dict(cors.preflight(granted, "a\r\nb: c", http))
    assert dict(cors.preflight((), None, Http())) == {"Allow": ", ".join(allowed(Http()))}
    assert set(METHODS) < set(allowed(Http()))


# Arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "wanted"),
    [
        ("", b"", JSON),
        ("", b"x", BINARY),
        ("application/json", b"{}", JSON),
        ("application/json; charset=utf-8", b"{}", JSON),
        ("Application/LD+JSON", b"{}", JSON),
        ("text/plain", b"x", TEXT),
        ("text/csv; charset=UTF-8", b"x", TEXT),
        ("text/plain; charset=latin-1", b"x", "text/plain; charset=latin-1"),
        ("application/x-www-form-urlencoded", b"x", TEXT),
        ("image/png", b"x", "image/png"),
        ("multipart/form-data; boundary=a", b"x", "multipart/form-data; boundary=a"),
    ],
)
def test_a_body_is_an_argument_by_its_type(content_type: str, body: bytes, wanted: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    came = argument(body, headers)
    assert (came.data, came.content_type, came.headers) == (body, wanted, headers)


EVENT = {"specversion": "1.0", "id": "7", "source": "/s", "type": "t"}


@pytest.mark.parametrize(
    ("more", "data", "kind"),
    [
        ({"data": {"a": 1}}, b'{"a":1}', JSON),
        ({"data": "x", "datacontenttype": "text/plain"}, b"x", TEXT),
        ({"data": "x"}, b'"x"', JSON),
        ({"data_base64": base64.b64encode(b"\0\1").decode(), "datacontenttype": "image/png"}, b"\0\1", "image/png"),
        ({}, b"", JSON),
    ],
)
def test_a_structured_event_is_opened(more: dict[str, object], data: bytes, kind: str) -> None:
    body = json.dumps({**EVENT, "tenant": 3, "urgent": True, **more}).encode()
    came = argument(body, {"content-type": "application/cloudevents+json; charset=utf-8", "ce-forged": "x"})
    assert (came.data, came.content_type) == (data, kind)
    wanted = {**{f"ce-{name}": value for name, value in EVENT.items()}, "ce-tenant": "3", "ce-urgent": "true"}
    assert {name: value for name, value in came.headers.items() if name in wanted} == wanted
    assert "ce-forged" not in came.headers


def test_a_binary_event_is_taken_as_it_is() -> None:
    headers = {"content-type": "application/json", **{f"ce-{name}": value for name, value in EVENT.items()}}
    assert argument(b"[]", headers).headers == headers


@pytest.mark.parametrize(
    ("kind", "body", "why"),
    [
        ("application/cloudevents+json", b"{", "not valid JSON"),
        ("application/cloudevents+json", b"[]", "JSON object"),
        ("application/cloudevents+json", b"{}", "lacks specversion, id, source, type"),
        ("application/cloudevents+json", b'{"a\\r\\nb": 1}', r"'a\\r\\nb' is no name of a CloudEvent's attribute"),
        (
            "application/cloudevents+json",
            str({f"a{n}": 1 for n in range(101)}).replace("'", '"').encode(),
            "101 attributes",
        ),
        ("application/cloudevents+json", json.dumps({**EVENT, "specversion": "0.3"}).encode(), "version 1.0"),
        ("application/cloudevents+json", json.dumps({**EVENT, "data_base64": "!"}).encode(), "not base64"),
        ("application/cloudevents+json", json.dumps({**EVENT, "x": {}}).encode(), "'x'"),
        ("application/cloudevents+json", b"[" * 100_000, "not valid JSON"),
        ("application/cloudevents-batch+json", b"[]", "one by one"),
    ],
)
def test_an_event_that_is_none_is_refused(kind: str, body: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        argument(body, {"content-type": kind})


def test_a_binary_event_without_its_source_is_refused() -> None:
    with pytest.raises(InvalidInput, match="lacks source"):
        argument(b"", {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"})


# Answers -----------------------------------------------------------------------------------------------------


def test_a_functions_own_headers_go_out_but_not_the_connections() -> None:
    headers = [Header("X-A", "1"), Header("Content-Length", "9"), Header("Connection", "close"), Header("x-a", "2")]
    assert answers.of_function(Response(201, headers)) == (201, b"X-A: 1\r\nx-a: 2\r\n")
    assert answers.of_function(None) == (200, b"")


@pytest.mark.parametrize(
    "response",
    [
        Response(100),
        Response(600),
        Response(200, [Header("X-A", "a\r\nSet-Cookie: b=c")]),
        Response(200, [Header("X A", "b")]),
        Response(200, [Header("", "b")]),
        Response(200, [Header("X", "\u20ac")]),
        Response(200, [Header("X", "y" * 9000)]),
        Response(200, [Header("X", "y")] * 101),
    ],
)
def test_a_response_that_http_cannot_carry_is_not_sent(response: Response) -> None:
    assert answers.of_function(response) is None


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_has_a_status_and_tells_its_code(code: str) -> None:
    error = by_code(code)("no \udc80", function="f", error_type="E")
    status, headers, body = answers.of_error(error, "i1")
    assert 400 <= status <= 599
    assert f"HTTP/1.1 {status} ".encode() in answers.line(status)
    said = json.loads(body)
    assert (said["code"], said["status"], said["invocation"]) == (code, status, "i1")
    assert (status in (429, 503)) == ("Retry-After" in dict(headers))


def test_the_tree_in_the_docstring_has_the_statuses_of_the_classes() -> None:
    from mee6 import errors

    drawn = {}
    above = ""
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("|", " ").replace("-", " ", 1).replace("- ", " ").split()
        if not words or not isinstance(getattr(errors, words[0], None), type):
            continue
        status = next(
            (word for word in words[1:4] if word.isdigit() and len(word) == 3 and word not in ("124", "130")), ""
        )
        above = status if "|  |-" not in line else above
        drawn[words[0]] = int(status or above)
    assert drawn == {cls.__name__: cls.http for cls in BY_CODE.values()}
    assert issubclass(BY_CODE["timed_out"], Mee6Error)
