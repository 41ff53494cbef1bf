"""A request's body as the argument of a function: by its content type, and out of a CloudEvent's envelope. Pure.

A CloudEvent comes in binary mode, with its attributes as `ce-*` headers and its data as the body, or in structured
mode, as JSON with everything in it; a function sees the first in both cases. Source: CloudEvents 1.0.2, HTTP binding.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from mee6.errors import InvalidInput
from mee6.lane.messages import BINARY, JSON, TEXT

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
MOST_ATTRIBUTES: Final = 100
"""Of one event."""
FORM: Final = "application/x-www-form-urlencoded"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_VALUE_CHARS: Final = 8000


class Argument(msgspec.Struct, frozen=True, gc=False):
    """What a function is called with."""

    data: bytes
    content_type: str
    headers: dict[str, str]
    """Of the request; of a structured event, with its attributes."""


def argument(body: bytes, headers: dict[str, str]) -> Argument:
    """The argument that a request brings.

    Text of any kind is text, as is what `curl -d` calls a form; JSON of any kind is JSON; all else are bytes. Without a
    body it is nothing.

    Raises:
        InvalidInput: a CloudEvent that is none.
    """
    full = headers.get("content-type", "")
    kind, _, parameters = full.partition(";")
    kind = kind.strip().lower()
    if kind == STRUCTURED:
        return _event(body, headers)
    if kind == BATCHED:
        raise InvalidInput("batches of CloudEvents are not taken; send them one by one")
    if "ce-specversion" in headers:
        _check({name[3:]: value for name, value in headers.items() if name.startswith("ce-")})
    if not body and not kind:
        return Argument(b"", JSON, headers)
    return Argument(body, plain(kind, parameters, full), headers)


def plain(kind: str, parameters: str, full: str) -> str:
    """The content type as functions know it; `kind` is in lower case."""
    if kind == JSON or kind.endswith("+json"):
        return JSON
    if kind == FORM:
        return TEXT
    if kind.startswith("text/"):
        charset = parameters.lower().partition("charset=")[2].partition(";")[0].strip(' "')
        return TEXT if charset in ("", "utf-8", "utf8", "us-ascii") else full
    return full or BINARY


def _event(body: bytes, headers: dict[str, str]) -> Argument:
    try:
        event: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"the CloudEvent is not valid JSON: {error}") from error
    if not isinstance(event, dict):
        raise InvalidInput("a CloudEvent is a JSON object")
    attributes = {name: value for name, value in event.items() if name not in ("data", "data_base64")}
    _check(attributes)
    kind = str(attributes.get("datacontenttype") or JSON)
    said = {name: value for name, value in headers.items() if not name.startswith("ce-")}
    for name, value in attributes.items():
        if value is not None:
            said[f"ce-{name.lower()}"] = _text(name, value)
    if kind:
        said["content-type"] = kind
    if "data_base64" in event:
        try:
            data = base64.b64decode(str(event["data_base64"]), validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(f"data_base64 of the CloudEvent is not base64: {error}") from error
    else:
        data = _data(event.get("data"), kind)
    head, _, parameters = kind.partition(";")
    return Argument(data, plain(head.strip().lower(), parameters, kind), said)


def _data(data: Any, kind: str) -> bytes:
    if data is None:
        return b""
    is_json = kind.partition(";")[0].strip().lower()
    if isinstance(data, str) and not (is_json == JSON or is_json.endswith("+json")):
        return data.encode("utf-8", "surrogatepass")
    return msgspec.json.encode(data)


def _check(attributes: dict[str, Any]) -> None:
    if len(attributes) > MOST_ATTRIBUTES:
        raise InvalidInput(f"the CloudEvent has {len(attributes)} attributes; at most {MOST_ATTRIBUTES} are taken")
    for name in attributes:
        if not (name.isascii() and name.isalnum()):
            raise InvalidInput(f"{name[:100]!r} is no name of a CloudEvent's attribute: these are letters and digits")
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing:
        raise InvalidInput(f"the CloudEvent lacks {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise InvalidInput(f"CloudEvents {str(attributes['specversion'])[:20]!r} are not known; send version 1.0")


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        raise InvalidInput(f"attribute {name[:100]!r} of the CloudEvent is neither a text, a number nor a boolean")
    return str(value)[:_VALUE_CHARS]
