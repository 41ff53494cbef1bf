"""The user's own editor on a function's file: the console gives the terminal away for as long as it is open."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.app import SuspendNotSupported

from mee6.errors import InvalidInput, NotFound
from mee6.manifest import FILE_NAME, YAML_NAMES

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

MAIN_FILES: Final = ("main.py", "main.js", "main.mjs", "main.cjs")
EDITORS: Final = ("sensible-editor", "nano", "vim", "vi")
"""Looked for where the environment names none."""


def main_file(folder: Path) -> Path:
    """The file where a function's code begins; its manifest where there is none.

    Raises:
        NotFound: the folder holds neither.
    """
    found = next((folder / name for name in (*MAIN_FILES, FILE_NAME, *YAML_NAMES) if (folder / name).is_file()), None)
    if found is None:
        raise NotFound(f"{folder} holds no function any more; n adds one from another folder")
    return found


def editor(env: Mapping[str, str]) -> list[str]:
    """The command of the user's editor.

    Raises:
        InvalidInput: there is none.
    """
    named = env.get("VISUAL") or env.get("EDITOR")
    if named:
        return shlex.split(named)
    found = next((name for name in EDITORS if shutil.which(name)), None)
    if found is None:
        raise InvalidInput("no editor is set: export EDITOR=nano, or another")
    return [found]


async def edit(app: ConsoleApp, folder: str, file: str = "") -> None:
    """Opens a file of a function's folder, by default its main file, and comes back when the editor ends.

    What agents send is taken in meanwhile, and nothing is painted.

    Raises:
        InvalidInput: there is no editor, or it cannot be run here.
        NotFound: the folder is no function's any more.
    """
    path = Path(folder) / file if file else main_file(Path(folder))
    command = [*editor(os.environ), str(path)]
    try:
        with app.batch_update(), app.suspend():
            try:
                process = await asyncio.create_subprocess_exec(*command)
            except OSError as error:
                raise InvalidInput(f"cannot run {command[0]!r}: {error.strerror}; set EDITOR to another") from error
            code = await process.wait()
    except SuspendNotSupported:
        raise InvalidInput(f"no editor can be opened in this terminal; edit {path} elsewhere") from None
    app.refresh(layout=True)
    ended = "" if code == 0 else f"; the editor ended with {code}"
    app.say(f"{path.name} edited{ended}: n adds the folder again", title=shlex.join(command[:1]))
