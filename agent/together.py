"""Results that one caller waits for together, kept until the last of them is there.

A function that gathers goes on only when all of its calls have ended. Each result that is sent sooner wakes its process
for nothing, on a core that the callees still need; so they go out in one write. What is kept is small: results that
come to more are sent at once.
"""

from __future__ import annotations

from typing import Final

from mee6.lane.messages import Result

KEPT_BYTES: Final = 256 << 10
"""Of one gather's results; with more of them on the way a caller has work to do while it waits."""


class Together:
    """The gathers of one workflow whose calls run in other workers."""

    __slots__ = ("_kept", "_open")

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        """Gather -> its calls that have not ended."""
        self._kept: dict[str, list[Result]] = {}

    def asked(self, group: str) -> None:
        """Takes note of a call; `group` is the first of those that are waited for together, empty for one alone."""
        if group:
            self._open[group] = self._open.get(group, 0) + 1

    def ended(self, group: str, result: Result) -> list[Result]:
        """What is to be sent now that a call has ended."""
        if not group:
            return [result]
        self._open[group] -= 1
        kept = self._kept.setdefault(group, [])
        kept.append(result)
        if self._open[group] and sum(len(one.result) for one in kept) < KEPT_BYTES:
            return []
        del self._kept[group]
        if not self._open[group]:
            del self._open[group]
        return kept
