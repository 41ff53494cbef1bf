"""What functions call, learnt from their runs: which, with what chance, how often, and how long after they begin.

Pure: time comes in as seconds since 1970, since what is known outlives the agent. Each function has one entry, by its
user and name; a new version begins with what the earlier one taught, at half its weight, and of that only what it
still declares counts. Old runs weigh less and less. Before anything is learnt a function that declares one
dependency is taken to call it, and of several each one less surely than the one named before it.

A guess is a function that was loaded ahead: a hit where it was called, else a miss. A pair of which most guesses
missed is let alone until the misses have lost their weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

HALF_LIFE_S: Final = 3600.0
"""After which a run, a hit or a miss counts half."""
PRIOR_RUNS: Final = 2.0
"""Runs that what is declared counts for; so after ten runs what was seen counts five times that."""
WORTH: Final = 0.3
"""The least chance of a call that it is told of."""
MOST_MISSES: Final = 0.5
"""Of a pair's guesses; above that it is let alone."""
FEWEST_GUESSES: Final = 4.0
"""Guesses, by their weight, that say anything about a pair."""
KEPT_TIMES: Final = 16
"""Delays and load times remembered of each, the latest."""
MAX_FUNCTIONS: Final = 4096
"""Entries; the one that was not touched for longest goes first."""
MAX_CALLEES: Final = 32
"""Of one function, those that it calls most."""
FIRST_LEAD_NS: Final = {"python": 10_000_000, "nodejs": 80_000_000}
"""What it takes to start a runtime and load a function, until that has been seen. Source: the chain of
`tests/benchmarks/ahead.py` without look-ahead, rounded up."""

Name = tuple[str, str]
"""(user, function)."""


class Pair(msgspec.Struct):
    """What is known of one function's calls of another."""

    called: float = 0.0
    """Runs that made such a call, by weight."""
    calls: float = 0.0
    """The calls in them, by weight."""
    delays_ns: list[int] = []
    """From the beginning of the run to its first call."""
    hits: float = 0.0
    """By weight; likewise the misses."""
    misses: float = 0.0

    def fade(self, by: float) -> None:
        """Has all weigh less."""
        self.called *= by
        self.calls *= by
        self.hits *= by
        self.misses *= by

    @property
    def is_off(self) -> bool:
        """Whether it has been guessed wrong too often."""
        guesses = self.hits + self.misses
        return guesses >= FEWEST_GUESSES and self.misses / guesses > MOST_MISSES


class Known(msgspec.Struct):
    """What is known of one function."""

    version: int = 0
    at_s: float = 0.0
    """When its weights were last brought up to date."""
    runs: float = 0.0
    """By weight."""
    calls: dict[str, Pair] = {}
    loads_ns: list[int] = []
    """How long it took to start a runtime and load it."""


class Run(msgspec.Struct, frozen=True):
    """One run of a function that has ended."""

    user: str
    function: str
    version: int
    calls: tuple[tuple[str, int], ...]
    """(callee, nanoseconds from the beginning of the run), in any order."""


class Foreseen(msgspec.Struct, frozen=True):
    """One function that another is expected to call."""

    function: str
    chance: float
    """0 to 1."""
    width: float
    """Calls of a run that makes any."""
    after_ns: int
    """When the first comes, early rather than late; 0 = at once, or not known."""
    lead_ns: int
    """What it takes to have it ready, long rather than short."""
    runs: float
    """By weight, that this was learnt from; 0 = it is only declared."""
    hits: float
    misses: float
    is_off: bool
    """Not loaded ahead for now: too many guesses missed."""

    @property
    def is_worth_it(self) -> bool:
        """Whether to load it ahead."""
        return self.chance >= WORTH and not self.is_off


@dataclass(slots=True)
class Patterns:
    """All that is known, of all users' functions."""

    known: dict[Name, Known] = field(default_factory=dict)
    """The one touched last comes last."""
    changed: set[Name] = field(default_factory=set)
    """What differs from what was kept last; whoever keeps it empties this."""

    def observe(self, run: Run, now_s: float) -> None:
        """Learns from a run."""
        one = self._touch((run.user, run.function), now_s)
        if run.version > one.version:
            if one.version:
                _fade(one, 0.5)
            one.version = run.version
        one.runs += 1
        first: dict[str, int] = {}
        for callee, delay_ns in run.calls:
            pair = one.calls.get(callee)
            if pair is None:
                pair = one.calls[callee] = Pair()
            pair.calls += 1
            first[callee] = min(first.get(callee, delay_ns), delay_ns)
        for callee, delay_ns in first.items():
            pair = one.calls[callee]
            pair.called += 1
            _note(pair.delays_ns, max(delay_ns, 0))
        while len(one.calls) > MAX_CALLEES:  # of those called least the oldest, or nothing new would ever come in
            del one.calls[min(one.calls, key=lambda name: one.calls[name].called)]

    def took(self, user: str, function: str, took_ns: int, now_s: float) -> None:
        """Learns how long a start and a load took."""
        _note(self._touch((user, function), now_s).loads_ns, took_ns)

    def guessed(self, user: str, caller: str, function: str, *, used: bool, now_s: float) -> None:
        """Learns what became of a guess; of a pair never seen to call, too."""
        pair = self._touch((user, caller), now_s).calls.setdefault(function, Pair())
        if used:
            pair.hits += 1
        else:
            pair.misses += 1

    def expected(
        self,
        user: str,
        caller: str,
        declared: Sequence[tuple[str, str]],
        now_s: float,
        *,
        learnt: bool = True,
        chances: Mapping[str, float] | None = None,
    ) -> list[Foreseen]:
        """What a function will call, in the order that it declares.

        Args:
            declared: (callee, its language) of its dependencies; of no others anything is told.
            learnt: whether what was learnt counts; else only what is declared.
            chances: what is declared of each, where more is than their order: those of a declared workflow's graph.
        """
        one = self.known.get((user, caller)) if learnt else None
        fade = _fading(one.at_s, now_s) if one is not None else 1.0
        found = []
        for place, (name, language) in enumerate(declared):
            pair = (one.calls.get(name) if one is not None else None) or Pair()
            runs = one.runs * fade if one is not None else 0.0
            called, guesses = pair.called * fade, (pair.hits + pair.misses) * fade
            callee = self.known.get((user, name))
            loads_ns = callee.loads_ns if callee is not None else []
            before = prior(place) if chances is None else chances.get(name, 0.0)
            found.append(
                Foreseen(
                    function=name,
                    chance=min(1.0, (before * PRIOR_RUNS + called) / (PRIOR_RUNS + runs)),
                    width=pair.calls / pair.called if pair.called else 1.0,
                    after_ns=_at(pair.delays_ns, 0.1) if learnt else 0,
                    lead_ns=_at(loads_ns, 0.9) if loads_ns else FIRST_LEAD_NS.get(language, 0),
                    runs=runs,
                    hits=pair.hits * fade,
                    misses=pair.misses * fade,
                    is_off=pair.is_off and guesses >= FEWEST_GUESSES,
                )
            )
        return found

    def forget(self, user: str, function: str) -> None:
        """Drops what is known of a function that was removed."""
        if self.known.pop((user, function), None) is not None:
            self.changed.add((user, function))

    def _touch(self, name: Name, now_s: float) -> Known:
        one = self.known.pop(name, None) or Known(at_s=now_s)
        _fade(one, _fading(one.at_s, now_s))
        one.at_s = max(one.at_s, now_s)
        self.known[name] = one
        self.changed.add(name)
        if len(self.known) > MAX_FUNCTIONS:
            oldest = next(iter(self.known))
            del self.known[oldest]
            self.changed.add(oldest)
        return one


def prior(place: int) -> float:
    """The chance of a call that is only declared, at this place among the declared ones, from 0: 1, 1/2, 1/3 ..."""
    return 1 / (place + 1)


def pack(one: Known) -> bytes:
    """What is known of a function, to keep."""
    return _encode(one)


def unpack(rows: Iterable[tuple[str, str, bytes]]) -> Patterns:
    """What was kept: (user, function, `pack`ed) each. What cannot be read is left out: it can be learnt again."""
    kept = []
    for user, function, data in rows:
        try:
            kept.append(((user, function), _decode(data)))
        except msgspec.MsgspecError:
            continue
    kept.sort(key=lambda row: row[1].at_s)
    return Patterns(dict(kept[-MAX_FUNCTIONS:]))


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Known).decode


def _fading(since_s: float, now_s: float) -> float:
    """By how much weights go down; a clock that was set back does nothing."""
    return float(0.5 ** (max(0.0, now_s - since_s) / HALF_LIFE_S))


def _fade(one: Known, by: float) -> None:
    if by < 1.0:
        one.runs *= by
        for pair in one.calls.values():
            pair.fade(by)


def _note(times: list[int], time_ns: int) -> None:
    times.append(time_ns)
    if len(times) > KEPT_TIMES:
        del times[0]


def _at(times: Sequence[int], share: float) -> int:
    return sorted(times)[min(int(share * len(times)), len(times) - 1)] if times else 0
