"""The handover of a runtime from its proxy, each way it can go."""

from __future__ import annotations

import pytest

from agent.core import events as ev
from agent.core.handover import HandoverState
from agent.core.invocation import InvocationState
from agent.core.machine import InvalidTransition
from agent.core.worker import WorkerState
from mee6.lane.messages import Fault
from tests.agent.core.play import LOST, Play


def loading() -> Play:
    """A worker `w1` that loads for the invocation `a`."""
    play = Play()
    play.submit("a")
    play.tell(ev.WorkerConnected("w1"))
    return play


def test_a_runtime_that_connected_and_was_reported_is_called_directly_and_its_proxy_dismissed() -> None:
    play = loading()
    assert play.tell(ev.HandoverAsked("w1")) == [ev.GrantHandover("w1")]
    assert play.tell(ev.RuntimeConnected("w1")) == []
    assert not play.core.fleet.workers["w1"].handover.is_direct
    loaded = ev.FunctionLoaded("w1", "a", None, handed_over=True)
    assert play.tell(loaded) == [ev.DismissProxy("w1"), ev.Call("w1", "a")]
    assert play.core.fleet.workers["w1"].handover.is_direct
    play.tell(ev.ProxyLeft("w1"))
    assert play.handover("w1") is HandoverState.ALONE
    play.finish("a")
    assert play.submit("b") == [ev.Call("w1", "b")]


@pytest.mark.parametrize("came", [False, True])
def test_a_handover_that_the_proxy_gave_up_is_undone_and_the_proxy_serves_on(came: bool) -> None:
    play = loading()
    play.tell(ev.HandoverAsked("w1"))
    if came:
        play.tell(ev.RuntimeConnected("w1"))
    loaded = ev.FunctionLoaded("w1", "a", None, handed_over=False)
    assert play.tell(loaded) == [ev.UndoHandover("w1"), ev.Call("w1", "a")]
    assert play.handover("w1") is HandoverState.PROXIED
    with pytest.raises(InvalidTransition):
        play.tell(ev.RuntimeConnected("w1"))


def test_a_load_without_a_handover_asks_for_none() -> None:
    play = loading()
    assert play.tell(ev.FunctionLoaded("w1", "a", None, handed_over=False)) == [ev.Call("w1", "a")]
    assert play.handover("w1") is HandoverState.PROXIED


@pytest.mark.parametrize("asked", [False, True])
def test_a_runtime_given_away_that_never_came_ends_the_worker_and_puts_the_invocation_back(asked: bool) -> None:
    play = loading()
    if asked:
        play.tell(ev.HandoverAsked("w1"))
    play.tell(ev.FunctionLoaded("w1", "a", None, handed_over=True))
    assert play.worker("w1") is WorkerState.GONE
    assert play.state("a") is InvocationState.QUEUED
    assert play.every(ev.DismissProxy) == []
    play.oblige()
    assert play.state("a") is InvocationState.RUNNING


def test_a_worker_born_direct_has_no_proxy_and_no_handover() -> None:
    play = Play()
    play.submit("a")
    play.tell(ev.WorkerConnected("w1", direct=True))
    assert play.handover("w1") is HandoverState.ALONE
    with pytest.raises(InvalidTransition):
        play.tell(ev.HandoverAsked("w1"))
    assert play.tell(ev.FunctionLoaded("w1", "a", None, handed_over=False)) == [ev.Call("w1", "a")]


def test_a_load_that_failed_after_a_handover_was_asked_ends_the_worker() -> None:
    play = loading()
    play.tell(ev.HandoverAsked("w1"))
    play.tell(ev.FunctionLoaded("w1", "a", Fault("load_failed", "no"), handed_over=False))
    assert play.worker("w1") is WorkerState.GONE
    assert play.tell(ev.RuntimeConnected("w1")) == []


def test_a_handover_is_granted_only_while_the_function_is_loaded() -> None:
    play = loading()
    play.oblige()
    assert play.tell(ev.HandoverAsked("w1")) == [ev.RefuseHandover("w1")]
    assert play.handover("w1") is HandoverState.PROXIED


def test_a_second_request_for_a_handover_is_refused() -> None:
    play = loading()
    play.tell(ev.HandoverAsked("w1"))
    with pytest.raises(InvalidTransition):
        play.tell(ev.HandoverAsked("w1"))
    assert play.handover("w1") is HandoverState.GRANTED


def test_a_worker_lost_in_the_middle_of_a_handover_puts_its_invocation_back() -> None:
    play = loading()
    play.tell(ev.HandoverAsked("w1"))
    play.tell(ev.RuntimeConnected("w1"))
    play.tell(ev.WorkerLost("w1", LOST))
    assert play.state("a") is InvocationState.QUEUED
