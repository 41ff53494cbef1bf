"""A worker's handover as a story: beats in order, each with its time and what moves in it; and the time between. Pure.

Beats come of records. They take microseconds, too short to be seen, so a play counts in beats and not in seconds: a
position of 2.5 is half-way into beat 2. What happens between beats (calls, pauses) is found by its time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from mee6.records import Handover, Worker

Told = tuple[int, Handover | Worker]
"""When, nanoseconds on the agent's clock, and what."""

MOST: Final = 4_000
"""Records of one worker that are kept; beats are never dropped."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a beat is about."""

    handover: str
    """The handover's state from then on; empty where it has none."""
    words: str
    moves: tuple[str, ...] = ()
    """Lanes that something runs along, one after the other: `proxy>agent`."""


KINDS: Final[Mapping[str, Kind]] = {
    "starting": Kind("proxied", "the driver starts the worker"),
    "prewarmed": Kind("proxied", "the proxy has connected: calls go through it", ("proxy>agent",)),
    "requested": Kind("proxied", "the proxy asks to leave", ("proxy>agent",)),
    "granted": Kind("granted", "the agent gave a token for the runtime", ("agent>proxy", "proxy>runtime")),
    "connected": Kind("connected", "the runtime has connected to the agent", ("runtime>agent",)),
    "confirmed": Kind("direct", "the proxy confirmed: calls go to the runtime", ("proxy>agent",)),
    "left": Kind("alone", "the proxy has left the path"),
    "kept": Kind("proxied", "no handover: the proxy keeps its runtime"),
    "ended": Kind("", "the worker has ended"),
}
"""By name, in the order in which they come."""

_BY_STATE: Final = {
    "granted": "granted",
    "connected": "connected",
    "direct": "confirmed",
    "alone": "left",
    "proxied": "kept",
}
"""What a handover's state says has come about, where its stages are not told."""
_BY_STAGE: Final = {
    "requested": "requested",
    "granted": "granted",
    "connected": "connected",
    "confirmed": "confirmed",
    "gone": "left",
    "failed": "kept",
}
_OF_WORKER: Final = {"starting": "starting", "prewarmed": "prewarmed", "gone": "ended"}
_AHEAD: Final = ("granted", "connected", "confirmed", "left")


@dataclass(frozen=True, slots=True)
class Beat:
    """Something that changes the picture."""

    at_ns: int
    name: str
    """A key of `KINDS`."""
    reason: str = ""

    @property
    def kind(self) -> Kind:
        """What it is about."""
        return KINDS[self.name]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen at a position."""

    beat: Beat | None
    progress: float
    """How far the beat has come, 0 to 1."""
    at_ns: int
    handover: str
    """The handover's state; `proxied` until something else is told."""
    worker: Worker | None
    proxied: int
    """Calls that went through the proxy until now."""
    direct: int


class Story:
    """What is known of one worker."""

    def __init__(self, told: Iterable[Told] = ()) -> None:
        self.beats: list[Beat] = []
        self.pid = 0
        self.told = 0
        """How many records there have been."""
        self._at: list[int] = []
        self._workers: list[Worker] = []
        self._calls: list[tuple[int, int]] = []
        """After each record, calls through the proxy and direct ones."""
        for at_ns, what in sorted(told, key=lambda one: one[0]):
            self.tell(at_ns, what)

    def tell(self, at_ns: int, what: Handover | Worker) -> None:
        """Takes what came next.

        Args:
            at_ns: not before what was told last; if it is, it counts as that.
        """
        self.told += 1
        if isinstance(what, Handover):
            self._tell_handover(at_ns, what)
        else:
            self._tell_worker(at_ns, what)

    def _tell_handover(self, at_ns: int, what: Handover) -> None:
        self.pid = what.runtime_pid or self.pid
        for stage in what.stages:  # each record tells all of them, with the agent's own times
            name = _BY_STAGE.get(stage.name, "")
            beat = Beat(stage.at_ns, name, what.reason if name == "kept" else "")
            if name and beat not in self.beats:
                self._add(beat)
        name = _BY_STATE.get(what.state, "")
        if not what.stages and name and what.state != self.state:
            self._add(Beat(at_ns, name, what.reason))

    def _tell_worker(self, at_ns: int, what: Worker) -> None:
        before = self._workers[-1] if self._workers else None
        at_ns = max(at_ns, self._at[-1]) if self._at else at_ns
        self.pid = what.runtime_pid or self.pid
        calls = self._calls[-1] if self._calls else (0, 0)
        fresh = max(0, what.invocations - before.invocations) if before else what.invocations
        is_direct = (before or what).via == "direct"  # a call that has ended went the way that there was before
        self._calls.append((calls[0], calls[1] + fresh) if is_direct else (calls[0] + fresh, calls[1]))
        self._at.append(at_ns)
        self._workers.append(what)
        name = _OF_WORKER.get(what.state, "")
        if name and all(beat.name != name for beat in self.beats):
            self._add(Beat(at_ns, name, what.reason))
        if len(self._at) > MOST:
            cut = MOST // 4
            del self._at[:cut], self._workers[:cut], self._calls[:cut]

    def _add(self, beat: Beat) -> None:
        place = bisect_right(self.beats, beat.at_ns, key=lambda one: one.at_ns)
        self.beats.insert(place, beat)

    @property
    def state(self) -> str:
        """The handover's, as far as it has come."""
        return self._state_at(len(self.beats) - 1)

    def _state_at(self, place: int) -> str:
        return next((beat.kind.handover for beat in reversed(self.beats[: place + 1]) if beat.kind.handover), "proxied")

    @property
    def last(self) -> Worker | None:
        """The worker as it was told last."""
        return self._workers[-1] if self._workers else None

    def scene(self, position: float) -> Scene:
        """What is to be seen: at the end of all beats, all that has been told."""
        if not self.beats:
            calls = self._calls[-1] if self._calls else (0, 0)
            return Scene(None, 1.0, self._at[-1] if self._at else 0, self.state, self.last, *calls)
        place = min(max(int(position), 0), len(self.beats) - 1)
        progress = min(max(position - place, 0.0), 1.0)
        beat = self.beats[place]
        at = self.time_at(position)
        found = bisect_right(self._at, at) - 1
        worker = self._workers[max(found, 0)] if self._workers else None
        calls = self._calls[found] if found >= 0 else (0, 0)
        return Scene(beat, progress, at, self._state_at(place), worker, *calls)

    def time_at(self, position: float) -> int:
        """The time at a position: between two beats in proportion, after the last beat what was told last."""
        if not self.beats:
            return self._at[-1] if self._at else 0
        place = min(max(int(position), 0), len(self.beats) - 1)
        start = self.beats[place].at_ns
        if place + 1 < len(self.beats):
            return int(start + (self.beats[place + 1].at_ns - start) * min(max(position - place, 0.0), 1.0))
        return max(start, self._at[-1] if self._at else start) if position >= place + 1 else start

    def waits(self) -> list[int]:
        """For each beat, nanoseconds since the one before; 0 for the first."""
        return [0, *(later.at_ns - beat.at_ns for beat, later in pairwise(self.beats))] if self.beats else []

    def missing(self) -> list[str]:
        """The beats that the handover has yet to come to."""
        if self.beats and self.beats[-1].name == "ended":
            return []
        come = [place for place, name in enumerate(_AHEAD) if KINDS[name].handover == self.state]
        return list(_AHEAD[come[0] + 1 :]) if come else list(_AHEAD)


@dataclass(slots=True)
class Player:
    """A position that moves through a story by itself.

    Args:
        beat_s: how long a beat is shown at speed 1, seconds.
    """

    story: Story
    beat_s: float = 0.9
    speed: float = 1.0
    playing: bool = True
    position: float = 0.0
    _last: float | None = None

    @property
    def end(self) -> float:
        """The position after the last beat."""
        return float(len(self.story.beats))

    @property
    def is_at_end(self) -> bool:
        """Whether all has been shown."""
        return self.position >= self.end

    def tick(self, now: float) -> bool:
        """Moves on to a time, seconds, monotonic.

        Returns:
            Whether the position has changed.
        """
        passed = 0.0 if self._last is None else max(0.0, now - self._last)
        self._last = now
        if not self.playing or self.is_at_end:
            return False
        self.position = min(self.end, self.position + passed * self.speed / self.beat_s)
        return passed > 0

    def toggle(self) -> None:
        """Stops or goes on; at the end, begins again."""
        if self.is_at_end:
            self.position, self.playing = 0.0, True
        else:
            self.playing = not self.playing

    def step(self, by: int) -> None:
        """Goes to the end of the next beat or of the one before, and stops there."""
        self.playing = False
        place = int(self.position) + by if self.position == int(self.position) else int(self.position) + (by > 0)
        self.position = float(min(max(place, 0), len(self.story.beats)))

    def faster(self, factor: float) -> None:
        """Plays at another speed, an eighth to eight times."""
        self.speed = min(8.0, max(0.125, self.speed * factor))
