from __future__ import annotations

import asyncio
import io
import os
import socket
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mee6 import bundle
from mee6.bundle import pack, packed, unpack
from mee6.errors import InvalidBundle, InvalidManifest, Mee6Error, TooLarge
from mee6.sizes import size_text

MANIFEST = b'{"name": "hello", "runtime": "python"}'

_names = st.text(  # drawn with the ignored names among them, since hypothesis reads the constants of the module
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 80)
_trees = st.dictionaries(st.lists(_names, min_size=1, max_size=3).map("/".join), st.binary(max_size=2000), max_size=8)


def function(folder: Path, **files: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "activity.json").write_bytes(MANIFEST)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=60, deadline=None)
@given(_trees)
@pytest.mark.slow
def test_what_is_packed_unpacks_the_same(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder, out = function(Path(base) / "in"), Path(base) / "out"
        for name, data in tree.items():
            path = folder / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            except OSError:
                continue  # one name is both a file and a folder
        if (folder / "activity.json").read_bytes() != MANIFEST or (folder / ".mee6ignore").exists():
            return
        with packed(folder) as bundle:
            assert unpack(bundle.path, out).name == "hello"
            assert bundle.size == bundle.path.stat().st_size
        stays = {".git", ".venv", "__pycache__", ".DS_Store", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
        assert contents(out) == {
            name: data
            for name, data in contents(folder).items()
            if not any(part in stays or part.endswith(".pyc") for part in name.split("/"))
        }


def test_the_same_content_has_the_same_sum_whatever_its_times_and_order(tmp_path: Path) -> None:
    one = function(tmp_path / "one", a=b"1", b=b"2")
    two = function(tmp_path / "two", b=b"2", a=b"1")
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o600)
    with packed(one) as first, packed(two) as second:
        assert first.sha256 == second.sha256
    (two / "a").chmod(0o700)
    with packed(two) as third:
        assert third.sha256 != first.sha256


def test_modes_are_normalised_and_executables_stay_so(tmp_path: Path) -> None:
    folder = function(tmp_path / "in", tool=b"#!/bin/sh\n")
    (folder / "tool").chmod(0o4700)
    with packed(folder) as bundle:
        unpack(bundle.path, tmp_path / "out")
    assert (tmp_path / "out" / "tool").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "out" / "activity.json").stat().st_mode & 0o7777 == 0o644


def test_caches_and_what_the_ignore_file_names_stay_behind(tmp_path: Path) -> None:
    folder = function(
        tmp_path / "in", **{"main.py": b"", "x.pyc": b"", "notes.md": b"", ".mee6ignore": b"# no\n*.md\ndata/raw\n"}
    )
    for name in (".git", "__pycache__", "node_modules/.bin", "node_modules/left-pad", "data/raw"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_bytes(b"")
    with packed(folder) as bundle:
        unpack(bundle.path, tmp_path / "out")
    assert contents(tmp_path / "out").keys() == {"activity.json", "main.py", "node_modules/left-pad/file"}


def test_a_long_name_and_a_name_beyond_ascii_travel(tmp_path: Path) -> None:
    folder = function(tmp_path / "in", **{"\u00fc" * 60: b"u", "x" * 180: b"x"})
    with packed(folder) as bundle:
        unpack(bundle.path, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(folder)


def _missing(folder: Path) -> None:
    pass


def _file(folder: Path) -> None:
    folder.write_bytes(b"")


def _empty(folder: Path) -> None:
    folder.mkdir()


def _no_manifest(folder: Path) -> None:
    folder.mkdir()
    (folder / "main.py").write_bytes(b"")


def _broken_manifest(folder: Path) -> None:
    folder.mkdir()
    (folder / "activity.json").write_bytes(b"{")


def _bad_name(folder: Path) -> None:
    folder.mkdir()
    (folder / "activity.json").write_bytes(b'{"name": "../up", "runtime": "python"}')


def _symlink(folder: Path) -> None:
    (function(folder) / "link").symlink_to("/etc/passwd")


def _folder_link(folder: Path) -> None:
    (function(folder) / "link").symlink_to(folder.parent, target_is_directory=True)


def _pipe(folder: Path) -> None:
    os.mkfifo(function(folder) / "pipe")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = Path.cwd()
        os.chdir(function(folder))
        try:
            sock.bind("sock")
        finally:
            os.chdir(here)


def _not_utf8(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(function(folder)) + b"/\xff")).write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (_missing, InvalidBundle, "does not exist"),
        (_file, InvalidBundle, "is not a folder"),
        (_empty, InvalidBundle, "is empty"),
        (_no_manifest, InvalidManifest, "no activity.json in"),
        (_broken_manifest, InvalidManifest, "not valid JSON"),
        (_bad_name, InvalidManifest, "'../up' is not allowed"),
        (_symlink, InvalidBundle, "'link' is a symbolic link; a bundle holds only files and folders"),
        (_folder_link, InvalidBundle, "'link' is a symbolic link"),
        (_pipe, InvalidBundle, "'pipe' is a device, pipe or socket"),
        (_socket, InvalidBundle, "'sock' is a device, pipe or socket"),
        (_not_utf8, InvalidBundle, "not UTF-8"),
    ],
)
def test_a_folder_that_is_no_function_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], error: type[Mee6Error], says: str
) -> None:
    folder = tmp_path / "it"
    make(folder)
    with pytest.raises(error) as caught:
        pack(folder)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_a_folder_over_the_limit_is_refused_unread_with_its_size(tmp_path: Path) -> None:
    folder = function(tmp_path / "in")
    with (folder / "big").open("wb") as big:
        big.truncate(200 << 20)
    with pytest.raises(TooLarge, match=r"packs to 200\.0 MiB, over the limit of 100\.0 MiB"):
        pack(folder)


def test_nothing_is_left_behind_when_packing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = function(tmp_path / "in", a=b"data")
    monkeypatch.setattr("mee6.bundle._write", _raise)
    with pytest.raises(InvalidBundle):
        pack(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def _raise(*_: object) -> None:
    raise InvalidBundle("on purpose")


def tar(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    """A tar as its maker likes: the manifest and members with any header field set."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, fields in (("activity.json", MANIFEST, {}), *members):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            for key, value in fields.items():
                setattr(header, key, value)
            archive.addfile(header, io.BytesIO(data))
    return out.getvalue()


def link(kind: bytes, target: str) -> dict[str, object]:
    return {"type": kind, "linkname": target}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tar(("../out", b"x", {})), "leaves the bundle's folder"),
        (tar(("a/../../out", b"x", {})), "leaves the bundle's folder"),
        (tar(("/etc/out", b"x", {})), "leaves the bundle's folder"),
        (tar((".", b"", {"type": tarfile.DIRTYPE})), "leaves the bundle's folder"),
        (tar(("a//b", b"x", {})), "leaves the bundle's folder"),
        (tar(("a", b"", link(tarfile.SYMTYPE, "/etc"))), "is a link"),
        (tar(("a", b"", link(tarfile.LNKTYPE, "activity.json"))), "is a link"),
        (tar(("a", b"", link(tarfile.SYMTYPE, "/etc")), ("a/b", b"x", {})), "is a link"),
        (tar(("a", b"", {"type": tarfile.CHRTYPE})), "neither a file nor a folder"),
        (tar(("a", b"", {"type": tarfile.FIFOTYPE})), "neither a file nor a folder"),
        (tar(("a", b"1", {}), ("a", b"2", {})), "twice"),
        (tar(("activity.json", b"{}", {})), "twice"),
        (tar(("a", b"1", {}), ("a/b", b"2", {})), "both a file and a folder"),
        (tar(("a/b", b"1", {}), ("a", b"2", {})), "both a file and a folder"),
        (tar(("big", b"x" * 5000, {}))[:4000], "not a bundle"),
        (b"", "not a bundle"),
        (b"\0" * 400, "not a bundle"),
        (b"#!/bin/sh\necho no tar at all\n" * 100, "not a bundle"),
        (__import__("gzip").compress(tar()), "not a bundle"),
    ],
)
def test_a_hostile_tar_is_refused_and_leaves_nothing(tmp_path: Path, data: bytes, says: str) -> None:
    path, into = tmp_path / "it.tar", tmp_path / "deep" / "into"
    path.write_bytes(data)
    with pytest.raises(InvalidBundle) as caught:
        unpack(path, into)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["deep", "it.tar"]


def test_a_tar_without_a_manifest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.tar"
    path.write_bytes(b"\0" * 10240)
    with pytest.raises(InvalidManifest):
        unpack(path, tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_tar_that_unpacks_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "it.tar"
    path.write_bytes(tar(("a", b"x" * 600, {}), ("b", b"x" * 600, {})))
    with pytest.raises(TooLarge):
        unpack(path, tmp_path / "into", limit_bytes=1000)
    assert not (tmp_path / "into").exists()


def test_a_folder_that_is_in_use_is_not_unpacked_over(tmp_path: Path) -> None:
    into = function(tmp_path / "into", mine=b"1")
    path = tmp_path / "it.tar"
    path.write_bytes(tar())
    with pytest.raises(InvalidBundle, match="not empty"):
        unpack(path, into)
    assert (into / "mine").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (200 << 20, "200.0 MiB"), (1 << 41, "2048.0 GiB")],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert size_text(count) == text


async def test_a_bundle_that_nobody_waits_for_any_more_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "activity.json").write_text('{"name": "f", "runtime": "python"}')
    packing, go_on = threading.Event(), threading.Event()
    whole = bundle.pack

    def slowly(folder: Path, limit_bytes: int) -> bundle.Bundle:
        packing.set()
        go_on.wait(5)
        return whole(folder, limit_bytes)

    monkeypatch.setattr(bundle, "pack", slowly)

    async def wait_for_it() -> None:
        async with bundle.packed_aside(folder):
            pass

    waiting = asyncio.create_task(wait_for_it())
    await asyncio.to_thread(packing.wait, 5)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert list((tmp_path / "temp").iterdir()) == []


def tar_of(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_folders_too_deep_are_refused(tmp_path: Path) -> None:
    manifest = (tarfile.TarInfo("activity.json"), b'{"name": "f", "runtime": "python"}')
    deep = (tarfile.TarInfo("/".join("a" * 200)), b"x")
    with pytest.raises(InvalidBundle, match="200 folders deep; the limit is 64"):
        unpack(tar_of(tmp_path / "b.tar", [manifest, deep]), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_an_overlong_header_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.pax_headers = {"comment": "1" * 300_000}
    with pytest.raises(InvalidBundle, match="bytes of header"):
        unpack(tar_of(tmp_path / "b.tar", [(member, b"")]), tmp_path / "into")
