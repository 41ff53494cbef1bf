"""What a proxy loads ahead of its calls, and what it tells of that, event by event."""

from __future__ import annotations

from mee6.lane.messages import Expect, Fault, Function, Guess, Guessed, Invoke, Load, Next, Report, Result, Step, Steps
from proxy.crew import MAX_FAILED_STARTS, MAX_IDLE
from proxy.events import RuntimeNotSpawned
from proxy.table import RuntimeState
from tests.proxy.play import MS, Play, function

CHAIN = [*(function(f"f{n}", {f"f{n + 1}": "no"}) for n in range(9)), function("f9")]


def ahead(*functions: Function, at_once: int = 2, chance: float = 1.0, after_ms: float = 0, lead_ms: float = 5) -> Play:
    """A worker that has loaded the first function, with what it shall expect of all."""
    play = Play()
    play.connect()
    calls = [
        Next(one.name, callee, chance, int(after_ms * MS), int(lead_ms * MS))
        for one in functions
        for callee in one.dependencies
    ]
    play.agent(Expect(calls, at_once))
    play.load(*functions)
    return play


def loading(play: Play) -> dict[str, int]:
    """Function -> the runtime that loads it ahead."""
    return {
        r.function.name: r.id
        for r in play.core.runtimes.values()
        if r.function is not None and r.state is RuntimeState.LOADING and (r.step or "").startswith("ahead/")
    }


def load_ahead(play: Play, name: str, fault: Fault | None = None) -> int:
    """The load of a function ends; the runtime that did it."""
    while name not in loading(play):
        play.connect()
    runtime = loading(play)[name]
    step = play.core.runtimes[runtime].step
    assert step is not None
    play.runtime(runtime, Report(step, fault=fault))
    return runtime


def steps(play: Play) -> dict[str, Step]:
    play.after(20)
    return {step.id: step for batch in play.sent(Steps) for step in batch.steps}


def guesses(play: Play) -> list[Guess]:
    return [guess for message in play.sent(Guessed) for guess in message.guesses]


def test_nothing_is_loaded_ahead_that_was_not_asked_for() -> None:
    play = Play()
    play.ready(*CHAIN)
    play.invoke()
    assert not loading(play)
    assert not play.core._crew.waiting_ahead


def test_while_the_first_function_loads_one_is_loaded_beside_it() -> None:
    play = Play()
    play.connect()
    play.agent(Expect([Next(f"f{n}", f"f{n + 1}", 1.0) for n in range(9)], 2))
    play.agent(Load("load", CHAIN[0], {one.name: one for one in CHAIN}))
    play.connect_all()
    assert set(loading(play)) == {"f1"}


def test_as_many_as_may_be_under_way_are_loaded_while_it_runs_the_soonest_first() -> None:
    play = ahead(*CHAIN)
    play.invoke()
    play.connect_all()
    assert set(loading(play)) == {"f1", "f2"}
    load_ahead(play, "f1")
    play.connect_all()
    assert set(loading(play)) == {"f2", "f3"}


def test_a_function_that_is_ready_starts_ahead_and_saves_its_load() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.connect_all()
    play.now += 7 * MS
    runtime = load_ahead(play, "g")
    play.invoke()
    play.call(play.holder("i"), "i.1", "g")
    assert play.to_runtime(runtime) == [Invoke("i.1", b"x", "text/plain", ["f", "g"])]
    play.runtime(runtime, Report("i.1", b"y"))
    caller = play.holder("i")
    play.runtime(caller, Report("i"))
    assert play.to_agent()[-2:] == [Report("i"), Guessed([Guess("f", "g", True, 7 * MS, 7 * MS)])]
    assert steps(play)["i.1"].start == "ahead"


def test_a_load_that_is_under_way_is_joined_and_not_repeated() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.connect_all()
    play.invoke()
    play.now += 3 * MS
    play.call(play.holder("i"), "i.1", "g")
    assert not play.sent(Load)[2:], "no second load"
    runtime = play.holder("i.1")
    play.now += 2 * MS
    play.runtime(runtime, Report("ahead/1"))
    assert play.to_runtime(runtime) == [Invoke("i.1", b"x", "text/plain", ["f", "g"])]
    play.runtime(runtime, Report("i.1", b"y"))
    play.runtime(play.holder("i"), Report("i"))
    assert guesses(play) == [Guess("f", "g", True, 5 * MS, 3 * MS)]
    step = steps(play)["i.1"]
    assert step.start == "ahead"
    assert [(span.kind, span.end_ns - span.start_ns) for span in step.spans] == [("load", 2 * MS), ("run", 0)]


def test_a_call_takes_the_place_of_a_load_that_waits_for_its_runtime() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.invoke()
    spawned = len(play.spawned)
    play.call(play.holder("i"), "i.1", "g")
    assert len(play.spawned) == spawned, "the runtime that was asked for is its own"
    runtime = play.connect()
    assert play.to_runtime(runtime)[-1] == Load("i.1", function("g"))
    assert steps(play)["i.1"].start == "ahead"


def test_who_is_called_goes_before_what_is_loaded_ahead() -> None:
    play = ahead(function("f", g="no", h="no"), function("g"), function("h"), chance=0.4)
    play.agent(Expect([Next("f", "g", 1.0)], 1))
    play.invoke()
    play.call(play.holder("i"), "i.1", "h")
    runtime = play.connect()
    assert play.core.runtimes[runtime].step == "i.1"


def test_a_load_that_fails_ahead_fails_nobody_and_is_not_tried_again_in_that_invocation() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.invoke()
    runtime = load_ahead(play, "g", Fault("load_failed", "SyntaxError"))
    assert play.state(runtime) is RuntimeState.GONE
    play.connect_all()
    assert not loading(play)
    play.call(play.holder("i"), "i.1", "g")
    assert play.core._calls.steps["i.1"].start in ("prewarmed", "cold")


def test_a_load_that_was_joined_fails_who_joined_it() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.connect_all()
    play.invoke()
    caller = play.holder("i")
    play.call(caller, "i.1", "g")
    fault = Fault("load_failed", "SyntaxError")
    play.runtime(play.holder("i.1"), Report("ahead/1", fault=fault))
    assert play.result_for(caller) == Result("i.1", fault=fault)


def test_a_runtime_that_dies_while_it_was_joined_fails_who_joined_it() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.connect_all()
    play.invoke()
    caller = play.holder("i")
    play.call(caller, "i.1", "g")
    play.dies(play.holder("i.1"))
    (result,) = play.sent(Result)
    assert result.fault is not None
    assert result.fault.code == "function_exited"


def test_a_wrong_guess_is_told_of_and_kept_as_warm() -> None:
    play = ahead(function("f", g="no"), function("g"))
    play.now += 4 * MS
    runtime = load_ahead(play, "g")
    play.invoke()
    play.runtime(play.holder("i"), Report("i"))
    assert guesses(play) == [Guess("f", "g", used=False, took_ns=4 * MS)]
    play.invoke("j")
    play.call(play.holder("j"), "j.1", "g", "j")
    assert play.core.runtimes[runtime].step == "j.1"
    assert steps(play)["j.1"].start == "warm"
    play.runtime(runtime, Report("j.1"))
    play.runtime(play.holder("j"), Report("j"))
    assert len(play.sent(Guessed)) == 1, "what was warm is nobody's guess"


def test_what_is_not_worth_it_is_left_alone_along_the_whole_way() -> None:
    unlikely = ahead(function("f", g="no"), function("g"), chance=0.2)
    assert not unlikely.core._crew.waiting_ahead
    play = ahead(*CHAIN, chance=0.6, at_once=9)
    play.invoke()
    play.connect_all()
    assert set(loading(play)) == {"f1", "f2"}, "0.6, 0.36, and then 0.216"


def test_what_leaves_the_worker_is_not_loaded_in_it() -> None:
    play = ahead(function("f", g="no", h="always"), function("g"), function("h"), at_once=9)
    play.connect_all()
    assert set(loading(play)) == {"g"}


def test_a_call_that_comes_late_is_loaded_late() -> None:
    play = ahead(function("f", g="no"), function("g"), after_ms=1000, lead_ms=50)
    play.connect_all()
    play.invoke()
    assert not loading(play)
    assert play.core.tick_after_ns() <= 100 * MS
    play.after(900)
    assert not loading(play)
    assert play.core.tick_after_ns() <= 50 * MS
    play.after(50)
    assert set(loading(play)) == {"g"}


def test_when_a_step_begins_what_comes_after_it_is_timed_anew() -> None:
    play = ahead(function("f", g="no"), function("g", h="no"), function("h"), after_ms=1000, lead_ms=50, at_once=9)
    play.connect_all()
    play.invoke()
    play.call(play.holder("i"), "i.1", "g")  # at once, not after a second
    play.connect_all()
    play.runtime(play.holder("i.1"), Report("i.1"))
    play.connect_all()
    play.after(940)
    assert not loading(play)
    play.after(20)
    assert set(loading(play)) == {"h"}, "a second after g began, not two after f did"


def test_what_has_not_begun_when_the_invocation_ends_is_let_go_of() -> None:
    play = ahead(function("f", g="no"), function("g"), after_ms=1000)
    play.invoke()
    play.runtime(play.holder("i"), Report("i"))
    play.after(2000)
    assert not loading(play)
    assert not guesses(play)
    assert play.core.tick_after_ns() == 0


def test_loads_ahead_push_out_no_runtime_that_is_kept() -> None:
    wide = [function("f", dict.fromkeys("abcdefghijkl", "no")), *(function(name) for name in "abcdefghijkl")]
    play = ahead(*wide, at_once=9)
    for _ in range(20):
        play.connect_all()
        for name in loading(play):
            load_ahead(play, name)
    idle = [r for r in play.core.runtimes.values() if r.state is RuntimeState.IDLE]
    assert len(idle) == MAX_IDLE
    assert not play.killed()


def test_another_function_for_the_worker_ends_what_was_under_way() -> None:
    play = ahead(*CHAIN)
    play.connect_all()
    was = set(loading(play).values())
    assert was
    play.agent(Load("other", function("x"), {}))
    assert set(play.killed()) >= was


def test_runtimes_that_cannot_be_started_are_not_asked_for_again() -> None:
    play = ahead(*CHAIN)
    play.invoke()
    for _ in range(MAX_FAILED_STARTS):
        spawning = [r.id for r in play.core.runtimes.values() if r.state is RuntimeState.SPAWNING]
        play.event(RuntimeNotSpawned(spawning[0], "no memory"))
    assert not play.core._crew.waiting_ahead
    before = len(play.spawned)
    for _ in range(5):
        play.after(100)
    assert len(play.spawned) == before


def test_a_workflow_whose_functions_are_all_held_looks_no_further() -> None:
    play = ahead(function("f", g="no"), function("g"))
    load_ahead(play, "g")
    play.invoke()
    assert play.core._ahead._settled
    play.dies(next(r.id for r in play.core.runtimes.values() if r.function == function("g")))
    assert not play.core._ahead._settled
