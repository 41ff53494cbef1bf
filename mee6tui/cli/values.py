"""What a word on the command line means, where that is plain: text, paths, numbers, one of a few words.

typer asks pydantic about every value, and importing that takes longer than all else that a short command does. So what
needs no check is taken as it is, and pydantic is asked about the rest, as about all that is wrong: what is accepted
and what is said of an error are typer's. Importing this changes how it reads values; it has no option for that (0.29).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from typer import core

_NUMBERS: Final = {int: re.compile(r"[0-9]{1,18}"), float: re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")}
_REFUSED: Final = object()
_full: Final[Any] = getattr(core, "build_runtime_param", None)


class _Plain:
    """Reads the values of one parameter.

    Args:
        descriptor: typer's, of the parameter's type.
        read: takes a value, or gives `_REFUSED` where it is not plainly of the type.
    """

    def __init__(self, descriptor: Any, read: Callable[[Any], Any]) -> None:
        self.descriptor = descriptor
        self.read = read

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of that type.

        Raises:
            typer.BadParameter: it is none.
        """
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        found = self.read(value)
        return _full(self.descriptor).coerce(value, param=param, ctx=ctx) if found is _REFUSED else found


def _built(descriptor: Any) -> Any:
    try:
        read = _reader(descriptor.annotation, descriptor.parameter_info)
    except AttributeError:  # of another typer, which all is left to
        read = None
    return _full(descriptor) if read is None else _Plain(descriptor, read)


if _full is not None:
    core.build_runtime_param = _built  # type: ignore[attr-defined]  # not among its exports


def _reader(kind: Any, told: Any) -> Callable[[Any], Any] | None:
    """What reads values of a type; None where nothing of it is plain."""
    if told.parser is not None or told.path_type or told.resolve_path or told.exists or told.clamp:
        return None
    if get_origin(kind) is list:
        one = _reader(get_args(kind)[0], told)
        return one and (lambda values: _each(one, values))
    if kind is str or kind is bool:
        return lambda value: value if type(value) is kind else _REFUSED
    if kind is Path and told.file_okay and told.dir_okay and not told.writable:
        return lambda value: _path(value, readable=told.readable)
    if kind in _NUMBERS:
        return lambda value: _number(kind, value, told.min, told.max)
    if get_origin(kind) is Literal:
        return lambda value: value if value in get_args(kind) else _REFUSED
    return None


def _each(read: Callable[[Any], Any], values: Any) -> Any:
    found = [read(value) for value in values] if isinstance(values, list | tuple) else [_REFUSED]
    return _REFUSED if _REFUSED in found else found


def _path(value: Any, *, readable: bool) -> Any:
    """A path; what is there must be readable, and need not be there."""
    if not isinstance(value, str | Path) or (readable and os.access(value, os.F_OK) and not os.access(value, os.R_OK)):
        return _REFUSED
    return Path(value)


def _number(kind: Any, value: Any, least: float | None, most: float | None) -> Any:
    if isinstance(value, str) and _NUMBERS[kind].fullmatch(value):
        value = kind(value)
    fits = type(value) is kind and (least is None or value >= least) and (most is None or value <= most)
    return value if fits else _REFUSED
