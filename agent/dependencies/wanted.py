"""What a bundle says it depends on: `requirements.txt`, or `package.json` with or without `package-lock.json`.

Pure but for reading the bundle. What comes out is all that the tool is given, so that equal content is equal work:
names, comments and scripts of the function's own are left out. Refused is what reaches outside of the bundle and
the index that the agent's machine is set up for: which index is trusted is its operator's choice, not a function's;
paths and links would show the machine's files; a repository needs its tools and keys. A file in the bundle is fine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mee6.errors import InvalidBundle

REQUIREMENTS: Final = "requirements.txt"
PACKAGE: Final = "package.json"
LOCK: Final = "package-lock.json"
LIMIT_BYTES: Final = 16 << 20
"""Of one of these files."""

_OPTIONS: Final = frozenset({"--require-hashes", "--pre", "--prefer-binary", "--only-binary", "--no-binary"})
"""Lines of their own that say how to choose, not where from."""
_ARCHIVES: Final = (".whl", ".tar.gz", ".tgz", ".zip")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_GIT: Final = re.compile(r"git\b|git[+@]|github:|gitlab:|bitbucket:|gist:|[^@/:]+/[^/:]+(?:#.*)?$")
_KEPT: Final = (
    "dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta", "overrides",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one or more functions depend on."""

    language: str
    files: Mapping[str, bytes]
    """What the tool is given, by path."""
    names: tuple[str, ...]
    """Of the packages asked for, for people."""
    locked: bool = False
    """Whether there is a lock file (nodejs)."""

    @property
    def digest(self) -> str:
        """Equal for equal content."""
        total = hashlib.sha256(self.language.encode())
        for name in sorted(self.files):
            total.update(f"\n{name} {len(self.files[name])}\n".encode())
            total.update(self.files[name])
        return total.hexdigest()[:32]


def read(folder: Path, language: str) -> Wanted | None:
    """What the function in `folder` depends on; None for nothing, or for what it brings along.

    Raises:
        InvalidBundle: its file is broken, or asks for what is refused; says what to write instead.
    """
    match language:
        case "python":
            return _requirements(folder)
        case "nodejs":
            return _package(folder)
        case _:
            return None


# Python


def _requirements(folder: Path) -> Wanted | None:
    text = _text(folder, REQUIREMENTS)
    if text is None:
        return None
    lines: list[str] = []
    names: list[str] = []
    files: dict[str, bytes] = {}
    for number, line in _logical_lines(text):
        where = f"{REQUIREMENTS}, line {number}"
        if "${" in line:
            raise InvalidBundle(f"{where}: {line!r} takes from the agent's environment; write the value itself")
        if line.startswith("-"):
            _check_option(line, where)
        else:
            requirement, *options = re.split(r"\s+(?=--)", line)
            if bad := next((option for option in options if not option.startswith("--hash")), None):
                raise InvalidBundle(f"{where}: the option {bad!r} is not allowed; only --hash is")
            names.append(_check_requirement(folder, requirement, where, files))
        lines.append(line)
    if not names:
        return None
    files[REQUIREMENTS] = "".join(f"{line}\n" for line in lines).encode()
    return Wanted("python", files, tuple(names))


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, continuations joined, each with the number of its first."""
    held, began = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        began = began if held else number
        held += re.sub(r"(^|\s+)#.*$", "", raw) if not raw.rstrip().endswith("\\") else raw.rstrip()[:-1] + " "
        if raw.rstrip().endswith("\\"):
            continue
        if line := " ".join(held.split()):
            yield began, line
        held = ""
    if line := " ".join(held.split()):
        yield began, line


def _check_option(line: str, where: str) -> None:
    option = re.split(r"[=\s]", line, maxsplit=1)[0]
    if option in _OPTIONS:
        return
    why = {
        "-r": "put all requirements into this file",
        "--requirement": "put all requirements into this file",
        "-e": "packages are not edited where they run; name a released version",
        "--editable": "packages are not edited where they run; name a released version",
    }.get(option[:2] if not option.startswith("--") else option, "the index is chosen by the agent's machine")
    raise InvalidBundle(f"{where}: the option {option!r} is not allowed: {why}")


def _check_requirement(folder: Path, requirement: str, where: str, files: dict[str, bytes]) -> str:
    name = _NAME.match(requirement)
    _, is_direct, url = (part.strip() for part in requirement.partition("@"))
    path = requirement.partition(";")[0].strip()
    if path.lower().endswith(_ARCHIVES) and not _URL.match(path) and not is_direct:
        files[_inside(folder, path, where)] = _bytes(folder, path, where)
        return PurePosixPath(path).name
    if _URL.match(requirement):
        raise InvalidBundle(f"{where}: write the package's name before the address: NAME @ https://...")
    if name is None or requirement.startswith((".", "/", "~")) or "/" in path.partition("@")[0]:
        raise InvalidBundle(f"{where}: {requirement!r} is a path; name a package, or a wheel that is in the folder")
    if is_direct and not requirement.startswith("@"):
        _check_url(url, where)
    return name.group()


# Node.js


def _package(folder: Path) -> Wanted | None:
    text = _text(folder, PACKAGE)
    if text is None or (folder / "node_modules").is_dir():
        return None
    package = _object(text, PACKAGE)
    kept = {key: package[key] for key in _KEPT if package.get(key)}
    names = [*_mapping(kept, "dependencies"), *_mapping(kept, "optionalDependencies")]
    if not names:
        return None
    files: dict[str, bytes] = {}
    for key in _KEPT:
        for name, spec in _specs(_mapping(kept, key)):
            _check_spec(folder, spec, f"{PACKAGE}, {key}, {name!r}", files)
    title = {"name": "function", "version": "0.0.0"}
    lock = _text(folder, LOCK)
    if lock is not None:
        files[LOCK] = _canonical(_checked_lock(folder, _object(lock, LOCK), title, files))
    files[PACKAGE] = _canonical({**title, "private": True, **kept})
    return Wanted("nodejs", files, tuple(names), locked=lock is not None)


def _checked_lock(folder: Path, lock: dict[str, Any], title: dict[str, str], files: dict[str, bytes]) -> dict[str, Any]:
    packages = lock.get("packages")
    if not isinstance(packages, dict):
        raise InvalidBundle(f"{LOCK} is of an old form; write it again with: npm install --package-lock-only")
    for path, entry in packages.items():
        where = f"{LOCK}, {path!r}"
        if not isinstance(entry, dict) or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise InvalidBundle(f"{where} is not an entry of this folder")
        if path and (entry.get("link") or "node_modules" not in PurePosixPath(path).parts):
            raise InvalidBundle(f"{where} is a link to a folder; name a released version")
        if "resolved" in entry:
            _check_spec(folder, str(entry["resolved"]), where, files)
    root = {key: value for key, value in packages.get("", {}).items() if key in _KEPT}
    return {**lock, **title, "packages": {**packages, "": {**title, **root}}}


def _check_spec(folder: Path, spec: str, where: str, files: dict[str, bytes]) -> None:
    scheme, _, rest = spec.partition(":")
    if scheme in {"http", "https"}:
        _check_url(spec, where)
    elif scheme == "file" or spec.startswith((".", "/", "~")):
        path = rest if scheme == "file" else spec
        if not path.lower().endswith(_ARCHIVES):
            raise InvalidBundle(f"{where}: {spec!r} is a folder; name a package, or a .tgz that is in the folder")
        files[_inside(folder, path, where)] = _bytes(folder, path, where)
    elif scheme in {"link", "workspace", "portal"}:
        raise InvalidBundle(f"{where}: {spec!r} leads out of the folder; name a released version")
    elif _GIT.match(spec) or scheme == "ssh":
        raise InvalidBundle(f"{where}: {spec!r} is a repository; name a released version")


def _specs(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and what is asked for, also where overrides are nested."""
    for name, spec in mapping.items():
        if isinstance(spec, dict):
            yield from _specs(spec)
        elif isinstance(spec, str):
            yield name, spec


def _mapping(package: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = package.get(key) or {}
    if not isinstance(found, dict):
        raise InvalidBundle(f"{PACKAGE}: {key!r} is not an object of names and versions")
    return found


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidBundle(f"{name} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidBundle(f"{name} is not a JSON object")
    return found


def _canonical(value: Any) -> bytes:
    # In the order it came: npm reads meaning into none of it, and equal files stay equal.
    return json.dumps(value, indent=2).encode()


# Both


def _check_url(url: str, where: str) -> None:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in {"http", "https"}:
        raise InvalidBundle(f"{where}: {scheme.split(':')[0]!r} addresses are not allowed; use https")
    if "@" in rest.split("/")[0]:
        raise InvalidBundle(f"{where}: its address holds a password, which a bundle would keep; leave it out")


def _inside(folder: Path, path: str, where: str) -> str:
    """The path of a file in the bundle, in its plainest form."""
    plain = PurePosixPath(path)
    if plain.is_absolute() or ".." in plain.parts or "~" in path or not (folder / plain).is_file():
        raise InvalidBundle(f"{where}: {path!r} is no file in the function's folder; put it there, or name a package")
    return str(plain)


def _bytes(folder: Path, path: str, where: str) -> bytes:
    return (folder / _inside(folder, path, where)).read_bytes()


def _text(folder: Path, name: str) -> str | None:
    path = folder / name
    if not path.is_file():
        return None
    if path.stat().st_size > LIMIT_BYTES:
        raise InvalidBundle(f"{name} is larger than {LIMIT_BYTES >> 20} MiB")
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidBundle(f"{name} is not UTF-8 text") from error
