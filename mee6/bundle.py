"""A function's folder as one file, and back.

A bundle is an uncompressed tar in a canonical form (sorted, no times, no owners, modes 644 and 755), so that
the same content always has the same SHA-256. It holds plain files and folders and nothing else; the reader
refuses what the writer would never make, since a bundle may come from anybody.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from mee6 import manifest
from mee6.errors import Exhausted, InvalidBundle, InvalidManifest, TooLarge
from mee6.manifest import FILE_NAME, YAML_NAMES, Manifest, Written
from mee6.sizes import size_text

if TYPE_CHECKING:
    import asyncio  # 50 ms that only `packed_aside` needs

LIMIT_BYTES: Final = 100 << 20
"""Of the packed file, where nothing else is said; an agent has its own limit."""
MAX_MEMBERS: Final = 20_000
MAX_DEPTH: Final = 64
"""Folders within folders."""
MAX_HEADER_BYTES: Final = 16 << 10
"""Of what a member says of itself beside its 512 bytes: a long name. `tarfile` takes a minute over 300 kB of it."""

IGNORE_FILE: Final = ".mee6ignore"
"""One pattern a line, as the shell's: of a name, or of a path where it holds a '/'; '#' starts a comment."""
IGNORED: Final = (
    ".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store",
    "__pycache__", "*.pyc", "node_modules/.bin", "*/node_modules/.bin", IGNORE_FILE,
)  # fmt: skip

_FORMAT: Final = tarfile.PAX_FORMAT
_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class Bundle:
    """A packed folder."""

    path: Path
    """A temporary file; whoever got it removes it."""
    sha256: str
    size: int
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    path: Path
    size: int
    is_folder: bool
    is_executable: bool
    content: bytes | None = None
    """Where it is not what the file holds."""


@contextlib.contextmanager
def packed(folder: Path, limit_bytes: int = LIMIT_BYTES) -> Iterator[Bundle]:
    """`pack`, with the file removed at the end."""
    bundle = pack(folder, limit_bytes)
    try:
        yield bundle
    finally:
        bundle.path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def packed_aside(folder: Path, limit_bytes: int = LIMIT_BYTES) -> AsyncIterator[Bundle]:
    """`packed`, in a thread of its own; the file goes also when who waits for it is cancelled meanwhile."""
    import asyncio

    abandoned = threading.Event()

    def work() -> Bundle:
        bundle = pack(folder, limit_bytes)
        if abandoned.is_set():
            bundle.path.unlink(missing_ok=True)
        return bundle

    packing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        bundle = await asyncio.shield(packing)
    except asyncio.CancelledError:
        abandoned.set()
        packing.add_done_callback(_discard)
        raise
    try:
        yield bundle
    finally:
        bundle.path.unlink(missing_ok=True)


def _discard(packing: asyncio.Future[Bundle]) -> None:
    if not packing.cancelled() and packing.exception() is None:
        packing.result().path.unlink(missing_ok=True)


def pack(folder: Path, limit_bytes: int = LIMIT_BYTES) -> Bundle:
    """Packs a function's folder into a temporary file.

    Raises:
        InvalidManifest: there is no manifest, or a broken one.
        InvalidBundle: the folder does not exist or holds what a bundle may not; names it.
        TooLarge: it is over the limit; nothing has been read yet.
    """
    written, checked = _manifest(folder)
    members = list(_walk(folder))
    if written.file != FILE_NAME:
        others = [one for one in members if one.name not in YAML_NAMES]
        members = [_Member(FILE_NAME, folder, len(written.json), False, False, written.json), *others]
    size = _packed_size(members)
    if size > limit_bytes:
        raise TooLarge(
            f"{folder} packs to {size_text(size)}, over the limit of {size_text(limit_bytes)}; "
            f"name what is not needed in {IGNORE_FILE}"
        )
    descriptor, name = tempfile.mkstemp(prefix="mee6-", suffix=".tar")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            _write(file, members)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256")
        return Bundle(path, digest.hexdigest(), path.stat().st_size, checked)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def unpack(path: Path, into: Path, limit_bytes: int = LIMIT_BYTES) -> Manifest:
    """Unpacks a bundle into a folder that does not exist yet or is empty.

    Args:
        limit_bytes: of the files together.

    Returns:
        The manifest it holds.

    Raises:
        InvalidBundle: it is no bundle, or holds what a bundle may not; `into` is gone.
        InvalidManifest: there is no manifest, or a broken one; `into` is gone.
        TooLarge: its files are over the limit; `into` is gone.
    """
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise InvalidBundle(f"cannot unpack into {into}: it is not empty")
    try:
        _check_headers(path)
        with tarfile.open(path, "r:") as archive:
            _extract(archive, into, limit_bytes)
        return manifest.read(into)
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
        shutil.rmtree(into, ignore_errors=True)
        raise InvalidBundle(f"not a bundle: {error}") from error
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _manifest(folder: Path) -> tuple[Written, Manifest]:
    if not folder.exists():
        raise InvalidBundle(f"{folder} does not exist; give the folder that holds {FILE_NAME}")
    if not folder.is_dir():
        raise InvalidBundle(f"{folder} is not a folder; give the folder that holds {FILE_NAME}")
    try:
        if not any(folder.iterdir()):
            raise InvalidBundle(f"{folder} is empty; make a function with: mee6 init NAME")
    except OSError as error:
        raise InvalidBundle(f"cannot read {folder}: {error.strerror}") from error
    try:
        written = manifest.written_in(folder)
        return written, manifest.parsed(written)
    except InvalidManifest as error:
        if not error.message.startswith((FILE_NAME, *YAML_NAMES)):
            raise
        raise InvalidManifest(f"{folder.resolve().name}/{error.message}") from error


def _walk(folder: Path) -> Iterator[_Member]:
    """Members folder by folder, each in the order of its names."""
    patterns = (*IGNORED, *_patterns(folder / IGNORE_FILE))
    count = 0
    stack = [(folder, "")]
    while stack:
        place, prefix = stack.pop()
        below = []
        for entry in sorted(_entries(place), key=lambda found: found.name):
            name = prefix + entry.name
            if _ignored(name, patterns):
                continue
            count += 1
            if count > MAX_MEMBERS:
                raise InvalidBundle(f"{folder} holds more than {MAX_MEMBERS} files; name some in {IGNORE_FILE}")
            member = _member(entry, name)
            if member.is_folder:
                below.append((member.path, name + "/"))
            yield member
        stack.extend(reversed(below))


def _entries(place: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as found:
            return list(found)
    except OSError as error:
        raise InvalidBundle(f"cannot read {place}: {error.strerror}") from error


def _member(entry: os.DirEntry[str], name: str) -> _Member:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidBundle(f"the name {name!r} is not UTF-8; rename it") from error
    facts = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(facts.st_mode):
        raise InvalidBundle(f"{name!r} is a symbolic link; a bundle holds only files and folders")
    is_folder = stat.S_ISDIR(facts.st_mode)
    if not is_folder and not stat.S_ISREG(facts.st_mode):
        raise InvalidBundle(f"{name!r} is a device, pipe or socket; a bundle holds only files and folders")
    if not is_folder and not os.access(entry.path, os.R_OK):
        raise InvalidBundle(f"cannot read {name!r}: permission denied")
    executable = bool(facts.st_mode & stat.S_IXUSR)
    return _Member(name, Path(entry.path), 0 if is_folder else facts.st_size, is_folder, executable)


def _patterns(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidBundle(f"cannot read {path}: {error}") from error
    return tuple(line.strip().strip("/") for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _ignored(name: str, patterns: tuple[str, ...]) -> bool:
    last = name.rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name if "/" in pattern else last, pattern) for pattern in patterns)


def _packed_size(members: list[_Member]) -> int:
    blocks = sum(1 + -(-member.size // _BLOCK) for member in members)
    return (blocks + 2) * _BLOCK


def _write(file: IO[bytes], members: list[_Member]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=_FORMAT, encoding="utf-8") as archive:
        for member in members:
            header = tarfile.TarInfo(member.name)
            header.mode = 0o755 if member.is_folder or member.is_executable else 0o644
            if member.is_folder:
                header.type = tarfile.DIRTYPE
                archive.addfile(header)
                continue
            header.size = member.size
            with _open(member) as content:
                try:
                    archive.addfile(header, content)
                except OSError as error:
                    raise InvalidBundle(f"{member.name!r} could not be read whole: {error}; try again") from error


def _open(member: _Member) -> IO[bytes]:
    if member.content is not None:
        return io.BytesIO(member.content)
    try:
        # O_NOFOLLOW: it may have become a link since it was looked at.
        return os.fdopen(os.open(member.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise InvalidBundle(f"cannot read {member.name!r}: {error.strerror}") from error


def _extract(archive: tarfile.TarFile, into: Path, limit_bytes: int) -> None:
    seen: set[str] = set()
    total = 0
    for member in archive:
        _check(member)
        name = member.name.rstrip("/")
        if name in seen:
            raise InvalidBundle(f"{name!r} stands in the bundle twice")
        seen.add(name)
        total += member.size
        if total > limit_bytes:
            raise TooLarge(f"the bundle unpacks to more than its limit of {size_text(limit_bytes)}")
        if len(seen) > MAX_MEMBERS:
            raise InvalidBundle(f"the bundle holds more than {MAX_MEMBERS} files")
        _place(archive, member, into / name)


def _check_headers(path: Path) -> None:
    """Refuses overlong extended headers before `tarfile` reads them."""
    with path.open("rb") as file:
        while len(header := file.read(_BLOCK)) == _BLOCK:
            digits = header[124:136].strip(b"\0 ")
            if digits and not digits.isdigit():
                raise InvalidBundle("not a bundle: a member's size is not a number")
            size = int(digits or b"0", 8)
            if header[156:157] in b"xgXLKNS" and header[156:157] and size > MAX_HEADER_BYTES:
                raise InvalidBundle(f"not a bundle: a member has {size} bytes of header")
            file.seek(-(-size // _BLOCK) * _BLOCK, os.SEEK_CUR)


def _check(member: tarfile.TarInfo) -> None:
    name = member.name
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise InvalidBundle(f"{name!r} leaves the bundle's folder")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidBundle(f"the name {name!r} is not UTF-8") from error
    if len(parts) > MAX_DEPTH:
        raise InvalidBundle(f"{name[:80]!r}... is {len(parts)} folders deep; the limit is {MAX_DEPTH}")
    if member.issym() or member.islnk():
        raise InvalidBundle(f"{name!r} is a link; a bundle holds only files and folders")
    if not (member.isdir() or member.isreg()) or member.issparse():
        raise InvalidBundle(f"{name!r} is neither a file nor a folder; a bundle holds only those")
    if member.size < 0 or (member.isdir() and member.size):
        raise InvalidBundle(f"{name!r} has an impossible size")


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Writes one member. No link ever exists below the folder, so a path in it cannot lead out."""
    try:
        if member.isdir():
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
            return
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        source = archive.extractfile(member)
        assert source is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
        with source, os.fdopen(os.open(target, flags, mode), "wb") as file:
            shutil.copyfileobj(source, file)
            os.fchmod(file.fileno(), mode)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidBundle(f"{member.name!r} is both a file and a folder in the bundle") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise Exhausted(f"no room left to unpack the bundle under {target.parent}") from error
        raise InvalidBundle(f"cannot unpack {member.name!r}: {error.strerror or error}") from error
