"""Which steps share a worker: small graphs by hand, and any graph by what must always hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.declared.graph import Graph
from mee6.declared.grouping import GROUP_FUNCTIONS, Grouping, Measure, grouping
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
