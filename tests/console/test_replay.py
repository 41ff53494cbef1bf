"""Recordings: how they are written until they end somehow, and how they are played."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mee6.errors import InvalidInput
from mee6tui.console.app import ConsoleApp
from mee6tui.console.recording import Recorded, Recorder, read
from mee6tui.console.replay import ReplaySource, Tape
from mee6tui.console.source import LinkState, Sink
from mee6tui.console.store import Store
from tests.console.conftest import BUSY, Play, Stage, Time
from tests.support.agents import until


class Seen(Sink):
    """Remembers when items came and how the link was."""

    def __init__(self, tape: Tape) -> None:
        self.came: list[float] = []
        self.links: list[str] = []
        super().__init__(Store(), tape.now, lambda _source, _item, at: self.came.append(at))

    def link(self, source: str, state: LinkState, *, error: str = "", attempt: int = 0, retry_s: float = 0.0) -> None:
        super().link(source, state, error=error, attempt=attempt, retry_s=retry_s)
        self.links.append(state)


@pytest.mark.parametrize("speed", [0.0, 200.0])
async def test_every_item_comes_at_its_own_time_whatever_the_speed(busy: list[Recorded], speed: float) -> None:
    tape = Tape(BUSY, speed=speed)
    sink = Seen(tape)
    await ReplaySource(tape).run(sink)
    assert sink.came == pytest.approx([recorded.at_s for recorded in busy])
    assert sink.links == ["replay", "ended"]
    assert tape.ended
    assert tape.now() == tape.length_s == busy[-1].at_s


def test_its_clock_goes_at_its_speed_stands_still_and_never_passes_what_was_not_played() -> None:
    at = Time(now=50.0)
    tape = Tape(BUSY, speed=2.0, real=lambda: at.now)
    at.on(0.1)
    assert tape.now() == 0.0  # the first item is still to be played
    tape.next_s = 1.0
    assert tape.now() == pytest.approx(0.2)
    tape.paused = True
    at.on(10)
    assert tape.now() == pytest.approx(0.2)
    tape.paused = False
    tape.speed = 4.0
    at.on(0.1)
    assert tape.now() == pytest.approx(0.6)
    at.on(10)
    assert tape.now() == 1.0


async def test_a_jump_ahead_plays_all_up_to_there_and_no_more(busy: list[Recorded]) -> None:
    tape = Tape(BUSY, real=lambda: 0.0)  # no time passes
    tape.paused = True
    sink = Seen(tape)
    playing = asyncio.create_task(ReplaySource(tape).run(sink))
    moment = busy[len(busy) // 2].at_s
    await tape.play_to(moment)
    assert tape.now() == moment
    assert sink.came == pytest.approx([recorded.at_s for recorded in busy if recorded.at_s <= moment])
    await tape.play_to(1e9)
    await playing
    assert tape.ended
    await tape.play_to(1e9)  # and the end stays the end


def test_the_time_of_day_is_the_recordings_own() -> None:
    tape = Tape(BUSY)
    assert 1_790_000_000 < tape.wall_ns() / 1e9 < 1_900_000_000


class Screening(Stage):
    """A stage whose time is the tape's."""

    async def settle(self) -> str:
        await self.pilot.pause()
        self.app.hurry()
        self.app.flush(self.app.now())
        await self.pilot.pause()
        return self.text


@asynccontextmanager
async def replayed(speed: float = 1.0, real: Callable[[], float] = lambda: 0.0) -> AsyncIterator[Stage]:
    tape = Tape(BUSY, speed=speed, real=real)
    app = ConsoleApp([ReplaySource(tape)], tape=tape)
    async with app.run_test(size=(120, 40)) as pilot:
        stage = Screening(app, pilot, Time(), [])
        await stage.settle()
        yield stage


async def test_the_console_says_that_it_is_a_replay_and_how_far_it_is() -> None:
    async with replayed(speed=0) as stage:
        tape = stage.app.tape
        assert tape is not None
        await until(lambda: tape.ended, "the end")
        text = await stage.settle()
        assert "replay of busy.jsonl" in text
        assert f"{tape.length_s:.1f} s of {tape.length_s:.1f} s, ended" in text
        assert "desk ended" in text


async def test_a_replay_stands_still_goes_on_by_steps_and_goes_anywhere() -> None:
    async with replayed() as stage:  # its clock stands, so that only steps play it
        text = await stage.press("F")
        assert "replay stands still" in text
        await stage.press("full_stop")
        await until(lambda: stage.app.moment == pytest.approx(1.0), "a second on")
        known = len(stage.app.store.invocations)
        await stage.press("colon", *"at 3.5", "enter")
        await until(lambda: stage.app.moment == pytest.approx(3.5), "the moment")
        assert len(stage.app.shown.invocations) > known
        await stage.press("colon", *"at 1", "enter")
        await until(lambda: stage.app.moment == pytest.approx(1.0), "the moment before")
        assert len(stage.app.shown.invocations) == known
        await stage.press("right_curly_bracket")
        assert stage.app.moment > 1.0
        await stage.press("F", "colon", *"speed 0", "enter")
        await until(lambda: stage.app.store.links["desk"].state == "ended", "the end")


@pytest.mark.parametrize("typed", ["speed fast", "speed -1", "at noon", "at"])
async def test_a_wrong_moment_or_speed_says_what_is_right(typed: str) -> None:
    async with replayed() as stage:
        await stage.press("colon", *typed, "enter")
        assert any(said.startswith("say :") for said in stage.said())


async def test_live_the_past_is_reached_by_how_long_ago_and_there_is_no_speed(play: Play) -> None:
    async with play() as stage:
        now = stage.app.now()
        await stage.press("colon", *"at -2s", "enter")
        assert stage.app.frozen
        assert now - 2 <= stage.app.moment < now
        await stage.press("colon", *"speed 2", "enter")
        assert any("nly while a recording is played" in said for said in stage.said())


async def test_the_header_tells_that_it_is_recorded_and_that_it_has_stopped(play: Play, tmp_path: Path) -> None:
    with Recorder(tmp_path / "a", limit_bytes=40_000) as recorder:
        async with play(size=(160, 40), recorder=recorder) as stage:
            assert "rec stopped: it has reached its limit" in stage.text
    assert recorder.bytes == (tmp_path / "a").stat().st_size <= 40_000
    assert len(list(read(tmp_path / "a"))) > 2


def fill_the_disk(recorder: Recorder) -> None:
    recorder._file.close()
    recorder._file = Path("/dev/full").open("wb")  # noqa: SIM115 - the recorder closes it


async def test_a_full_disk_ends_the_recording_and_nothing_else(
    play: Play, tmp_path: Path, busy: list[Recorded]
) -> None:
    with Recorder(tmp_path / "a") as recorder:
        fill_the_disk(recorder)
        async with play(size=(160, 40), recorder=recorder) as stage:
            assert "rec stopped: No space left on device" in stage.text
            assert len(stage.app.store.workers) > 0


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ('"at_s":"x"', '"at_s":0'),
        ('"at_s":1e300', '"at_s":0'),
        ('"at_s":-1', '"at_s":0'),
        ('"source":[1]', '"source":"a"'),
        ('"source":null', '"source":"a"'),
        ('"seq":"x"', '"seq":1'),
        ('"at_ns":null', '"at_ns":1'),
        ('"at_ns":99999999999999999999', '"at_ns":1'),
    ],
)
def test_what_is_no_time_name_or_number_is_a_broken_line(tmp_path: Path, wrong: str, right: str) -> None:
    log = '{"invocation":"i","function":"f","worker":"w","stream":"out","text":"x","dropped_bytes":0}'
    event = f'{{"at_ns":1,"kind":"log","what":{log}}}'
    line = f'{{"at_s":0,"source":"a","batch":{{"seq":1,"events":[{event}]}}}}'
    path = tmp_path / "a"
    header = '{"format":"mee6-recording","version":1}\n'
    path.write_text(f"{header}{line}\n")
    assert len(list(read(path))) == 1
    path.write_text(f"{header}{line.replace(right, wrong)}\n")
    with pytest.raises(InvalidInput, match="line 2 is broken"):
        list(read(path))


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("precious")
    with pytest.raises(InvalidInput, match="is there already"):
        Recorder(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "precious"


RECORD = """
import sys, time
from pathlib import Path
from mee6tui.console.recording import Recorder, read
items = list(read(Path(sys.argv[1])))
recorder = Recorder(Path(sys.argv[2]))
while True:
    for recorded in items:
        recorder.note(recorded.source, recorded.item, time.monotonic())
        print(flush=True)
"""


@pytest.mark.slow
def test_what_was_recorded_outlives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", RECORD, str(BUSY), str(path)], stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.kill()
    assert len(list(read(path))) >= 20
