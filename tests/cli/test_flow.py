"""`mee6 flow`."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from mee6.declared.estimate import Measure
from mee6.declared.grouping import Apart, Grouping, Known, Merge
from tests.cli.conftest import Run
from tests.declared.test_drawing import ORDER
from tests.support.fake_agent import FakeAgent


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
    assert steps[2] == {
        "name": "route", "function": "", "level": 1, "after": ["check"],
        "switch": [{"then": "post", "if": "$check.country", "is": "CH"}], "else": "courier",
    }  # fmt: skip
    both = mee6("flow", "show", order, "--svg", "--mermaid")
    assert (both.exit_code, both.stderr) == (2, "mee6: --svg and --mermaid are two drawings; ask for one of them\n")
    known = mee6("flow", "explain", "./order")
    assert (known.exit_code, known.stdout) == (2, "")
    assert "./order is a folder; what shares a worker follows from runs, so first: mee6 act add ./order" in known.stderr


def test_a_function_with_code_has_nothing_to_draw(mee6: Run, tmp_path: Path) -> None:
    (tmp_path / "activity.json").write_text('{"name": "f", "runtime": "python"}')
    result = mee6("flow", "show", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'f' has code and no declared steps" in result.stderr


MANIFEST = json.dumps({"name": "order", "steps": ORDER})
KNOWN = Known(
    7,
    {"check": Measure(0.002, 120.0), "price": Measure(0.001, 10.0, 3.0)},
    Grouping({"check": 0, "route": 0, "report": 0}, 0.004, 0.006, [Merge("args", "check", 0.0003)],
             [Apart("check", "price", "it would take longer")]),
)  # fmt: skip


@pytest.fixture
def added(agent: FakeAgent) -> FakeAgent:
    agent.know("order")
    agent.functions["default", "order"].manifest = MANIFEST
    return agent


def test_an_added_one_is_drawn_and_described_by_name(on: Run, added: FakeAgent) -> None:
    assert on("flow", "show", "order").stdout == (Path(__file__).parents[1] / "declared/order.txt").read_text()
    described = on("act", "describe", "order").stdout
    assert "steps        check, price, route (switch), post (ship), courier (ship), report" in described
    assert added.requests[-1].actName == "order"


def test_its_groups_are_explained_with_their_reasons(on: Run, added: FakeAgent) -> None:
    assert "it ran 0 times; after 3 runs its steps are put into groups" in on("flow", "explain", "order").stdout
    added.known["order"] = msgspec.json.encode(KNOWN).decode()
    lines = on("flow", "explain", "order").stdout.splitlines()
    assert lines[0].split() == ["STEP", "FUNCTION", "GROUP", "RUN", "GIVES", "CALLS"]
    assert lines[1].split() == ["check", "check", "0", "2.00ms", "120", "B"]
    assert lines[2].split() == ["price", "price", "spread", "1.00ms", "10", "B", "3.0"]
    assert "the longest way is estimated at 4.00ms; with each step in a worker of its own, at 6.00ms" in lines
    assert "together  args > check: saves 300us" in lines
    assert "apart     check > price: it would take longer" in lines
    assert json.loads(on("flow", "explain", "order", "-o", "json").stdout)["grouping"]["groups"]["check"] == 0


def test_who_runs_it_can_be_said(on: Run, agent: FakeAgent) -> None:
    assert on("act", "invoke", "echo", "x", "--schedule", "master").exit_code == 0
    assert agent.requests[-1].schedule == "master"
    assert on("act", "invoke", "echo", "x", "--schedule", "nobody").exit_code == 2
