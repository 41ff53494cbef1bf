from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mee6.lane.messages import Function
from mee6.outflow import DEFAULT_PARALLELISM, MAX_DEPTH, MAX_RECURSION, Gate, Place, refusal

HERE, ELSEWHERE = Place.HERE, Place.ELSEWHERE
CALLER = Function("f", 1, "python", "/f", {"g": "no", "h": "always"})


def gate(most: int = 0, *, can_stay: bool = True, **outflows: str) -> Gate:
    return Gate({name: outflow.replace("_", ":") for name, outflow in outflows.items()}, most, can_stay)


def test_a_declared_call_may_go() -> None:
    assert refusal(CALLER, ["f"], "g", known=True) is None


def test_an_undeclared_call_is_refused_and_told_what_is_declared() -> None:
    fault = refusal(CALLER, ["f"], "x", known=True)
    assert fault is not None
    assert fault.code == "call_refused"
    assert "'x'" in fault.message
    assert "g, h" in fault.message


def test_a_function_that_was_not_added_is_refused_with_the_next_step() -> None:
    fault = refusal(CALLER, ["f"], "g", known=False)
    assert fault is not None
    assert "mee6 act add" in fault.message


def test_depth_is_bounded() -> None:
    chain = [f"f{n}" for n in range(MAX_DEPTH - 1)]
    assert refusal(CALLER, chain, "g", known=True) is None
    fault = refusal(CALLER, [*chain, "f"], "g", known=True)
    assert fault is not None
    assert "cycle" in fault.message


def test_recursion_is_bounded() -> None:
    assert refusal(CALLER, ["g"] * (MAX_RECURSION - 1), "g", known=True) is None
    assert refusal(CALLER, ["g"] * MAX_RECURSION, "g", known=True) is not None


def test_no_stays_one_at_a_time() -> None:
    rules = gate(g="no")
    assert rules.ask("1", "g") == [("1", HERE)]
    assert rules.ask("2", "g") == []
    assert rules.ask("3", "g") == []
    assert rules.done("1") == [("2", HERE)]
    assert rules.done("2") == [("3", HERE)]
    assert rules.done("3") == []


def test_always_leaves_up_to_the_bound() -> None:
    rules = gate(2, g="always")
    assert [rules.ask(str(n), "g") for n in range(4)] == [[("0", ELSEWHERE)], [("1", ELSEWHERE)], [], []]
    assert rules.done("1") == [("2", ELSEWHERE)]


def test_without_a_bound_the_default_holds() -> None:
    rules = gate(g="always")
    admitted = [one for n in range(DEFAULT_PARALLELISM + 3) for one in rules.ask(str(n), "g")]
    assert len(admitted) == DEFAULT_PARALLELISM


def test_of_optional_calls_one_stays_and_does_not_count() -> None:
    rules = gate(2, g="optional_1")
    places = [rules.ask(str(n), "g") for n in range(4)]
    assert places == [[("0", HERE)], [("1", ELSEWHERE)], [("2", ELSEWHERE)], []]
    assert rules.done("0") == [("3", HERE)]


def test_a_call_that_waits_for_here_does_not_hold_up_one_that_leaves() -> None:
    rules = gate(g="no", h="always")
    rules.ask("1", "g")
    assert rules.ask("2", "g") == []
    assert rules.ask("3", "h") == [("3", ELSEWHERE)]


def test_where_nothing_can_stay_everything_leaves() -> None:
    rules = gate(can_stay=False, g="no", h="optional_1")
    assert rules.ask("1", "g") == [("1", ELSEWHERE)]
    assert rules.ask("2", "h") == [("2", ELSEWHERE)]


def test_a_call_that_ends_while_it_waits_is_forgotten() -> None:
    rules = gate(g="no")
    rules.ask("1", "g")
    rules.ask("2", "g")
    assert rules.done("2") == []
    assert rules.done("1") == []
    assert rules.running == 0


def test_the_end_of_an_unknown_call_changes_nothing() -> None:
    rules = gate(g="no")
    rules.ask("1", "g")
    assert rules.done("x") == []
    assert rules.running == 1


@given(
    outflows=st.lists(st.sampled_from(["no", "always", "optional:1", "optional:2"]), min_size=1, max_size=4),
    most=st.integers(0, 4),
    can_stay=st.booleans(),
    moves=st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60),
)
def test_no_call_is_lost_and_no_bound_is_passed(
    outflows: list[str], most: int, can_stay: bool, moves: list[tuple[bool, int]]
) -> None:
    names = {f"g{n}": outflow for n, outflow in enumerate(outflows)}
    rules = Gate(names, most, can_stay)
    running: dict[str, Place] = {}
    callee: dict[str, str] = {}
    asked: list[str] = []

    def admit(admitted: list[tuple[str, Place]]) -> None:
        for number, place in admitted:
            assert number not in running, "nobody is let go twice"
            running[number] = place
            outflow = names[callee[number]]
            assert place is ELSEWHERE or (can_stay and outflow != "always")
            assert place is HERE or outflow != "no" or not can_stay
        places = list(running.values())
        assert places.count(HERE) <= 1
        assert places.count(ELSEWHERE) <= (most or DEFAULT_PARALLELISM)
        assert rules.running == len(running)

    for begins, number in moves:
        if begins or not running:
            name = str(len(asked))
            asked.append(name)
            callee[name] = f"g{number % len(outflows)}"
            admit(rules.ask(name, callee[name]))
        else:
            ended = sorted(running)[number % len(running)]
            del running[ended]
            admit(rules.done(ended))
    ended_all: set[str] = set()
    while running:
        ended = next(iter(running))
        del running[ended]
        ended_all.add(ended)
        admit(rules.done(ended))
    assert rules.running == 0
    assert not rules._waiting, "when nothing runs nobody waits"


def test_ten_thousand_waiting_calls_are_served_in_order_and_not_looked_through() -> None:
    gate = Gate({"a": "always", "b": "no"}, max_parallelism=2, can_stay=True)
    gone = [call for n in range(10_000) for call, _ in gate.ask(f"c{n}", "ab"[n % 7 == 0])]
    looked = 0
    while gone:
        call = gone.pop(0)
        looked += 1
        gone += [name for name, _ in gate.done(call)]
    assert looked == 10_000
    assert gate.running == 0
