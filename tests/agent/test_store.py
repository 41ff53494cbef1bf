"""How much a workflow's store may hold: FaaSFlow's rule, and how it is parted among those who call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.store import RESERVED, Use, quota, shares

MB = 10**6
NAMES = "abcdef"


def test_the_quota_is_what_faasflows_artefact_computes() -> None:
    """`(1 - 0.2 - mem_usage) * 256 MB * split_ratio`, for a function and for a graph of them."""
    for used, width in ((0.25, 1), (0.1, 4), (0.55, 2)):
        expected = (1 - RESERVED - used) * 256 * MB * width
        assert abs(quota([Use(256 * MB, int(used * 256 * MB), width)]) - expected) <= width
    assert quota([Use(256 * MB, 64 * MB), Use(256 * MB, 64 * MB, 3)]) == 4 * (256 - 64 - 51.2) * MB


def test_a_function_that_uses_its_memory_gives_nothing() -> None:
    assert quota([Use(256 * MB, 256 * MB), Use(256 * MB, 210 * MB, 5)]) == 0


def test_what_is_unused_is_its_callers() -> None:
    uses = {name: Use(100, 40) for name in "abcd"}  # 40 unused each
    assert shares("a", {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, uses) == {"a": 120, "b": 20, "c": 20}
    assert shares("a", {"a": []}, {"a": Use(100, 40)}) == {}
    assert shares("a", {"a": ["a", "b"], "b": []}, {name: Use(100, 40) for name in "ab"}) == {"a": 80}, "calls itself"


@given(
    st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)), min_size=1),
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 9)), min_size=6, max_size=6),
)
def test_all_parts_together_are_no_more_than_the_quota(
    graph: dict[str, set[str]], numbers: list[tuple[int, int, int]]
) -> None:
    uses = {name: Use(*number) for name, number in zip(NAMES, numbers, strict=True)}
    callees = {name: graph.get(name, set()) for name in NAMES}
    for root in NAMES:
        assert sum(shares(root, callees, uses).values()) <= quota(uses.values())
