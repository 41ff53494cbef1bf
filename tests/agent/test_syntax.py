"""What is said of code that cannot be read, before anybody runs it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from agent import syntax
from agent.syntax import Syntax
from mee6.errors import InvalidCode

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
NEEDS_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not on PATH")


def folder(place: Path, **files: str) -> Path:
    for name, text in files.items():
        (place / name.replace("_", ".")).write_text(text)
    return place


async def refusal(where: Path, language: str, main: str) -> InvalidCode:
    with pytest.raises(InvalidCode) as refused:
        await Syntax().check(where, language, main)
    assert "\n" not in refused.value.message
    assert refused.value.message.endswith("; mend it, or add it unchecked with --no-check")
    return refused.value


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("\ndef main(arg:\n    return arg\n", f"main.py:2: '(' was never closed (Python {OWN})"),
        ("def main(arg):\nreturn arg\n", "main.py:2: expected an indented block after function definition on line 1"),
        ("return 1\n", "main.py:1: 'return' outside function"),
        ("print 'x'\n", "main.py:1: Missing parentheses in call to 'print'"),
    ],
)
async def test_python_is_told_by_file_and_line(tmp_path: Path, code: str, said: str) -> None:
    error = await refusal(folder(tmp_path, main_py=code), "python", "main.py")
    assert error.message.startswith(said)
    assert "SyntaxError" in error.traceback or "IndentationError" in error.traceback
    assert str(tmp_path) not in error.traceback


async def test_a_file_beside_the_main_one_is_looked_at_and_a_folder_is_not(tmp_path: Path) -> None:
    folder(tmp_path, main_py="def main(arg): return arg\n", helper_py="x = = 1\n")
    assert (await refusal(tmp_path, "python", "main.py")).message.startswith("helper.py:1: invalid syntax")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "helper.py").rename(tmp_path / "deeper" / "helper.py")
    await Syntax().check(tmp_path, "python", "main.py")


@NEEDS_NODE
@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("main.js", "module.exports = (arg) => {\n  return arg +;\n}\n"),
                                            ("other.mjs", "import x from 'y'\nexport const y = x +;\n")])  # fmt: skip
async def test_javascript_is_told_by_file_and_line(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / "main.js").write_text("module.exports = (arg) => arg\n")
    await Syntax().check(tmp_path, "nodejs", "main.js")
    (tmp_path / name).write_text(code)
    error = await refusal(tmp_path, "nodejs", "main.js")
    assert error.message.startswith(f"{name}:2: Unexpected token ';' (Node.js)")
    assert "^" in error.traceback
    assert str(tmp_path) not in error.traceback


async def test_code_is_never_run(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    code = f"open({str(sign)!r}, 'w').close()\ndef main(arg): return arg\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    await Syntax().check(folder(tmp_path, main_py=code), "python", "main.py")
    assert not sign.exists()


async def test_a_version_that_is_not_here_is_left_to_the_runtime(tmp_path: Path) -> None:
    folder(tmp_path, main_py="x = = 1\n", main_js="x = = 1\n")
    later = {"python": "3.99", "nodejs": "99"}
    for version in (later.get, lambda _language: None):
        await Syntax(version).check(tmp_path, "python", "main.py")
        await Syntax(version).check(tmp_path, "nodejs", "main.js")
    await Syntax().check(tmp_path, "cobol", "main.cbl")
    with pytest.raises(InvalidCode):
        await Syntax(lambda _language: OWN).check(tmp_path, "python", "main.py")


@NEEDS_NODE
async def test_a_later_javascript_judges_an_earlier_ones_code(tmp_path: Path) -> None:
    folder(tmp_path, main_js="x = = 1\n")
    with pytest.raises(InvalidCode):
        await Syntax(lambda _language: "10").check(tmp_path, "nodejs", "main.js")


async def test_what_the_compiler_cannot_take_is_left_to_the_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Syntax().check(folder(tmp_path, main_py="x = " + "-" * 100_000 + "1\n"), "python", "main.py")
    monkeypatch.setattr(syntax, "PATIENCE_S", 0.0)
    began = time.monotonic()
    await Syntax().check(folder(tmp_path, main_py="x = = 1\n"), "python", "main.py")
    assert time.monotonic() - began < 5
