from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.substrate import local_bundles
from agent.substrate.local import LocalSubstrate
from agent.substrate.local_registry import KEPT_VERSIONS, MIGRATIONS, SqliteRegistry
from mee6.bundle import pack
from mee6.errors import Conflict, InvalidBundle, Mee6Error, NotFound
from mee6.manifest import Dependency, Manifest

MANIFEST = Manifest("echo", "python", {"ponger": Dependency("always")}, max_parallelism=3, env={"A": "b"})


@pytest.fixture
async def substrate(tmp_path: Path) -> AsyncIterator[LocalSubstrate]:
    async with LocalSubstrate(tmp_path / "state") as opened:
        yield opened


def a_packed_function(folder: Path, name: str = "echo", text: str = "def main(arg): return arg\n") -> tuple[Path, str]:
    source = folder / f"{name}-source"
    (source / "lib").mkdir(parents=True)
    (source / "activity.json").write_text(f'{{"name": "{name}", "runtime": "python"}}')
    (source / "main.py").write_text(text)
    (source / "lib" / "tool").write_text("#!/bin/sh\n")
    (source / "lib" / "tool").chmod(0o755)
    bundle = pack(source)
    return bundle.path.rename(folder / f"{name}.tar"), bundle.sha256


async def add(substrate: LocalSubstrate, user: str = "ann", name: str = "echo", sha256: str = "aa") -> int:
    record = await substrate.registry.add(user, name, sha256, 10, MANIFEST, 1.5)
    return record.version


# The registry


async def test_what_was_added_is_there_after_a_restart(tmp_path: Path) -> None:
    async with LocalSubstrate(tmp_path) as first:
        record = await first.registry.add("ann", "echo", "aa", 10, MANIFEST, 1.5)
    async with LocalSubstrate(tmp_path) as second:
        assert await second.registry.current() == [record]
        assert record.manifest == MANIFEST


async def test_adding_again_makes_the_next_version_and_keeps_the_earlier(substrate: LocalSubstrate) -> None:
    assert [await add(substrate, sha256="aa"), await add(substrate, sha256="bb")] == [1, 2]
    assert [(record.version, record.sha256) for record in await substrate.registry.current()] == [(2, "bb")]
    assert [record.version for record in await substrate.registry.versions("ann", "echo")] == [2, 1]


async def test_users_and_names_count_apart(substrate: LocalSubstrate) -> None:
    await add(substrate)
    assert await add(substrate, user="bob") == 1
    assert await add(substrate, name="other") == 1
    found = [(record.user, record.name) for record in await substrate.registry.current()]
    assert sorted(found) == [("ann", "echo"), ("ann", "other"), ("bob", "echo")]


async def test_numbers_go_on_after_a_removal(substrate: LocalSubstrate) -> None:
    await add(substrate)
    await add(substrate)
    assert await substrate.registry.remove("ann", "echo")
    assert await substrate.registry.current() == []
    assert await substrate.registry.versions("ann", "echo") == []
    assert not await substrate.registry.remove("ann", "echo")
    assert await add(substrate) == 3


async def test_only_the_last_versions_are_remembered(substrate: LocalSubstrate) -> None:
    for number in range(KEPT_VERSIONS + 3):
        await add(substrate, sha256=f"sum-{number}")
    versions = [record.version for record in await substrate.registry.versions("ann", "echo")]
    assert versions == list(range(KEPT_VERSIONS + 3, 3, -1))
    assert await substrate.registry.referenced() == {f"sum-{number}" for number in range(3, KEPT_VERSIONS + 3)}


async def test_adds_at_once_get_different_numbers(substrate: LocalSubstrate) -> None:
    assert sorted(await asyncio.gather(*(add(substrate) for _ in range(20)))) == list(range(1, 21))


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    newer = SqliteRegistry(path, (*MIGRATIONS, ("CREATE TABLE later (x)",)))
    await newer.open()
    await newer.close()
    before = path.read_bytes()
    with pytest.raises(Conflict, match=r"registry\.db was written by a newer mee6 \(schema 3, this one knows 2\)"):
        await SqliteRegistry(path).open()
    assert path.read_bytes() == before


async def test_an_older_schema_is_brought_up_to_date_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    old = SqliteRegistry(path)
    await old.open()
    record = await old.add("ann", "echo", "aa", 1, MANIFEST, 1.0)
    await old.close()
    new = SqliteRegistry(path, (*MIGRATIONS, ("CREATE TABLE later (x)",)))
    await new.open()
    assert await new.current() == [record]
    await new.close()


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    with pytest.raises(Mee6Error, match="cannot use"):
        await SqliteRegistry(path, (*MIGRATIONS, ("CREATE TABLE later (x)", "NONSENSE"))).open()
    registry = SqliteRegistry(path)
    await registry.open()
    assert await registry.current() == []
    await registry.close()


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_damaged_database_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "registry.db").write_bytes(content)
    with pytest.raises(Conflict, match=r"registry\.db is damaged .*; restore it from a backup, or move it away"):
        async with LocalSubstrate(tmp_path):
            pass


async def test_a_page_overwritten_in_the_middle_is_found_at_open(tmp_path: Path) -> None:
    async with LocalSubstrate(tmp_path) as substrate:
        for number in range(50):
            await substrate.registry.add("ann", f"f{number}", "aa" * 32, 1, MANIFEST, 1.0)
    path = tmp_path / "registry.db"
    content = bytearray(path.read_bytes())
    assert len(content) > 3 * 4096
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(Conflict, match="is damaged"):
        async with LocalSubstrate(tmp_path):
            pass


async def test_a_second_agent_on_the_same_state_is_refused(substrate: LocalSubstrate, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match=r"registry\.db is in use by another agent"):
        async with LocalSubstrate(tmp_path / "state"):
            pass
    assert await add(substrate) == 1


_ADDER = """
import asyncio, sys
from pathlib import Path
from agent.substrate.local import LocalSubstrate
from mee6.manifest import Manifest

async def main():
    async with LocalSubstrate(Path(sys.argv[1])) as substrate:
        while True:
            record = await substrate.registry.add("ann", "echo", "aa", 1, Manifest("echo", "python"), 1.0)
            print(record.version, flush=True)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_acknowledged_adds_survive_a_kill_in_the_middle_of_adding(tmp_path: Path) -> None:
    acknowledged = 0
    for at_least in (1, 20, 50):
        with subprocess.Popen([sys.executable, "-c", _ADDER, str(tmp_path)], stdout=subprocess.PIPE) as adder:
            assert adder.stdout is not None
            for _ in range(at_least):
                acknowledged = int(adder.stdout.readline())
            adder.send_signal(signal.SIGKILL)
            # What it printed before the signal reached it was acknowledged too.
            rest = adder.stdout.read().splitlines(keepends=True)
            acknowledged = int(([line for line in rest if line.endswith(b"\n")] or [b"%d" % acknowledged])[-1])
        async with LocalSubstrate(tmp_path) as substrate:
            (record,) = await substrate.registry.current()
            # The one that was going on may have got to the disk without having been acknowledged.
            assert record.version in (acknowledged, acknowledged + 1)
            versions = [found.version for found in await substrate.registry.versions("ann", "echo")]
            assert versions == list(range(record.version, max(0, record.version - KEPT_VERSIONS), -1))
    assert acknowledged >= 71


async def test_the_database_syncs_every_commit(substrate: LocalSubstrate) -> None:
    def settings(database: sqlite3.Connection) -> tuple[str, int]:
        (journal,) = database.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = database.execute("PRAGMA synchronous").fetchone()
        return journal, synchronous

    registry = substrate.registry
    assert await registry._do(lambda: settings(registry._open_database)) == ("wal", 2)  # 2 is FULL


# Bundles


async def test_a_bundle_is_taken_over_and_unpacked_read_only(substrate: LocalSubstrate, tmp_path: Path) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    await substrate.bundles.put(packed, sha256)
    assert not packed.exists()
    folder = await substrate.bundles.unpacked(sha256)
    assert folder == tmp_path / "state" / "code" / sha256
    modes = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {".": 0o555, "lib": 0o555, "lib/tool": 0o555, "main.py": 0o444, "activity.json": 0o444}
    assert await substrate.bundles.unpacked(sha256) == folder


async def test_putting_the_same_bundle_again_is_fine(substrate: LocalSubstrate, tmp_path: Path) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    copy = tmp_path / "copy.tar"
    copy.write_bytes(packed.read_bytes())
    await substrate.bundles.put(packed, sha256)
    await substrate.bundles.put(copy, sha256)
    assert not copy.exists()
    assert len(list((tmp_path / "state" / "bundles").iterdir())) == 1


async def test_a_wrong_sum_is_refused_and_the_file_left(substrate: LocalSubstrate, tmp_path: Path) -> None:
    packed, _sha256 = a_packed_function(tmp_path)
    with pytest.raises(InvalidBundle, match="the bundle's sum is"):
        await substrate.bundles.put(packed, "00" * 32)
    assert packed.exists()
    assert list((tmp_path / "state" / "bundles").iterdir()) == []


async def test_a_bundle_from_another_file_system_is_copied(
    substrate: LocalSubstrate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == packed:
            raise OSError(18, os.strerror(18))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    await substrate.bundles.put(packed, sha256)
    assert not packed.exists()
    kept = tmp_path / "state" / "bundles" / f"{sha256}.tar"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == sha256


async def test_an_unknown_bundle_is_not_found(substrate: LocalSubstrate) -> None:
    with pytest.raises(NotFound, match="no bundle 000000000000"):
        await substrate.bundles.unpacked("00" * 32)


async def test_a_file_that_is_no_bundle_leaves_nothing_unpacked(substrate: LocalSubstrate, tmp_path: Path) -> None:
    packed = tmp_path / "x.tar"
    packed.write_bytes(b"nonsense" * 1000)
    sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
    await substrate.bundles.put(packed, sha256)
    with pytest.raises(InvalidBundle):
        await substrate.bundles.unpacked(sha256)
    assert list((tmp_path / "state" / "code").iterdir()) == []


async def test_unpacking_the_same_bundle_at_once_is_done_once(substrate: LocalSubstrate, tmp_path: Path) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    await substrate.bundles.put(packed, sha256)
    folders = await asyncio.gather(*(substrate.bundles.unpacked(sha256) for _ in range(8)))
    assert len(set(folders)) == 1


async def test_only_wanted_bundles_stay(substrate: LocalSubstrate, tmp_path: Path) -> None:
    sums = []
    for name in ("one", "two"):
        packed, sha256 = a_packed_function(tmp_path, name)
        await substrate.bundles.put(packed, sha256)
        await substrate.bundles.unpacked(sha256)
        sums.append(sha256)
    assert await substrate.bundles.keep_only({sums[0]}) == 1
    assert await substrate.bundles.keep_only({sums[0]}) == 0
    assert (await substrate.bundles.unpacked(sums[0])).exists()
    assert not (tmp_path / "state" / "code" / sums[1]).exists()
    with pytest.raises(NotFound):
        await substrate.bundles.unpacked(sums[1])


async def test_what_a_crash_left_half_done_is_swept_at_open(tmp_path: Path) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    state = tmp_path / "state"
    async with LocalSubstrate(state) as substrate:
        await substrate.bundles.put(packed, sha256)
        folder = await substrate.bundles.unpacked(sha256)
    torn = state / "code" / f".torn-{'11' * 32}"
    (torn / "lib").mkdir(parents=True)
    (torn / "lib" / "half").write_text("")
    (torn / "lib").chmod(0o555)
    (state / "bundles" / ".torn-x.tar").write_text("half")
    async with LocalSubstrate(state):
        assert [path.name for path in (state / "bundles").iterdir()] == [f"{sha256}.tar"]
        assert [path.name for path in (state / "code").iterdir()] == [sha256]
        assert folder.exists()


async def test_unpacked_copies_of_an_earlier_boot_are_made_again(tmp_path: Path) -> None:
    packed, sha256 = a_packed_function(tmp_path)
    state = tmp_path / "state"
    async with LocalSubstrate(state) as substrate:
        await substrate.bundles.put(packed, sha256)
        folder = await substrate.bundles.unpacked(sha256)
    (folder / "main.py").chmod(0o644)
    (folder / "main.py").write_text("")  # as a power cut leaves what was not synced
    (state / "boot-id").write_text("another boot")
    async with LocalSubstrate(state) as substrate:
        assert not folder.exists()
        assert "def main" in ((await substrate.bundles.unpacked(sha256)) / "main.py").read_text()


async def test_without_a_boot_id_copies_are_always_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_bundles, "_BOOT_ID", tmp_path / "none")
    packed, sha256 = a_packed_function(tmp_path)
    async with LocalSubstrate(tmp_path / "state") as substrate:
        await substrate.bundles.put(packed, sha256)
        folder = await substrate.bundles.unpacked(sha256)
    async with LocalSubstrate(tmp_path / "state"):
        assert not folder.exists()
