"""What was learnt of workflows, in SQLite, for one machine.

A file of its own, in WAL without a sync for each write: what is lost with the machine can be learnt again, and a
registry's writes do not wait for it. A file that is damaged, or of a newer mee6, is put aside, and all begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from mee6.errors import Mee6Error

SCHEMA: Final = 1

T = TypeVar("T")
_log: Final = logging.getLogger("mee6.agent")


class SqlitePatterns:
    """The `PatternStore` of one machine; `open` comes first, `close` last.

    Args:
        path: of the database; made when it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mee6-patterns")
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Opens the database, or a new one in the place of one that cannot be read."""
        await self._do(self._open)

    async def close(self) -> None:
        """Closes it. Idempotent."""
        if self._database is not None:
            await self._do(self._database.close)
            self._database = None
        self._thread.shutdown()

    async def read(self) -> list[tuple[str, str, bytes]]:
        """See `PatternStore.read`."""
        return await self._do(lambda: self._opened.execute("SELECT user, name, data FROM patterns").fetchall())

    async def write(self, rows: Mapping[tuple[str, str], bytes | None]) -> None:
        """See `PatternStore.write`."""

        def work() -> None:
            kept = [(user, name, data) for (user, name), data in rows.items() if data is not None]
            gone = [name for name, data in rows.items() if data is None]
            with self._opened as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT OR REPLACE INTO patterns VALUES (?, ?, ?)", kept)
                database.executemany("DELETE FROM patterns WHERE user = ? AND name = ?", gone)

        await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise Mee6Error(f"cannot use {self._path}: {error}") from error

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._database is not None, "it is not open"
        return self._database

    def _open(self) -> None:
        try:
            self._database = self._connect()
        except sqlite3.DatabaseError as error:
            aside = self._path.with_suffix(".damaged")
            _log.warning("%s cannot be read (%s); it is put aside as %s", self._path, error, aside.name)
            self._path.replace(aside)
            for left in ("-wal", "-shm"):
                self._path.with_name(self._path.name + left).unlink(missing_ok=True)
            self._database = self._connect()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
                database.execute(f"PRAGMA {pragma}").fetchone()
            _check(database)
            database.execute(
                "CREATE TABLE IF NOT EXISTS patterns (user TEXT NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL,"
                " PRIMARY KEY (user, name)) WITHOUT ROWID"
            )
            database.execute(f"PRAGMA user_version={SCHEMA}")
        except BaseException:
            database.close()
            raise
        return database


def _check(database: sqlite3.Connection) -> None:
    (have,) = database.execute("PRAGMA user_version").fetchone()
    if have > SCHEMA:
        raise sqlite3.DatabaseError(f"it has schema {have}, this mee6 knows {SCHEMA}")
