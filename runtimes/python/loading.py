"""Finds `main` in a function's folder.

Once per process: its folder becomes the current one and the first on `sys.path`, what it depends on comes after the
standard library, and what an image's base brings along is the last; its environment is applied, and `main.py` is
imported as the module `main`. A process whose load failed is thrown away by whoever asked.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final

from mee6.errors import LoadFailed
from mee6.lane.messages import Function

MAIN: Final = "main.py"
BASE_PATH: Final = "MEE6_BASE_PATH"
"""Set in a container: where the Python of the image's base finds packages, which its functions may use."""


def load(function: Function) -> Callable[[Any], Any]:
    """The function's `main`, as a callable of one argument.

    Raises:
        LoadFailed: there is nothing to load; the message says what is missing.
        BaseException: whatever importing `main.py` raised.
    """
    folder = Path(function.path)
    path = folder / MAIN
    if not path.is_file():
        raise LoadFailed(f"cannot load {function.name!r}: no {MAIN} in its folder", function=function.name)
    of_base = os.environ.pop(BASE_PATH, "")
    os.environ.update(function.env)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    if function.packages:
        import site  # costs nothing to the many that need no packages

        site.addsitedir(function.packages)  # as an interpreter's own: nothing hides the standard library
    sys.path.extend(filter(None, of_base.split(":")))
    sys.argv = [str(path)]
    spec = importlib.util.spec_from_file_location("main", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["main"] = module
    spec.loader.exec_module(module)
    main = getattr(module, "main", None)
    if not callable(main):
        found = "has no main" if main is None else f"has a main that is a {type(main).__name__}, not a function"
        raise LoadFailed(
            f"cannot load {function.name!r}: {MAIN} {found}; define: def main(arg)", function=function.name
        )
    if function.concurrency > 1 and not _is_async(main):
        raise LoadFailed(
            f"cannot load {function.name!r}: its concurrency is {function.concurrency}, but its main is not async: it "
            "would take one at a time; define: async def main(arg), or leave concurrency out",
            function=function.name,
        )
    if _takes_nothing(main):
        return lambda _arg: main()
    return main  # type: ignore[no-any-return] # what a stranger's module holds


def takes_view(main: Callable[[Any], Any]) -> bool:
    """Whether its argument is declared as a `memoryview`: then one that is bytes is not copied for it."""
    try:
        first = next(iter(inspect.signature(main).parameters.values()), None)
    except (TypeError, ValueError):  # of something built in
        return False
    return first is not None and first.annotation in (memoryview, "memoryview")


def _is_async(main: Callable[..., Any]) -> bool:
    called = main if inspect.isroutine(main) else getattr(main, "__call__", main)  # noqa: B004 - its kind is asked for
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in (main, inspect.unwrap(called))
    )


def _takes_nothing(main: Callable[..., Any]) -> bool:
    if isinstance(main, FunctionType) and main.__code__.co_argcount:
        return False  # nearly always, and without the fiftieth part of a cold start that a signature takes
    try:
        inspect.signature(main).bind(None)
    except TypeError:
        try:
            inspect.signature(main).bind()
        except TypeError:
            return False
        return True
    except ValueError:  # some built-ins have no signature
        return False
    return False
