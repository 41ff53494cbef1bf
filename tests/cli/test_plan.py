"""`mee6 flow plan`: what it says of runs that are known."""

from __future__ import annotations

import json
import random

import pytest

from mee6.declared.graph import graph_of
from mee6.errors import Conflict
from mee6.manifest import parse
from mee6tui.cli import plan as planning
from tests.cli.conftest import Run
from tests.planning.test_prediction import FAN, fanned

MANIFEST = json.dumps({"name": "flow", "steps": FAN})


def made(runs: int, bound_ns: float | None = None) -> planning.Plan:
    manifest = parse(MANIFEST)
    assert manifest.declaration is not None
    traces = tuple(fanned(runs, 4, random.Random(1)))
    return planning.plan(1, manifest, graph_of(manifest.declaration), planning.Runs(traces, 2), bound_ns)


def test_prediction_and_measurement_stand_under_each_other_and_changes_name_their_key() -> None:
    text = "\n".join(planning.lines(made(40, 200e6)))
    assert text.startswith("flow v1, from 40 warm runs\n")
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["STEP", "list", "each"]
    assert "measured" in text
    assert "predicted" in text
    assert 'plan: "concurrency": 1 in step each of its activity.json, where 4 ran at once' in text


def test_a_bound_out_of_reach_is_said_with_the_lowest_there_is() -> None:
    found = made(40, 1e6)
    assert any(line.startswith("no plan keeps its p95 under 1.00ms; the lowest is ") for line in planning.lines(found))
    assert planning.row(found)["is_met"] is False


def test_for_programs_all_of_it_is_nanoseconds() -> None:
    row = planning.row(made(40))
    assert row["runs"] == 40
    assert row["predicted"]["p95_ns"] == pytest.approx(row["measured"]["p95_ns"], rel=0.05)
    assert {step["step"]: step["at_once"] for step in row["steps"]} == {"list": None, "each": 4}
    json.dumps(row)


def test_too_few_runs_say_how_to_get_more() -> None:
    with pytest.raises(Conflict, match=r"20 warm runs .* lists 19; make more with: mee6 bench flow --closed 1 -d 5s"):
        made(19)


def test_a_bound_is_a_duration_and_the_workflow_must_be_there(on: Run) -> None:
    result = on("flow", "plan", "flow", "--p95", "soon")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'soon' is no duration" in result.stderr
    result = on("flow", "plan", "absent")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no function 'absent'" in result.stderr
