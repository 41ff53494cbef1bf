"""Direct lanes, as the proxy's core sees them: who is introduced, what it makes of what it is told, how they end."""

from __future__ import annotations

import pytest

from mee6.lane.messages import Hop, Hops, Introduce, Introduced, Invoke, Log, Report, Result, Step, Steps, Welcome
from proxy.crew import MAX_IDLE
from proxy.lanes import DEATH_NS
from proxy.table import RuntimeState
from tests.proxy.play import MS, Play, function

F, G, H = function("f", g="no", h="no"), function("g", h="no", timeout_s=5), function("h")


class Chain(Play):
    """A worker in which `f` has called `g` and `g` has called `h`, through the proxy; `f` runs again."""

    def __init__(self) -> None:
        super().__init__(direct=True)
        self.f = self.ready(F, G, H)
        self.invoke("i0")
        self.call(self.f, "i0.1", "g", "i0")
        self.g = self.holder("i0.1")
        self.runtime(self.g, Report("i0.1"))
        self.connect_all()
        self.call(self.g, "i0.1.1", "h", "i0.1")
        self.h = self.holder("i0.1.1")
        self.runtime(self.h, Report("i0.1.1"))
        self.met = [self.runtime(self.h, Report("i0.1.1"))]
        self.met.append(self.runtime(self.h, Introduced(1, ready=True)))
        self.runtime(self.g, Report("i0.1"))
        self.runtime(self.g, Introduced(2, ready=True))
        self.runtime(self.f, Report("i0"))
        self.invoke("i")

    def hop(self, lane: int, number: str, *, ended: bool = False, code: str = "") -> Hop:
        return Hop(lane, number, self.now - 20, self.now - 1 if ended else 0, code, "no" if code else "")

    def tell(self, runtime: int, *hops: Hop, lost: bool = False) -> None:
        self.runtime(runtime, Hops(list(hops), lost))

    def steps(self) -> dict[str, Step]:
        return {step.id: step for batch in self.sent(Steps) for step in batch.steps}


G_OF_F, H_OF_G = 2, 1
"""The lanes' numbers in a `Chain`."""


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_two_are_introduced_after_the_first_call(chain: Chain) -> None:
    to_callee, to_caller = [message for message in chain.sent(Introduce) if message.lane == G_OF_F]
    assert to_callee == Introduce(G_OF_F, "/act/.lane-2")
    assert to_caller == Introduce(G_OF_F, "/act/.lane-2", "g")


def test_they_are_introduced_once(chain: Chain) -> None:
    before = len(chain.sent(Introduce))
    chain.call(chain.f, "i.1", "g")
    chain.runtime(chain.g, Report("i.1"))
    assert len(chain.sent(Introduce)) == before


@pytest.mark.parametrize("reason", ["runtimes", "agent"])
def test_nobody_is_introduced_where_that_is_not_wanted_or_understood(reason: str) -> None:
    play = Play(direct=reason == "agent")
    caller = play.ready(F, G, H)
    play.agent(Welcome("w1", direct=reason != "agent"))
    play.invoke()
    play.call(caller, "i.1", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.runtime(callee, Report("i.1"))
    assert not play.sent(Introduce)


def test_nobody_is_introduced_where_the_storage_s_path_is_too_long_for_a_socket() -> None:
    play = Play(direct=True)
    caller = play.ready(F, G, H)
    play.agent(Welcome("w1", act="/" + "a" * 100))
    play.invoke()
    play.call(caller, "i.1", "g")
    callee = play.holder("i.1")
    play.runtime(callee, Report("i.1"))
    play.runtime(callee, Report("i.1"))
    assert not play.sent(Introduce)


def test_a_callee_that_cannot_await_its_caller_is_not_asked_again(chain: Chain) -> None:
    play = Play(direct=True)
    caller = play.ready(F, G, H)
    play.invoke()
    for count in (1, 2):
        play.call(caller, f"i.{count}", "g")
        callee = play.holder(f"i.{count}")
        if count == 1:
            play.runtime(callee, Report("i.1"))
        play.runtime(callee, Report(f"i.{count}"))
        if count == 1:
            play.runtime(callee, Introduced(1, ready=False))
    assert [message.function for message in play.sent(Introduce)] == [""]


def test_calls_that_are_over_become_steps_of_the_trace(chain: Chain) -> None:
    ended = chain.hop(G_OF_F, "i.1", ended=True), chain.hop(G_OF_F, "i.2", ended=True, code="function_raised")
    chain.tell(chain.f, *ended)
    chain.runtime(chain.f, Report("i"))
    good, bad = chain.steps()["i.1"], chain.steps()["i.2"]
    assert (good.state, good.function, good.parent, good.via, good.start) == ("succeeded", "g", "i", "lane", "warm")
    assert good.pid == 100 + chain.g
    assert [(span.kind, span.end_ns - span.start_ns) for span in good.spans] == [("run", 19)]
    assert (bad.state, bad.error) == ("failed", "no")


def test_a_call_that_goes_on_is_a_step_like_any_other(chain: Chain) -> None:
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1"))
    assert chain.state(chain.f) is RuntimeState.CALLING
    assert chain.state(chain.g) is RuntimeState.BUSY
    chain.after(20)
    assert chain.steps()["i.1"].state == "running"
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1", ended=True))
    assert chain.state(chain.f) is RuntimeState.BUSY
    assert chain.state(chain.g) is RuntimeState.IDLE
    assert not chain.to_runtime(chain.f), "it has its outcome already"
    chain.runtime(chain.f, Report("i"))
    assert chain.steps()["i.1"].state == "succeeded"


def test_one_that_takes_too_long_is_ended_from_when_it_began(chain: Chain) -> None:
    chain.tell(chain.f, Hop(G_OF_F, "i.1", chain.now - 2_000 * MS))
    chain.after(2_900)
    assert chain.state(chain.g) is RuntimeState.BUSY
    chain.after(200)
    assert chain.g in chain.killed()
    fault = chain.result_for(chain.f).fault
    assert fault is not None
    assert fault.code == "timed_out"
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1"), lost=True)
    assert not chain.to_runtime(chain.f), "it has been answered"


@pytest.mark.parametrize("told", ["before", "after"])
def test_a_callee_that_dies_unknown_to_the_proxy_is_told_with_its_status(chain: Chain, told: str) -> None:
    if told == "before":
        chain.tell(chain.f, chain.hop(G_OF_F, "i.1"), lost=True)
        chain.dies(chain.g, 5)
    else:
        chain.dies(chain.g, 5)
        chain.tell(chain.f, chain.hop(G_OF_F, "i.1"), lost=True)
    results = [message for message in chain.sent(Result) if message.id == "i.1"]
    assert len(results) == 1
    assert results[0].fault is not None
    assert results[0].fault.message == "the process of 'g' exited with code 5"
    chain.runtime(chain.f, Report("i"))
    assert chain.steps()["i.1"].state == "failed"


def test_a_callee_that_only_hangs_up_is_ended(chain: Chain) -> None:
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1"), lost=True)
    chain.runtime(chain.f, Introduced(G_OF_F, ready=False))
    chain.after(DEATH_NS / MS + 1)
    assert chain.g in chain.killed()
    assert chain.result_for(chain.f).fault is not None


def test_a_caller_that_dies_takes_along_whom_it_may_have_called(chain: Chain) -> None:
    chain.dies(chain.f)
    assert set(chain.killed()) == {chain.g, chain.h}


def test_a_callee_that_dies_unknown_to_the_proxy_takes_along_whom_it_may_have_called(chain: Chain) -> None:
    chain.dies(chain.g)
    assert chain.killed() == [chain.h]


def test_one_that_dies_while_nothing_runs_takes_nobody_along(chain: Chain) -> None:
    chain.runtime(chain.f, Report("i"))
    chain.dies(chain.g)
    assert not chain.killed()


def test_a_caller_that_dies_while_it_calls_through_the_proxy_takes_along_just_that(chain: Chain) -> None:
    chain.call(chain.f, "i.1", "h")
    chain.dies(chain.f)
    assert chain.killed() == [chain.h]


def test_a_caller_forgets_a_callee_that_has_ended_idle(chain: Chain) -> None:
    chain.runtime(chain.f, Report("i"))
    chain.dies(chain.g)
    assert Introduce(G_OF_F) in chain.to_runtime(chain.f)
    assert Introduce(H_OF_G) in chain.to_runtime(chain.h)
    chain.runtime(chain.f, Introduced(G_OF_F, ready=False))
    chain.connect_all()
    chain.invoke("i")
    chain.call(chain.f, "i.1", "g")
    callee = chain.holder("i.1")
    chain.runtime(callee, Report("i.1"))
    chain.runtime(callee, Report("i.1"))
    assert Introduce(3, "/act/.lane-3") in chain.to_runtime(callee)


def test_a_call_through_the_proxy_from_a_direct_one_has_its_callers_told_first(chain: Chain) -> None:
    chain.tell(chain.g, chain.hop(G_OF_F, "i.1"))
    chain.call(chain.g, "i.1.1", "h", "i.1")
    (invoke,) = [message for message in chain.to_runtime(chain.h) if isinstance(message, Invoke)]
    assert invoke.chain == ["f", "g", "h"]


def test_two_calls_at_once_take_turns(chain: Chain) -> None:
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1"))
    chain.call(chain.f, "i.2", "h")
    assert not chain.to_runtime(chain.h)
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1", ended=True))
    assert isinstance(chain.to_runtime(chain.h)[0], Invoke)


def test_a_chain_is_known_from_whoever_tells_it_first(chain: Chain) -> None:
    chain.tell(chain.h, chain.hop(G_OF_F, "i.1"), chain.hop(H_OF_G, "i.1.1"))
    chain.runtime(chain.h, Log("i.1.1", "out", "x"))
    assert {"i.1", "i.1.1"} <= chain.steps().keys()
    chain.tell(chain.g, chain.hop(G_OF_F, "i.1"), chain.hop(H_OF_G, "i.1.1"))
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1", ended=True))
    assert chain.state(chain.g) is RuntimeState.CALLING, "its own call has not been heard to end"
    chain.tell(chain.g, chain.hop(H_OF_G, "i.1.1", ended=True))
    assert chain.state(chain.g) is chain.state(chain.h) is RuntimeState.IDLE
    chain.runtime(chain.f, Report("i"))
    assert {chain.steps()[number].state for number in ("i.1", "i.1.1")} == {"succeeded"}


def test_a_later_call_shows_that_the_earlier_has_ended(chain: Chain) -> None:
    chain.tell(chain.h, chain.hop(G_OF_F, "i.1"), chain.hop(H_OF_G, "i.1.1"))
    chain.tell(chain.g, chain.hop(G_OF_F, "i.2"))
    assert chain.state(chain.h) is RuntimeState.IDLE
    chain.tell(chain.g, chain.hop(H_OF_G, "i.1.1", ended=True))
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1", ended=True, code="function_raised"))
    assert chain.state(chain.g) is RuntimeState.BUSY
    chain.tell(chain.f, chain.hop(G_OF_F, "i.2", ended=True))
    chain.runtime(chain.f, Report("i"))
    found = {number: chain.steps()[number].state for number in ("i.1", "i.1.1", "i.2")}
    assert found == {"i.1": "failed", "i.1.1": "succeeded", "i.2": "succeeded"}


def test_late_word_of_a_call_that_has_ended_changes_nothing(chain: Chain) -> None:
    chain.tell(chain.f, chain.hop(G_OF_F, "i.1", ended=True))
    chain.tell(chain.g, chain.hop(G_OF_F, "i.1"))
    assert chain.state(chain.g) is RuntimeState.IDLE
    chain.runtime(chain.f, Report("i"))
    chain.tell(chain.g, chain.hop(G_OF_F, "i.2"))
    assert chain.state(chain.g) is RuntimeState.IDLE


@pytest.mark.parametrize(
    "hop",
    [
        Hop(9, "i.1", 1),
        Hop(H_OF_G, "i.1", 1),
        Hop(G_OF_F, "i.x", 1),
        Hop(G_OF_F, "i." + "9" * 5000, 1),
        Hop(G_OF_F, "", 1),
        Hop(G_OF_F, "j.1", 1, 5),
    ],
    ids=["lane", "another's", "no count", "long count", "no id", "another invocation's"],
)
def test_what_cannot_be_is_dropped(chain: Chain, hop: Hop) -> None:
    chain.tell(chain.f, hop)
    assert chain.state(chain.f) is RuntimeState.BUSY
    assert chain.state(chain.g) is RuntimeState.IDLE
    chain.tell(chain.f, hop, lost=True)
    chain.runtime(chain.f, Report("i"))
    assert chain.state(chain.f) is RuntimeState.IDLE


def test_whoever_may_be_called_directly_is_not_ended_to_make_room() -> None:
    names = [f"c{count}" for count in range(MAX_IDLE + 4)]
    play = Play(direct=True)
    caller = play.ready(function("f", dict.fromkeys(names, "no")), *map(function, names))
    play.invoke()
    called: list[int] = []
    for count, name in enumerate(names, 1):
        play.call(caller, f"i.{count}", name)
        callee = play.holder(f"i.{count}")
        play.runtime(callee, Report(f"i.{count}"))
        play.runtime(callee, Report(f"i.{count}"))
        called += [callee] if any(isinstance(message, Introduce) for message in play.to_runtime(callee)) else []
        play.connect_all()
    assert len(called) == MAX_IDLE - 1
    assert play.killed()
    assert not set(called) & set(play.killed())


def test_an_invocation_s_outcome_waits_for_what_others_have_said(chain: Chain) -> None:
    assert chain.core.comes_last(chain.f, Report("i"))
    assert not chain.core.comes_last(chain.g, Report("i"))
    assert not chain.core.comes_last(chain.f, Report("i.1"))
    assert not chain.core.comes_last(chain.f, Log("i", "out", "x"))
    alone = Play()
    runtime = alone.ready(F, G, H)
    alone.invoke()
    assert not alone.core.comes_last(runtime, Report("i")), "nobody calls directly"
