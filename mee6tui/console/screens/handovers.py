"""The table of handovers: the last of each worker, also of workers that are gone, with what each of its parts took."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, Final

from mee6.records import Handover
from mee6tui.cli.units import duration
from mee6tui.console import look
from mee6tui.console.commands import Key
from mee6tui.console.look import clock_time
from mee6tui.console.screens.table_page import Row, TablePage
from mee6tui.console.store import Store
from mee6tui.console.widgets.columns import Column

KEPT: Final = 2_000
"""Rows, at most; the oldest go."""


class Handovers(TablePage):
    """How proxies left the path."""

    NAME, TITLE, KEY, KIND = "handovers", "handovers", "7", "handover"
    HELP = "How each worker's proxy gave its runtime to the agent: how far it came, and what each part of it took."
    SORT, CLI, EMPTY = (
        "-asked",
        "mee6 watch --kind handover",
        "none yet: the first call of a new worker brings one",
    )

    def is_old_row(self, row: Row) -> bool:  # noqa: ARG002 - whatever it is
        """What happened has happened."""
        return False

    def columns(self) -> list[Column[Row]]:
        """What a handover is."""
        return [
            Column("asked", "ASKED", 12, self._asked, lambda row: asked_ns(row[1])),
            Column("worker", "WORKER", 7, lambda row: row[1].worker),
            self.state(look.HANDOVERS),
            Column("function", "FUNCTION", 16, lambda row: row[1].function),
            Column("took", "TOOK", 8, _took, lambda row: took_ns(row[1]), right=True),
            Column("granted", "GRANTED", 8, _part("granted"), right=True, priority=2),
            Column("connected", "CONNECT", 8, _part("connected"), right=True, priority=2),
            Column("confirmed", "CONFIRM", 8, _part("confirmed"), right=True, priority=2),
            Column("gone", "LEFT", 8, _part("gone"), right=True, priority=2),
            Column("user", "USER", 8, lambda row: row[1].username, tone=lambda _row: "quiet", priority=4),
            Column(
                "invocation", "INVOCATION", 14, lambda row: row[1].invocation, tone=lambda _row: "quiet", priority=3
            ),
            Column(
                "reason", "REASON", 14, lambda row: row[1].reason, tone=lambda _row: "warning", priority=1, grows=True
            ),
        ]

    def records(self, store: Store) -> Iterable[tuple[Key, Any]]:
        """Of workers that are, and of those that events still tell of."""
        found: dict[Key, Handover] = {}
        for happened in store.events:
            if isinstance(happened.event.what, Handover):
                found[happened.source, happened.event.what.worker] = happened.event.what
        return (found | store.handovers).items()

    def reader(self, store: Store) -> Callable[[Key], Any]:
        """Of all; one stays when its worker goes."""

        def read(key: Key) -> Any:
            row = self.table.rows.get(key)
            return store.handovers.get(key) or (row[1] if row else None)

        return read

    def flush(self, now: float) -> None:
        """Keeps the newest."""
        if self._changes and len(self.table.rows) + len(self._changes) > KEPT:
            oldest = sorted(self.table.rows, key=lambda key: asked_ns(self.table.rows[key][1]))
            for key in oldest[: len(oldest) + len(self._changes) - KEPT * 9 // 10]:
                self.table.drop(key)
        super().flush(now)

    def _asked(self, row: Row) -> str:
        at = asked_ns(row[1])
        return clock_time(self.store.wall_ns(row[0][0], at), millis=True) if at else ""


def asked_ns(handover: Handover) -> int:
    """When the proxy asked to leave; 0 where that is not told."""
    return handover.stages[0].at_ns if handover.stages else 0


def took_ns(handover: Handover) -> int:
    """From its first stage to its last."""
    return handover.stages[-1].at_ns - handover.stages[0].at_ns if handover.stages else 0


def _took(row: Row) -> str:
    return duration(took_ns(row[1])) if len(row[1].stages) > 1 else ""


def _part(name: str) -> Any:
    """What a stage took since the one before it."""

    def text(row: Row) -> str:
        found = (later.at_ns - stage.at_ns for stage, later in pairwise(row[1].stages) if later.name == name)
        took = next(found, None)
        return duration(took) if took is not None else ""

    return text
