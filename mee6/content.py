"""Arguments and results: bytes with a content type on the wire, values in a function.

`str` travels as text, `bytes` as itself, everything else as JSON. The same table holds in every language.
"""

from __future__ import annotations

from typing import Any

import msgspec

from mee6.errors import InvalidInput
from mee6.lane.messages import BINARY, JSON, TEXT


def pack(value: Any) -> tuple[bytes, str]:
    """The bytes and content type of a value; `None` is the JSON `null`.

    Raises:
        InvalidInput: the value is of a kind that JSON cannot hold; names the kind.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), TEXT
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value), BINARY
    try:
        return msgspec.json.encode(value), JSON
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"cannot send a value of type {type(value).__name__!r} as JSON: {error}") from error


def packed(value: Any) -> tuple[bytes | memoryview, str]:
    """As `pack`, but bytes of another's are looked at and not copied.

    Raises:
        InvalidInput: as `pack`.
    """
    if isinstance(value, memoryview | bytearray):
        view = memoryview(value)
        if view.nbytes and view.c_contiguous:
            return view.cast("B"), BINARY
    return pack(value)


def unpack(data: bytes, content_type: str) -> Any:
    """The value that `pack` made these bytes of; bytes for a content type that is not text or JSON.

    Raises:
        InvalidInput: the bytes are not what the content type says.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == TEXT or not kind:
            return data.decode("utf-8", "surrogatepass")
        if kind == JSON:
            return msgspec.json.decode(data) if data else None
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"the bytes are not valid {kind}: {error}") from error
    return data
