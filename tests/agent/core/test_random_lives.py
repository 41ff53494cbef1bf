"""Plays a shell at random: completes what the scheduler asks for in any order, loses, cancels, retires, waits.

The model knows of each worker what a real one would: awake or frozen, which function, what runs in it. It
refuses commands that a real worker could not carry out. At the end everything is completed as it should be, and
then nobody may wait for ever.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core import events as ev
from agent.core.concurrency import MIN_SAMPLES
from agent.core.invariants import check
from agent.core.invocation import InvocationState
from agent.core.scheduler import MAX_ATTEMPTS, Scheduler
from agent.core.settings import Order, PausePolicy, Settings
from agent.core.worker import AWAKE, WorkerState
from agent.drivers.base import PoolKey
from mee6.lane.messages import Fault
from tests.agent.core.play import NODE, PYTHON, SECOND

MAX_DEPTH = 16
FOR_EVER = 1 << 60
FUNCTIONS = {"f": PYTHON, "g": PYTHON, "h": NODE}
CONCURRENCY = {"f": 1, "g": 1, "h": 3}


@dataclass
class ModelWorker:
    """What a real worker is like."""

    pool: PoolKey
    connected: bool = False
    frozen: bool = False
    function: str = ""
    running: str = ""
    """The invocation whose function is being loaded."""
    slots: int = 1
    calls: list[str] = field(default_factory=list)
    """Invocations whose function has been called."""
    called_off: list[str] = field(default_factory=list)
    """Those that are to end."""
    offered: bool = False
    granted: bool = False
    runtime_came: bool = False
    direct: bool = False
    freezer: list[ev.Command] = field(default_factory=list)
    """Pauses and resumes, carried out in order."""
    work: list[ev.Command] = field(default_factory=list)
    """A start, a load: one at a time."""
    leaving: bool = False
    """Its proxy has been sent away."""


@dataclass
class ModelInvocation:
    """What a caller knows."""

    digest: str
    depth: int
    caller: str
    pressed: bool
    """Has a deadline that may come."""
    outcome: str = ""


class RandomLives(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.now = SECOND
        self.workers: dict[str, ModelWorker] = {}
        self.invocations: dict[str, ModelInvocation] = {}
        self.versions = dict.fromkeys(FUNCTIONS, 1)
        self.gone: list[str] = []
        self.starts: list[int] = []
        """When each worker was asked for, since the pace was last changed."""
        self.pause_asked = ""
        """The worker that somebody is pausing by hand."""

    @initialize(
        max_workers=st.integers(1, 3),
        parallel_starts=st.integers(1, 4),
        prewarm=st.dictionaries(st.sampled_from([PYTHON, NODE]), st.integers(0, 2)),
        pause=st.sampled_from(PausePolicy),
        ceiling=st.dictionaries(st.sampled_from(["python", "nodejs"]), st.integers(1, 2)),
        memory_budget=st.sampled_from([0, 0, 100]),
        start_interval=st.sampled_from([0, 0, SECOND // 5]),
        queue_limit=st.sampled_from([2, 100]),
        keep_alive=st.sampled_from([5 * SECOND, FOR_EVER]),
        wait_for_busy=st.booleans(),
        order=st.sampled_from(Order),
        known=st.sampled_from([0, SECOND // 1000, SECOND]),
    )
    def begin(
        self,
        max_workers: int,
        parallel_starts: int,
        prewarm: dict[PoolKey, int],
        pause: PausePolicy,
        ceiling: dict[str, int],
        memory_budget: int,
        start_interval: int,
        queue_limit: int,
        keep_alive: int,
        wait_for_busy: bool,
        order: Order,
        known: int,
    ) -> None:
        self.core = Scheduler(
            Settings(
                prewarm,
                max_workers=max_workers,
                parallel_starts=parallel_starts,
                pause=pause,
                ceiling=ceiling,
                memory_budget=memory_budget,
                start_interval=start_interval,
                queue_limit=queue_limit,
                keep_alive=keep_alive,
                wait_for_busy=wait_for_busy,
                order=order,
                linger=SECOND // 10,
                start_timeout=3 * SECOND,
                load_timeout=4 * SECOND,
            )
        )
        for name in FUNCTIONS if known else ():  # as after some runs
            for _ in range(MIN_SAMPLES):
                self.core.estimates.of(f"{name}1").ran(known)
            self.core.estimates.of(f"{name}1").loaded(SECOND // 10)
        self.tell(ev.Tick())

    # -- the shell

    def tell(self, event: ev.Event) -> None:
        for command in self.core.handle(event, self.now):
            self.carry_out(command)

    def carry_out(self, command: ev.Command) -> None:
        """Takes a command as a real worker would, or fails the test."""
        match command:
            case ev.StartWorker(name, pool):
                assert name not in self.workers
                assert name not in self.gone
                self.workers[name] = ModelWorker(pool, work=[command])
                self.starts.append(self.now)
            case ev.StopWorker(name):
                del self.workers[name]
                self.gone.append(name)
            case ev.Pause(name):
                one = self.workers[name]
                pause = self.core.settings.pause
                due = pause is PausePolicy.ALWAYS or (pause is PausePolicy.AFTER_USE and one.function)
                assert due or name == self.pause_asked
                assert not self.works(one), "what works is not paused"
                assert not one.frozen
                assert not one.freezer
                one.freezer.append(command)
            case ev.Resume(name):
                one = self.workers[name]
                assert one.frozen or one.freezer, "what is awake is not resumed"
                one.freezer.append(command)
            case ev.Load(name, invocation):
                one = self.workers[name]
                self.expect_ready(one)
                assert not one.function, "a worker holds one function in its life"
                assert self.pool_of(invocation) == one.pool
                one.running = invocation
                one.work.append(command)
            case ev.Call(name, invocation):
                one = self.workers[name]
                assert one.running in ("", invocation)
                one.running = ""
                self.expect_awake(one)
                assert one.function == self.invocations[invocation].digest
                one.calls.append(invocation)
                assert len(one.calls) + len(one.called_off) <= one.slots
                assert len({self.invocations[call].depth for call in one.calls}) == 1
            case ev.CallOff(name, invocation):
                one = self.workers[name]
                assert one.slots > 1
                one.calls.remove(invocation)
                one.called_off.append(invocation)
            case ev.GrantHandover(name):
                self.workers[name].granted = True
            case ev.UndoHandover(name):
                one = self.workers[name]
                assert one.granted
                one.granted = one.runtime_came = False
            case ev.DismissProxy(name):
                one = self.workers[name]
                assert one.runtime_came, "a proxy leaves when its runtime is the agent's"
                one.direct = one.leaving = True
            case ev.Complete(name, fault):
                assert not self.invocations[name].outcome, "an invocation ends once"
                self.invocations[name].outcome = fault.code
            case _:
                raise AssertionError(command)

    def expect_awake(self, one: ModelWorker) -> None:
        assert one.connected
        assert not one.frozen, "a frozen worker cannot work"
        assert not one.freezer
        assert not one.work
        assert not one.running

    def expect_ready(self, one: ModelWorker) -> None:
        self.expect_awake(one)
        assert not self.works(one)

    def works(self, one: ModelWorker) -> bool:
        return bool(one.running or one.calls or one.called_off)

    def pool_of(self, invocation: str) -> PoolKey:
        return FUNCTIONS[self.invocations[invocation].digest[0]]

    def live(self) -> list[str]:
        return [name for name, one in self.invocations.items() if not one.outcome]

    def running(self) -> list[str]:
        return [call for one in self.workers.values() for call in one.calls]

    # -- what people do

    def submit(self, digest: str, depth: int, caller: str, limit: int) -> None:
        name = f"i{len(self.invocations) + 1}"
        pressed = limit < FOR_EVER
        self.invocations[name] = ModelInvocation(digest, depth, caller, pressed)
        pool, takes = FUNCTIONS[digest[0]], CONCURRENCY[digest[0]]
        self.tell(ev.Submitted(name, digest, pool, depth, self.now + limit, caller, takes))

    @rule(function=st.sampled_from("fgh"), limit=st.sampled_from([SECOND, FOR_EVER, FOR_EVER, FOR_EVER]))
    def invoke(self, function: str, limit: int) -> None:
        self.submit(f"{function}{self.versions[function]}", 1, "", limit)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), function=st.sampled_from("fgh"), skipped=st.sampled_from([0, 0, 0, 2]))
    def call(self, data: st.DataObject, function: str, skipped: int) -> None:
        caller = data.draw(st.sampled_from(self.running()))
        depth = self.invocations[caller].depth + 1 + skipped
        if depth <= MAX_DEPTH:
            self.submit(f"{function}{self.versions[function]}", depth, caller, FOR_EVER)

    @precondition(lambda self: self.invocations)
    @rule(data=st.data())
    def call_for_a_caller_that_may_have_ended(self, data: st.DataObject) -> None:
        caller = data.draw(st.sampled_from(list(self.invocations)))
        if self.invocations[caller].outcome:
            self.submit("f1", 2, caller, FOR_EVER)
            assert self.invocations[f"i{len(self.invocations)}"].outcome == "cancelled"

    @precondition(lambda self: self.invocations)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.tell(ev.CancelAsked(data.draw(st.sampled_from(list(self.invocations))), "because"))

    @rule(function=st.sampled_from("fgh"), step=st.sampled_from([1, 1, -1]))
    def replace(self, function: str, step: int) -> None:
        old = self.versions[function]
        self.versions[function] = max(1, old + step)
        if self.versions[function] != old:
            self.tell(ev.Retired(f"{function}{old}"))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), used=st.sampled_from([1, 30, 90, 200]))
    def measure(self, data: st.DataObject, used: int) -> None:
        name = data.draw(st.sampled_from(list(self.workers)))
        self.tell(ev.Measured({name: used, "w0": 1}))
        self.expect_nothing_idle_over_the_budget()

    @rule(
        pause=st.sampled_from(PausePolicy),
        prewarm=st.dictionaries(st.sampled_from([PYTHON, NODE]), st.integers(0, 2)),
        memory_budget=st.sampled_from([0, 100, 300]),
    )
    def configure(self, pause: PausePolicy, prewarm: dict[PoolKey, int], memory_budget: int) -> None:
        told = replace(self.core.settings, pause=pause, prewarm=prewarm, memory_budget=memory_budget, max_workers=99)
        self.tell(ev.Configured(told))
        assert self.core.settings.max_workers == self.core.capacity.max_workers
        self.expect_nothing_idle_over_the_budget()

    def expect_nothing_idle_over_the_budget(self) -> None:
        if self.core.fleet._is_over_budget(0):
            assert self.core.fleet._spare(self.now) is None

    @rule(duration=st.sampled_from([SECOND // 1000, SECOND // 5, SECOND, 6 * SECOND]))
    def wait(self, duration: int) -> None:
        self.now += duration
        self.tell(ev.Tick())

    @rule(duration=st.sampled_from([0, SECOND // 5]), calls=st.booleans())
    def all_goes_well_for_a_while(self, duration: int, calls: bool) -> None:
        while self.complete_something(calls=calls):
            pass
        self.now += duration
        self.tell(ev.Tick())

    @rule(really=st.sampled_from([True, *[False] * 20]))
    def drain(self, really: bool) -> None:
        if really:
            self.tell(ev.DrainBegan())

    @rule()
    def undrain(self) -> None:
        self.tell(ev.DrainEnded())

    @precondition(lambda self: self.awake())
    @rule(data=st.data())
    def pause_by_hand(self, data: st.DataObject) -> None:
        self.pause_asked = data.draw(st.sampled_from(self.awake()))
        self.tell(ev.PauseAsked(self.pause_asked))
        self.pause_asked = ""

    def awake(self) -> list[str]:
        return [name for name, one in self.core.fleet.workers.items() if one.state in AWAKE]

    @precondition(lambda self: self.asleep())
    @rule(data=st.data())
    def resume_by_hand(self, data: st.DataObject) -> None:
        self.tell(ev.ResumeAsked(data.draw(st.sampled_from(self.asleep()))))

    def asleep(self) -> list[str]:
        return [name for name, one in self.core.fleet.workers.items() if one.state is WorkerState.PAUSED]

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.workers)))
        self.tell(ev.EvictAsked(name))
        assert name not in self.workers

    # -- what workers do

    @precondition(lambda self: any(one.work for one in self.workers.values()))
    @rule(data=st.data(), well=st.sampled_from([True, True, True, False]))
    def work(self, data: st.DataObject, well: bool) -> None:
        name = data.draw(st.sampled_from([name for name, one in self.workers.items() if one.work]))
        self.do_work(name, well)

    def do_work(self, name: str, well: bool) -> None:
        one = self.workers[name]
        match one.work.pop(0):
            case ev.StartWorker():
                one.connected = well
                self.tell(ev.WorkerConnected(name) if well else ev.WorkerStartFailed(name, "no room"))
            case ev.Load(_, invocation):
                one.function = self.invocations[invocation].digest
                fault = None if well else Fault("load_failed", "no such module")
                if not one.offered or one.runtime_came:  # what its proxy serves takes one at a time
                    one.slots = CONCURRENCY[one.function[0]]
                # A proxy that could not load, or whose runtime did not come, has not handed it over.
                self.tell(ev.FunctionLoaded(name, invocation, fault, well and one.runtime_came, one.slots))
            case other:
                raise AssertionError(other)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), ok=st.booleans())
    def finish(self, data: st.DataObject, ok: bool) -> None:
        self.do_finish(data.draw(st.sampled_from(self.running())), ok)

    def do_finish(self, invocation: str, ok: bool) -> None:
        name = next(name for name, one in self.workers.items() if invocation in one.calls)
        self.workers[name].calls.remove(invocation)
        self.invocations[invocation].outcome = "answered"
        self.tell(ev.Finished(name, invocation, ok))

    @precondition(lambda self: any(one.called_off for one in self.workers.values()))
    @rule(data=st.data())
    def end_what_was_called_off(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, one in self.workers.items() if one.called_off]))
        self.do_end(name)

    def do_end(self, name: str) -> None:
        self.tell(ev.CalledOff(name, self.workers[name].called_off.pop(0)))

    @precondition(lambda self: any(one.freezer for one in self.workers.values()))
    @rule(data=st.data(), error=st.sampled_from(["", "", "", "no freezer"]))
    def freeze_or_thaw(self, data: st.DataObject, error: str) -> None:
        name = data.draw(st.sampled_from([name for name, one in self.workers.items() if one.freezer]))
        self.do_freezer(name, error)

    def do_freezer(self, name: str, error: str) -> None:
        one = self.workers[name]
        match one.freezer.pop(0):
            case ev.Pause():
                one.frozen = not error
                self.tell(ev.PauseEnded(name, error))
            case ev.Resume():
                one.frozen = bool(error)
                self.tell(ev.ResumeEnded(name, error))
            case other:
                raise AssertionError(other)

    @precondition(lambda self: any(one.work and isinstance(one.work[0], ev.Load) for one in self.workers.values()))
    @rule(data=st.data())
    def go_on_with_a_handover(self, data: st.DataObject) -> None:
        loading = [name for name, one in self.workers.items() if one.work and isinstance(one.work[0], ev.Load)]
        name = data.draw(st.sampled_from(loading))
        one = self.workers[name]
        if not one.offered:
            one.offered = True
            self.tell(ev.HandoverAsked(name))
            assert one.granted
        elif one.granted and not one.runtime_came:
            one.runtime_came = True
            self.tell(ev.RuntimeConnected(name))

    @precondition(lambda self: any(one.work and isinstance(one.work[0], ev.Load) for one in self.workers.values()))
    @rule(data=st.data())
    def give_the_runtime_to_nobody(self, data: st.DataObject) -> None:
        loading = [name for name, one in self.workers.items() if one.work and isinstance(one.work[0], ev.Load)]
        name = data.draw(st.sampled_from(loading))
        one = self.workers[name]
        if not one.runtime_came:
            self.tell(ev.FunctionLoaded(name, one.running, None, handed_over=True))
            assert name not in self.workers

    @precondition(lambda self: any(one.leaving for one in self.workers.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name, one in self.workers.items() if one.leaving]))
        self.workers[name].leaving = False
        self.tell(ev.ProxyLeft(name))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), code=st.sampled_from(["worker_lost", "worker_lost", "function_exited"]))
    def lose(self, data: st.DataObject, code: str) -> None:
        name = data.draw(st.sampled_from(list(self.workers)))
        had = list(self.core.fleet.workers[name].leases.values())
        again = {
            one.id: code == "worker_lost" and one.state is InvocationState.STARTING and one.attempts + 1 < MAX_ATTEMPTS
            for one in had
        }
        self.tell(ev.WorkerLost(name, Fault(code, "killed")))
        assert name not in self.workers
        for invocation, is_put_back in again.items():
            assert bool(self.invocations[invocation].outcome) != is_put_back
            assert not is_put_back or invocation in self.core.invocations

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def hear_from_a_worker_that_is_gone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.gone))
        invocation = data.draw(st.sampled_from([*self.invocations, "i0"]))
        before = len(self.workers), self.live()
        for event in (
            ev.WorkerConnected(name),
            ev.WorkerStartFailed(name, "late"),
            ev.WorkerLost(name, Fault("worker_lost", "late")),
            ev.FunctionLoaded(name, invocation, None, handed_over=True),
            ev.Finished(name, invocation, ok=True),
            ev.CalledOff(name, invocation),
            ev.PauseEnded(name),
            ev.ResumeEnded(name),
            ev.HandoverAsked(name),
            ev.RuntimeConnected(name),
            ev.ProxyLeft(name),
            ev.PauseAsked(name),
            ev.ResumeAsked(name),
            ev.EvictAsked(name),
        ):
            self.tell(event)
        assert (len(self.workers), self.live()) == before

    # -- what must hold

    @invariant()
    def the_scheduler_is_in_order(self) -> None:
        if hasattr(self, "core"):
            check(self.core)
            assert set(self.core.fleet.workers) == set(self.workers)
            assert list(self.core.invocations) == self.live()
            wake = self.core.next_wake()
            assert wake is None or wake >= 0

    @invariant()
    def the_node_is_not_overfull(self) -> None:
        if not hasattr(self, "core"):
            return
        most = self.core.settings.max_workers
        depths = [one.depth for one in self.invocations.values()]
        assert len(self.workers) <= most * max(depths, default=1), "never more than the deepest call needs"
        in_use = max(self.core.capacity.deepest + 1, self.core.line.deepest)
        if len(self.workers) > most * in_use:
            assert self.core.fleet._spare(self.now) is None, "what deep calls left behind is ended"

    @invariant()
    def no_burst_stampedes_the_machine(self) -> None:
        if not hasattr(self, "core"):
            return
        told = self.core.settings
        under_way = sum(bool(one.work) and isinstance(one.work[0], ev.StartWorker) for one in self.workers.values())
        assert under_way <= told.parallel_starts
        recent = self.starts[-told.parallel_starts - 1 :]
        if told.start_interval and len(recent) > told.parallel_starts:
            assert recent[-1] - recent[0] >= told.start_interval

    @invariant()
    def bounds_hold_while_nothing_calls(self) -> None:
        if not hasattr(self, "core") or any(one.depth > 1 for one in self.invocations.values()):
            return
        for runtime, ceiling in self.core.settings.ceiling.items():
            assert sum(one.pool.runtime == runtime for one in self.workers.values()) <= ceiling

    @invariant()
    def nobody_outlives_the_caller(self) -> None:
        for one in self.invocations.values():
            if one.caller and self.invocations[one.caller].outcome:
                assert one.outcome

    def teardown(self) -> None:
        """Everything is completed as it should be: then every invocation ends, and not by its deadline."""
        if not hasattr(self, "core"):
            return
        patient = [name for name in self.live() if not self.invocations[name].pressed]
        for _ in range(10_000):
            if not self.live():
                break
            self.the_scheduler_is_in_order()
            if not self.complete_something():
                wake = self.core.next_wake()
                assert wake is not None
                assert wake < FOR_EVER // 2, f"waits for ever: {self.stuck()}"
                self.now = max(self.now + 1, wake)
                self.tell(ev.Tick())
        assert not self.live(), f"did not end: {self.stuck()}"
        assert all(self.invocations[name].outcome != "timed_out" for name in patient)
        self.the_scheduler_is_in_order()

    def complete_something(self, *, calls: bool = True) -> bool:
        waits_for_callees = {one.caller for one in self.invocations.values() if not one.outcome}
        for name, one in self.workers.items():
            if one.freezer:
                self.do_freezer(name, "")
                return True
            if one.called_off:
                self.do_end(name)
                return True
            if one.work:
                self.do_work(name, well=True)
                return True
            for invocation in one.calls if calls else ():
                if invocation not in waits_for_callees:
                    self.do_finish(invocation, ok=True)
                    return True
        return False

    def stuck(self) -> str:
        return ", ".join(
            f"{one.id} ({one.digest}, depth {one.depth}) {one.state}"
            for one in self.core.invocations.values()
            if one.state is not InvocationState.RUNNING
        )


TestRandomLives = RandomLives.TestCase
TestRandomLives.settings = settings(
    max_examples=int(os.environ.get("MEE6_EXAMPLES", "200")),
    derandomize="MEE6_EXAMPLES" not in os.environ,  # the same ones each time, unless asked for more
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRandomLives.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
