"""What a user's functions are, as OpenAPI 3.1: a path for each, from the registry. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agent.plan import path_of
from agent.substrate.base import FunctionRecord
from mee6.manifest import METHODS
from mee6.version import VERSION

_ANY: Final = {"application/json": {"schema": {}}, "text/plain": {"schema": {"type": "string"}}, "*/*": {"schema": {}}}
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_PROBLEM: Final = {
    "description": "What went wrong.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_SCHEMA: Final = {
    "type": "object",
    "required": ["title", "status", "detail", "code"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "function": {"type": "string"},
        "invocation": {"type": "string"},
        "error_type": {"type": "string"},
    },
}


def described(functions: Iterable[FunctionRecord], user: str, url: str) -> bytes:
    """The description, as JSON.

    Args:
        url: of the front door.
    """
    document = {
        "openapi": "3.1.0",
        "info": {"title": f"mee6 functions of {user}", "version": VERSION},
        "servers": [{"url": url}],
        "paths": {path_of(record.user, record.name): _path(record) for record in functions},
        "components": {"schemas": {"Problem": _SCHEMA}},
    }
    return msgspec.json.encode(document) + b"\n"


def _path(record: FunctionRecord) -> dict[str, Any]:
    manifest = record.manifest
    methods = manifest.http.methods or [method for method in METHODS if method != "HEAD"]
    return {method.lower(): _operation(record, method) for method in methods}


def _operation(record: FunctionRecord, method: str) -> dict[str, Any]:
    manifest = record.manifest
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}-{record.name}",
        "summary": manifest.description or f"{record.name} ({manifest.runtime}, version {record.version})",
        "responses": {
            "200": {
                "description": "What the function returned.",
                "headers": {
                    "X-Call-Id": {"description": "The invocation's id.", "schema": {"type": "string"}},
                    "X-Duration-Seconds": {"schema": {"type": "number"}},
                },
                "content": _ANY,
            },
            "default": _PROBLEM,
        },
    }
    if method in _WITH_BODY:
        operation["requestBody"] = {"description": "The argument.", "content": _ANY}
    return operation
