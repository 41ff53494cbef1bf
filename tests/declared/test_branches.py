"""Which steps never both run: by hand, and held against what does run."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.declared.branches import cases_of, chances, exclude
from mee6.declared.graph import Graph
from tests.declared.play import graph, simulate
from tests.declared.test_run import functions, graphs

F: Any = {"function": "f", "input": 0}
ROUTED: Any = {
    "r": {"switch": [{"if": "$args", "above": 9, "then": ["a", "both"]}, {"if": "$args", "is": 5, "then": "b"}],
          "else": ["c", "both"]},
    "a": F, "b": F, "c": F, "both": F,
    "after_a": {**F, "after": "a"},
    "inner": {"switch": [{"if": "$args", "above": 20, "then": "x"}], "else": "y", "after": "a"},
    "x": F, "y": F,
    "join": {**F, "after": ["after_a", "b", "x"]},
    "free": F,
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "holds"),
    [
        ("a", "b", True), ("a", "c", True), ("a", "both", False), ("b", "both", True), ("a", "after_a", False),
        ("after_a", "c", True), ("x", "y", True), ("x", "a", False), ("x", "b", True), ("join", "c", True),
        ("join", "a", False), ("join", "b", False), ("free", "a", False), ("r", "a", False), ("inner", "c", True),
    ],
)  # fmt: skip
def test_steps_on_different_ways_of_a_switch_exclude_each_other(one: str, other: str, holds: bool) -> None:
    cases = cases_of(graph(ROUTED))
    assert exclude(cases[one], cases[other]) is holds
    assert exclude(cases[other], cases[one]) is holds


@settings(max_examples=200, deadline=None)
@given(graphs(), st.integers(0, 9), st.data())
def test_of_two_steps_that_exclude_each_other_never_both_run(of: Graph, args: int, data: st.DataObject) -> None:
    ran = simulate(of, args, functions, {}, lambda count: data.draw(st.integers(0, count - 1))).began
    cases = cases_of(of)
    for one, other in combinations(dict.fromkeys(ran), 2):
        assert not exclude(cases[one], cases[other])


def test_a_function_is_as_likely_as_the_ways_of_the_switches_before_it() -> None:
    named = {name: {**step, "function": name} if "function" in step else step for name, step in ROUTED.items()}
    found = chances(graph(named))
    third = {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3, "after_a": 1 / 3, "join": 1 / 3}
    assert found == pytest.approx({**third, "both": 2 / 3, "x": 1 / 6, "y": 1 / 6, "free": 1.0})
    assert chances(graph(ROUTED)) == {"f": 1.0}, "one of its steps always runs"


@given(graphs())
def test_every_function_has_a_chance_and_what_no_switch_chooses_is_sure(of: Graph) -> None:
    found = chances(of)
    assert set(found) == {node.step.function for node in of.nodes.values()} - {""}
    assert all(0 < one <= 1 for one in found.values())
    if not any(node.step.is_switch for node in of.nodes.values()):
        assert set(found.values()) <= {1.0}
