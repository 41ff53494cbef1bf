"""Values on the wire."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mee6.content import pack, packed, unpack
from mee6.errors import InvalidInput
from mee6.lane.messages import BINARY

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(st.text() | st.binary() | JSON_VALUES)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    assert unpack(*pack(value)) == value


@pytest.mark.parametrize("value", [object(), {1, 2, object()}, lambda: None, 1j])
def test_what_json_cannot_hold_is_refused_by_kind(value: Any) -> None:
    with pytest.raises(InvalidInput, match=type(value).__name__):
        pack(value)


def test_a_list_within_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidInput, match="list"):
        pack(endless)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xff\xfe", "text/plain"),
        (b"{", "application/json"),
        pytest.param(b"[" * 99_999, "application/json", id="deep"),
    ],
)
def test_bytes_that_are_not_what_they_are_said_to_be_are_refused(data: bytes, kind: str) -> None:
    with pytest.raises(InvalidInput, match=f"not valid {kind}"):
        unpack(data, kind)


def test_a_content_type_nobody_knows_gives_bytes() -> None:
    assert unpack(b"\x00", "image/png") == b"\x00"
    assert unpack(b"a", "TEXT/plain; charset=utf-8") == "a"


def test_bytes_of_anothers_are_looked_at_and_not_copied() -> None:
    data = bytearray(b"0123456789")
    view, kind = packed(memoryview(data)[2:5])
    assert (bytes(view), kind) == (b"234", BINARY)
    data[2] = 0
    assert bytes(view) == b"\x0034"
    assert len(packed(memoryview(array("d", [1.0])))[0]) == 8
    assert packed(bytearray()) == (b"", BINARY)
    assert packed(memoryview(b"0123")[::2]) == (b"02", BINARY), "what does not lie together is"
    assert packed("text") == pack("text")
