"""Which steps share a worker: small graphs by hand, and any graph by what must always hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.declared.estimate import Estimate, Groups, Measure, Schedule
from mee6.declared.graph import Graph
from mee6.declared.grouping import GROUP_FUNCTIONS, Grouping, grouping
from mee6.declared.parts import HERE, layout_of
from tests.declared.play import graph
from tests.declared.test_run import graphs

MS = 1e-3


def step(function: str, **more: Any) -> dict[str, Any]:
    return {"function": function, **more}


CHAIN = {f"s{n}": step(f"f{n}", **({"after": f"s{n - 1}"} if n else {})) for n in range(4)}
FORK = {
    "a": step("f"),
    **{f"b{n}": step("g", after="a") for n in range(3)},
    "j": step("h", input=["$b0", "$b1", "$b2"]),
}


def group(of: Any, run_s: float, memory: int = 0, parallelism: int = 8, **more: Measure) -> Grouping:
    built = graph(of)
    return grouping(built, dict.fromkeys(built.nodes, Measure(run_s)) | more, memory, parallelism)


def test_a_chain_shares_the_worker_that_holds_the_workflow() -> None:
    found = group(CHAIN, 5 * MS)
    assert set(found.groups.values()) == {HERE}
    assert found.takes_s < found.spread_s
    assert {(merge.above, merge.below) for merge in found.merges} >= {("args", "s0"), ("s0", "s1")}


def test_short_branches_share_it_too_and_long_ones_have_workers_of_their_own() -> None:
    assert set(group(FORK, 0.01 * MS).groups.values()) == {HERE}
    long = group(FORK, 20 * MS)
    assert len({long.groups[name] for name in ("b0", "b1", "b2")}) == 3
    assert long.groups["a"] == long.groups["j"] == HERE
    assert any("they could not run side by side" in apart.why for apart in long.apart)


def test_a_long_branch_of_several_steps_is_one_part() -> None:
    of = graph({
        "a": step("f"),
        "l": step("g", after="a"), "l2": step("g", after="l"),
        "r": step("h", after="a"), "r2": step("h", after="r"),
        "j": step("f", input=["$l2", "$r2"]),
    })  # fmt: skip
    found = grouping(of, dict.fromkeys(of.nodes, Measure(10 * MS)), 0, 8)
    assert len(set(found.groups.values())) == 2
    (part,) = layout_of(of, found.groups).parts
    assert part in {("l", "l2"), ("r", "r2")}


def test_large_results_keep_steps_together_that_would_else_part() -> None:
    of = graph(
        {"a": step("f"), "b": step("g", after="a"), "c": step("g", after="a"), "j": step("h", input=["$b", "$c"])}
    )
    times = dict.fromkeys(of.nodes, Measure(2 * MS))
    assert len(set(grouping(of, times, 0, 8).groups.values())) == 2
    heavy = times | {"a": Measure(2 * MS, result_bytes=8 << 20)}
    assert set(grouping(of, heavy, 0, 8).groups.values()) == {HERE}


def test_a_worker_holds_no_more_than_its_memory_and_its_runtimes() -> None:
    found = group(CHAIN, MS, memory=60 << 20)
    for number in set(found.groups.values()):
        assert sum(one == number for one in found.groups.values()) <= 2
    assert any("MiB together" in apart.why for apart in found.apart)
    long = {f"s{n}": step(f"f{n}", **({"after": f"s{n - 1}"} if n else {})) for n in range(GROUP_FUNCTIONS + 3)}
    assert any("it keeps loaded" in apart.why for apart in group(long, MS).apart)


def test_no_more_groups_run_at_once_than_may() -> None:
    assert len(set(group(FORK, 20 * MS, parallelism=1).groups.values())) == 2


def test_a_foreach_spreads_where_that_is_quicker() -> None:
    of = {"e": step("f", foreach="$args"), "j": step("g", after="e")}
    assert group(of, MS, e=Measure(0.01 * MS, calls=4)).groups == {"e": HERE, "j": HERE}
    assert group(of, MS, e=Measure(20 * MS, calls=4)).groups == {"j": HERE}


def test_ways_of_a_switch_share_a_worker_however_long_they_are_for_one_of_them_runs() -> None:
    ways = ["x", "y", "z"]
    routed = {
        "a": step("f"),
        "r": {"switch": [{"if": "$a", "is": way, "then": way} for way in ways], "after": "a"},
        **{way: step("g", after="a") for way in ways},
        "j": step("h", input={"$first": [f"${way}" for way in ways]}),
    }
    found = group(routed, 20 * MS)
    assert {name: at for name, at in found.groups.items() if name != "r"} == dict.fromkeys(["a", *ways, "j"], HERE)
    assert found.takes_s < 61 * MS


def test_ways_of_a_switch_take_one_place_beside_what_runs_with_them() -> None:
    ways = {"x": step("x", after="a"), "y": step("y", after="a")}
    routed = {
        "a": step("f"),
        "r": {"switch": [{"if": "$a", "is": 1, "then": "x"}], "else": "y", "after": "a"},
        **ways,
        **{f"b{n}": step("g", after="a") for n in range(2)},
        "j": step("f", input=["$x", "$y", "$b0", "$b1"]),
    }
    found = group(routed, 20 * MS, parallelism=2)
    longest = 3 * 20 * MS
    assert found.takes_s < longest + 4 * MS, "three at once, one of them here"
    assert len({found.groups[name] for name in ("x", "b0", "b1")}) == 3
    assert (
        group({name: one for name, one in routed.items() if name != "r"}, 20 * MS, parallelism=2).takes_s
        > longest + 10 * MS
    )


@pytest.mark.parametrize("run_s", [0.0, 0.5 * MS, 50 * MS])
@pytest.mark.parametrize("count", [30, 300, 900])
def test_a_search_makes_few_estimates_of_a_large_graph(
    count: int, run_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    schedule = Estimate.schedule

    def counting(self: Estimate, groups: Groups) -> Schedule:
        nonlocal made
        made += 1
        return schedule(self, groups)

    monkeypatch.setattr(Estimate, "schedule", counting)
    found = group(mesh(count), run_s, parallelism=3)
    assert made * count <= 40_000
    assert len(found.groups) == count


def mesh(count: int) -> dict[str, Any]:
    """Steps each of which waits for up to three of those before it, hard to tell apart."""
    return {
        f"s{n}": step(
            f"f{n % 3}",
            input=0,
            after=sorted({f"s{one}" for one in (n - 1, n - 7, n * 7 // 9) if 0 <= one < n and n % 5}),
        )
        for n in range(count)
    }


@st.composite
def calls(draw: st.DrawFn) -> Graph:
    """A graph without switches or foreach."""
    count = draw(st.integers(1, 14))
    steps: dict[str, Any] = {}
    for n in range(count):
        before = draw(st.lists(st.sampled_from(list(steps)), max_size=3, unique=True)) if steps else []
        steps[f"s{n}"] = step(draw(st.sampled_from("fgh")), input=0, after=before)
    return graph(steps)


@settings(max_examples=150, deadline=None)
@given(calls(), st.integers(1, 3), st.data())
def test_by_the_estimate_no_more_calls_run_elsewhere_at_once_than_may(
    of: Graph, parallelism: int, data: st.DataObject
) -> None:
    measures = {name: Measure(data.draw(st.sampled_from([0.0, 1 * MS, 7 * MS, 40 * MS]))) for name in of.nodes}
    found = grouping(of, measures, 0, parallelism)
    estimate = Estimate(of, measures, 0.0, parallelism)
    first = {group: n + 1 for n, group in reversed(list(enumerate(found.groups.values())))} | {HERE: HERE}
    groups = Groups(estimate.shape).merged([(first[group], n + 1) for n, group in enumerate(found.groups.values())])
    schedule = estimate.schedule(groups)
    assert schedule.takes_s == pytest.approx(found.takes_s)
    spans: dict[int, tuple[float, float, int]] = {}
    for step, (place, begin, end) in enumerate(zip(groups.places, schedule.begins, schedule.ends, strict=True)):
        if place != HERE:
            first_begin, last_end, _group = spans.get(place, (begin, end, HERE))
            spans[place] = min(first_begin, begin), max(last_end, end), groups.of[step]
    for begin, _end, _group in spans.values():
        assert len({group for one, other, group in spans.values() if one <= begin < other}) <= parallelism


@settings(max_examples=150, deadline=None)
@given(graphs(), st.data())
def test_whatever_is_measured_the_groups_are_the_same_again_and_no_longer_than_apart(
    of: Graph, data: st.DataObject
) -> None:
    seconds = st.floats(0, 0.05)
    measures = {
        name: Measure(data.draw(seconds), data.draw(st.floats(0, 1e7)), data.draw(st.integers(0, 5)))
        for name in of.nodes
    }
    memory = data.draw(st.sampled_from([0, 64 << 20]))
    found = grouping(of, measures, memory, 8)
    assert found == grouping(of, dict(reversed(measures.items())), memory, 8)
    assert found.takes_s <= found.spread_s + 1e-9
    layout_of(of, found.groups)
    for number in set(found.groups.values()):
        functions = {of.nodes[name].step.function for name, at in found.groups.items() if at == number} - {""}
        assert not memory or len(functions) <= 2
