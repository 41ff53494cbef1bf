"""Which moment is shown: now, or while frozen one of the past; a recording stands still meanwhile. No Textual."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mee6tui.console.history import History
    from mee6tui.console.replay import Tape
    from mee6tui.console.store import Store


class Moment:
    """The moment that is shown.

    Args:
        store: the live one.
        now: seconds, monotonic.
        tape: what is played, where that is a recording.
        show: shows another store.
    """

    def __init__(
        self,
        store: Store,
        history: History,
        tape: Tape | None,
        now: Callable[[], float],
        show: Callable[[Store], None],
    ) -> None:
        self._store = store
        self._history = history
        self._tape = tape
        self._now = now
        self._show = show
        self._frozen: float | None = None
        self._frozen_number = 0

    @property
    def frozen(self) -> bool:
        """Whether a moment is shown, and not what is now."""
        return self._frozen is not None

    @property
    def at(self) -> float:
        """The moment, in seconds of the monotonic clock."""
        return self._now() if self._frozen is None else self._frozen

    @property
    def new(self) -> int:
        """How many events came since it was frozen."""
        return self._store.numbered - self._frozen_number

    def freeze(self) -> None:
        """Freezes the view, or goes on."""
        if self._frozen is None:
            self._frozen = self._now()
            self._frozen_number = self._store.numbered
            self._show(self._store.copy())
        else:
            self._frozen = None
            self._show(self._store)
        if self._tape is not None:
            self._tape.paused = self.frozen

    def scrub(self, by_s: float) -> Awaitable[None] | None:
        """Shows how things stood so much later or earlier; a recording is played on to there."""
        if self._frozen is None:
            return None
        wanted = self._frozen + by_s
        if self._tape is not None and wanted > self._now():
            return self._play_to(self._tape, wanted)
        oldest = self._history.oldest
        self._go(max(oldest if oldest is not None else wanted, min(self._now(), wanted)))
        return None

    async def _play_to(self, tape: Tape, wanted: float) -> None:
        await tape.play_to(wanted)
        self._go(tape.now())

    def scrub_event(self, *, back: bool) -> Awaitable[None] | str | None:
        """Shows how things stood at the next event, or the one before; says why where there is none."""
        if self._frozen is None:
            return None
        at = self._history.next_event(self._frozen, back=back)
        if at is None and self._tape is not None and not back and not self._tape.ended:
            return self.scrub(self._tape.next_s - self._frozen)
        if at is None:
            return "nothing happened before that is remembered" if back else "that is the latest event"
        self._go(at)
        return None

    def _go(self, at: float) -> None:
        self._frozen = at
        self._show(self._history.at(at, self._store))
