"""What went wrong in a function, as a `Fault`: its kind, one line, and the traceback of its own frames.

Frames of this runtime, of the import system and of the SDK are left out: they tell the author of a function
nothing. A failure of a called function is followed by the traceback of that function.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mee6.errors import Mee6Error
from mee6.lane.messages import Fault

_HIDDEN: Final = (str(Path(__file__).parent) + "/", str(Path(msgspec.__file__).parent) + "/")
_SDK: Final = str(Path(__file__).parents[2] / "mee6") + "/"
_MAX_MESSAGE: Final = 2000
_MAX_NAME: Final = 200
_MAX_TRACEBACK: Final = 64 << 10
"""Characters; of a longer one the middle is left out."""


def of_exception(error: BaseException, function: str, full: Callable[[], str] = str) -> Fault:
    """The fault of a `main` that raised.

    Args:
        full: says which folder has no room left, where that was the error.
    """

    def message() -> str:
        if isinstance(error, SystemExit):
            return f"{function!r} called sys.exit({'' if error.code is None else repr(error.code)})"
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        place = full() if is_full else ""
        return f"{function!r} raised {_one_line(error)}{place and '; '}{place}"

    return _fault("function_raised", error, function, message, f"{function!r} raised an error that cannot be told")


def of_load(error: BaseException, function: str) -> Fault:
    """The fault of a `main.py` that could not be imported."""

    def message() -> str:
        if isinstance(error, SyntaxError):
            return f"cannot load {function!r}: {type(error).__name__} in {_place(error)}: {error.msg}"
        if isinstance(error, SystemExit):
            return f"cannot load {function!r}: importing main.py called sys.exit({error.code!r})"
        return f"cannot load {function!r}: importing main.py raised {_one_line(error)}"

    return _fault("load_failed", error, function, message, f"cannot load {function!r}: it raised what cannot be told")


def _fault(code: str, error: BaseException, function: str, message: Callable[[], str], otherwise: str) -> Fault:
    return Fault(
        code,
        _had(message, otherwise, _MAX_MESSAGE),
        function=function,
        error_type=_had(lambda: type(error).__name__, "", _MAX_NAME),
        traceback=_had(lambda: told(error), "", 2 * _MAX_TRACEBACK),
    )


def _had(make: Callable[[], str], otherwise: str, limit: int) -> str:
    """A text that the function's own code has a hand in: it may raise whatever it likes, be huge, or no text."""
    try:
        text = str.__getitem__(make(), slice(limit))
    except BaseException:
        return otherwise
    return text.encode("utf-8", "replace").decode()  # a lone surrogate cannot travel


def told(error: BaseException) -> str:
    """The traceback, ready to print, with those of called functions below."""
    try:
        story = traceback.TracebackException.from_exception(error, compact=True)
        _trim(story)
        text = "".join(story.format())
    except BaseException as broken:
        text = f"{type(error).__name__} (its traceback cannot be shown: {type(broken).__name__})\n"
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            break
        if isinstance(seen, Mee6Error) and seen.traceback:
            text += f"\nTraceback of {seen.function!r}:\n{_indented(seen.traceback)}"
        seen = seen.__cause__ or seen.__context__
    if len(text) > _MAX_TRACEBACK:
        text = f"{text[: _MAX_TRACEBACK // 2]}\n[...]\n{text[-_MAX_TRACEBACK // 2 :]}"
    return text


def _trim(story: traceback.TracebackException, depth: int = 0) -> None:
    kept = [frame for frame in story.stack if not frame.filename.startswith((*_HIDDEN, _SDK, "<frozen importlib"))]
    story.stack[:] = kept
    if depth < 8:
        for other in (story.__cause__, story.__context__):
            if other is not None:
                _trim(other, depth + 1)


def _one_line(error: BaseException) -> str:
    text = _had(lambda: str(error), "(its text cannot be had)", _MAX_TRACEBACK)
    first = text.strip().partition("\n")[0]
    if len(first) > 500:
        first = first[:500] + "..."
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _place(error: SyntaxError) -> str:
    return f"{Path(error.filename or 'main.py').name}, line {error.lineno}"


def _indented(text: str) -> str:
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))
