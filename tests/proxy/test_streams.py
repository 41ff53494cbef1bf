"""What streams between the agent and the first step's runtime passes the proxy, and nothing else does."""

from __future__ import annotations

import pytest

from mee6.lane.messages import Chunk, Credit, Head, Invoke, Report, Request
from tests.proxy.play import Play, function

REQUEST = Request("POST", "/a", "b=1", streams=True)
FIRST = Invoke("i", b"arg", "text/plain", ["f"], REQUEST, 1000)
UP: list[Head | Chunk | Credit] = [Head("i", "text/plain"), Chunk("i", b"piece"), Credit("i", 7)]
DOWN: list[Chunk | Credit] = [Chunk("i", b"body"), Credit("i", 7), Chunk("i", b"", last=True)]


def playing() -> tuple[Play, int]:
    play = Play()
    return play, play.ready(function(g="no"), function("g"))


def test_the_first_steps_runtime_has_the_request_and_the_window() -> None:
    play, holder = playing()
    play.agent(FIRST)
    assert play.to_runtime(holder) == [FIRST]


def test_pieces_pass_both_ways() -> None:
    play, holder = playing()
    play.agent(FIRST)
    for message in UP:
        play.runtime(holder, message)
        assert play.to_agent() == [message]
    for message in DOWN:
        play.agent(message)
        assert play.to_runtime(holder) == [message]
    play.runtime(holder, Report("i"))
    assert Report("i") in play.to_agent()


@pytest.mark.parametrize("message", UP)
def test_what_streams_without_a_window_or_for_another_goes_no_further(message: Head | Chunk | Credit) -> None:
    play, holder = playing()
    play.invoke()
    play.runtime(holder, message)
    assert play.to_agent() == []
    play, holder = playing()
    play.agent(FIRST)
    play.call(holder, "i.1", "g")
    play.connect_all()
    callee = play.holder("i.1")
    play.runtime(callee, message)
    assert play.to_agent() == []


@pytest.mark.parametrize("message", DOWN)
def test_what_the_agent_streams_to_nobody_is_dropped(message: Chunk | Credit) -> None:
    play, holder = playing()
    play.agent(message)
    assert play.last == []
    play.invoke()
    play.agent(message)
    assert play.to_runtime(holder) == []


def test_a_callee_has_neither_request_nor_window() -> None:
    play, holder = playing()
    play.agent(FIRST)
    play.call(holder, "i.1", "g")
    play.runtime(play.holder("i.1"), Report("i.1"))  # its load
    (invoke,) = [message for message in play.sent(Invoke) if message.id == "i.1"]
    assert (invoke.request, invoke.window) == (None, 0)


def test_a_body_that_comes_before_its_runtime_waits_for_it() -> None:
    play, holder = playing()
    play.dies(holder)
    play.agent(FIRST)
    for message in DOWN:
        play.agent(message)
    play.connect_all()
    holder = play.holder("i")
    play.runtime(holder, Report("i"))  # its load
    assert play.to_runtime(holder) == [FIRST, *DOWN]
