"""What a folder of packages holds, as names and versions: read from what pip and npm leave beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DIST: Final = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)\.dist-info")


@dataclass(frozen=True, slots=True)
class Package:
    """One package that was resolved."""

    name: str
    version: str
    asked: bool
    """By the function itself, not by another package."""


def packages(folder: Path, language: str, asked: Collection[str]) -> tuple[Package, ...]:
    """The packages in a resolved folder: those asked for first, each part by name; empty where it cannot be told.

    Args:
        asked: as the function's own file names them: packages, or archives in its folder.
    """
    found = _python(folder) if language == "python" else _node(folder)
    wanted = {_plain(name) for name in asked}
    listed = [
        Package(name, version, any(one in wanted for one in (_plain(name), *_archives(name, version, wanted))))
        for name, version in found
    ]
    return tuple(sorted(listed, key=lambda package: (not package.asked, _plain(package.name))))


def _python(folder: Path) -> list[tuple[str, str]]:
    matches = (_DIST.fullmatch(path.name) for path in folder.glob("*.dist-info"))
    return [(_own_name(folder / match[0], match["name"]), match["version"]) for match in matches if match]


def _own_name(folder: Path, told: str) -> str:
    """A package's name as it writes it itself; its folder's is flattened."""
    try:
        with (folder / "METADATA").open(encoding="utf-8", errors="replace") as file:
            lines = (file.readline() for _ in range(20))
            return next((line[5:].strip() for line in lines if line.startswith("Name:")), told)
    except OSError:
        return told


def _node(folder: Path) -> list[tuple[str, str]]:
    try:
        lock = json.loads((folder / "node_modules" / ".package-lock.json").read_text("utf-8"))
        entries = lock["packages"].items()
        return [
            (path.rpartition("node_modules/")[2], str(entry.get("version", "")))
            for path, entry in entries
            if path.startswith("node_modules/")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _archives(name: str, version: str, wanted: Collection[str]) -> list[str]:
    """Of the files asked for those that are this package's: `tiny-1.0-py3-none-any.whl`."""
    begins = _plain(f"{name}-{version}")
    return [one for one in wanted if one.endswith((".whl", "-gz", "-zip", "-tgz", "-whl")) and one.startswith(begins)]


def _plain(name: str) -> str:
    """PEP 503: pip takes `A_b` and `a-b` for the same."""
    return name.lower() if name.startswith("@") else re.sub(r"[-_.]+", "-", name).lower()
