"""The tables of workers, functions, invocations and nodes."""

from __future__ import annotations

from collections.abc import Callable

from mee6tui.cli.units import duration
from mee6tui.console import look
from mee6tui.console.look import bytes_, clock_time, count, numbered
from mee6tui.console.screens.table_page import Row, TablePage, quiet
from mee6tui.console.store import Store
from mee6tui.console.widgets.columns import Column


def _cpu(row: Row) -> str:
    return f"{row[1].cpu * 100:.0f}%" if row[1].cpu >= 0.005 else ""


class Workers(TablePage):
    """The sandboxes."""

    NAME, TITLE, KEY, KIND = "workers", "workers", "2", "worker"
    HELP = "Every sandbox of every node: what it holds, what it does, what it uses. Those that are gone stay for 8 s."
    SORT, CLI, EMPTY = "worker", "mee6 worker ls", "no workers yet"

    def columns(self) -> list[Column[Row]]:
        """What a worker is."""
        return [
            Column("worker", "WORKER", 8, lambda row: row[1].id, sort=lambda row: numbered(row[1].id), steady=True),
            self.state(look.WORKERS),
            Column("function", "FUNCTION", 16, lambda row: row[1].function or row[1].reason, grows=True, flashes=True),
            Column("for", "FOR", 5, self._for, sort=lambda row: -row[1].since_ns, tone=quiet, right=True, priority=2),
            Column(
                "runs", "RUNS", 6, lambda row: count(row[1].invocations), lambda row: row[1].invocations, right=True
            ),
            Column(
                "memory",
                "MEMORY",
                9,
                lambda row: bytes_(row[1].memory_bytes) if row[1].memory_bytes else "",
                lambda row: row[1].memory_bytes,
                right=True,
                priority=1,
            ),
            Column("cpu", "CPU", 5, _cpu, lambda row: row[1].cpu, right=True, priority=1),
            Column("via", "VIA", 6, lambda row: row[1].via, tone=quiet, priority=5),
            Column("pool", "POOL", 8, lambda row: row[1].pool, tone=quiet, priority=3),
            Column("user", "USER", 8, lambda row: row[1].username, tone=quiet, priority=4),
            Column("invocation", "INVOCATION", 14, lambda row: row[1].invocation, tone=quiet, priority=6),
        ]

    def _for(self, row: Row) -> str:
        return self.ago(row[0][0], row[1].since_ns)


class Functions(TablePage):
    """What can be invoked."""

    NAME, TITLE, KEY, KIND = "functions", "functions", "3", "function"
    HELP = (
        "The functions of all users, with how their invocations of the last minutes went, and the calls of other "
        "functions among them."
    )
    SORT, CLI, EMPTY = "function", "mee6 act ls", "no functions yet; n adds one"

    def columns(self) -> list[Column[Row]]:
        """What a function is."""
        return [
            Column("function", "FUNCTION", 14, lambda row: row[1].name, grows=True),
            Column(
                "version", "VER", 4, lambda row: f"v{row[1].version}", lambda row: row[1].version, quiet, right=True
            ),
            Column("runtime", "RUNTIME", 8, lambda row: row[1].runtime, tone=quiet, priority=3),
            Column("kind", "KIND", 8, lambda row: "workflow" if row[1].is_workflow else "", tone=quiet, priority=4),
            Column("workers", "WORKERS", 7, lambda row: str(self._workers(row) or ""), self._workers, right=True),
            Column("rate", "RATE/S", 6, self._rate, lambda row: self._of(row, "rate"), right=True),
            Column("p50", "P50", 7, self._time("p50_ms"), lambda row: self._of(row, "p50_ms"), right=True),
            Column("p99", "P99", 7, self._time("p99_ms"), lambda row: self._of(row, "p99_ms"), right=True, priority=1),
            Column(
                "runs", "RUNS", 6, self._count_of("invocations"), lambda row: self._of(row, "invocations"), right=True
            ),
            Column(
                "failed",
                "FAILED",
                6,
                self._count_of("failures"),
                lambda row: self._of(row, "failures"),
                lambda row: "error" if self._of(row, "failures") else "quiet",
                right=True,
                priority=2,
            ),
            Column(
                "cold", "COLD", 5, self._count_of("cold"), lambda row: self._of(row, "cold"), right=True, priority=3
            ),
            Column("user", "USER", 8, lambda row: row[1].username, tone=quiet, priority=5),
        ]

    def _of(self, row: Row, name: str) -> float:
        figures = self.store.figures.get(row[0])
        return float(getattr(figures, name)) if figures else 0.0

    def _rate(self, row: Row) -> str:
        value = self._of(row, "rate")
        return look.rate(value) if value else ""

    def _time(self, name: str) -> Callable[[Row], str]:
        return lambda row: look.milliseconds(self._of(row, name))

    def _count_of(self, name: str) -> Callable[[Row], str]:
        return lambda row: count(value) if (value := self._of(row, name)) else ""

    def _workers(self, row: Row) -> int:
        return self._held.get((row[0][0], row[1].username, row[1].name), 0)

    def __init__(self) -> None:
        self._held: dict[tuple[str, str, str], int] = {}
        self._counted_at = float("-inf")
        super().__init__()

    def show_store(self, store: Store) -> None:
        """Counts the workers first."""
        self._count(store)
        super().show_store(store)

    def flush(self, now: float) -> None:
        """Counts the workers of each once a second."""
        if now - self._counted_at >= 1.0:
            self._counted_at = now
            self._count(self.store)
        super().flush(now)

    def _count(self, store: Store) -> None:
        self._held.clear()
        for (source, _id), worker in store.workers.items():
            if worker.function and worker.state != "gone":
                key = (source, worker.username, worker.function)
                self._held[key] = self._held.get(key, 0) + 1


class Invocations(TablePage):
    """The calls from outside."""

    NAME, TITLE, KEY, KIND = "invocations", "invocations", "4", "invocation"
    HELP = "The calls from outside, newest first; enter shows what one did, step by step."
    SORT, CLI, EMPTY = "-began", "mee6 trace", "no invocations yet; i makes one"

    def columns(self) -> list[Column[Row]]:
        """What an invocation is."""
        return [
            Column("began", "BEGAN", 8, self._began, lambda row: row[1].accepted_ns, tone=quiet, steady=True),
            Column("function", "FUNCTION", 16, lambda row: row[1].function, grows=True),
            self.state(look.INVOCATIONS),
            Column("took", "TOOK", 7, self._took, self._took_ns, right=True),
            Column("start", "START", 9, lambda row: row[1].start, tone=_start_tone),
            Column("worker", "WORKER", 8, lambda row: row[1].worker, tone=quiet, priority=1),
            Column("user", "USER", 8, lambda row: row[1].username, tone=quiet, priority=4),
            Column("version", "VER", 4, lambda row: f"v{row[1].version}", tone=quiet, right=True, priority=5),
            Column("id", "ID", 12, lambda row: row[1].id, tone=quiet, priority=3),
            Column("error", "ERROR", 16, _first_error, tone=lambda _row: "error", priority=2, grows=True),
        ]

    def is_old_row(self, row: Row) -> bool:
        """One that has ended is what it is."""
        return not row[1].ended_ns and super().is_old_row(row)

    def _began(self, row: Row) -> str:
        return clock_time(self.store.wall_ns(row[0][0], row[1].accepted_ns))

    def _took_ns(self, row: Row) -> int:
        end = row[1].ended_ns or self.store.agent_now(row[0][0], self.console.moment)
        return max(0, int(end - row[1].accepted_ns))

    def _took(self, row: Row) -> str:
        return duration(self._took_ns(row))


def _first_error(row: Row) -> str:
    error: str = row[1].error
    return error.strip().splitlines()[-1] if error.strip() else ""


def _start_tone(row: Row) -> str:
    return {"cold": "accent", "prewarmed": "prewarmed", "ahead": "warm"}.get(row[1].start, "quiet")


class Nodes(TablePage):
    """The agents."""

    NAME, TITLE, KEY, KIND = "nodes", "nodes", "5", "node"
    HELP = "The agents: how many workers they have, what waits, what they use."
    SORT, CLI, EMPTY = "name", "mee6 agent status", "no agent has answered yet"

    def columns(self) -> list[Column[Row]]:
        """What a node is."""
        return [
            Column("name", "NAME", 14, lambda row: row[0][0], grows=True),
            Column("link", "LINK", 14, self._link, tone=self._link_tone),
            Column("workers", "WORKERS", 9, _of_most, lambda row: row[1].workers, right=True),
            Column("busy", "BUSY", 5, lambda row: str(row[1].busy or ""), lambda row: row[1].busy, right=True),
            Column("paused", "PAUSED", 6, lambda row: str(row[1].paused or ""), lambda row: row[1].paused, right=True),
            Column("queued", "QUEUED", 6, lambda row: str(row[1].queued or ""), lambda row: row[1].queued, right=True),
            Column("memory", "MEMORY", 9, lambda row: bytes_(row[1].memory_bytes), right=True, priority=1),
            Column(
                "cpu", "CPU", 4, lambda row: f"{row[1].cpu_percent:.0f}%", lambda row: row[1].cpu_percent, right=True
            ),
            Column("driver", "DRIVER", 8, lambda row: row[1].driver, tone=quiet, priority=2),
            Column("version", "VERSION", 8, lambda row: row[1].version, tone=quiet, priority=4),
            Column("up", "UP", 5, lambda row: self.ago(row[0][0], row[1].started_ns), right=True, priority=3),
        ]

    def _link(self, row: Row) -> str:
        if row[1].draining:
            return "draining"
        link = self.store.links.get(row[0][0])
        return self.table.palette.word(look.LINKS[link.state]) if link else ""

    def _link_tone(self, row: Row) -> str:
        link = self.store.links.get(row[0][0])
        return look.LINKS[link.state].tone if link else "quiet"


def _of_most(row: Row) -> str:
    return f"{row[1].workers} of {row[1].max_workers}"
