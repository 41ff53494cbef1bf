"""A function's folder before it is sent: is its manifest sound, what is wrong where, what does it need. No Textual."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mee6.errors import Mee6Error
from mee6.manifest import FILE_NAME, YAML_NAMES, Manifest, read
from mee6tui.console.payload import Fault, fault_in

OFFERED = 40
"""Folders that completion offers at most."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found."""

    folder: Path
    manifest: Manifest | None = None
    error: str = ""
    fault: Fault | None = None
    """Where the manifest is not even JSON."""

    def missing(self, known: Iterable[str]) -> list[str]:
        """The functions it says it calls that are not among these."""
        return sorted(set(self.manifest.dependencies) - {*known, self.manifest.name}) if self.manifest else []


def check(text: str) -> Checked:
    """Reads the manifest in a folder; blocks as long as the disk does."""
    folder = Path(text).expanduser()
    if not text.strip():
        return Checked(folder, error="")
    if folder.name in (FILE_NAME, *YAML_NAMES) and folder.is_file():
        folder = folder.parent
    if not folder.is_dir():
        return Checked(
            folder, error=f"there is no folder {folder}" if not folder.exists() else f"{folder} is no folder"
        )
    try:
        return Checked(folder, read(folder))
    except Mee6Error as error:
        return Checked(folder, error=error.message, fault=_fault(folder))


def _fault(folder: Path) -> Fault | None:
    try:
        return fault_in((folder / FILE_NAME).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def offers(text: str) -> list[str]:
    """The folders that a path may go on to, each ending in `/`; blocks as long as the disk does."""
    typed = Path(text).expanduser()
    base, begun = (typed, "") if text.endswith("/") or not text else (typed.parent, typed.name)
    try:
        names = sorted(entry.name for entry in base.iterdir() if entry.name.startswith(begun) and entry.is_dir())
    except OSError:
        return []
    shown = [name for name in names if begun.startswith(".") or not name.startswith(".")]
    head = text[: len(text) - len(begun)] if begun else text
    return [f"{head}{name}/" for name in shown[:OFFERED]]
