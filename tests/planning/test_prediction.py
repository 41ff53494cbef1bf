"""Profiles and predictions: known workflows by hand, and a simulation of the same."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import pytest

from mee6.records import Invocation, Span, Step, Trace
from mee6tui.planning.distribution import measured
from mee6tui.planning.prediction import Crowding, Predictor, played
from mee6tui.planning.profile import FEWEST, Item, TooFew, profile
from mee6tui.planning.proposal import candidates, propose
from tests.declared.play import graph

MS = 1_000_000
FORK: dict[str, Any] = {
    "a": {"function": "f"},
    "b": {"function": "f", "after": "a"},
    "c": {"function": "f", "after": "a"},
    "j": {"function": "f", "input": ["$b", "$c"]},
}
FAN: dict[str, Any] = {"list": {"function": "f"}, "each": {"function": "f", "foreach": "$list"}}


def trace(*steps: tuple[str, float, float], worker: str = "w1", kind: str = "run", state: str = "succeeded") -> Trace:
    """Of (step, begin, end), milliseconds from its acceptance; it ends half a millisecond after the last."""
    made = [
        Step(
            f"i.{n}", "i", "f", 1, worker if name != "each" else f"w{n}", "warm", "proxy", "succeeded", 1, "",
            (Span(kind, int(begin * MS), int(end * MS)),), "i", name,
        )
        for n, (name, begin, end) in enumerate(steps)
    ]  # fmt: skip
    ended = max(int(end * MS) for _name, _begin, end in steps) + MS // 2
    return Trace(Invocation("i", "default", "flow", 1, state, "w1", "", 0, ended, ""), tuple(made), 0, 0, 0)


def fan(items: list[float], width: int, begin: float = 2.0, lead: float = 1.0) -> list[tuple[str, float, float]]:
    free, made = [begin] * width, []
    for place, item in enumerate(items):
        at = free.index(min(free))
        start = free[at] + (lead if place >= width else 0.0)
        free[at] = start + item
        made.append(("each", start, free[at]))
    return made


def fanned(runs: int, width: int, source: random.Random) -> list[Trace]:
    return [
        trace(("list", 0.5, 1.0), *fan([source.lognormvariate(2, 0.3) for _ in range(8)], width)) for _ in range(runs)
    ]


def test_a_chain_is_its_waits_and_runs_one_after_the_other() -> None:
    chain = graph({"a": {"function": "f"}, "b": {"function": "f", "after": "a"}})
    found = profile(chain, [trace(("a", 1, 3), ("b", 3.5, 7))] * FEWEST)
    assert found.steps["b"].waits[0] == 0.5 * MS
    assert found.steps["b"].takes[0] == 3.5 * MS
    assert found.tails[0] == 0.5 * MS
    assert Predictor(chain, found, 2).predict().percentile(0.95) == found.totals[0] == 7.5 * MS


def test_a_fork_waits_for_its_slower_branch_and_counts_what_is_before_it_once() -> None:
    source = random.Random(1)
    fork = graph(FORK)
    traces = []
    for _ in range(400):
        a, b, c, j = (source.lognormvariate(2, 0.5) for _ in range(4))
        late = a + max(b, c)
        traces.append(trace(("a", 0, a), ("b", a, a + b), ("c", a, a + c), ("j", late, late + j)))
    found = profile(fork, traces)
    told = Predictor(fork, found, 2).predict()
    for share in (0.5, 0.95):
        assert told.percentile(share) == pytest.approx(measured(found.totals).percentile(share), rel=0.06)


def test_a_step_that_waits_for_its_own_predecessors_too_is_told_once() -> None:
    both = graph(
        {
            "a": {"function": "f"},
            "b": {"function": "f", "after": "a"},
            "c": {"function": "f", "input": ["$a", "$b"]},
        }
    )
    found = profile(both, [trace(("a", 0, 2), ("b", 2, 5), ("c", 5, 6))] * FEWEST)
    assert Predictor(both, found, 2).predict().percentile(0.5) == 6.5 * MS


@pytest.mark.parametrize("width", [2, 3, 4])
def test_a_fan_out_is_played_at_other_widths_as_it_would_run(width: int) -> None:
    each = graph(FAN)
    seen = profile(each, fanned(200, 3, random.Random(2)))
    assert seen.steps["each"].width == 3
    assert seen.steps["each"].spreads
    told = Predictor(each, seen, 8).predict({"each": width})
    would = profile(each, fanned(200, width, random.Random(2)))
    assert told.percentile(0.95) == pytest.approx(measured(would.totals).percentile(0.95), rel=0.03)


def test_items_that_slow_each_other_down_gain_nothing_by_more_workers() -> None:
    items = tuple(Item(0, 10 * MS, 3) for _ in range(8))
    crowd = Crowding(0, 10 * MS / 4, 2)
    at_four, at_two = (played(items, width, crowd, 4) for width in (4, 2))
    assert at_four == at_two == 20 * MS


def test_only_warm_runs_count_that_succeeded_where_the_latest_ran() -> None:
    chain = graph({"a": {"function": "f"}})
    good = [trace(("a", 0, 1))] * FEWEST
    other = [
        trace(("a", 0, 9), kind="load"), trace(("a", 0, 9), state="failed"), trace(("a", 0, 9), worker="w9"),
    ]  # fmt: skip
    found = profile(chain, [*other, *good])
    assert (len(found.totals), found.cold, found.failed, found.moved) == (FEWEST, 1, 1, 1)
    with pytest.raises(TooFew) as error:
        profile(chain, [*other, *good[1:]])
    assert error.value.warm == FEWEST - 1


def work(depth: Mapping[str, float]) -> Any:
    """A percentile of fan-outs in series: each divides its work among its workers, which cost a little each."""
    return lambda widths: sum(work / widths[name] + 0.2 * widths[name] for name, work in depth.items())


@pytest.mark.parametrize("seed", range(20))
def test_the_greedy_choice_is_within_five_percent_of_the_best(seed: int) -> None:
    source = random.Random(seed)
    widest = {f"s{n}": source.randint(1, 8) for n in range(source.randint(1, 6))}
    p95_of = work({name: source.uniform(1, 40) for name in widest})
    ways = [
        dict(zip(widest, chosen, strict=True))
        for chosen in itertools.product(*(candidates(most) for most in widest.values()))
    ]
    found = propose(widest, p95_of)
    assert found.p95 == p95_of(found.widths)
    assert found.p95 <= min(map(p95_of, ways)) * 1.05
    bound = min(map(p95_of, ways)) * 1.3
    bounded = propose(widest, p95_of, bound)
    assert bounded.is_met
    assert bounded.p95 <= bound


def test_a_bound_is_kept_with_no_more_workers_than_it_takes_and_one_out_of_reach_is_said_so() -> None:
    p95_of = work({"a": 40.0})
    assert propose({"a": 8}, p95_of, 21.0).widths == {"a": 2}
    assert not propose({"a": 8}, p95_of, 1.0).is_met
    assert propose({}, lambda _widths: 5.0).widths == {}


def test_tried_widths_end_at_the_most() -> None:
    assert list(candidates(1)) == [1]
    assert list(candidates(8)) == [1, 2, 3, 4, 6, 8]
