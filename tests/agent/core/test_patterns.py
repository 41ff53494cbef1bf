"""What is learnt of functions' calls, from runs that are made up here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.patterns import (
    FEWEST_GUESSES,
    FIRST_LEAD_NS,
    HALF_LIFE_S,
    KEPT_TIMES,
    MAX_CALLEES,
    MAX_FUNCTIONS,
    WORTH,
    Foreseen,
    Known,
    Patterns,
    Run,
    pack,
    prior,
    unpack,
)

MS = 1_000_000
G = [("g", "python")]
GHI = [("g", "python"), ("h", "nodejs"), ("i", "python")]


def run(*calls: tuple[str, int], version: int = 1) -> Run:
    return Run("ann", "f", version, calls)


def learnt(runs: list[Run], now_s: float = 0.0) -> Patterns:
    patterns = Patterns()
    for one in runs:
        patterns.observe(one, now_s)
    return patterns


def kept(patterns: Patterns) -> Patterns:
    return unpack((user, name, pack(one)) for (user, name), one in patterns.known.items())


def of(patterns: Patterns, name: str, declared: list[tuple[str, str]] = GHI, now_s: float = 0.0) -> Foreseen:
    return next(one for one in patterns.expected("ann", "f", declared, now_s) if one.function == name)


def test_before_anything_is_learnt_a_lone_dependency_is_taken_to_be_called() -> None:
    (found,) = Patterns().expected("ann", "f", G, 0.0)
    assert found == Foreseen("g", 1.0, 1.0, 0, FIRST_LEAD_NS["python"], 0.0, 0.0, 0.0, is_off=False)
    assert found.is_worth_it


def test_of_several_each_is_less_sure_than_the_one_before() -> None:
    found = Patterns().expected("ann", "f", GHI, 0.0)
    assert [one.chance for one in found] == [1.0, 0.5, pytest.approx(1 / 3)]
    assert [one.lead_ns for one in found] == [FIRST_LEAD_NS[language] for _name, language in GHI]


def test_runs_take_the_place_of_what_was_declared() -> None:
    patterns = learnt([run(("i", 5 * MS))] * 10)
    assert of(patterns, "g").chance < WORTH < 0.8 < of(patterns, "i").chance
    assert not of(patterns, "g").is_worth_it


def test_what_was_learnt_does_not_count_where_only_manifests_shall() -> None:
    patterns = learnt([run(("i", 5 * MS))] * 10)
    assert patterns.expected("ann", "f", GHI, 0.0, learnt=False) == Patterns().expected("ann", "f", GHI, 0.0)


def test_of_delays_an_early_one_counts_and_of_loads_a_long_one() -> None:
    patterns = learnt([run(("g", ms * MS)) for ms in range(10, 20)])
    for ms in range(10, 20):
        patterns.took("ann", "g", ms * MS, 0.0)
    assert (of(patterns, "g").after_ns, of(patterns, "g").lead_ns) == (11 * MS, 19 * MS)


def test_several_calls_in_one_run_are_one_run_with_a_width() -> None:
    patterns = learnt([run(("g", 9 * MS), ("g", 3 * MS), ("g", 4 * MS))])
    assert (of(patterns, "g").width, of(patterns, "g").chance, of(patterns, "g").after_ns) == (3.0, 1.0, 3 * MS)


def test_what_is_not_declared_is_not_told_of_whatever_was_seen() -> None:
    patterns = learnt([run(("x", 1))])
    assert [one.function for one in patterns.expected("ann", "f", G, 0.0)] == ["g"]


def test_nobody_learns_of_another_users_functions() -> None:
    patterns = learnt([run(("i", 1))] * 10)
    assert patterns.expected("bob", "f", GHI, 0.0) == Patterns().expected("bob", "f", GHI, 0.0)


def test_runs_lose_half_their_weight_in_a_half_life() -> None:
    patterns = learnt([run(("i", 1))] * 8)
    assert of(patterns, "i", now_s=HALF_LIFE_S).runs == pytest.approx(4.0)
    patterns.observe(run(("i", 1)), HALF_LIFE_S)
    assert of(patterns, "i", now_s=HALF_LIFE_S).runs == pytest.approx(5.0)
    assert of(patterns, "g", now_s=40 * HALF_LIFE_S).chance == pytest.approx(1.0)


def test_a_clock_that_was_set_back_changes_nothing() -> None:
    patterns = learnt([run(("g", 1))] * 3, now_s=1000.0)
    patterns.observe(run(("g", 1)), 10.0)
    assert of(patterns, "g", now_s=5.0).runs == 4.0


def test_a_new_version_begins_with_half_of_what_the_old_one_taught() -> None:
    patterns = learnt([run(("g", 1))] * 8)
    patterns.observe(run(("h", 1), version=2), 0.0)
    assert of(patterns, "g").runs == 5.0
    patterns.observe(run(("g", 1), version=1), 0.0)  # one that was still running
    assert of(patterns, "g").runs == 6.0


@pytest.mark.parametrize(("hits", "misses", "off"), [(0, 3, False), (0, 4, True), (2, 2, False), (2, 3, True)])
def test_a_pair_is_let_alone_once_most_of_enough_guesses_missed(hits: int, misses: int, off: bool) -> None:
    patterns = Patterns()
    for _ in range(hits):
        patterns.guessed("ann", "f", "g", used=True, now_s=0.0)
    for _ in range(misses):
        patterns.guessed("ann", "f", "g", used=False, now_s=0.0)
    assert of(patterns, "g").is_off is off
    assert of(patterns, "g").is_worth_it is not off


def test_a_pair_is_tried_again_once_its_misses_are_old() -> None:
    patterns = Patterns()
    for _ in range(6):
        patterns.guessed("ann", "f", "g", used=False, now_s=0.0)
    assert of(patterns, "g", now_s=HALF_LIFE_S).misses < 3.1 < FEWEST_GUESSES
    assert not of(patterns, "g", now_s=HALF_LIFE_S).is_off


def test_what_was_learnt_survives_being_kept() -> None:
    patterns = learnt([run(("g", 7 * MS), ("h", 9 * MS))] * 3)
    patterns.guessed("ann", "f", "g", used=True, now_s=1.0)
    patterns.took("ann", "g", 4 * MS, 1.0)
    again = kept(patterns)
    assert again.known == patterns.known
    assert not again.changed


def test_what_cannot_be_read_is_left_out() -> None:
    good = pack(Known(1, 2.0, 3.0))
    assert set(unpack([("ann", "f", good), ("ann", "g", good[:-1]), ("ann", "h", b"")]).known) == {("ann", "f")}


def test_a_removed_function_is_forgotten_and_told_of_once() -> None:
    patterns = learnt([run(("g", 1))])
    patterns.changed.clear()
    patterns.forget("ann", "f")
    patterns.forget("ann", "never")
    assert (patterns.known, patterns.changed) == ({}, {("ann", "f")})


def test_what_is_remembered_is_bounded() -> None:
    patterns = learnt([run(*[(f"g{n}-{m}", 1) for m in range(10)]) for n in range(10)])
    assert len(patterns.known["ann", "f"].calls) == MAX_CALLEES
    for n in range(100):
        patterns.took("ann", "f", n, 0.0)
        patterns.observe(run(("g", n)), 0.0)
    assert patterns.known["ann", "f"].loads_ns == list(range(100 - KEPT_TIMES, 100))
    assert len(patterns.known["ann", "f"].calls["g"].delays_ns) == KEPT_TIMES
    for n in range(MAX_FUNCTIONS + 5):
        patterns.took("bob", f"f{n}", 1, 0.0)
    assert len(patterns.known) == MAX_FUNCTIONS
    assert ("ann", "f") not in patterns.known, "what was not touched for longest goes first"
    assert ("ann", "f") in patterns.changed, "and from where it is kept"


calls = st.lists(st.tuples(st.sampled_from("ghix"), st.integers(-5, 10**10)), max_size=5)
moments = st.floats(0, 1e6, allow_nan=False)
happenings = st.one_of(
    st.tuples(st.just("run"), calls, st.integers(1, 4), moments),
    st.tuples(st.just("guess"), st.sampled_from("ghi"), st.booleans(), moments),
    st.tuples(st.just("took"), st.sampled_from("fghi"), st.integers(0, 10**10), moments),
)


@given(st.lists(happenings, max_size=40), moments)
def test_whatever_happens_what_is_told_is_possible_and_can_be_kept(happened: list[tuple], now_s: float) -> None:  # type: ignore[type-arg]
    patterns = Patterns()
    for kind, what, how, at_s in happened:
        if kind == "run":
            patterns.observe(Run("ann", "f", how, tuple(what)), at_s)
        elif kind == "guess":
            patterns.guessed("ann", "f", what, used=how, now_s=at_s)
        else:
            patterns.took("ann", what, how, at_s)
    for place, one in enumerate(patterns.expected("ann", "f", GHI, now_s)):
        assert 0.0 <= one.chance <= 1.0
        assert one.width >= 1.0 - 1e-9
        assert min(one.after_ns, one.lead_ns, one.runs, one.hits, one.misses) >= 0
        if not one.runs:
            assert one.chance == pytest.approx(prior(place))
    assert kept(patterns).expected("ann", "f", GHI, now_s) == patterns.expected("ann", "f", GHI, now_s)
