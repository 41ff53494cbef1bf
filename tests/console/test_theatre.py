from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.handover import HandoverState
from mee6.records import Stage, Worker
from mee6tui.console.look import DARK, Palette
from mee6tui.console.widgets.pieces import text_of
from mee6tui.console.widgets.theatre import Theatre
from mee6tui.console.widgets.theatre_picture import Canvas, along, boxes, lane, lines, picture
from mee6tui.console.widgets.theatre_story import KINDS, Player, Story, Told
from tests.console.made import Stage as Shown
from tests.console.made import handover, worker

US = 1_000
ASCII = Palette("ascii", DARK.colors, ascii=True)
TOLD: list[Told] = [
    (0, worker("starting", function="")),
    (200_000 * US, worker("prewarmed", function="")),
    (300_000 * US, worker("loading")),
    (302_000 * US, handover("granted")),
    (302_310 * US, handover("connected")),
    (302_371 * US, handover("direct")),
    (303_100 * US, worker("busy")),
    (303_900 * US, handover("alone")),
    (310_000 * US, worker("warm", 1, via="direct")),
    (320_000 * US, worker("busy", 12, via="direct")),
]
LANES = ["agent>proxy", "proxy>agent", "proxy>runtime", "runtime>proxy", "agent>runtime", "runtime>agent"]


def shown(position: float, *, width: int = 80, height: int = 24, palette: Palette = DARK) -> str:
    player = Player(Story(TOLD), position=position)
    return "\n".join(text_of(line).rstrip() for line in lines(player, "w3", width, height, palette=palette))


# -- the story


def test_beats_are_what_changes_the_picture_with_the_time_between() -> None:
    story = Story(TOLD)
    assert [beat.name for beat in story.beats] == ["starting", "prewarmed", "granted", "connected", "confirmed", "left"]
    assert story.waits() == [0, 200_000 * US, 102_000 * US, 310 * US, 61 * US, 1529 * US]
    assert story.state == "alone"
    assert story.missing() == []


def test_every_state_of_a_handover_is_a_beat() -> None:
    assert {kind.handover for kind in KINDS.values()} - {""} == set(HandoverState)


def test_records_are_put_in_order() -> None:
    assert Story(reversed(TOLD)).beats == Story(TOLD).beats


def test_calls_are_counted_by_the_way_they_went() -> None:
    story = Story(TOLD)
    assert [(scene.proxied, scene.direct) for scene in (story.scene(0), story.scene(5), story.scene(6))] == [
        (0, 0), (0, 0), (1, 11),
    ]  # fmt: skip


def test_a_handover_that_failed_says_why() -> None:
    story = Story([(0, worker("prewarmed")), (1, handover("granted")), (2, handover("proxied", "took too long"))])
    assert [beat.name for beat in story.beats] == ["prewarmed", "granted", "kept"]
    assert "took too long" in "\n".join(text_of(line) for line in lines(Player(story), "w3", 100, 30))
    story.tell(3, handover("granted"))
    assert story.state == "granted"


def test_stages_are_told_by_the_agents_own_times() -> None:
    stages = [Stage("requested", 300), Stage("granted", 310), Stage("connected", 700), Stage("confirmed", 760)]
    story = Story([(0, worker("prewarmed"))])
    for count in range(1, 5):
        story.tell(10_000 + count, handover("granted", stages=tuple(stages[:count])))
    assert [(beat.name, beat.at_ns) for beat in story.beats] == [
        ("prewarmed", 0), ("requested", 300), ("granted", 310), ("connected", 700), ("confirmed", 760),
    ]  # fmt: skip
    assert story.missing() == ["left"]


def test_the_same_state_told_twice_is_one_beat() -> None:
    story = Story(TOLD)
    for at, what in TOLD:
        story.tell(at, what)
    assert len([beat for beat in story.beats if beat.name == "starting"]) == 1


def test_a_story_is_bounded_but_keeps_its_beats_and_counts() -> None:
    story = Story(TOLD[:8])
    for number in range(20_000):
        story.tell(400_000 * US + number, worker("busy" if number % 2 else "warm", number, via="direct"))
    assert [beat.name for beat in story.beats][-1] == "left"
    assert len(story._at) <= 4_000
    assert story.scene(99).direct == 19_999


@given(st.floats(-1, 9), st.floats(0, 1))
def test_time_goes_on_with_the_position(position: float, by: float) -> None:
    story = Story(TOLD)
    assert story.time_at(position) <= story.time_at(position + by)


def test_an_empty_story_has_a_scene() -> None:
    assert Story().scene(3.5).beat is None
    assert "no worker" in text_of(lines(Player(Story()), "", 80, 24)[0])


# -- the player


def test_a_beat_takes_as_long_as_it_is_to_be_seen() -> None:
    player = Player(Story(TOLD), beat_s=1.0)
    player.tick(10.0)
    assert player.position == 0
    player.tick(12.5)
    assert player.position == 2.5
    player.faster(2.0)
    player.tick(13.0)
    assert player.position == 3.5
    player.tick(99.0)
    assert player.is_at_end


def test_it_stops_steps_and_begins_again() -> None:
    player = Player(Story(TOLD), position=2.5)
    player.toggle()
    player.tick(0.0)
    player.tick(9.0)
    assert player.position == 2.5
    player.step(1)
    assert player.position == 3
    player.step(-1)
    assert player.position == 2
    player.position = player.end
    player.toggle()
    assert (player.position, player.playing) == (0.0, True)


@given(st.lists(st.sampled_from([1, -1]), max_size=20))
def test_steps_stay_within_the_story(steps: list[int]) -> None:
    player = Player(Story(TOLD))
    for by in steps:
        player.step(by)
        assert 0 <= player.position <= player.end


# -- the picture


def dots(canvas: Canvas) -> list[tuple[int, int]]:
    """Where something is on its way: the dot in a box says that a worker is busy."""
    right = boxes(canvas.width)["runtime"].x
    return [(x, y) for y, cells in enumerate(canvas.cells) for x, cell in enumerate(cells[:right]) if cell[0] == "●"]


@given(st.integers(52, 220))
def test_boxes_do_not_touch_and_stand_within(width: int) -> None:
    found = boxes(width)
    assert found["agent"].x >= 0
    assert found["agent"].right + 1 < found["proxy"].x
    assert found["proxy"].right + 1 < found["runtime"].x
    assert found["runtime"].right < width


@given(st.integers(52, 220), st.sampled_from(LANES))
def test_lanes_are_unbroken_and_the_same_both_ways(width: int, name: str) -> None:
    found = boxes(width)
    path = lane(name, found)
    steps = [abs(x - u) + abs(y - v) for (x, y), (u, v) in pairwise(path)]
    assert set(steps) <= {1}
    source, _, target = name.partition(">")
    assert lane(f"{target}>{source}", found) == path[::-1]


@given(st.floats(0, 1))
def test_a_dot_is_always_on_its_lane(progress: float) -> None:
    path = lane("agent>runtime", boxes(80))
    assert along(path, progress) in path


@pytest.mark.parametrize(
    ("position", "present", "absent"),
    [
        (1.9, ["proxied", "relays", "prewarmed"], ["lane"]),
        (2.9, ["granted", "a lane is offered", "loading"], ["direct lane"]),
        (3.9, ["connected", "new lane", "relays"], ["direct lane"]),
        (4.9, ["direct", "is done", "direct lane"], ["relays"]),
        (6.0, ["alone", "has left", "direct lane", "11 ━"], ["relays"]),
    ],
)
def test_each_stage_has_its_picture(position: float, present: list[str], absent: list[str]) -> None:
    found = shown(position)
    assert [word for word in present if word not in found] == []
    head = "\n".join(found.split("\n")[:12])
    assert [word for word in absent if word in head] == []


@pytest.mark.parametrize("position", [1.1, 2.2, 2.7, 3.3, 4.5])
def test_something_moves_while_a_stage_comes(position: float) -> None:
    story = Story([one for one in TOLD if not isinstance(one[1], Worker) or one[1].state != "busy"])
    moving, resting = (picture(story.scene(at), story, 80) for at in (position, int(position) + 0.95))
    assert dots(moving)
    assert not dots(resting)


def test_calls_pass_on_the_lane_that_they_take() -> None:
    story = Story(TOLD)
    direct = picture(story.scene(6), story, 80, pulse=0.25)
    early = Story([*TOLD[:3], (301_000 * US, worker("busy"))])
    before = picture(early.scene(9), early, 80, pulse=0.1)
    assert [y for _, y in dots(direct)] == [8]
    assert [y for _, y in dots(before)] == [3]


def test_times_between_the_stages_are_told() -> None:
    found = shown(6)
    for took in ("+200ms", "+102ms", "+310us", "+61us", "+1.53ms"):
        assert took in found


@pytest.mark.parametrize(("width", "height"), [(80, 24), (52, 14), (200, 50), (80, 8), (80, 1)])
def test_it_keeps_within_its_size(width: int, height: int) -> None:
    player = Player(Story(TOLD), position=3.3)
    found = lines(player, "w3", width, height)
    assert len(found) <= height
    assert "w3" in text_of(found[0])


def test_ascii_is_ascii() -> None:
    assert all(shown(position / 2, palette=ASCII).isascii() for position in range(13))


# -- the widget


async def test_a_story_is_played_by_the_frame_clock() -> None:
    theatre = Theatre()
    app = Shown(theatre)
    async with app.run_test(size=(80, 24)) as pilot:
        theatre.set_story("w3", TOLD)
        theatre.flush(0.0)
        assert "playing 1 of 6" in app.lines[0]
        theatre.flush(2.0)
        assert "playing 3 of 6" in app.lines[0]
        await pilot.press("right")
        theatre.flush(2.1)
        assert "stopped 4 of 6" in app.lines[0]
        await pilot.press("plus", "space")
        theatre.flush(2.2)
        assert "playing 4 of 6, 2x" in app.lines[0]
        theatre.flush(60.0)
        assert "alone" in app.lines[0]


async def test_what_happens_now_is_played_from_there_on() -> None:
    theatre = Theatre()
    app = Shown(theatre)
    async with app.run_test(size=(80, 24)):
        theatre.set_story("w3", TOLD[:3], play=False)
        theatre.flush(0.0)
        assert "shown 2 of 2" in app.lines[0]
        for at, what in TOLD[3:]:
            theatre.put(at, what)
        theatre.flush(0.1)
        assert "playing 3 of 6" in app.lines[0]
        theatre.flush(30.0)
        assert "has left" in "\n".join(app.lines)


async def test_nothing_is_drawn_where_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    theatre = Theatre()
    app = Shown(theatre)
    async with app.run_test(size=(80, 24)):
        theatre.set_story("w3", TOLD[:-1], play=False)
        theatre.flush(0.0)
        painted: list[object] = []
        monkeypatch.setattr(theatre, "refresh", lambda *regions, **_: painted.extend(regions))
        theatre.flush(0.5)
        assert painted == []
