"""What functions say is shown on every page, and obeyed by none; what is typed or pasted by mistake ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mee6.errors import InvalidInput
from mee6tui.console import filter as filters
from mee6tui.console import look, recording, terminal
from mee6tui.console.widgets.line import strip_of

ESCAPES = "a\x1b[2J\x1b]0;mine\x07\rb\x9b31m\x00"


@pytest.mark.parametrize("palette", look.PALETTES.values(), ids=list(look.PALETTES))
def test_a_line_holds_no_control_character(palette: look.Palette) -> None:
    text = strip_of([(ESCAPES, "text")], 60, palette).text
    assert text.isprintable()
    assert "mine" in text
    assert palette.plain(ESCAPES).isprintable()


def test_a_byte_that_is_no_text_is_shown_as_such() -> None:
    decoder = terminal.linux_driver.getincrementaldecoder("utf-8")()  # type: ignore[attr-defined]
    assert decoder.decode(b"a\xffb") == "a�b"


def test_a_page_pasted_into_the_filter_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 500 characters"):
        filters.parse("word " * 200, ["id"])


def test_a_recording_is_for_its_owner_alone(tmp_path: Path) -> None:
    with recording.Recorder(tmp_path / "r"):
        assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"[" * 200_000, b"\0" * 9_000], ids=["nested", "endless"])
def test_what_is_no_recording_is_told_at_once(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r").write_bytes(content)
    with pytest.raises(InvalidInput, match="is no recording"):
        list(recording.read(tmp_path / "r"))
