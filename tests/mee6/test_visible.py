"""What a terminal would obey is written out, and all else is as it was."""

from __future__ import annotations

import pytest

from mee6.visible import visible


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand a tab", "Grüße, 世界 ✗", "\\x1b as text"])
def test_words_stay_as_they_are(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;mine\x07", r"\x1b[2J\x1b]0;mine\x07"),
        ("over\rwritten\b", r"over\x0dwritten\x08"),
        ("\x9b31m\x90q\x7f", r"\x9b31m\x90q\x7f"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("\x00", r"\x00"),
    ],
)
def test_what_a_terminal_obeys_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
