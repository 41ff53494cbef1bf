"""The state machine of a declared workflow: every way that a step may go."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6.declared.graph import Graph
from mee6.declared.parts import Layout, layout_of, parts_of
from mee6.declared.run import DONE, TRANSITIONS, FlowRun, PartEnded, StartPart, StepEvent, StepState
from mee6.declared.values import Value, packed
from mee6.lane.messages import BINARY
from tests.declared.play import Play, fault, graph, seen, simulate

F: Any = {"function": "f"}


def step(function: str = "f", **more: Any) -> dict[str, Any]:
    return {"function": function, **more}


# Order -------------------------------------------------------------------------------------------------------


def test_a_chain_runs_one_after_the_other_each_with_what_the_one_before_gave() -> None:
    play = Play({"a": F, "b": step(after="a"), "c": step(after="b")}, args="x")
    assert seen(play.call("a")) == "x"
    play.gives("a", "xa")
    assert (play.under_way, seen(play.call("b"))) == (["b"], "xa")
    play.gives("b", {"n": 1})
    play.gives("c", [1])
    assert play.result == [1]
    assert play.started == ["a", "b", "c"]


def test_a_join_waits_for_all_and_takes_parts_of_each() -> None:
    play = Play({"a": F, "b": F, "j": step(input={"x": "$a.v[0]", "y": "$b", "z": 1, "money": "$$5"})})
    assert play.under_way == ["a", "b"]
    play.gives("b", "B")
    assert play.under_way == ["a"]
    play.gives("a", {"v": [7, 8]})
    assert seen(play.call("j")) == {"x": 7, "y": "B", "z": 1, "money": "$5"}


def test_a_result_is_handed_on_byte_for_byte() -> None:
    play = Play({"a": F, "b": step(after="a")})
    picture = Value(b"\x89PNG\xff", "image/png")
    play.gives("a", picture)
    assert play.call("b").input == picture
    play.gives("b", picture)
    assert play.end is not None
    assert play.end.value == picture


def test_bytes_cannot_be_looked_into_and_the_step_says_so() -> None:
    play = Play({"a": F, "b": step(input={"x": "$a"})})
    play.gives("a", Value(b"\xff", BINARY))
    assert play.fault.code == "invalid_input"
    assert play.fault.message.startswith("step 'b': cannot look into $a, which is 'application/octet-stream'")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"other": 1}, "there is no $a.key[1]: $a is an object with other"),
        ({"key": [1]}, "there is no $a.key[1]: $a.key is a list of 1"),
        ({"key": {"1": 2}}, "there is no $a.key[1]: $a.key is an object with 1"),
        ("text", "there is no $a.key[1]: $a is text"),
        (None, "there is no $a.key[1]: $a is null"),
    ],
)
def test_a_part_that_is_not_there_is_named(value: Any, said: str) -> None:
    play = Play({"a": F, "b": step(input="$a.key[1]")})
    play.gives("a", value)
    assert play.fault.message == f"step 'b': {said}"


def test_without_an_output_the_last_steps_results_are_it() -> None:
    play = Play({"a": F, "b": F})
    play.gives("a", 1)
    play.gives("b", 2)
    assert play.result == {"a": 1, "b": 2}


def test_an_output_that_cannot_be_made_is_a_fault_of_the_workflow() -> None:
    play = Play({"a": F}, output={"x": "$a.y"})
    play.gives("a", 1)
    assert play.fault.message == "output: there is no $a.y: $a is a int"


# foreach -----------------------------------------------------------------------------------------------------


def test_each_item_is_a_call_and_the_results_are_in_the_items_order() -> None:
    play = Play({"e": step(foreach="$args", input={"i": "$index", "x": "$item.x"})}, args=[{"x": "p"}, {"x": "q"}])
    calls = [one for one in play.open.values() if not isinstance(one, StartPart)]
    assert [seen(call) for call in calls] == [{"i": 0, "x": "p"}, {"i": 1, "x": "q"}]
    play.open = dict(reversed(play.open.items()))
    play.gives("e", "second")
    play.gives("e", {"first": True})
    assert play.result == [{"first": True}, "second"]


def test_no_more_items_run_at_once_than_may() -> None:
    play = Play({"e": step(foreach="$args", concurrency=2)}, args=list(range(5)))
    for left in (2, 2, 2, 2, 1):
        assert len(play.open) == left
        play.gives("e", 0)
    assert play.result == [0] * 5


@pytest.mark.parametrize("items", [[], None])
def test_of_no_items_the_result_is_an_empty_list(items: Any) -> None:
    play = Play({"e": step(foreach="$args.items"), "b": step(after="e")}, args={"items": items})
    assert seen(play.call("b")) == []


def test_what_is_no_list_has_no_items() -> None:
    assert "'foreach' wants a list" in Play({"e": step(foreach="$args")}, args={"a": 1}).fault.message


def test_an_item_that_fails_ends_the_run_and_stops_the_others() -> None:
    play = Play({"e": step(foreach="$args")}, args=[1, 2, 3])
    play.fails("e")
    assert play.fault == fault()
    assert play.stopped == [2, 3]


def test_a_caught_item_lets_the_running_ones_end_and_begins_no_more() -> None:
    play = Play({"e": step(foreach="$args", concurrency=2, catch={"value": "oh"})}, args=[1, 2, 3, 4])
    play.fails("e")
    assert play.under_way == ["e"]
    play.gives("e", 2)
    assert play.result == "oh"
    assert play.started == ["e", "e"]


def test_bytes_of_an_item_make_no_list() -> None:
    play = Play({"e": step(foreach="$args")}, args=[1])
    play.gives("e", Value(b"\xff", BINARY))
    assert play.fault.message.startswith("step 'e': cannot look into what item 0 gave")


# switch ------------------------------------------------------------------------------------------------------

ROUTED: Any = {
    "r": {
        "switch": [{"if": "$args", "above": 10, "then": "big"}, {"if": "$args", "is": 5, "then": ["five", "more"]}],
        "else": "small",
    },
    "big": step("big", input="$args"),
    "five": step("five", input="$args"),
    "more": step("more", input="$args"),
    "small": step("small", input="$args"),
    "after_big": step(after="big"),
    "join": step("join", input={"$first": ["$after_big", "$five", "$small", "none"]}),
}  # fmt: skip


@pytest.mark.parametrize(
    ("args", "runs"),
    [(11, ["big", "after_big"]), (5, ["five", "more"]), (6, ["small"]), (10, ["small"]), (5.0, ["five", "more"])],
)
def test_the_first_case_that_holds_is_taken_and_the_others_are_skipped_with_what_follows(
    args: Any, runs: list[str]
) -> None:
    play = Play(ROUTED, args=args, output="$join")
    while play.under_way != ["join"]:
        play.gives(play.under_way[0], "one")
    assert play.started[:-1] == runs
    assert seen(play.call("join")) == "one"
    play.gives("join", "done")
    assert play.result == "done"


def test_a_join_of_skipped_steps_alone_is_skipped_and_null() -> None:
    steps = {
        "r": {"switch": [{"if": "$args", "then": "a"}]},
        "a": F, "b": step(after="a"), "c": F, "d": step(input=["$b", "$c"]),
    }  # fmt: skip
    play = Play(steps, args=0)
    play.gives("c", 1)
    assert seen(play.call("d")) == [None, 1]
    play.gives("d", {})
    assert play.started == ["c", "d"]
    assert Play({"r": {"switch": [{"if": "$args", "then": "a"}]}, "a": F}, args=0, output={"x": "$a"}).result == {
        "x": None
    }


@pytest.mark.parametrize(
    ("case", "value", "holds"),
    [
        ({}, "x", True), ({}, "", False), ({}, [], False), ({}, 0, False), ({}, None, False),
        ({"is": None}, None, True), ({"is": True}, 1, False), ({"is": 1}, True, False), ({"is": [1]}, [1], True),
        ({"in": ["a", "b"]}, "b", True), ({"in": []}, "b", False),
        ({"above": 1}, 1, False), ({"above": 1, "below": 3}, 2, True), ({"above": 1, "below": 3}, 3, False),
    ],
)  # fmt: skip
def test_a_case_holds_by_its_test(case: Any, value: Any, holds: bool) -> None:
    play = Play({"r": {"switch": [{"if": "$args", "then": "a", **case}]}, "a": F}, args=value, output="$r")
    assert (play.under_way == ["a"]) == holds


def test_what_is_no_number_is_not_compared() -> None:
    play = Play({"r": {"switch": [{"if": "$args", "above": 1, "then": "a"}]}, "a": F}, args="2")
    assert play.fault.message == "step 'r': 'if' compares a number with str"


def test_a_step_of_two_switches_runs_if_either_chooses_it() -> None:
    steps = {
        "r": {"switch": [{"if": "$args[0]", "then": "a"}]},
        "s": {"switch": [{"if": "$args[1]", "then": "a"}]},
        "a": step(input=1),
    }
    ran = {(x, y): bool(Play(steps, args=[x, y], output=1).started) for x, y in itertools.product((0, 1), repeat=2)}
    assert ran == {(0, 0): False, (0, 1): True, (1, 0): True, (1, 1): True}


# retry, catch, ends ------------------------------------------------------------------------------------------


def test_a_step_runs_again_after_growing_waits_up_to_its_attempts() -> None:
    play = Play({"a": step(retry={"attempts": 4, "backoffS": 1, "factor": 3, "maxBackoffS": 5}, timeoutS=2)})
    assert play.call("a").timeout_s == 2
    for wait in (1, 3, 5):
        play.fails("a")
        assert play.open == {}
        assert play.run.due_ns == play.now + wait * 1_000_000_000
        play.wait(wait - 0.001)
        assert play.open == {}
        play.wait(0.001)
        assert play.under_way == ["a"]
        assert play.run.due_ns == 0
    play.fails("a", message="at last")
    assert play.fault.message == "at last"


def test_a_wait_of_no_time_is_none() -> None:
    play = Play({"a": step(retry={"attempts": 2, "backoffS": 0})})
    play.fails("a")
    assert play.under_way == ["a"]
    play.gives("a", 1)
    assert play.result == 1


@pytest.mark.parametrize(
    ("on", "code", "again"),
    [
        ([], "timed_out", True), ([], "worker_lost", True), ([], "invalid_input", False),
        (["invalid_input"], "invalid_input", True), (["timed_out"], "function_raised", False),
    ],
)  # fmt: skip
def test_what_runs_again_depends_on_the_fault(on: list[str], code: str, again: bool) -> None:
    play = Play({"a": step(retry={"attempts": 2, "backoffS": 0, "on": on})})
    play.fails("a", code)
    assert (play.end is None) == again


def test_each_item_has_its_own_attempts_and_a_last_failure_drops_those_that_wait() -> None:
    retry = {"attempts": 2, "backoffS": 1}
    play = Play({"e": step(foreach="$args", retry=retry, catch={"value": 0})}, args=[1, 2])
    play.fails("e")
    play.wait(0.5)
    play.fails("e")
    play.wait(0.5)
    assert len(play.open) == 1
    play.fails("e")
    assert play.result == 0
    assert play.run.due_ns == 0


def test_a_value_stands_in_for_a_step_that_failed() -> None:
    play = Play({"a": step(catch={"value": {"why": "$error.code", "what": "$error.message", "of": "$args"}})}, args=1)
    play.fails("a")
    assert play.result == {"why": "function_raised", "what": "no", "of": 1}


def test_a_function_stands_in_for_a_step_that_failed_and_is_told_why() -> None:
    play = Play({"a": step(catch={"function": "g"}, timeoutS=1), "b": step(after="a")})
    play.fails("a", "timed_out")
    call = play.call("a")
    assert (call.function, seen(call)["code"], seen(call)["type"]) == ("g", "timed_out", "ValueError")
    play.gives("a", "instead")
    assert seen(play.call("b")) == "instead"


def test_what_stands_in_may_fail_too() -> None:
    play = Play({"a": step(catch={"function": "g"})})
    play.fails("a")
    play.fails("a", message="worse")
    assert play.fault.message == "worse"


def test_a_catch_is_for_its_faults_alone() -> None:
    play = Play({"a": step(catch={"value": 1, "on": ["timed_out"]})})
    play.fails("a")
    assert play.fault == fault()


def test_a_wrong_input_can_be_caught() -> None:
    play = Play({"a": step(input="$args.x", catch={"value": "$error.code"})}, args=1)
    assert play.result == "invalid_input"


def test_a_catch_that_cannot_be_made_ends_the_run() -> None:
    play = Play({"a": step(catch={"value": "$error.line"})})
    play.fails("a")
    assert play.fault.message.startswith("catch of step 'a': there is no $error.line")


def test_a_failure_stops_all_that_runs_and_nothing_comes_after_the_end() -> None:
    play = Play({"a": F, "b": F, "c": step(after="b")})
    play.fails("a")
    assert play.stopped == [2]
    play.now += 1
    assert play.handle(PartEnded(2, {})) == []
    assert play.started == ["a", "b"]


def test_every_pair_is_in_the_table_or_refused() -> None:
    run = FlowRun(graph({"a": F}), None, Layout(graph({"a": F})))
    for state, event in itertools.product(StepState, StepEvent):
        progress = run.steps["a"]
        progress.state = state
        if (state, event) in TRANSITIONS:
            progress.take(event)
            assert progress.state is TRANSITIONS[state, event]
        else:
            with pytest.raises(AssertionError, match="cannot take"):
                progress.take(event)
            assert progress.state is state
    assert not any(state in DONE for state, _event in TRANSITIONS)


# parts -------------------------------------------------------------------------------------------------------

FORK: Any = {
    "a": F,
    "b1": step(after="a"), "b2": step(after="b1"),
    "c1": step(after="a"), "c2": step(input=["$c1", "$args"]),
    "j": step(input=["$b2", "$c2"]),
}  # fmt: skip


def test_a_branch_goes_to_another_worker_as_one_call() -> None:
    of = graph(FORK)
    play = Play(of, args="arg", layout=layout_of(of, {"a": 0, "b1": 0, "b2": 0, "c1": 1, "c2": 1, "j": 0}))
    play.gives("a", "A")
    assert play.under_way == ["c1+c2", "b1"]
    (part,) = [one for one in play.open.values() if isinstance(one, StartPart)]
    assert part.part.given == {"a": packed("A")}
    assert part.part.args == packed("arg")
    assert Layout(of).wanted(part.part.steps) == ["c2"]
    play.handle(PartEnded(part.call, {"c2": packed("C")}))
    play.gives("b1", 1)
    play.gives("b2", 2)
    assert seen(play.call("j")) == [2, "C"]


def test_a_step_alone_in_its_group_is_an_ordinary_call_elsewhere() -> None:
    of = graph({"a": F, "b": F})
    play = Play(of, layout=layout_of(of, {"a": 0, "b": 1}))
    assert [one.outflow for one in play.open.values() if not isinstance(one, StartPart)] == ["no", "always"]


def test_a_part_that_fails_ends_the_run() -> None:
    of = graph(FORK)
    play = Play(of, layout=layout_of(of, {"c1": 1, "c2": 1}))
    play.gives("a", 1)
    call = next(number for number, one in play.open.items() if isinstance(one, StartPart))
    del play.open[call]
    play.handle(PartEnded(call, {}, fault()))
    assert play.fault == fault()
    assert len(play.stopped) == 1


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_part_whose_worker_is_lost_runs_again_if_each_of_its_steps_may(retries: int) -> None:
    again: Any = {"retry": {"attempts": 2}}
    of = graph({"a": step(**again if retries else {}), "b": step(after="a", **again if retries > 1 else {})})
    play = Play(of, layout=layout_of(of, {"a": 1, "b": 1}))
    play.open.clear()
    play.handle(PartEnded(1, {}, fault("worker_lost")))
    assert play.under_way == (["a+b"] if retries == 2 else [])
    if retries == 2:
        play.open.clear()
        play.handle(PartEnded(2, {}, fault("worker_lost")))
    assert play.fault.code == "worker_lost"


def test_a_part_is_cut_where_it_would_make_somebody_wait() -> None:
    of = graph({"a": F, "x": F, "b": step(after="a"), "c": step(input=["$b", "$x"]), "d": step(after="a")})
    assert parts_of(of, {"b": 1, "c": 1}) == [("b",), ("c",)], "c waits for x, which b need not"
    assert parts_of(of, {"a": 1, "b": 1}) == [("a",), ("b",)], "d waits for a, and need not for b"
    assert parts_of(of, {"a": 1, "b": 1, "d": 1}) == [("a",), ("b",), ("d",)], "c waits for b, and need not for d"


# Any graph ---------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph with joins, foreach and switches; its output names every step."""
    count = draw(st.integers(1, 9))
    steps: dict[str, Any] = {}
    targets: list[str] = []
    for n in range(count):
        before = draw(st.lists(st.sampled_from(list(steps)), max_size=3, unique=True)) if steps else []
        plain = [one for one in before if "function" in steps[one] and "foreach" not in steps[one]]
        kind = draw(st.sampled_from(["call", "call", "each", "switch"]))
        if kind == "switch" and n < count - 1:
            steps[f"s{n}"] = {
                "switch": [{"if": {"$first": [f"${plain[0]}" if plain else "$args", 0]}, "above": 3, "then": []}],
                "after": before,
            }
            targets.append(f"s{n}")
            continue
        steps[f"s{n}"] = {"function": "sum", "input": [f"${one}" for one in before]}
        if kind == "each":
            steps[f"s{n}"] |= {"foreach": [f"${one}" for one in before] + [1, 2], "input": ["$item", "$index"]}
            steps[f"s{n}"] |= draw(st.sampled_from([{}, {"concurrency": 1}, {"concurrency": 2}]))
        for switch in targets:
            way = draw(st.sampled_from(["", "", "then", "else"]))
            if way and switch not in before:
                place = steps[switch]["switch"][0] if way == "then" else steps[switch]
                place.setdefault(way, []).append(f"s{n}")
    return graph(steps, output={name: f"${name}" for name in steps})


def total(value: Any) -> int:
    if isinstance(value, dict):
        return total(list(value.values()))
    if isinstance(value, list):
        return sum(total(one) for one in value)
    return value if isinstance(value, int) else len(value or "")


def functions(_name: str, given: Any) -> Any:
    return 1 + total(given)


@settings(max_examples=120, deadline=None)
@given(graphs(), st.data())
def test_whatever_the_graph_each_step_runs_once_after_those_before_it_and_the_result_is_one(
    of: Graph, data: st.DataObject
) -> None:
    def pick(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    groups = {name: data.draw(st.sampled_from([0, 0, 1, 2])) for name in of.nodes}
    one = simulate(of, 1, functions, {}, pick)
    spread = simulate(of, 1, functions, groups, pick)
    assert spread.result == one.result
    assert sorted(spread.began) == sorted(one.began)
    for simulation in (one, spread):
        singles = [name for name in simulation.began if of.nodes[name].foreach is None]
        assert len(singles) == len(set(singles))
        for name in dict.fromkeys(simulation.began):
            before = [one for one in of.ancestors[name] if one in simulation.ended]
            last = max((len(simulation.ended) - 1 - simulation.ended[::-1].index(one) for one in before), default=-1)
            assert simulation.ended.index(name) > last


@settings(max_examples=300, deadline=None)
@given(graphs(), st.data())
def test_whatever_the_groups_a_part_delays_nobody(of: Graph, data: st.DataObject) -> None:
    groups = {name: data.draw(st.sampled_from([0, 1, 2])) for name in of.nodes}
    parts = parts_of(of, groups)
    assert sorted(name for part in parts for name in part) == sorted(name for name in groups if groups[name])
    for part in parts:
        assert len({groups[name] for name in part}) == 1
        outside = {one for name in part for one in of.nodes[name].before if one not in part}
        for name in part:
            assert outside <= of.ancestors[name], "all that it waits for, each of its steps would have waited for"
            for follower in of.after[name]:
                assert follower in part or set(part) <= of.ancestors[follower], "who waits for one waits for all"
