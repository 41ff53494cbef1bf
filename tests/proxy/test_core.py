"""What the proxy decides, event by event, without a process or a socket."""

from __future__ import annotations

import pytest

from mee6.lane.messages import (
    AskHandover,
    Block,
    Call,
    Fault,
    Goodbye,
    Handover,
    Hello,
    Invoke,
    Limits,
    Load,
    Log,
    Report,
    Result,
    Step,
    Steps,
    Stored,
    Welcome,
)
from proxy.crew import MAX_FAILED_STARTS, MAX_IDLE
from proxy.events import (
    AgentClosed,
    Connect,
    Event,
    Exit,
    Kill,
    Release,
    RuntimeClosed,
    RuntimeDeaf,
    RuntimeExited,
    RuntimeNotSpawned,
    RuntimeSaid,
    SendAgent,
    SendRuntime,
    Spawn,
)
from proxy.table import RuntimeState
from tests.proxy.play import Play, function


def reports(play: Play) -> list[Report]:
    return [message for message in play.to_agent() if isinstance(message, Report)]


def steps(play: Play) -> dict[str, Step]:
    return {step.id: step for batch in play.sent(Steps) for step in batch.steps}


# Start ---------------------------------------------------------------------------------------------------------


def test_it_asks_for_one_spare_and_connects_when_that_is_there() -> None:
    play = Play()
    assert play.all == [Spawn(1, "python")]
    play.connect()
    assert Connect() in play.all
    assert play.state(1) is RuntimeState.SPARE


def test_a_runtime_is_welcomed_in_the_agents_words() -> None:
    play = Play()
    play.connect()
    welcome = Welcome("w9", Limits(7, 8), "/somewhere")
    play.agent(welcome)
    assert play.to_runtime(1) == [welcome]


def test_a_language_that_does_not_start_ends_the_worker() -> None:
    play = Play()
    for number in range(1, MAX_FAILED_STARTS + 1):
        play.event(RuntimeNotSpawned(number, "no memory"))
    assert isinstance(play.last[-1], Exit)
    assert "no memory" in play.last[-1].reason
    assert len(play.spawned) == MAX_FAILED_STARTS


def test_a_spare_that_dies_is_replaced() -> None:
    play = Play()
    play.connect()
    play.agent(Welcome("w1"))
    play.dies(1, 0)
    assert play.spawned[-1] == Spawn(2, "python")


@pytest.mark.parametrize("end", [AgentClosed(), None])
def test_it_leaves_with_the_agent(end: AgentClosed | None) -> None:
    play = Play()
    play.connect()
    commands = play.event(end) if end else play.agent(Goodbye())
    assert isinstance(commands[-1], Exit)


# Load and handover ---------------------------------------------------------------------------------------------


def test_a_workflow_stays_with_the_proxy() -> None:
    play = Play()
    play.ready(function(g="no"), function("g"))
    assert not play.sent(AskHandover)
    assert play.sent(Report) == [Report("load")]


@pytest.mark.parametrize("calls", [{}, {"g": "always"}])
def test_what_needs_no_proxy_is_handed_over(calls: dict[str, str]) -> None:
    play = Play()
    play.connect()
    play.agent(Welcome("w1"))
    play.agent(Load("load", function(calls=calls), {}))
    assert [type(command) for command in play.last] == [SendRuntime, SendAgent]
    assert play.to_agent() == [AskHandover()]
    grant = Handover("t", "/lane")
    play.agent(grant)
    assert not play.last
    play.runtime(1, Report("load"))
    assert play.last == [SendRuntime(1, grant)]
    play.runtime(1, Report("load", handed_over=True))
    assert play.last == [Release(1), SendAgent(Report("load", handed_over=True))]
    assert not play.core.runtimes


def test_a_grant_may_come_after_the_load() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.runtime(1, Report("load"))
    assert not reports(play)
    play.agent(Handover("t", "/lane"))
    assert play.to_runtime(1) == [Handover("t", "/lane")]


@pytest.mark.parametrize("loaded_first", [True, False])
def test_a_refused_handover_is_reported_as_such(loaded_first: bool) -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    if loaded_first:
        play.runtime(1, Report("load"))
        play.agent(Handover("", ""))
    else:
        play.agent(Handover("", ""))
        play.runtime(1, Report("load"))
    assert play.to_agent() == [Report("load", handed_over=False)]
    play.invoke()
    assert play.to_runtime(1) == [Invoke("i", b"arg", "text/plain", ["f"])]


def test_an_agent_that_does_not_answer_is_not_waited_for_for_long() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.runtime(1, Report("load"))
    play.after(900)
    assert not play.sent(Report)
    play.after(101)
    assert play.to_agent() == [Report("load")]
    play.agent(Handover("late", "/lane"))
    assert not play.last


def test_a_runtime_that_cannot_reach_the_agent_stays() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.agent(Handover("t", "/lane"))
    play.runtime(1, Report("load"))
    play.runtime(1, Report("load", handed_over=False))
    assert play.to_agent() == [Report("load", handed_over=False)]
    assert play.state(1) is RuntimeState.IDLE


def test_a_runtime_that_is_silent_about_its_handover_is_replaced() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.agent(Handover("t", "/lane"))
    play.runtime(1, Report("load"))
    play.after(1001)
    assert Kill(1) in play.last
    number = play.connect()
    assert isinstance(play.to_runtime(number)[0], Load)
    play.runtime(number, Report("load"))
    assert play.to_agent() == [Report("load", handed_over=False)]


def test_an_invocation_after_a_handover_the_agent_gave_up_is_served_anew() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.agent(Handover("t", "/lane"))
    play.runtime(1, Report("load"))
    play.runtime(1, Report("load", handed_over=True))
    play.invoke()
    number = play.connect()
    play.runtime(number, Report("i"))
    assert play.to_runtime(number) == [Invoke("i", b"arg", "text/plain", ["f"])]


def test_a_load_that_fails_is_reported_and_its_process_thrown_away() -> None:
    play = Play()
    play.connect()
    fault = Fault("load_failed", "no main.py")
    play.agent(Load("load", function(), {}))
    play.agent(Handover("t", "/lane"))
    play.runtime(1, Report("load", fault=fault))
    assert play.to_agent() == [Report("load", fault=fault)]
    assert play.killed() == [1]
    assert play.spawned[-1] == Spawn(2, "python")


def test_a_process_that_dies_while_loading_is_reported() -> None:
    play = Play()
    play.connect()
    play.agent(Load("load", function(), {}))
    play.dies(1, 3)
    [report] = reports(play)
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    assert "'f' exited with code 3" in report.fault.message


def test_a_second_load_of_the_same_function_is_warm_and_of_another_replaces_it() -> None:
    play = Play()
    play.ready(function(g="no"), function("g"))
    play.agent(Load("again", function(g="no"), {"g": function("g")}))
    assert play.to_agent() == [Report("again")]
    play.agent(Load("other", function("h", g="no"), {"g": function("g")}))
    assert play.killed() == [1]


def test_a_busy_worker_takes_no_load_and_no_second_invocation() -> None:
    play = Play()
    play.ready(function(g="no"), function("g"))
    play.invoke()
    for commands in (play.agent(Load("l2", function("x"), {})), play.invoke("i2")):
        [command] = commands
        assert isinstance(command, SendAgent)
        assert isinstance(command.message, Report)
        assert command.message.fault is not None
        assert command.message.fault.code == "conflict"


def test_nothing_is_invoked_before_a_load() -> None:
    play = Play()
    play.connect()
    play.agent(Invoke("i", b"", "text/plain", ["f"]))
    assert reports(play)[0].fault is not None


# Steps ---------------------------------------------------------------------------------------------------------


def test_a_call_that_stays_runs_in_the_spare_then_in_the_warm_runtime() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    callee = play.holder("i.1")
    assert play.to_runtime(callee) == [Load("i.1", function("g"))]
    play.runtime(callee, Report("i.1"))
    assert play.to_runtime(callee) == [Invoke("i.1", b"x", "text/plain", ["f", "g"])]
    assert play.state(root) is RuntimeState.CALLING
    play.runtime(callee, Report("i.1", b"y"))
    assert play.result_for(root) == Result("i.1", b"y")
    assert play.state(root) is RuntimeState.BUSY
    play.call(root, "i.2", "g")
    assert play.to_runtime(callee) == [Invoke("i.2", b"x", "text/plain", ["f", "g"])]
    play.runtime(callee, Report("i.2"))
    play.runtime(root, Report("i", b"z"))
    assert [type(message) for message in play.to_agent()] == [Steps, Report]
    told = steps(play)
    assert [step.start for step in told.values() if step.parent] == ["prewarmed", "warm"]
    assert told["i"].pid, "of the first step the agent learns which process runs it"


def test_a_call_without_a_spare_waits_for_the_next_runtime() -> None:
    play = Play()
    play.connect()
    play.agent(Welcome("w1"))
    root = play.load(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    number = play.connect()
    assert isinstance(play.to_runtime(number)[-1], Load)
    assert len(play.spawned) == 2
    play.runtime(number, Report("i.1"))
    play.runtime(number, Report("i.1"))
    play.runtime(root, Report("i"))
    assert steps(play)["i.1"].start == "cold"


def test_the_spans_of_a_step_follow_each_other() -> None:
    play = Play()
    play.connect()
    play.agent(Welcome("w1"))
    root = play.load(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    play.now += 10
    number = play.connect()
    play.now += 20
    play.runtime(number, Report("i.1"))
    play.now += 30
    play.runtime(number, Report("i.1"))
    play.runtime(root, Report("i"))
    step = steps(play)["i.1"]
    assert [(span.kind, span.end_ns - span.start_ns) for span in step.spans] == [
        ("start", 10),
        ("load", 20),
        ("run", 30),
    ]
    assert all(before.end_ns == after.start_ns for before, after in zip(step.spans, step.spans[1:], strict=False))
    assert (step.parent, step.function, step.worker, step.via, step.state, step.pid) == (
        "i", "g", "w1", "proxy", "succeeded", 100 + number,
    )  # fmt: skip


def test_steps_are_told_every_ten_milliseconds_while_they_run() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    assert not play.sent(Steps)
    play.after(10)
    assert steps(play)["i.1"].state == "starting"
    assert steps(play)["i.1"].spans[-1].end_ns == 0


def test_always_leaves_with_the_callers_chain() -> None:
    play = Play()
    root = play.ready(function(g="always", h="no"), function("g"), function("h"))
    play.invoke("i", "a", "f")
    play.call(root, "i.1", "g")
    assert play.to_agent() == [Call("i.1", "i", "g", b"x", "text/plain", ["a", "f"])]
    play.agent(Result("i.1", b"r"))
    assert play.result_for(root) == Result("i.1", b"r")
    assert play.state(root) is RuntimeState.BUSY


def test_of_parallel_optional_calls_one_stays() -> None:
    play = Play()
    root = play.ready(function(g="optional:1"), function("g"))
    play.invoke()
    for n in range(1, 5):
        play.call(root, f"i.{n}", "g")
    assert [call.id for call in play.sent(Call)] == ["i.2", "i.3", "i.4"]
    assert play.holder("i.1")


def test_calls_elsewhere_are_bounded_and_wait_in_order() -> None:
    play = Play()
    root = play.ready(function(most=2, g="always", h="no"), function("g"), function("h"))
    play.invoke()
    for n in range(1, 6):
        play.call(root, f"i.{n}", "g")
    assert [call.id for call in play.sent(Call)] == ["i.1", "i.2"]
    play.agent(Result("i.2"))
    play.agent(Result("i.1"))
    assert [call.id for call in play.sent(Call)] == ["i.1", "i.2", "i.3", "i.4"]
    play.call(root, "i.6", "h")
    assert play.holder("i.6")


def test_parallel_calls_that_may_not_leave_take_turns() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    for n in range(1, 4):
        play.call(root, f"i.{n}", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.now += 500
    for n in range(1, 4):
        assert play.state(callee) is RuntimeState.BUSY
        play.runtime(callee, Report(f"i.{n}"))
    play.runtime(root, Report("i"))
    assert [span.kind for span in steps(play)["i.2"].spans] == ["queued", "run"]
    assert len(play.spawned) == 2


def test_a_language_the_worker_cannot_start_always_leaves() -> None:
    play = Play(languages=["python"])
    root = play.ready(function(g="no", h="no"), function("g", runtime="nodejs"), function("h"))
    assert {spawn.language for spawn in play.spawned} == {"python"}
    play.invoke()
    play.call(root, "i.1", "g")
    play.call(root, "i.2", "h")
    assert [call.id for call in play.sent(Call)] == ["i.1"]
    assert play.holder("i.2")


def test_a_spare_of_each_language_is_asked_for_at_the_load() -> None:
    play = Play()
    play.connect()
    play.load(
        function(g="no", h="always"),
        function("g", i="no"),
        function("h", runtime="ruby"),
        function("i", runtime="nodejs"),
    )
    assert [spawn.language for spawn in play.spawned] in (
        ["python", "python", "nodejs"],
        ["python", "nodejs", "python"],
    )


def test_a_nested_call_goes_deeper_with_its_own_chain() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g", h="no"), function("h"))
    play.invoke()
    play.call(root, "i.1", "g")
    middle = play.holder("i.1")
    play.runtime(middle, Report("i.1"))
    play.connect_all()
    play.call(middle, "i.1.1", "h", invocation="i.1")
    leaf = play.holder("i.1.1")
    play.runtime(leaf, Report("i.1.1"))
    assert play.to_runtime(leaf) == [Invoke("i.1.1", b"x", "text/plain", ["f", "g", "h"])]
    play.runtime(leaf, Report("i.1.1", b"deep"))
    assert play.result_for(middle).result == b"deep"
    play.runtime(middle, Report("i.1", b"back"))
    play.runtime(root, Report("i"))
    assert steps(play)["i.1.1"].parent == "i.1"


def test_an_undeclared_call_is_refused_and_changes_nothing() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"), function("h"))
    play.invoke()
    play.call(root, "i.1", "h")
    fault = play.result_for(root).fault
    assert fault is not None
    assert fault.code == "call_refused"
    assert play.state(root) is RuntimeState.BUSY


def test_a_dependency_that_was_never_added_is_refused() -> None:
    play = Play()
    root = play.ready(function(g="no", h="no"), function("h"))
    play.invoke()
    play.call(root, "i.1", "g")
    fault = play.result_for(root).fault
    assert fault is not None
    assert "has not been added" in fault.message


@pytest.mark.parametrize(("runtime", "invocation"), [(1, "other"), (2, "i")])
def test_a_call_for_what_does_not_run_there_is_refused(runtime: int, invocation: str) -> None:
    play = Play()
    play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(runtime, "i.1", "g", invocation=invocation)
    assert play.result_for(runtime).fault is not None


def test_a_step_that_fails_tells_its_caller() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    fault = Fault("function_raised", "'g' raised ValueError", "g", "ValueError", "Traceback")
    play.runtime(callee, Report("i.1", fault=fault))
    assert play.result_for(root) == Result("i.1", fault=fault)
    play.runtime(root, Report("i"))
    assert (steps(play)["i.1"].state, steps(play)["i.1"].error) == ("failed", "'g' raised ValueError")


def test_a_step_whose_code_does_not_load_tells_its_caller() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    callee = play.holder("i.1")
    fault = Fault("load_failed", "no main.py", "g")
    play.runtime(callee, Report("i.1", fault=fault))
    assert play.result_for(root) == Result("i.1", fault=fault)
    assert play.killed() == [callee]


def test_a_step_ends_only_after_its_calls() -> None:
    play = Play()
    root = play.ready(function(g="always", h="no"), function("g"), function("h"))
    play.invoke()
    play.call(root, "i.1", "g")
    play.runtime(root, Report("i", b"early"))
    assert not reports(play)
    play.call(root, "i.2", "g")
    assert play.result_for(root).fault is not None
    play.agent(Result("i.1"))
    assert reports(play) == [Report("i", b"early")]
    assert play.state(root) is RuntimeState.IDLE


def test_logs_are_passed_on() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    log = Log("i", "out", "hello\n", 5)
    play.runtime(root, log)
    assert play.to_agent() == [log]


def test_runtimes_that_were_not_used_for_longest_are_evicted() -> None:
    names = [f"g{n}" for n in range(MAX_IDLE + 3)]
    play = Play()
    root = play.ready(function(calls=dict.fromkeys(names, "no")), *map(function, names))
    play.invoke()
    holders = []
    for n, name in enumerate(names, 1):
        play.now += 1
        play.connect_all()
        play.call(root, f"i.{n}", name)
        holders.append(play.holder(f"i.{n}"))
        play.runtime(holders[-1], Report(f"i.{n}"))
        play.runtime(holders[-1], Report(f"i.{n}"))
    assert play.killed() == holders[:3]


def test_of_warm_runtimes_the_last_used_is_taken() -> None:
    play = Play()
    root = play.ready(function(f="no"))
    play.invoke()
    play.call(root, "i.1", "f")
    deeper = play.holder("i.1") if any(r.step == "i.1" for r in play.core.runtimes.values()) else play.connect()
    play.runtime(deeper, Report("i.1"))
    play.runtime(deeper, Report("i.1"))
    play.now += 1
    play.runtime(root, Report("i"))
    play.now += 1
    play.invoke("j")
    assert play.holder("j") == root


# Deaths --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "said"), [(-9, "killed by signal 9 (SIGKILL)"), (3, "exited with code 3")])
@pytest.mark.parametrize("status_first", [True, False])
def test_a_dead_root_is_reported_when_both_signs_are_there(status: int, said: str, status_first: bool) -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    both: list[Event] = [RuntimeExited(root, status), RuntimeClosed(root)]
    play.event(both[not status_first])
    assert not reports(play)
    play.event(both[status_first])
    [report] = reports(play)
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    assert said in report.fault.message
    play.invoke("i2")
    assert play.spawned


def test_a_report_that_was_sent_before_the_death_counts() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.event(RuntimeExited(root, 0))
    play.runtime(root, Report("i", b"done"))
    assert reports(play) == [Report("i", b"done")]
    play.event(RuntimeClosed(root))
    assert play.state(root) is RuntimeState.GONE


def test_a_runtime_that_closes_its_lane_and_lives_on_is_killed() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.event(RuntimeClosed(root))
    play.after(501)
    assert play.killed() == [root]
    [report] = reports(play)
    assert report.fault is not None
    assert "closed its lane" in report.fault.message


def test_a_dead_process_whose_lane_a_child_keeps_open_is_dead() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.event(RuntimeExited(root, 1))
    play.after(501)
    assert reports(play)
    assert play.state(root) is RuntimeState.GONE


def test_a_dead_callee_is_its_callers_error_and_frees_its_place() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.call(root, "i.1", "g")
    play.call(root, "i.2", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.dies(callee)
    fault = play.result_for(root).fault
    assert fault is not None
    assert "'g'" in fault.message
    assert "SIGKILL" in fault.message
    next_one = play.connect()
    assert play.to_runtime(next_one)[-1] == Load("i.2", function("g"))


def test_when_a_caller_dies_what_it_had_running_here_ends_and_what_comes_back_is_dropped() -> None:
    play = Play()
    root = play.ready(function(g="no", h="always"), function("g"), function("h"))
    play.invoke()
    play.call(root, "i.1", "g")
    play.call(root, "i.2", "h")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.dies(root)
    assert callee in play.killed()
    assert not play.agent(Result("i.2", b"late"))
    assert not play.runtime(callee, Report("i.1", b"late"))
    play.connect_all()
    play.invoke("i2")
    play.runtime(play.holder("i2"), Report("i2"))
    assert play.to_runtime(play.holder("i2")) == [Invoke("i2", b"arg", "text/plain", ["f"])]


def test_a_step_over_its_time_is_stopped_and_its_caller_told() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g", timeout_s=2))
    play.invoke()
    play.call(root, "i.1", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.after(1999)
    assert not play.killed()
    play.after(1)
    assert play.killed() == [callee]
    fault = play.result_for(root).fault
    assert fault is not None
    assert fault.code == "timed_out"


def test_runtimes_that_keep_dying_before_they_load_are_given_up() -> None:
    play = Play()
    root = play.ready(function(g="no"), function("g"))
    play.invoke()
    play.dies(2)
    play.call(root, "i.1", "g")
    play.dies(3)
    play.dies(4)
    fault = play.result_for(root).fault
    assert fault is not None
    assert fault.code == "worker_lost"
    assert "cannot start a python runtime" in fault.message


def test_what_a_forgotten_runtime_says_is_dropped() -> None:
    play = Play()
    assert not play.event(RuntimeSaid(77, Hello("", "runtime", "python")))
    assert not play.event(RuntimeExited(77, 0))


def test_a_runtime_that_does_not_read_is_ended_and_its_step_fails() -> None:
    play = Play()
    first = play.ready(function("f", f="no"))
    play.invoke()
    play.event(RuntimeDeaf(first))
    assert play.killed() == [first]
    assert play.state(first) is RuntimeState.GONE
    report = play.sent(Report)[-1]
    assert report.fault is not None
    assert report.fault.code == "function_exited"
    assert "did not read" in report.fault.message


# The store ------------------------------------------------------------------------------------------------------


def test_what_lies_in_the_store_is_handed_on_by_reference_here_and_elsewhere() -> None:
    play = Play()
    play.ready(function("f", g="no", away="always"), function("g"), function("away"))
    play.invoke()
    caller = play.holder("i")
    block, room = Block("w1-7-1", 0, 40_000), Block("w1-7-1", 40_960, 1 << 20)
    play.runtime(caller, Call("i.1", "i", "away", b"", "", stored=block, room=room))
    (call,) = play.sent(Call)
    assert (call.stored, call.room, call.chain) == (block, room, ["f"])
    play.agent(Result("i.1", stored=77))
    assert play.result_for(caller).stored == 77
    play.runtime(caller, Call("i.2", "i", "g", b"", "", stored=block, room=room))
    play.connect_all()
    callee = next(number for number in play.core.runtimes if number != caller and play.to_runtime(number))
    play.runtime(callee, Report("i.2"))
    (task,) = [message for message in play.to_runtime(callee) if isinstance(message, Invoke)]
    assert (task.stored, task.room) == (block, room)
    play.runtime(callee, Report("i.2", stored=99))
    assert play.result_for(caller).stored == 99


def test_a_first_steps_references_and_what_it_passed_go_through() -> None:
    play = Play()
    play.ready(function("f", g="no"), function("g"))
    block, room = Block("w1-7-1", 0, 40_000), Block("w1-7-1", 40_960, 1 << 20)
    play.agent(Invoke("i", b"", "", ["f"], stored=block, room=room))
    runtime = play.holder("i")
    task = [message for message in play.to_runtime(runtime) if isinstance(message, Invoke)][-1]
    assert (task.stored, task.room) == (block, room)
    play.runtime(runtime, Stored("i", 1, 40_000, 0))
    assert play.sent(Stored) == [Stored("i", 1, 40_000, 0)]
    play.runtime(runtime, Report("i", stored=5))
    assert reports(play)[-1].stored == 5
