"""`mee6 watch`, `mee6 top`, and the acts on workers and agent, against an agent's gRPC face."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mee6.api.v1 import console_pb2 as pb
from tests.cli.conftest import Run
from tests.support.fake_agent import FakeAgent

NODE = pb.Node(id="n1", wall_offset_ns=1_700_000_000_000_000_000, cores=2, cpu_percent=50.0, workers=2, busy=1)
WORKERS = [
    pb.Worker(id="w1", pool="python", state="warm", function="echo", username="ann", memory_bytes=9 << 20, cpu=0.1),
    pb.Worker(id="w2", pool="python", state="busy", function="spin", username="ann", memory_bytes=5 << 20, cpu=0.9),
]
FIGURES = [
    pb.Figures(username="ann", function="echo", rate=3.0, p99_ms=1.0, invocations=9),
    pb.Figures(username="ann", function="spin", rate=1.0, p99_ms=900.0, invocations=2),
]
GONE = pb.Worker(id="w1", state="gone", function="echo", username="ann", reason="evicted")
GRANTED = pb.Handover(worker="w1", function="echo", stages=[pb.Stage(name="granted")])
RUNNING = pb.Step(id="i1", function="echo", state="running", spans=[pb.Span(kind="run", start_ns=1)])
EVENTS = [
    pb.Event(at_ns=1_000_000, worker=GONE),
    pb.Event(at_ns=2_000_000, log=pb.Log(function="echo", invocation="i1", stream="out", text="one\ntwo\n")),
    pb.Event(at_ns=3_000_000, handover=GRANTED),
    pb.Event(at_ns=4_000_000, step=RUNNING),
    pb.Event(at_ns=5_000_000, node=NODE),
    pb.Event(at_ns=6_000_000, node=NODE),
    pb.Event(at_ns=7_000_000, figures=FIGURES[0]),
    pb.Event(at_ns=8_000_000, invocation=pb.Invocation(id="i1", function="echo", state="failed", error="no\x1b[2J")),
    pb.Event(at_ns=9_000_000, function=pb.Function(username="ann", name="echo", version=2)),
]


@pytest.fixture
def watched(agent: FakeAgent) -> FakeAgent:
    agent.watched = [
        pb.WatchReply(snapshot=pb.Snapshot(seq=1, node=NODE, workers=WORKERS, figures=FIGURES)),
        pb.WatchReply(batch=pb.Batch(seq=1, events=EVENTS)),
    ]
    return agent


SENTENCES = [
    "22:13:20.001 worker w1 is gone, holds echo of ann: evicted",
    "22:13:20.002 echo (i1) wrote to out: one / two",
    "22:13:20.003 handover of worker w1 for echo is granted",
    "22:13:20.004 step i1 of echo is running, run",
    (
        "22:13:20.005 node n1 is serving: 2 workers, 1 busy, 0 paused, 0 waiting, 0.0 invocations a second, "
        "machine 50% busy"
    ),
    (
        "22:13:20.006 node n1 is serving: 2 workers, 1 busy, 0 paused, 0 waiting, 0.0 invocations a second, "
        "machine 50% busy"
    ),
    (
        "22:13:20.007 function echo of ann: 3.0 a second, p50 0, p99 1.00ms, 0 waiting, 0 running, 9 so far, "
        "of which failed 0"
    ),
    "22:13:20.008 invocation i1 of echo failed: no\\x1b[2J",
    "22:13:20.009 function echo of ann was added as version 2",
]


def test_each_event_is_a_sentence(on: Run, watched: FakeAgent) -> None:
    done = on("watch", "--all")
    assert done.stdout.splitlines() == SENTENCES
    assert done.exit_code == 5, "the stream ended with its agent"
    assert "has ended its stream" in done.stderr


def test_what_is_as_it_was_is_not_told_every_second(on: Run, watched: FakeAgent) -> None:
    assert on("watch").stdout.splitlines() == [*SENTENCES[:4], *SENTENCES[7:]]
    busy, cpu = pb.Node(), pb.Worker()
    busy.CopyFrom(NODE)
    busy.busy = 2
    cpu.CopyFrom(WORKERS[1])
    cpu.cpu = 0.1
    events = [pb.Event(at_ns=1, node=busy), pb.Event(at_ns=2, worker=cpu), pb.Event(at_ns=3, node=busy),
              pb.Event(at_ns=4, node=NODE), pb.Event(at_ns=5, worker=WORKERS[0])]  # fmt: skip
    watched.watched[1] = pb.WatchReply(batch=pb.Batch(seq=1, events=[*events, pb.Event(at_ns=6, worker=GONE)]))
    told = [line.split(" ", 1)[1] for line in on("watch").stdout.splitlines()]
    assert [line.split(",")[0] for line in told] == [
        "node n1 is serving: 2 workers", "node n1 is serving: 2 workers", "worker w1 is gone",
    ]  # fmt: skip
    assert "2 busy" in told[0]
    assert "1 busy" in told[1]


def test_each_event_is_an_object_a_line(on: Run, watched: FakeAgent) -> None:
    lines = [json.loads(line) for line in on("watch", "-o", "jsonl", "--snapshot").stdout.splitlines()]
    assert [line["kind"] for line in lines] == [
        "snapshot", "worker", "log", "handover", "step", "node", "node", "figures", "invocation", "function",
    ]  # fmt: skip
    assert [worker["id"] for worker in lines[0]["snapshot"]["workers"]] == ["w1", "w2"]
    assert (lines[1]["time"], lines[1]["at_ns"]) == ("2023-11-14T22:13:20.001000Z", 1_000_000)
    assert lines[1]["worker"]["reason"] == "evicted"
    assert lines[3]["handover"]["stages"] == [{"name": "granted", "at_ns": 0}]


def test_what_is_watched_is_asked_of_the_agent(on: Run, watched: FakeAgent) -> None:
    on("watch", "--kind", "log", "--kind", "step", "--function", "echo", "--worker", "w1")
    request = watched.requests[-1]
    assert (list(request.kinds), list(request.functions), list(request.workers)) == (["log", "step"], ["echo"], ["w1"])


def test_events_that_were_missed_are_said(on: Run, watched: FakeAgent) -> None:
    watched.watched.append(pb.WatchReply(snapshot=pb.Snapshot(seq=99, node=NODE, missed=42)))
    done = on("watch", "-o", "jsonl")
    assert "missed 42 events" in done.stderr
    assert "42" not in done.stdout


def test_forms_that_end_do_not_go_with_what_does_not(on: Run, watched: FakeAgent) -> None:
    done = on("watch", "-o", "yaml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "plain, jsonl" in done.stderr


def test_top_prints_once_into_a_pipe(on: Run, watched: FakeAgent) -> None:
    watched.watched.pop()
    lines = on("top").stdout.splitlines()
    assert lines[0].startswith("node n1: serving")
    assert "50% of 2 cores" in lines[1]
    rows = [line.split()[0] for line in lines if line[:2] in ("w1", "w2")]
    assert rows == ["w2", "w1"], "by cpu"
    functions = [line.split()[0] for line in lines if line.startswith(("echo", "spin"))]
    assert functions == ["echo", "spin"], "by rate"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("key", "workers", "functions"),
    [("memory", ["w1", "w2"], ["echo", "spin"]), ("p99", ["w2", "w1"], ["spin", "echo"])],
)
def test_top_sorts_by_what_was_asked_for(
    on: Run, watched: FakeAgent, key: str, workers: list[str], functions: list[str]
) -> None:
    view = json.loads(on("top", "--sort", key, "-o", "json").stdout)
    assert [worker["id"] for worker in view["workers"]] == workers
    assert [one["function"] for one in view["functions"]] == functions
    assert view["node"]["cores"] == 2


def test_top_refuses_what_it_cannot_show(on: Run, watched: FakeAgent) -> None:
    assert "use one of: cpu, memory" in on("top", "--sort", "colour").stderr
    assert on("top", "-o", "yaml").exit_code == 2
    assert on("top", "--interval", "1ms").exit_code == 2
    assert on("top", "-n", "-1").exit_code == 2


def test_workers_are_evicted_one_after_the_other_whichever_is_refused(on: Run, agent: FakeAgent) -> None:
    done = on("worker", "evict", "w1", "w3", "w4")
    assert (done.stdout, done.exit_code) == ("evicted w1\nevicted w4\n", 7)
    assert done.stderr.splitlines() == [
        "mee6: worker w3 runs an invocation; see: mee6 act cancel i1, or --force",
        "mee6: 1 of 3 was not evicted",
    ]
    assert on("worker", "evict", "w3", "--force").stdout == "evicted w3\n"
    assert on("worker", "evict", "w9").exit_code == 3
    assert json.loads(on("worker", "evict", "w1", "--json").stdout) == [{"id": "w1", "error": None}]


def test_workers_are_paused_and_resumed(on: Run, agent: FakeAgent) -> None:
    assert on("worker", "pause", "w1", "w2").stdout == "worker w1 is paused\nworker w2 is paused\n"
    assert on("worker", "resume", "w1", "-o", "name").stdout == "w1\n"
    assert json.loads(on("worker", "resume", "w1", "--json").stdout)[0]["state"] == "warm"


def test_an_agent_is_drained_and_undrained(on: Run, agent: FakeAgent) -> None:
    assert on("agent", "drain").stdout == "agent n1 drains; nothing runs\n"
    agent.busy = 2
    assert on("agent", "drain").stdout == "agent n1 drains; 2 run and 0 wait\n"
    assert on("agent", "undrain").stdout == "agent n1 serves again\n"


def test_a_drain_waits_until_nothing_runs(on: Run, agent: FakeAgent) -> None:
    agent.busy = 1
    agent.watched = [
        pb.WatchReply(snapshot=pb.Snapshot(node=pb.Node(id="n1", busy=1))),
        pb.WatchReply(batch=pb.Batch(seq=1, events=[pb.Event(node=pb.Node(id="n1", draining=True))])),
    ]
    assert on("agent", "drain", "--wait", "1m").stdout == "agent n1 drains; nothing runs\n"
    agent.watched.pop()
    assert on("agent", "drain", "--wait", "1m").exit_code == 5, "it ended before"


def mee6_into_a_closed_pipe(address: str, *args: str, reads: int = 0) -> tuple[int, str]:
    """Exit code and standard error of a command whose output is read for `reads` bytes and then closed."""
    ours, theirs = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "mee6tui.cli.main", *args],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "MEE6_ADDRESS": address},
        cwd=Path(__file__).parents[2],
        text=True,
    ) as process:
        os.close(theirs)
        if reads:
            os.read(ours, reads)
        os.close(ours)
        said = process.communicate(timeout=60)[1]
    return process.returncode, said


@pytest.mark.slow
def test_a_command_whose_output_nobody_reads_ends_quietly(agent: FakeAgent, config: Path) -> None:
    for args in (("act", "ls"), ("agent", "status", "-o", "json")):
        assert mee6_into_a_closed_pipe(agent.address, *args) == (141, "")


@pytest.mark.slow
def test_a_watch_ends_with_its_reader(watched: FakeAgent, config: Path) -> None:
    assert mee6_into_a_closed_pipe(watched.address, "watch", "--reconnect", "-o", "jsonl", reads=1)[0] == 141
