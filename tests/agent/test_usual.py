from __future__ import annotations

from agent.usual import MOST_SAMPLES, MOST_STEPS, Usual, parts, usual
from mee6.lane.messages import Span, Step


def step(
    identity: str, *spans: tuple[str, int, int], function: str = "f", version: int = 1, state: str = "succeeded"
) -> Step:
    parent = identity.rpartition(".")[0]
    return Step(
        identity, parent, function, version, "w1", "warm", "direct", state, spans=[Span(*span) for span in spans]
    )


WARM = step("i1", ("run", 0, 10))
COLD = step("i2", ("start", 0, 60), ("load", 60, 70), ("run", 70, 80))


def figures(found: list[Usual], part: str) -> tuple[int, int, int, int, int]:
    (one,) = (one for one in found if one.part == part)
    return one.samples, one.had, one.p50_ns, one.p95_ns, one.had_p50_ns


def test_a_run_without_a_part_counts_as_none_of_it() -> None:
    found = usual([WARM], [[WARM]] * 9 + [[COLD]])
    assert figures(found, "start") == (10, 1, 0, 60, 60)
    assert figures(found, "run") == (10, 10, 10, 10, 10)
    assert figures(found, "total") == (10, 10, 10, 80, 10)


def test_only_runs_of_the_same_version_that_succeeded_count() -> None:
    others = [
        step("i3", ("run", 0, 99), version=2),
        step("i4", ("run", 0, 99), state="failed"),
        step("i5", ("run", 0, 99), function="g"),
    ]
    assert figures(usual([WARM], [[one] for one in [*others, WARM]]), "run") == (1, 1, 10, 10, 10)
    assert usual([WARM], [[one] for one in others]) == []


def test_a_run_is_without_the_steps_it_called_however_they_overlap() -> None:
    called = [
        step("i1.1", ("run", 10, 30)),
        step("i1.2", ("run", 20, 40)),
        step("i1.3", ("queued", 60, 65), ("run", 65, 70)),
    ]
    assert parts(step("i1", ("queued", 0, 5), ("run", 5, 100)), called) == {"queued": 5, "run": 55, "total": 100}
    assert figures(usual([WARM], [[step("i1", ("run", 0, 100)), *called]]), "total")[0] == 4


def test_what_goes_on_is_not_counted_twice_and_two_spans_of_a_kind_are_one_part() -> None:
    assert parts(step("i1", ("queued", 0, 5), ("queued", 5, 9), ("run", 9, 0)), []) == {"queued": 9, "total": 0}


def test_no_more_is_looked_at_than_its_bounds() -> None:
    assert figures(usual([WARM], [[WARM]] * (MOST_SAMPLES + 5)), "run")[0] == MOST_SAMPLES
    long = [step(f"i1.{n}", ("run", 0, 1), function="g") for n in range(MOST_STEPS)]
    assert usual([WARM], [long, [WARM]]) == []
