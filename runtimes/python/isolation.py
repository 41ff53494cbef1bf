"""Makes a fork of mee6's own process look like a fresh interpreter to a function.

What may be imported: the standard library, `mee6` and `msgspec`, and what the function brings along. The
modules that this process has already loaded of anything else are forgotten (code that runs keeps its own
references), so that a user's `agent.py` or `proxy.py` is the user's.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Final

OURS: Final = frozenset({"mee6", "msgspec"})
"""Packages beyond the standard library that a function may import."""
_SITES: Final = ("site-packages", "dist-packages")


def isolate() -> None:
    """Cuts `sys.path` and `sys.modules` down; modules of `OURS` stay importable by their packages' own paths."""
    roots = {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib")}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in OURS and name != "__main__" and not _is_standard(module, roots):
            del sys.modules[name]
    for package in OURS:
        sys.modules.setdefault(package, __import__(package))
    sys.path[:] = [entry for entry in sys.path if entry and (_within(entry, roots) or entry.endswith(".zip"))]
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True  # the code's folder is shared by workers, and read-only where that can be had


def _is_standard(module: ModuleType, roots: set[str]) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        spec = getattr(module, "__spec__", None)
        return spec is not None and spec.origin in ("built-in", "frozen")
    return _within(file, roots)


def _within(path: str, roots: set[str]) -> bool:
    resolved = str(Path(path).resolve())
    if any(site in resolved for site in _SITES):
        return False
    return any(resolved == root or resolved.startswith(root + "/") for root in roots)
