"""The node and its shell, with workers played by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.worker import WorkerState
from agent.feed import Batch, Filter, HandoverView
from agent.node import agent_id
from agent.seats import Answer
from agent.streams import Pipe
from mee6.errors import (
    Cancelled,
    Conflict,
    Exhausted,
    FunctionNotFound,
    FunctionRaised,
    InvalidBundle,
    InvalidManifest,
    LoadFailed,
    NotAllowed,
    NotFound,
    ProtocolError,
    TimedOut,
    TooLarge,
    UnknownRuntime,
    WorkerLost,
)
from mee6.lane.messages import (
    AskHandover,
    Chunk,
    Fault,
    Goodbye,
    Handover,
    Head,
    Hello,
    Invoke,
    Load,
    Log,
    Report,
    Request,
    Response,
    Result,
    Span,
    Step,
    Steps,
)
from tests.support.played import PlayedPeer, played_node


async def test_a_token_admits_one_peer_once(tmp_path: Path) -> None:
    async with played_node(tmp_path, prewarm={"python": 1}) as play:
        spec = await play.worker()
        play.node.attach(PlayedPeer(), Hello(spec.token, "proxy", "python"), None)
        for token in (spec.token, "", "made up"):
            with pytest.raises(NotAllowed):
                play.node.attach(PlayedPeer(), Hello(token, "proxy", "python"), None)


async def test_a_process_that_is_not_the_workers_is_refused_and_the_token_stays_good(tmp_path: Path) -> None:
    async with played_node(tmp_path, prewarm={"python": 1}) as play:
        spec = await play.worker()
        with pytest.raises(NotAllowed, match="does not belong to worker"):
            play.node.attach(PlayedPeer(), Hello(spec.token, "proxy", "python"), 1)
        play.node.attach(PlayedPeer(), Hello(spec.token, "proxy", "python"), None)


async def test_a_handover_makes_the_runtime_the_nodes_own(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome = play.begin("echo")
        proxy, runtime = await play.connected(), PlayedPeer()
        load = await proxy.gets(Load)
        play.node.received(proxy, AskHandover())
        grant = await proxy.gets(Handover)
        welcome = play.node.attach(runtime, Hello(grant.token, "runtime", "python", pid=9), None)
        assert welcome.worker == "w1"
        await asyncio.sleep(0)
        play.node.received(proxy, Report(load.id, handed_over=True))
        await proxy.gets(Goodbye)
        task = await runtime.gets(Invoke)
        play.node.detach(proxy, "")
        play.node.received(runtime, Report(task.id, b"done"))
        assert (await outcome).result == b"done"
        step = play.node.history.latest().trace[0]
        assert (step.via, step.pid, step.start) == ("direct", 9, "cold")


async def test_a_handover_that_is_asked_for_out_of_turn_is_refused_without_a_wait(tmp_path: Path) -> None:
    async with played_node(tmp_path, prewarm={"python": 1}) as play:
        proxy = await play.connected()
        play.node.received(proxy, AskHandover())
        assert await proxy.gets(Handover) == Handover("", "")


async def test_a_report_of_a_handover_that_never_was_ends_the_worker_and_the_invocation_goes_on_elsewhere(
    tmp_path: Path,
) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome = play.begin("echo")
        liar = await play.connected()
        load = await liar.gets(Load)
        play.node.received(liar, Report(load.id, handed_over=True))
        assert liar.closed
        honest = await play.connected()
        play.node.received(honest, Report((await honest.gets(Load)).id))
        play.node.received(honest, Report((await honest.gets(Invoke)).id, b"ok"))
        assert (await outcome).result == b"ok"


async def test_only_a_running_functions_own_calls_are_taken(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("caller", dependencies={"callee": {"outflow": "always"}})
        await play.add("callee")
        _outcome, peer, task = await play.running("caller")
        stray = play.calls(peer, Invoke("ended", b"", "", []), 1, "callee")
        refused = await peer.gets(Result)
        assert (refused.id, refused.fault and refused.fault.code) == (stray, "call_refused")
        play.calls(peer, task, 1, "callee")
        with pytest.raises(ProtocolError, match="twice"):
            play.calls(peer, task, 1, "callee")
        for message in (Hello("", "proxy", "python"), Steps([]), AskHandover(), Goodbye()):
            with pytest.raises(ProtocolError, match="not its to send"):
                play.node.received(peer, message)
        assert task.chain == ["caller"]


async def test_an_undeclared_call_is_refused_by_name(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("caller", dependencies={"callee": {"outflow": "always"}})
        await play.add("other")
        _outcome, peer, task = await play.running("caller")
        call = play.calls(peer, task, 1, "other")
        refusal = await peer.gets(Result)
        assert (refusal.id, refusal.fault and refusal.fault.code) == (call, "call_refused")
        play.calls(peer, task, 2, "callee")
        refusal = await peer.gets(Result)
        assert refusal.fault is not None
        assert "has not been added" in refusal.fault.message


async def test_a_direct_runtimes_calls_keep_its_parallelism(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("callee")
        await play.add("caller", dependencies={"callee": {"outflow": "always"}}, maxParallelism=2)
        outcome, peer, task = await play.running("caller")
        calls = [play.calls(peer, task, number, "callee") for number in (1, 2, 3)]
        first, second = await play.connected("runtime"), await play.connected("runtime")
        for callee in (first, second):
            play.node.received(callee, Report((await callee.gets(Load)).id))
            await callee.gets(Invoke)
        assert play.specs.empty(), "the third call waits"
        play.node.received(first, Report(calls[0], b"1"))
        assert (await peer.gets(Result)).result == b"1"
        third = await first.gets(Invoke)
        assert (third.id, third.chain) == (calls[2], ["caller", "callee"])
        play.node.received(first, Report(calls[2], b"3"))
        play.node.received(second, Report(calls[1], b"2"))
        assert {(await peer.gets(Result)).result for _ in range(2)} == {b"2", b"3"}
        play.node.received(peer, Report(task.id, b"all"))
        assert (await outcome).result == b"all"
        record = play.node.history.latest()
        assert [step.parent for step in record.trace[1:]] == [task.id] * 3
        held = record.circumstances[calls[2]].held
        assert held > 0
        queued, *_rest = record.steps[calls[2]].spans
        assert (queued.kind, queued.end_ns - queued.start_ns) == ("queued", held)
        assert record.circumstances[calls[0]].held == record.circumstances[calls[1]].held == 0


async def test_what_an_invocation_found_is_there_while_it_waits_and_afterwards(tmp_path: Path) -> None:
    async with played_node(tmp_path, max_workers=1) as play:
        await play.add("echo")
        first, peer, task = await play.running("echo")
        second = play.begin("echo", timeout_s=0.05)
        record = play.node.history.latest()
        assert record.view.state == "queued"
        (found,) = record.circumstances.values()
        assert (found.holding, found.leased, found.limit, found.hindered) == (1, 1, 1, "workers")
        with pytest.raises(TimedOut):
            await second
        assert record.circumstances == {record.view.id: found}
        ((kind, took),) = [(span.kind, span.end_ns - span.start_ns) for span in record.trace[0].spans]
        assert (kind, took > 0) == ("queued", True)
        play.node.received(peer, Report(task.id))
        await first
        third = play.begin("echo")
        play.node.received(peer, Report((await peer.gets(Invoke)).id))
        await third
        assert play.node.history.latest().circumstances == {}, "a warm start has none"


async def test_a_callee_shares_the_flow_of_its_caller_and_its_deadline(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("callee")
        await play.add("caller", dependencies={"callee": {"outflow": "always"}})
        _outcome, peer, task = await play.running("caller")
        play.calls(peer, task, 1, "callee")
        callee = await play.connected("runtime")
        await callee.gets(Load)
        assert play.driver.workers["w2"].flow_of == "w1"


async def test_an_invocation_that_times_out_takes_its_calls_along(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("callee")
        await play.add("caller", dependencies={"callee": {"outflow": "always"}}, timeoutS=0.2)
        outcome, peer, task = await play.running("caller")
        play.calls(peer, task, 1, "callee")
        callee = await play.connected("runtime")
        with pytest.raises(TimedOut, match=r"'caller' took longer than its limit of 0\.2 s"):
            await outcome
        assert peer.closed
        assert callee.closed
        play.node.received(peer, Report(task.id, b"too late"))


async def test_a_cancelled_invocation_ends_its_worker(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        play.node.cancel(task.id)
        with pytest.raises(Cancelled):
            await outcome
        assert peer.closed
        play.node.cancel(task.id)


async def test_a_lost_proxy_is_worker_lost_and_a_lost_runtime_is_function_exited(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, _task = await play.running("echo", "proxy")
        play.node.detach(peer, "")
        with pytest.raises(WorkerLost, match="closed its lane"):
            await outcome
        outcome, peer, _task = await play.running("echo", "runtime")
        hooks = play.driver._hooks
        assert hooks is not None
        hooks.on_process_exit("w2", 7, -9, "out of memory (limit 512 MiB)")
        play.node.detach(peer, "")
        with pytest.raises(Exception, match=r"killed by signal 9 \(SIGKILL\): out of memory") as raised:
            await outcome
        assert raised.value.code == "function_exited"  # type: ignore[attr-defined]


async def test_a_fault_is_an_answer_and_the_worker_stays_warm(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        fault = Fault("function_raised", "no", "echo", "ValueError", "Traceback ...")
        play.node.received(peer, Report(task.id, fault=fault))
        with pytest.raises(FunctionRaised) as raised:
            await outcome
        assert (raised.value.error_type, raised.value.traceback) == ("ValueError", "Traceback ...")
        worker = play.node._shell.core.fleet.workers["w1"]
        assert worker.state is WorkerState.WARM


async def test_a_report_out_of_turn_breaks_the_rules(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome = play.begin("echo")
        peer = await play.connected()
        load = await peer.gets(Load)
        with pytest.raises(ProtocolError, match="before it was called"):
            play.node.received(peer, Report(load.id.removeprefix("load/"), b"made up"))
        play.node.received(peer, Report(load.id))
        task = await peer.gets(Invoke)
        with pytest.raises(ProtocolError, match="out of turn"):
            play.node.received(peer, Report(load.id))
        play.node.received(peer, Report(task.id, b"true"))
        assert (await outcome).result == b"true"


async def test_what_streams_is_asked_for_and_belongs_to_what_runs(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        assert task.window == 0
        with pytest.raises(ProtocolError, match="was not asked for"):
            play.node.received(peer, Head(task.id, "text/plain"))
        play.node.received(peer, Head("another", "text/plain"))  # of something that was called off: dropped
        play.node.received(peer, Report(task.id, b"true"))
        await outcome


class Taking:
    """Takes what streams."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def head(self, head: Head) -> None:
        self.seen.append(head.content_type)

    def piece_of_result(self, data: bytes) -> None:
        self.seen.append(data)

    def room(self) -> None:
        self.seen.append("room")


async def test_a_stream_is_brought_to_who_asked_and_has_no_deadline(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        play.node.received(peer, Report(task.id))
        await outcome
        taking, answers, request = Taking(), list[Answer](), Request("POST", "/a", "b=1")
        play.node.submit("ann", "echo", b"x", "text/plain", answers.append, 0.1, request=request, pipe=Pipe(taking))
        task = await peer.gets(Invoke)
        assert (task.request, task.window > 0) == (request, True)
        play.node.received(peer, Head(task.id, "text/html\r\nforged: x"))
        play.node.received(peer, Chunk(task.id, b"piece"))
        await asyncio.sleep(0.3)
        assert taking.seen == ["application/octet-stream", b"piece"]
        assert not answers, "its deadline has been lifted"
        play.node.received(peer, Report(task.id, response=Response(201, [])))
        assert [(answer.fault, answer.response) for answer in answers] == [(None, Response(201, []))]


async def test_who_asked_over_http_is_told_whether_a_worker_held_the_function(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        cold, warm, answers = Pipe(Taking()), Pipe(Taking()), list[Answer]()
        play.node.submit("ann", "echo", b"x", "text/plain", answers.append, pipe=cold)
        peer = await play.connected()
        play.node.received(peer, Report((await peer.gets(Load)).id))
        play.node.received(peer, Report((await peer.gets(Invoke)).id))
        await asyncio.sleep(0)
        play.node.submit("ann", "echo", b"x", "text/plain", answers.append, pipe=warm)
        play.node.received(peer, Report((await peer.gets(Invoke)).id))
        assert len(answers) == 2
        assert (cold.was_warm, warm.was_warm) == (False, True)


async def test_a_load_that_fails_ends_the_worker(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome = play.begin("echo")
        peer = await play.connected()
        play.node.received(peer, Report((await peer.gets(Load)).id, fault=Fault("load_failed", "SyntaxError")))
        with pytest.raises(LoadFailed):
            await outcome
        assert peer.closed


async def test_a_worker_that_cannot_be_started_is_said_to_those_who_wait(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        play.driver.trouble.start = Exhausted("no room")
        with pytest.raises(Exhausted, match="no python worker could be started: no room"):
            await play.begin("echo")


async def test_steps_and_output_are_remembered_with_their_invocation(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("ponger")
        await play.add("pinger", dependencies={"ponger": {}})
        outcome, proxy, task = await play.running("pinger", "proxy")
        span = Span("run", 1, 2)
        step = Step(f"{task.id}.1", task.id, "ponger", 1, "w1", "warm", "proxy", "succeeded", 5, spans=[span])
        forged = Step("another", "", "ponger", 1, "w1", "warm", "proxy", "succeeded")
        undeclared = Step(f"{task.id}.2", task.id, "no-such", 1, "w1", "warm", "proxy", "succeeded")
        play.node.received(proxy, Steps([step, forged, undeclared]))
        play.node.received(proxy, Steps([step]))
        play.node.received(proxy, Log(step.id, "err", "oh\n"))
        play.node.received(proxy, Report(task.id, b"ok"))
        await outcome
        record = play.node.history.latest()
        assert [one.id for one in record.trace] == [task.id, undeclared.id, step.id]
        counted = {name: counts.invocations for (_user, name), counts in play.node.stats.functions.items()}
        assert counted == {"pinger": 1, "ponger": 1}, "each once, and no function but those of the workflow"
        assert [(line.function, line.text) for line in record.lines] == [("ponger", "oh\n")]


async def test_a_new_version_ends_idle_workers_and_leaves_running_ones_to_finish(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        await play.add("echo", description="second")
        assert not peer.closed
        play.node.received(peer, Report(task.id, b"first"))
        assert (await outcome).result == b"first"
        assert peer.closed
        second = play.begin("echo")
        fresh = await play.connected()
        assert (await fresh.gets(Load)).function.version == 2
        second.cancel()


async def test_what_cannot_be_added_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        with pytest.raises(UnknownRuntime, match="'cobol' is not known here; known are: nodejs, python"):
            await play.add("old", runtime="cobol")
        await play.add("echo")
        with pytest.raises(InvalidManifest, match="names the function 'echo', not 'other'"):
            await play.node.add_folder("ann", "other", tmp_path / "sources" / "echo")
        (tmp_path / "sources" / "echo" / "main.py").unlink()
        with pytest.raises(InvalidBundle, match=r"needs 'main\.py'"):
            await play.node.add_folder("ann", "", tmp_path / "sources" / "echo")
        kept = {path.name for path in (tmp_path / "code").glob("[!.]*")}
        assert kept == {record.sha256 for record in play.node.functions("ann")}


async def test_limits_and_unknown_names_are_refused_before_anything_starts(tmp_path: Path) -> None:
    async with played_node(tmp_path, arg_limit_bytes=3) as play:
        await play.add("echo")
        with pytest.raises(TooLarge, match="4 bytes; the limit is 3"):
            play.begin("echo", "four")
        with pytest.raises(FunctionNotFound, match="no function 'nope' for user 'ann'; see: mee6 act ls"):
            play.begin("nope")
        assert play.specs.empty()


async def test_a_draining_node_refuses_and_waits_for_what_runs(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        drain = asyncio.create_task(play.node.wind_down())
        await asyncio.sleep(0)
        with pytest.raises(Conflict, match="stops"):
            play.begin("echo")
        assert not drain.done()
        play.node.received(peer, Report(task.id, b"last"))
        await asyncio.wait_for(drain, 5)
        assert (await outcome).result == b"last"


async def test_a_removed_functions_code_goes_once_nothing_runs_on_it(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        await play.node.remove("ann", "echo")
        assert len(list((tmp_path / "code").glob("[!.]*"))) == 1
        play.node.received(peer, Report(task.id, b"done"))
        await outcome
        await play.add("echo", description="again")
        await play.node.remove("ann", "echo")
        assert list((tmp_path / "code").glob("[!.]*")) == []


@pytest.mark.parametrize("spoilt", ["", "../../x", "0123", "zzzzzzzz"])
def test_an_agent_id_that_is_none_is_made_anew_and_kept(tmp_path: Path, spoilt: str) -> None:
    (tmp_path / "agent.id").write_text(spoilt)
    made = agent_id(tmp_path)
    assert len(made) == 8
    assert made != spoilt
    assert agent_id(tmp_path) == made


async def test_a_watcher_can_follow_a_handover_stage_by_stage(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome = play.begin("echo")
        proxy, runtime = await play.connected(), PlayedPeer()
        load = await proxy.gets(Load)
        with play.node.feed.subscribe(Filter(frozenset(["handover"]))) as watcher:
            await anext(watcher)
            play.node.received(proxy, AskHandover())
            grant = await proxy.gets(Handover)
            play.node.attach(runtime, Hello(grant.token, "runtime", "python", pid=9), None)
            await asyncio.sleep(0)
            play.node.received(proxy, Report(load.id, handed_over=True))
            play.node.detach(proxy, "")
            batch = await asyncio.wait_for(anext(watcher), 5)
        assert isinstance(batch, Batch)
        ((_at, event),) = batch.events
        assert isinstance(event, HandoverView)
        assert [name for name, _ns in event.stages] == ["requested", "granted", "connected", "confirmed", "gone"]
        times = [at_ns for _name, at_ns in event.stages]
        assert times == sorted(times)
        assert (event.state, event.function, event.user, event.runtime_pid, event.proxy_pid) == (
            "alone", "echo", "ann", 9, 7,
        )  # fmt: skip
        assert play.node.feed.picture().handovers == (event,), "who comes later can replay it"
        play.node.received(runtime, Report((await runtime.gets(Invoke)).id))
        await outcome


async def test_a_watcher_who_comes_later_sees_the_steps_that_go_on(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        (step,) = play.node.feed.picture().steps
        assert (step.id, step.state, step.spans[-1].kind, step.spans[-1].end_ns) == (task.id, "running", "run", 0)
        play.node.received(peer, Report(task.id))
        await outcome
        assert play.node.feed.picture().steps == ()


async def test_the_first_step_of_a_proxied_workflow_has_its_process(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, proxy, task = await play.running("echo", "proxy")
        play.node.received(proxy, Steps([Step(task.id, "", "echo", 1, "w1", "warm", "proxy", "running", pid=12)]))
        play.node.received(proxy, Report(task.id))
        await outcome
        (step,) = play.node.history.latest().trace
        assert (step.pid, step.via, step.parent, step.state) == (12, "proxy", "", "succeeded")


async def test_a_busy_worker_is_evicted_only_by_force_and_its_invocation_is_lost(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        with pytest.raises(Conflict, match=f"runs an invocation; see: mee6 act cancel {task.id}, or --force"):
            play.node.evict("w1", force=False)
        with pytest.raises(NotFound, match="no worker 'w9'"):
            play.node.evict("w9", force=True)
        play.node.evict("w1", force=True)
        with pytest.raises(WorkerLost, match="evicted"):
            await outcome
        assert peer.closed
        assert play.node.workers() == []


async def test_an_idle_worker_is_evicted(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        play.node.received(peer, Report(task.id))
        await outcome
        play.node.evict("w1", force=False)
        assert play.node.workers() == []


async def test_a_worker_is_paused_and_resumed_by_hand_and_by_a_lease(tmp_path: Path) -> None:
    async with played_node(tmp_path, pause="never", driver_pauses="signals") as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        for refused in (play.node.pause("w1"), play.node.resume("w1")):
            with pytest.raises(Conflict, match="worker w1 "):
                await refused
        play.node.received(peer, Report(task.id))
        await outcome
        assert (await play.node.pause("w1")).state == "paused"
        assert (await play.node.pause("w1")).state == "paused", "once more changes nothing"
        assert (await play.node.resume("w1")).state == "warm"
        assert (await play.node.pause("w1")).state == "paused"
        again = play.begin("echo")
        play.node.received(peer, Report((await peer.gets(Invoke)).id, b"z"))
        assert (await again).result == b"z"
        assert [call for call in play.driver.calls if call[0] in ("pause", "resume")] == [
            ("pause", "w1"), ("resume", "w1"), ("pause", "w1"), ("resume", "w1"),
        ]  # fmt: skip


async def test_a_driver_that_cannot_pause_says_so(tmp_path: Path) -> None:
    async with played_node(tmp_path, prewarm={"python": 1}) as play:
        await play.connected()
        await asyncio.sleep(0)
        with pytest.raises(Conflict, match="the fake driver cannot pause"):
            await play.node.pause("w1")


async def test_a_drained_node_refuses_until_it_is_undrained(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        assert play.node.drain().draining
        with pytest.raises(Conflict, match="mee6 agent undrain"):
            play.begin("echo")
        play.node.received(peer, Report(task.id, b"done"))
        assert (await outcome).result == b"done"
        assert not play.node.undrain().draining
        again = play.begin("echo")
        play.node.received(peer, Report((await peer.gets(Invoke)).id))
        await again
        await play.node.wind_down()
        with pytest.raises(Conflict, match="about to end"):
            play.node.undrain()


async def test_a_node_of_which_nothing_is_new_but_the_time_is_not_told_of(tmp_path: Path) -> None:
    async with played_node(tmp_path) as play:
        node, sampling = play.node, play.node._sampling
        with node.feed.subscribe(skip_snapshot=True):
            sampling.publish_node()
            told = node.feed.seq
            sampling.publish_changed_node()
            assert node.feed.seq == told
            node.draining = True
            sampling.publish_changed_node()
            assert node.feed.seq == told + 1


async def test_each_invocation_that_has_ended_has_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mee6.agent.invocation")
    async with played_node(tmp_path) as play:
        await play.add("echo")
        outcome, peer, task = await play.running("echo")
        play.node.received(peer, Report(task.id, b"done"))
        await outcome
        again = play.begin("echo")
        play.node.received(peer, Report((await peer.gets(Invoke)).id, fault=Fault("function_raised", "no")))
        with pytest.raises(FunctionRaised):
            await again
    lines = [record.getMessage() for record in caplog.records if record.name == "mee6.agent.invocation"]
    assert len(lines) == 2
    assert lines[0].startswith(f"id={task.id} user=ann function=echo version=1 worker=w1 start=cold via=direct state=")
    assert "state=succeeded queued_ms=" in lines[0]
    assert "start=warm via=direct state=failed queued_ms=" in lines[1]
