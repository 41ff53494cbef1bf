"""Events that have no business where they come: a peer or a shell that is wrong must not harm the node."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.core import events as ev
from agent.core.invariants import check
from agent.core.machine import InvalidTransition
from agent.core.settings import Settings
from agent.core.worker import WorkerState
from mee6.lane.messages import Fault
from tests.agent.core.play import LOST, PYTHON, SECOND, Play

FAULT = Fault("load_failed", "no")


def _loading(play: Play) -> None:
    play.submit("a")
    play.tell(ev.WorkerConnected("w1"))


def _granted(play: Play) -> None:
    _loading(play)
    play.tell(ev.HandoverAsked("w1"))


def _connected(play: Play) -> None:
    _granted(play)
    play.tell(ev.RuntimeConnected("w1"))


def _direct(play: Play) -> None:
    _connected(play)
    play.tell(ev.FunctionLoaded("w1", "a", None, handed_over=True))


def _prewarmed(play: Play) -> None:
    play.submit("x")
    play.tell(ev.CancelAsked("x", "because"))
    play.tell(ev.WorkerConnected("w1"))


def _pausing(play: Play) -> None:
    play.run("x")
    play.wait(SECOND)


def _paused(play: Play) -> None:
    _pausing(play)
    play.oblige()


def _waking(play: Play) -> None:
    _paused(play)
    play.tell(ev.ResumeAsked("w1"))


def _resuming(play: Play) -> None:
    _paused(play)
    play.submit("a")


STAGES: dict[str, Callable[[Play], object]] = {
    "starting": lambda play: play.submit("a"),
    "prewarmed": _prewarmed,
    "loading": _loading,
    "handover granted": _granted,
    "runtime connected": _connected,
    "direct": _direct,
    "busy": lambda play: play.begin("a"),
    "warm": lambda play: play.run("a"),
    "pausing": _pausing,
    "paused": _paused,
    "waking": _waking,
    "resuming": _resuming,
}
EVENTS: list[ev.Event] = [
    ev.WorkerConnected("w1"),
    ev.WorkerConnected("w1", direct=True),
    ev.WorkerStartFailed("w1", "late"),
    ev.WorkerLost("w1", LOST),
    ev.FunctionLoaded("w1", "a", None, handed_over=False),
    ev.FunctionLoaded("w1", "a", None, handed_over=True),
    ev.FunctionLoaded("w1", "a", FAULT, handed_over=False),
    ev.Finished("w1", "a", ok=True),
    ev.Finished("w1", "a", ok=False),
    ev.PauseEnded("w1"),
    ev.PauseEnded("w1", "no freezer"),
    ev.ResumeEnded("w1"),
    ev.ResumeEnded("w1", "no freezer"),
    ev.HandoverAsked("w1"),
    ev.RuntimeConnected("w1"),
    ev.ProxyLeft("w1"),
    ev.CancelAsked("a", "because"),
    ev.Retired("f"),
    ev.PauseAsked("w1"),
    ev.ResumeAsked("w1"),
    ev.EvictAsked("w1"),
    ev.DrainBegan(),
    ev.DrainEnded(),
    ev.Tick(),
]


def picture(play: Play) -> list[object]:
    """All that an event could have changed."""
    core = play.core
    workers = [(w.id, w.state, w.handover.state, w.lease, w.digest, w.since) for w in core.fleet.workers.values()]
    invocations = [(i.id, i.state, i.worker, i.attempts, list(i.spans)) for i in core.invocations.values()]
    pools = [(p.key, [w.id for w in p.ready], p.starting, p.failures) for p in core.fleet.pools.values()]
    holding = {digest: [w.id for w in held] for digest, held in core.fleet.holding.items()}
    return [workers, invocations, pools, holding, dict(core.capacity.leased), len(core.line)]


@pytest.mark.parametrize("event", EVENTS, ids=str)
@pytest.mark.parametrize("stage", STAGES)
def test_an_event_leaves_the_node_in_order_or_is_refused_without_a_change(stage: str, event: ev.Event) -> None:
    play = Play(Settings({}))
    STAGES[stage](play)
    before = picture(play)
    try:
        play.tell(event)
    except InvalidTransition:
        assert picture(play) == before
        check(play.core)
    play.todo.clear()
    for one in list(play.core.fleet.workers):
        play.tell(ev.WorkerLost(one, LOST))
    play.wait(10 * SECOND)
    play.oblige()
    assert play.begin("after") in play.core.fleet.workers


def test_a_refusal_leaves_no_commands_behind() -> None:
    play = Play()
    play.begin("a")
    with pytest.raises(InvalidTransition):
        play.tell(ev.FunctionLoaded("w1", "a", FAULT, handed_over=False))
    assert play.tell(ev.Tick()) == []


def test_reports_of_others_work_are_ignored() -> None:
    play = Play()
    play.begin("a", "f")
    play.begin("b", "g")
    assert play.tell(ev.Finished("w1", "b", ok=True)) == []
    assert play.tell(ev.FunctionLoaded("w1", "b", None, handed_over=False)) == []
    assert play.worker("w1") is play.worker("w2") is WorkerState.BUSY


def test_a_pool_asked_for_once_is_kept_at_nothing() -> None:
    play = Play(Settings({PYTHON: 0}))
    play.wait(0)
    assert play.asked == []
