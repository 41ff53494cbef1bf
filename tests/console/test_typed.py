"""What is typed into forms, and what is shown and copied: arguments, command lines, results, the clipboard, folders."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path

import pytest

from mee6.errors import FunctionRaised, InvalidInput
from mee6.records import Outcome
from mee6tui.console import clipboard, folder, result, shell
from mee6tui.console.payload import Mode, Payload, fault_in, pack
from mee6tui.console.screens.editor import editor, main_file
from tests.support.agents import write_function


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ('{"a": }', 1, 7, "expecting value"),
        ('{\n  "a" 1}', 2, 7, "expecting ':' delimiter"),
        ("[1, 2", 1, 6, "expecting ',' delimiter"),
        ("[" * 100_000, 1, 1, "nested too deeply"),
    ],
)
def test_a_fault_is_named_with_its_line_and_column(text: str, line: int, column: int, message: str) -> None:
    fault = fault_in(text)
    assert fault is not None
    assert (fault.line, fault.column, fault.message) == (line, column, message)


@pytest.mark.parametrize("text", ["", "  ", "1", '"x"', '{"a": [1]}', "null"])
def test_sound_json_has_no_fault(text: str) -> None:
    assert fault_in(text) is None


async def test_arguments_are_sent_as_the_command_line_sends_them(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("héllo")
    assert await pack(Payload(Mode.TEXT, "@x")) == (b"@x", "text/plain")
    assert await pack(Payload(Mode.JSON, " ")) == (b"null", "application/json")
    assert await pack(Payload(Mode.FILE, str(tmp_path / "f"))) == ("héllo".encode(), "text/plain")
    with pytest.raises(InvalidInput, match="line 1, column 2"):
        await pack(Payload(Mode.JSON, "{"))
    with pytest.raises(InvalidInput, match="name the file"):
        await pack(Payload(Mode.FILE, ""))


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (Payload(), "mee6 act invoke echo"),
        (Payload(text="it's"), """mee6 act invoke echo 'it'"'"'s'"""),
        (Payload(Mode.JSON, "[1]", "5s"), "mee6 act invoke echo '[1]' --as-json --timeout 5s"),
        (Payload(Mode.FILE, "a b"), "mee6 act invoke echo -f 'a b'"),
        (Payload(text="@f"), "printf %s @f | mee6 act invoke echo -"),
        (Payload(Mode.JSON, "-1"), "printf %s -1 | mee6 act invoke echo - --as-json"),
        (Payload(text="a\nb"), "mee6 act invoke echo 'a\nb'"),
    ],
)
def test_the_equivalent_line_is_quoted_for_a_shell(payload: Payload, line: str) -> None:
    assert shell.invoke("echo", payload) == line


def test_another_user_replaces_the_one_of_the_flags() -> None:
    assert shell.line(["act", "ls"], " --context lab --user ann", "bob") == "mee6 act ls --context lab --user bob"
    assert shlex.split(shell.line(["act", "add", "a b"], " --address 'unix:/x y'"))[-1] == "unix:/x y"


def test_a_result_is_shown_laid_out_raw_and_byte_by_byte() -> None:
    outcome = Outcome("i", b'{"b":[1],"a":"\xc3\xa9"}', "application/json")
    assert result.first_view(outcome) == "pretty"
    assert json.loads(result.shown(outcome, "pretty")) == {"b": [1], "a": "é"}
    assert result.shown(outcome, "raw") == '{"b":[1],"a":"é"}'
    assert result.shown(outcome, "hex").startswith("00000000  7b 22 62 22 3a 5b 31 5d  2c 22 61 22")
    assert result.first_view(Outcome("i", b"\xff", "application/octet-stream")) == "hex"
    assert result.shown(Outcome("i", b"{", "application/json"), "pretty") == "{"


def test_a_result_is_harmless_and_bounded() -> None:
    evil = Outcome("i", b"\x1b]0;owned\x07\nrest", "text/plain")
    assert "\x1b" not in result.shown(evil, "raw")
    long = Outcome("i", b"x" * (result.SHOWN_BYTES + 2048), "text/plain")
    assert result.shown(long, "raw").endswith("… 2.0 KiB more; s saves all of it")
    error = FunctionRaised("no", function="f", traceback="Traceback\x1b[2J\n  line")
    assert result.error_text(error) == "no\n\nTraceback␛[2J\n  line"


def test_inside_tmux_both_forms_of_the_clipboard_are_written() -> None:
    coded = base64.b64encode("é".encode()).decode()
    assert clipboard.sequence("é", {}) == f"\x1b]52;c;{coded}\a"
    assert clipboard.sequence("é", {"TMUX": "x"}).endswith(f"\x1bPtmux;\x1b\x1b]52;c;{coded}\a\x1b\\")
    assert clipboard.told("one", {}) == "sent to the terminal's clipboard, 3 B: one"
    assert clipboard.told("one\ntwo", {"TMUX": "x"}) == "sent to tmux and its terminal, 2 lines, 7 B: one…"


def test_folders_are_offered_as_they_are_typed(tmp_path: Path) -> None:
    for name in ("ab", "abc", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "abfile").write_text("")
    base = f"{tmp_path}/"
    assert folder.offers(base + "ab") == [f"{base}ab/", f"{base}abc/"]
    assert folder.offers(base) == [f"{base}ab/", f"{base}abc/"]
    assert folder.offers(base + ".h") == [f"{base}.hidden/"]
    assert folder.offers(base + "none/x") == []


def test_a_folder_is_checked_with_what_it_needs(tmp_path: Path) -> None:
    made = write_function(tmp_path, "a", "x", calls={"b": "", "c": "always"})
    checked = folder.check(str(made))
    assert checked.manifest is not None
    assert checked.missing(["c"]) == ["b"]
    assert folder.check(str(made / "activity.json")).folder == made
    assert "is no folder" in folder.check(str(made / "main.py")).error
    assert "there is no folder" in folder.check(str(made / "no")).error


def test_the_editor_is_the_users_own(tmp_path: Path) -> None:
    assert editor({"VISUAL": "code -w", "EDITOR": "vi"}) == ["code", "-w"]
    made = write_function(tmp_path, "a", "x")
    assert main_file(made).name == "main.py"
    (made / "main.py").unlink()
    assert main_file(made).name == "activity.json"
