"""`mee6 flow`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.declared.test_drawing import ORDER


@pytest.fixture
def order(tmp_path: Path) -> str:
    folder = tmp_path / "order"
    folder.mkdir()
    (folder / "activity.json").write_text(json.dumps({"name": "order", "steps": ORDER}))
    return str(folder)


def test_a_folder_is_drawn_in_each_form(mee6: Run, order: str) -> None:
    assert mee6("flow", "show", order).stdout == (Path(__file__).parents[1] / "declared/order.txt").read_text()
    assert mee6("flow", "show", order, "--mermaid").stdout.startswith("flowchart TD\n")
    assert mee6("flow", "show", order, "--svg").stdout.startswith("<svg ")
    steps = json.loads(mee6("flow", "show", order, "-o", "json").stdout)["steps"]
    assert steps[2] == {"name": "route", "function": "", "level": 1, "after": ["check"]}


def test_a_function_with_code_has_nothing_to_draw(mee6: Run, tmp_path: Path) -> None:
    (tmp_path / "activity.json").write_text('{"name": "f", "runtime": "python"}')
    result = mee6("flow", "show", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'f' has code and no declared steps" in result.stderr
