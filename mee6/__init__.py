"""What a function and a script import: `mee6.invoke`, `mee6.gather`, and the world around the call.

The same names work inside a function, where they go over the worker's lane, and in a script, where they go
to an agent. Everything is found on first use: `import mee6` itself costs nothing, and grpc is imported only
when an agent is talked to from a script.

    mee6.invoke(name, arg)      one call; blocks; returns its value or raises
    mee6.gather(...)            several in parallel: `mee6.gather(mee6.call("a", 1), ("b", 2))`
    mee6.aio                    the same for async functions
    mee6.flow, mee6.scratch     folders: of the workflow, of this invocation
    mee6.log, mee6.context      a logger, and what is known about this invocation
    mee6.request                the HTTP request that it came with; `return mee6.Response(...)`, `yield mee6.Event(...)`
    mee6.Client, mee6.SyncClient, mee6.errors
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from pathlib import Path
    from typing import Any

    from mee6 import aio as aio
    from mee6 import errors as errors
    from mee6.client import Client as Client
    from mee6.http import Event as Event
    from mee6.http import Request
    from mee6.http import Response as Response
    from mee6.sdk import Context
    from mee6.sdk import call as call
    from mee6.sdk import gather as gather
    from mee6.sdk import invoke as invoke
    from mee6.sync import SyncClient as SyncClient

    flow: Path
    scratch: Path
    context: Context
    request: Request
    log: Logger
    __version__: str

_FIXED = {
    "invoke": "mee6.sdk",
    "gather": "mee6.sdk",
    "call": "mee6.sdk",
    "log": "mee6.sdk",
    "Event": "mee6.http",
    "Response": "mee6.http",
    "Client": "mee6.client",
    "SyncClient": "mee6.sync",
}
"""Names that stay the same once found -> the module that has them."""
_PER_INVOCATION = ("flow", "scratch", "context", "request")
_MODULES = ("aio", "errors")

__all__ = [  # noqa: PLE0604 - built from the tables, so that they cannot disagree
    "__version__",
    *_FIXED,
    *_PER_INVOCATION,
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _PER_INVOCATION:
        return getattr(import_module("mee6.sdk"), f"current_{name}")()
    if name in _MODULES:
        return import_module(f"mee6.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("mee6")
    if name not in _FIXED:
        raise AttributeError(f"module 'mee6' has no attribute {name!r}")
    value = getattr(import_module(_FIXED[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
