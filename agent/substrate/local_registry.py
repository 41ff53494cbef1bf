"""Functions and their versions in SQLite, for one machine.

Relies on WAL with `synchronous=FULL`: what `add` and `remove` have acknowledged survives a kill -9 and a
power cut. One thread owns the connection, so no call blocks the event loop and no lock is needed. The
database is held exclusively: a second agent on the same file is refused.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from agent.substrate.base import FunctionRecord
from mee6.errors import Conflict, Exhausted, Mee6Error
from mee6.manifest import Manifest

KEPT_VERSIONS: Final = 10
"""Of each function; older ones are forgotten when a new one comes."""

MIGRATIONS: Final[tuple[Sequence[str], ...]] = (
    (
        """CREATE TABLE versions (
            user TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, sha256 TEXT NOT NULL,
            size INTEGER NOT NULL, manifest BLOB NOT NULL, added_s REAL NOT NULL,
            PRIMARY KEY (user, name, version)
        ) WITHOUT ROWID""",
        # Apart from the versions, since the numbers go on after a removal.
        """CREATE TABLE counters (
            user TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (user, name)
        ) WITHOUT ROWID""",
    ),
    (
        "ALTER TABLE versions ADD COLUMN env BLOB NOT NULL DEFAULT '{}'",
        "ALTER TABLE versions ADD COLUMN packages TEXT NOT NULL DEFAULT ''",
    ),
)
"""What takes a database from schema n to n + 1, n being the position. Only ever added to."""

_COLUMNS: Final = "user, name, version, sha256, size, manifest, added_s, env, packages"
_NO_ENV: Final[Mapping[str, str]] = {}
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Manifest).decode
_decode_env: Final = msgspec.json.Decoder(dict[str, str]).decode

T = TypeVar("T")


class SqliteRegistry:
    """The `Registry` of one machine; `open` comes first, `close` last.

    Args:
        path: of the database; made when it does not exist.
        migrations: as `MIGRATIONS`.
    """

    def __init__(self, path: Path, migrations: tuple[Sequence[str], ...] = MIGRATIONS) -> None:
        self._path = path
        self._migrations = migrations
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mee6-registry")
        self._database: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Opens the database and brings its schema up to date.

        Raises:
            Conflict: it is damaged, in use by another agent, or of a newer mee6.
        """
        try:
            await self._do(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Closes it. Idempotent."""
        if self._database is not None:
            await self._do(self._database.close)
            self._database = None
        self._thread.shutdown()

    async def add(
        self,
        user: str,
        name: str,
        sha256: str,
        size: int,
        manifest: Manifest,
        now_s: float,
        env: Mapping[str, str] = _NO_ENV,
        packages: str = "",
    ) -> FunctionRecord:
        """See `Registry.add`."""

        def work() -> FunctionRecord:
            database = self._open_database
            with database:
                database.execute("BEGIN IMMEDIATE")
                (version,) = database.execute(
                    "INSERT INTO counters VALUES (?, ?, 1)"
                    " ON CONFLICT (user, name) DO UPDATE SET last = last + 1 RETURNING last",
                    (user, name),
                ).fetchone()
                row = (user, name, version, sha256, size, _encode(manifest), now_s, _encode(dict(env)), packages)
                database.execute(f"INSERT INTO versions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)  # noqa: S608
                database.execute(
                    "DELETE FROM versions WHERE user = ? AND name = ? AND version <= ?",
                    (user, name, version - KEPT_VERSIONS),
                )
            return FunctionRecord(user, name, version, sha256, size, manifest, now_s, dict(env), packages)

        return await self._do(work)

    async def current(self) -> list[FunctionRecord]:
        """See `Registry.current`."""
        # SQLite takes the other columns of a lone max() from the row that holds it.
        columns = _COLUMNS.replace("version,", "max(version),")
        return await self._select(f"SELECT {columns} FROM versions GROUP BY user, name")  # noqa: S608

    async def versions(self, user: str, name: str) -> list[FunctionRecord]:
        """See `Registry.versions`."""
        return await self._select(
            f"SELECT {_COLUMNS} FROM versions WHERE user = ? AND name = ? ORDER BY version DESC LIMIT ?",  # noqa: S608
            user, name, KEPT_VERSIONS,
        )  # fmt: skip

    async def remove(self, user: str, name: str) -> bool:
        """See `Registry.remove`."""

        def work() -> bool:
            database = self._open_database
            with database:
                database.execute("BEGIN IMMEDIATE")
                gone = database.execute("DELETE FROM versions WHERE user = ? AND name = ?", (user, name))
            return gone.rowcount > 0

        return await self._do(work)

    async def referenced(self) -> set[str]:
        """The bundles of all remembered versions: what `Bundles.keep_only` must not drop."""

        def work() -> set[str]:
            return {sha256 for (sha256,) in self._open_database.execute("SELECT DISTINCT sha256 FROM versions")}

        return await self._do(work)

    async def packages(self) -> set[str]:
        """The keys of what all remembered versions depend on."""

        def work() -> set[str]:
            rows = self._open_database.execute("SELECT DISTINCT packages FROM versions WHERE packages != ''")
            return {key for (key,) in rows}

        return await self._do(work)

    async def _select(self, query: str, *values: str | int) -> list[FunctionRecord]:
        def work() -> list[FunctionRecord]:
            rows = self._open_database.execute(query, values).fetchall()
            return [_record(*row) for row in rows]

        return await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        """Runs `work` on the connection's thread; its failures become ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise self._translated(error) from error
        except msgspec.MsgspecError as error:
            raise self._damaged(str(error)) from error

    @property
    def _open_database(self) -> sqlite3.Connection:
        assert self._database is not None, "the registry is not open"
        return self._database

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Opened on the one thread that uses it; autocommit, so that BEGIN is ours. No wait for a lock: whoever
        # has it keeps it as long as it lives.
        database = sqlite3.connect(self._path, timeout=0, isolation_level=None)
        try:
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
                database.execute(f"PRAGMA {pragma}").fetchone()
            self._check(database)
            self._migrate(database)
        except BaseException:
            database.close()
            raise
        self._database = database

    def _check(self, database: sqlite3.Connection) -> None:
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(verdict)

    def _migrate(self, database: sqlite3.Connection) -> None:
        with database:
            database.execute("BEGIN EXCLUSIVE")
            database.execute("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)")
            found = database.execute("SELECT version FROM schema").fetchone()
            have, known = found[0] if found else 0, len(self._migrations)
            if have > known:
                raise Conflict(
                    f"{self._path} was written by a newer mee6 (schema {have}, this one knows {known}); "
                    f"upgrade mee6, or choose another folder with --state-dir"
                )
            for statements in self._migrations[have:]:
                for statement in statements:
                    database.execute(statement)
            if have < known:
                database.execute("DELETE FROM schema")
                database.execute("INSERT INTO schema VALUES (?)", (known,))

    def _translated(self, error: sqlite3.Error) -> Mee6Error:
        # Extended codes hold the primary one in their low byte.
        match getattr(error, "sqlite_errorcode", 0) & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Conflict(f"{self._path} is in use by another agent; choose another folder with --state-dir")
            case sqlite3.SQLITE_FULL:
                return Exhausted(f"no room left on the disk of {self._path}")
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return self._damaged(str(error))
            case _:
                return Mee6Error(f"cannot use {self._path}: {error}")

    def _damaged(self, how: str) -> Conflict:
        return Conflict(f"{self._path} is damaged ({how}); restore it from a backup, or move it away to start empty")


def _record(
    user: str,
    name: str,
    version: int,
    sha256: str,
    size: int,
    manifest: bytes,
    added_s: float,
    env: bytes,
    packages: str,
) -> FunctionRecord:
    return FunctionRecord(user, name, version, sha256, size, _decode(manifest), added_s, _decode_env(env), packages)
