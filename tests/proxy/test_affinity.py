"""When runtimes share a core: the decision alone, and carried out on processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from proxy.affinity import HOLD_NS, MANY, QUIET_NS, RENEW_NS, WINDOW_NS, Affinity
from proxy.cores import Cores
from proxy.events import Command, Pin, Unpin

NOW = 5_000_000_000


class Pace:
    """An `Affinity` with what it commanded and a clock."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.of = Affinity(self.commands.append)
        self.now = NOW

    def call(
        self, count: int = 1, caller: int = 1, callee: int = 2, *, apart_ns: int = 100_000, direct: bool = True
    ) -> None:
        for _ in range(count):
            self.now += apart_ns
            self.of.called(caller, callee, self.now, direct=direct)


@pytest.fixture
def pace() -> Pace:
    return Pace()


def test_thick_short_calls_share_a_core_where_the_first_caller_is(pace: Pace) -> None:
    pace.call(MANY - 1, 3, 2)
    assert not pace.commands
    pace.call()
    assert pace.commands == [Pin([3, 2, 1], proxy=False)]
    pace.call(100)
    assert len(pace.commands) == 1


@pytest.mark.parametrize(("through", "is_there"), [(MANY, True), (MANY // 2 + 1, True), (MANY // 2, False), (0, False)])
def test_the_proxy_is_there_where_it_is_needed(pace: Pace, through: int, is_there: bool) -> None:
    pace.call(through, direct=False)
    pace.call(MANY - through)
    assert pace.commands == [Pin([1, 2], proxy=is_there)]


def test_who_joins_is_put_there_too(pace: Pace) -> None:
    pace.call(MANY)
    pace.call(1, 2, 7)
    assert pace.commands == [Pin([1, 2], proxy=False), Pin([1, 2, 2, 7], proxy=False)]


def test_calls_far_apart_share_nothing(pace: Pace) -> None:
    pace.call(10 * MANY, apart_ns=WINDOW_NS // (MANY - 2))
    assert not pace.commands


def test_a_step_that_computes_long_ends_it_and_it_does_not_begin_at_once(pace: Pace) -> None:
    pace.call(MANY)
    pace.of.spread(pace.now)
    assert pace.commands[1:] == [Unpin([1, 2])]
    pace.call(MANY)
    assert len(pace.commands) == 2
    pace.now += HOLD_NS
    pace.call(MANY)
    assert pace.commands[2:] == [Pin([1, 2], proxy=False)]


def test_it_ends_when_nobody_calls_any_more(pace: Pace) -> None:
    pace.call(MANY)
    pace.of.settle(pace.now + QUIET_NS)
    assert len(pace.commands) == 1
    pace.of.settle(pace.now + QUIET_NS + 1)
    assert pace.commands[1:] == [Unpin([1, 2])]
    pace.of.settle(pace.now + 2 * QUIET_NS)
    assert len(pace.commands) == 2


def test_the_core_is_chosen_anew_now_and_then(pace: Pace) -> None:
    pace.call(MANY)
    pace.call(RENEW_NS // 100_000 + 1)
    assert pace.commands[1:] == [Unpin([1, 2])]
    pace.call(MANY)
    assert pace.commands[2:] == [Pin([1, 2], proxy=False)]


def test_who_has_ended_is_not_asked_for(pace: Pace) -> None:
    pace.call(MANY)
    pace.of.gone(2)
    pace.of.spread(pace.now)
    assert pace.commands[1:] == [Unpin([1])]


def test_nothing_is_done_where_it_is_not_wanted(pace: Pace) -> None:
    pace.of.wanted = False
    pace.call(10 * MANY)
    assert not pace.commands


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_who_is_let_go_takes_along_what_it_has_started_meanwhile() -> None:
    code = (
        "import os, subprocess, sys, threading, time\n"
        "print(os.getpid(), flush=True); sys.stdin.readline()\n"
        "inner = subprocess.Popen(['sleep', '60']); beside = threading.Thread(target=sys.stdin.readline)\n"
        "beside.start(); print(inner.pid, beside.native_id, flush=True); beside.join(); inner.kill()\n"
    )
    cores, everything = Cores(), os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        cores.pin(pid, [pid], beside=pid)
        print(file=process.stdin, flush=True)
        started = [int(number) for number in process.stdout.readline().split()]
        assert {len(os.sched_getaffinity(number)) for number in (pid, *started)} == {1}
        cores.unpin([pid, 1 << 30])
        assert [os.sched_getaffinity(number) for number in (pid, *started)] == [everything] * 3
        print(file=process.stdin, flush=True)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_who_is_beside_has_the_other_cores() -> None:
    everything = os.sched_getaffinity(0)
    with subprocess.Popen(["sleep", "60"]) as one, subprocess.Popen(["sleep", "60"]) as other:
        Cores().pin(one.pid, [one.pid], beside=other.pid)
        here, there = os.sched_getaffinity(one.pid), os.sched_getaffinity(other.pid)
        one.kill()
        other.kill()
    assert len(here) == 1
    assert there == everything - here


def test_who_is_not_there_is_left_alone() -> None:
    before = os.sched_getaffinity(0)
    Cores().pin(1 << 30, [os.getpid()], beside=os.getpid())
    assert os.sched_getaffinity(0) == before
