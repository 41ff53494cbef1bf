"""What a worker's first process imports before it forks: made once, shared by every process of the worker.

Called by what runs before `proxy.init` does: the process driver's launcher, and `proxy.container` in an image.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from proxy.child import Ours

Entries = Mapping[str, Callable[..., object]]
"""`module:callable` -> what that is: found once, since after `hide_ours` it is found no more."""

# fmt: off
_COMMON: Final = (
    "asyncio", "base64", "collections", "concurrent.futures", "csv", "datetime", "decimal", "encodings.idna",
    "hashlib", "inspect", "itertools", "json", "linecache", "logging", "math", "pathlib", "queue", "random", "re",
    "shutil", "statistics", "string", "subprocess", "tempfile", "textwrap", "threading", "time", "traceback",
    "types", "typing", "urllib.parse", "urllib.request", "uuid",
)
# fmt: on
"""What functions usually import: made once, shared by every fork."""


def import_all(folders: Mapping[str, str], entries: Iterable[str]) -> Entries:
    """Imports what workers need, then leaves only the standard library on the path; returns the entries.

    Args:
        folders: package of ours -> the folder it is in.
        entries: `module:callable` of the proxy and of the fork runtimes.
    """
    standard = [path for path in sys.path if path not in folders.values()]
    for name in _COMMON:
        with suppress(ImportError):
            importlib.import_module(name)
    found = {entry: pkgutil.resolve_name(entry) for entry in entries}
    sys.path[:] = standard
    sys.path_importer_cache.clear()
    sys.meta_path.insert(0, Ours(folders))
    sys.executable = str(Path(sys.executable).resolve())
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return found
