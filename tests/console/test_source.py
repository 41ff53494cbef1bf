from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from mee6.errors import AgentUnreachable, Exhausted, InvalidInput, Mee6Error
from mee6.records import Batch, Event, Invocation, Log, Snapshot
from mee6tui.console import source as source_module
from mee6tui.console.clock import FrameClock, Pace
from mee6tui.console.recording import Recorded, Recorder, read
from mee6tui.console.source import PART, AgentSource, Item, LinkState, Sink
from mee6tui.console.store import LIVE, Store


class Script:
    """An agent that sends what it is told, stream after stream."""

    def __init__(self, *streams: list[Item | Mee6Error]) -> None:
        self.streams = list(streams)
        self.asked = 0
        self.last = asyncio.Event()

    async def watch(self) -> AsyncGenerator[Item, None]:
        self.asked += 1
        if not self.streams:
            self.last.set()
            await asyncio.Event().wait()
        for item in self.streams.pop(0):
            if isinstance(item, Mee6Error):
                raise item
            yield item


class Seen(Sink):
    """Remembers the states of the link."""

    def __init__(self) -> None:
        self.at = 0.0
        super().__init__(Store(), lambda: self.at, lambda *_args: None)
        self.links: list[tuple[str, str]] = []
        self.waits: list[float] = []

    def link(self, source: str, state: LinkState, *, error: str = "", attempt: int = 0, retry_s: float = 0.0) -> None:
        super().link(source, state, error=error, attempt=attempt, retry_s=retry_s)
        self.links.append((state, error))
        if retry_s:
            self.waits.append(retry_s)


async def watched(script: Script, sink: Sink) -> AgentSource:
    """Runs until all of the script has been played, without waiting between attempts."""
    source = AgentSource("desk", script)
    task = asyncio.create_task(source.run(sink))
    while not script.last.is_set():
        source.retry_now()
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return source


async def test_an_agent_that_ends_is_reached_again_and_the_link_says_so(busy: list[Recorded]) -> None:
    items: list[Item | Mee6Error] = [recorded.item for recorded in busy]
    sink = Seen()
    await watched(Script([*items, AgentUnreachable("no agent answers")], [items[0]]), sink)
    states = [state for state, _error in sink.links]
    assert states[:4] == ["connecting", "live", "reconnecting", "live"]
    assert sink.links[2][1] == "no agent answers"


async def test_an_agent_that_was_started_again_is_said_to_be_another_and_what_it_lost(busy: list[Recorded]) -> None:
    items: list[Item | Mee6Error] = [recorded.item for recorded in busy]
    picture = next(item for item in items if isinstance(item, Snapshot))
    again = replace(picture, node=replace(picture.node, pid=picture.node.pid + 1), invocations=())
    sink = Seen()
    await watched(Script([*items, AgentUnreachable("no agent answers")], [again]), sink)
    lost = sum(invocation.state in LIVE for invocation in last_of(items).values())
    assert sink.links[-2] == (
        "restarted",
        f"the agent was started again; {lost} invocations that went on are lost, the rest forgotten",
    )
    assert not sink.store.running


def last_of(items: list[Item | Mee6Error]) -> dict[str, Invocation]:
    """Each invocation as it was told last."""
    found: dict[str, Invocation] = {}
    for item in items:
        told = item.invocations if isinstance(item, Snapshot) else ()
        if isinstance(item, Batch):
            told = tuple(event.what for event in item.events if isinstance(event.what, Invocation))
        found.update({invocation.id: invocation for invocation in told})
    return found


async def test_the_waits_grow_up_to_a_bound() -> None:
    failures: list[list[Item | Mee6Error]] = [[AgentUnreachable("no")] for _ in range(12)]
    sink = Seen()
    source = AgentSource("desk", Script(*failures))
    waits: list[float] = []
    for _ in range(12):
        waits.append(min(source_module.LAST_RETRY_S, source_module.FIRST_RETRY_S * 2 ** len(waits)))
    script = Script(*failures)
    source = AgentSource("desk", script)
    original = asyncio.timeout
    try:
        source_module.asyncio.timeout = lambda delay: original(0)  # type: ignore[attr-defined]
        task = asyncio.create_task(source.run(sink))
        await script.last.wait()
    finally:
        source_module.asyncio.timeout = original  # type: ignore[attr-defined]
        task.cancel()
    assert sink.waits == waits
    assert sink.store.links["desk"].attempt == 12


async def test_a_stream_with_a_second_picture_lags(busy: list[Recorded]) -> None:
    picture = busy[0].item
    sink = Seen()
    await watched(Script([picture, picture, AgentUnreachable("gone")]), sink)
    assert [state for state, _error in sink.links][:3] == ["connecting", "live", "lagging"]
    assert sink.store.links["desk"].dropped == 1


async def test_an_agent_that_cuts_us_off_is_told_apart_also_once_it_is_back(busy: list[Recorded]) -> None:
    sink = Seen()
    await watched(Script([Exhausted("this watcher does not read")], [busy[0].item]), sink)
    assert sink.links[:2] == [("connecting", ""), ("cut off", "this watcher does not read")]
    state, said = sink.links[2]
    assert (state, said.partition(";")[0]) == ("lagging", "cut off, since nothing was read")


async def test_a_long_batch_is_taken_in_by_parts_between_which_others_have_their_turn() -> None:
    log = Log("i1", "f", "w1", "stdout", "", 0)
    events = tuple(Event(number, log) for number in range(2 * PART + 1))
    noted: list[Batch] = []
    known, turns = Store(), list[int]()

    def note(_source: str, item: Item, _at: float) -> None:
        assert isinstance(item, Batch)
        noted.append(item)

    async def other() -> None:
        while len(turns) < 2:
            turns.append(known.logged)
            await asyncio.sleep(0)

    asking = asyncio.create_task(other())
    await Sink(known, lambda: 7.0, note).take("desk", Batch(5, events))
    await asking
    assert turns == [PART, 2 * PART]
    assert [batch.seq for batch in noted] == [5, 5 + PART, 5 + 2 * PART]
    assert tuple(event for batch in noted for event in batch.events) == events


def test_a_recording_gives_back_what_was_written(busy: list[Recorded], tmp_path: Path) -> None:
    path = tmp_path / "again.jsonl"
    with Recorder(path) as recorder:
        for recorded in busy:
            recorder.note(recorded.source, recorded.item, 50 + recorded.at_s)
    assert list(read(path)) == busy


def test_a_recording_that_was_cut_short_is_read_as_far_as_it_goes(busy: list[Recorded], tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    with Recorder(path) as recorder:
        for recorded in busy[:3]:
            recorder.note(recorded.source, recorded.item, recorded.at_s)
    path.write_bytes(path.read_bytes()[:-20])
    assert list(read(path)) == busy[:2]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no recording"),
        (b"[1,2]\n", "is no recording"),
        (b'{"format":"mee6-recording","version":99}\n', "of version 99"),
        (b'{"format":"mee6-recording","version":1}\n{"at_s":1}\n', "line 2 is broken"),
        (b'{"format":"mee6-recording","version":1}\nnonsense\n', "line 2 is broken"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_place(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        list(read(path))


def test_a_frame_is_left_out_while_earlier_ones_wait_to_be_written() -> None:
    waiting = [0]
    painted: list[float] = []
    clock = FrameClock(painted.append, lambda: waiting[0], now=lambda: 7.0)
    clock.frame()
    assert (painted, clock.figures.skipped) == ([7.0], 0)
    waiting[0] = 5
    for _ in range(20):
        clock.frame()
    assert (len(painted), clock.figures.skipped, clock.figures.fps) == (1, 20, 1.0)
    waiting[0] = 0
    for _ in range(60):
        clock.frame()
    assert clock.figures.fps == 20
    clock.focused = False
    clock.frame()
    assert clock.figures.fps == 2
    clock.focused = True
    clock.frame()
    assert clock.figures.fps == 20, "who looks again is not made to wait"


def frames(
    came: list[float], until: float, fps: float = 20.0, takes: float = 0.01, *, measured: bool = False
) -> list[float]:
    """When frames begin, of what comes at these times; to the nearest millisecond."""
    pace, now, begun = Pace(), 0.0, list[float]()
    came = list(came)
    while now < until:
        if came and came[0] <= now:
            pace.stirred = True
            pace.happened = not measured
            came.pop(0)
        if pace.due(fps, moves=False) <= now:
            begun.append(round(now, 3))
            pace.painted(now, now + takes, moves=False, whole=True)
        now += 0.001
    return begun


def test_what_comes_after_a_pause_is_painted_at_once_and_what_follows_at_the_frame_rate() -> None:
    begun = frames([10.123 + number / 1000 for number in range(200)], until=10.4)
    flood = [at for at in begun if at >= 10.1]
    assert flood[0] == pytest.approx(10.123, abs=0.0011)
    assert len(flood) <= 6
    assert all(later - earlier >= 0.049 for earlier, later in pairwise(flood))


def test_a_single_event_between_frames_of_settling_does_not_wait_for_the_next() -> None:
    begun = frames([5.0, 5.237], until=5.3)
    assert any(5.236 < at < 5.239 for at in begun)


def test_what_is_measured_each_second_is_painted_at_once_and_nothing_follows_it() -> None:
    begun = frames([5.3, 6.3, 7.3, 8.3], until=8.5, measured=True)
    assert all(any(at <= seen < at + 0.002 for seen in begun) for at in (5.3, 6.3, 7.3, 8.3))
    assert len([at for at in begun if 5.3 <= at < 8.3]) <= 9, "its own frame, and two a second"


def test_few_frames_are_painted_where_nothing_comes() -> None:
    begun = frames([5.0], until=20.0)
    assert len([at for at in begun if 5.0 <= at < 6.0]) <= 11
    assert len([at for at in begun if 10.0 <= at < 20.0]) == 20


def test_others_have_their_turn_for_as_long_as_a_frame_took() -> None:
    begun = frames([number / 1000 for number in range(1000)], until=1.0, takes=0.08)
    assert begun[2] - begun[1] == pytest.approx(0.16, abs=0.002)


async def test_a_frame_is_painted_at_once_when_something_comes_after_a_pause() -> None:
    painted = asyncio.Event()
    clock = FrameClock(lambda _now: painted.set(), fps=0.5)  # the next of its own would be two seconds later
    running = asyncio.create_task(clock.run())
    await asyncio.wait_for(painted.wait(), 5)
    painted.clear()
    clock.stir()
    await asyncio.wait_for(painted.wait(), 1.9)
    running.cancel()
