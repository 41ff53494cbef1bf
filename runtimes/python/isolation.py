"""Makes a fork of mee6's own process look like a fresh interpreter to a function.

What may be imported: the standard library, `mee6` and `msgspec`, and what the function brings along. The
modules that this process has already loaded of anything else are forgotten (code that runs keeps its own
references), so that a user's `agent.py` or `proxy.py` is the user's.
"""

from __future__ import annotations

import sys
import sysconfig
from os.path import realpath
from types import ModuleType
from typing import Final

OURS: Final = frozenset({"mee6", "msgspec"})
"""Packages beyond the standard library that a function may import."""
_SITES: Final = ("site-packages", "dist-packages")


_ROOTS: Final = tuple(
    {
        root + "/"
        for name in ("stdlib", "platstdlib")
        for path in [sysconfig.get_path(name)]
        for root in (path, realpath(path))
    }
)


def isolate() -> None:
    """Cuts `sys.path` and `sys.modules` down; modules of `OURS` stay importable by their packages' own paths.

    Does nothing where that was done before the fork, which is when this module too was forgotten.
    """
    if __name__ not in sys.modules:
        return
    for name, module in list(sys.modules.items()):
        if not _may_stay(name, module):
            del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if entry.endswith(".zip") or _is_standard(entry + "/")]
    sys.path_importer_cache.clear()
    sys.dont_write_bytecode = True  # the code's folder is shared by workers, and read-only where that can be had


def _may_stay(name: str, module: ModuleType) -> bool:
    if name == "__main__" or name.partition(".")[0] in OURS:
        return True
    file = getattr(module, "__file__", None)
    if file is not None:
        return _is_standard(file)
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.origin in ("built-in", "frozen")


def _is_standard(path: str) -> bool:
    return path.startswith(_ROOTS) and not any(site in path for site in _SITES)
