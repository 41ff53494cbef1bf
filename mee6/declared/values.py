"""What steps give and take: opaque bytes, until an expression looks inside.

An expression is JSON in which text that begins with `$` refers to something: `$args` the arguments, `$split` what the
step `split` gave, `$split.parts[0]` a part of it; `$item` and `$index` of a `foreach`, `$error` in a `catch`. `$$` is a
dollar sign. `{"$first": [...]}` is the first of several that is there: a step that was skipped gave nothing. Nothing
is computed: what wants computing is a function's work.

A reference to the whole of a result hands its bytes on as they are. Only `opened` and `packed` look at them: a result
that is kept elsewhere (in shared memory, say) needs no more than another way there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from mee6 import content
from mee6.errors import InvalidInput

ITEM_NAMES: Final = ("item", "index")
"""Of a `foreach`'s input."""
ERROR_NAME: Final = "error"
"""Of a `catch`'s input or value."""
ARGS_NAME: Final = "args"
DEFAULT_ITEM: Final = "$item"
RESERVED: Final = (ARGS_NAME, *ITEM_NAMES, ERROR_NAME, "first")
"""What no step may be called."""
STEP_RULE: Final = "a letter, then up to 62 letters, digits, '_' or '-'"
FIRST: Final = "$first"
MAX_NESTING: Final = 32

_STEP: Final = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
_REFERENCE: Final = re.compile(rf"\$({_STEP})((?:\.[A-Za-z0-9_-]+|\[-?[0-9]{{1,9}}\]|\[\"[^\"\]]*\"\])*)")
_PART: Final = re.compile(r"\.([A-Za-z0-9_-]+)|\[(-?[0-9]+)\]|\[\"([^\"\]]*)\"\]")


class Value(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a step gave, or is given."""

    data: bytes
    content_type: str


Outcome = Value | None
"""What a step came to; None = it was skipped."""


class Literal(msgspec.Struct, frozen=True):
    """Stands for itself."""

    value: Any


class Reference(msgspec.Struct, frozen=True):
    """Something that is known when the expression is evaluated, or a part of it."""

    name: str
    path: tuple[str | int, ...]

    def __str__(self) -> str:
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return f"${self.name}{''.join(parts)}"


class First(msgspec.Struct, frozen=True):
    """The first of several that is there."""

    of: tuple[Expression, ...]


class Object(msgspec.Struct, frozen=True):
    """An object of expressions."""

    of: dict[str, Expression]


class Array(msgspec.Struct, frozen=True):
    """A list of expressions."""

    of: tuple[Expression, ...]


Expression = Literal | Reference | First | Object | Array
Known = Callable[[str], Outcome]
"""Gives what a name stands for."""


def is_step_name(text: str) -> bool:
    """Whether a step may be called so."""
    return re.fullmatch(_STEP, text) is not None and text not in RESERVED


def parse(value: Any, nesting: int = 0) -> Expression:
    """Reads an expression.

    Raises:
        ValueError: it is none; says why.
    """
    if nesting > MAX_NESTING:
        raise ValueError(f"is nested more than {MAX_NESTING} deep")
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return _simple(Array(tuple(parse(one, nesting + 1) for one in value)))
    if not isinstance(value, dict):
        return Literal(value)
    if FIRST in value:
        choices = value[FIRST]
        if len(value) > 1 or not isinstance(choices, list) or not choices:
            raise ValueError(f'has a {FIRST!r} that is not alone, or not a list, as in {{"$first": ["$a", "$b", 0]}}')
        return First(tuple(parse(one, nesting + 1) for one in choices))
    return _simple(Object({key: parse(one, nesting + 1) for key, one in value.items()}))


def _simple(expression: Object | Array) -> Expression:
    """A literal, where nothing in it refers to anything."""
    parts = expression.of.values() if isinstance(expression, Object) else expression.of
    if not all(isinstance(one, Literal) for one in parts):
        return expression
    if isinstance(expression, Object):
        return Literal({key: one.value for key, one in expression.of.items()})  # type: ignore[union-attr]
    return Literal([one.value for one in expression.of])  # type: ignore[union-attr]


def _text(text: str) -> Expression:
    if not text.startswith("$"):
        return Literal(text)
    if text.startswith("$$"):
        return Literal(text[1:])
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"has {text!r}, which is no reference, as in '$args' or '$step.key[0]'; a dollar sign is '$$'")
    path = tuple(int(index) if index else key or quoted for key, index, quoted in _PART.findall(found.group(2)))
    return Reference(found.group(1), path)


def names(expression: Expression) -> list[str]:
    """All names that it refers to, in their order."""
    if isinstance(expression, Reference):
        return [expression.name]
    if isinstance(expression, Literal):
        return []
    parts = expression.of.values() if isinstance(expression, Object) else expression.of
    return list(dict.fromkeys(name for one in parts for name in names(one)))


def evaluate(expression: Expression, known: Known, local: Mapping[str, Any] | None = None) -> Value:
    """What an expression comes to.

    Args:
        known: what names stand for.
        local: names that stand for a value that is not packed: an item, say.

    Raises:
        InvalidInput: a part is not there, or not what can be looked into; says which.
    """
    if isinstance(expression, First):
        expression = _there(expression, known)
    if isinstance(expression, Reference) and not expression.path and expression.name not in (local or {}):
        found = known(expression.name)
        return found if found is not None else packed(None)
    return packed(look(expression, known, local))


def look(expression: Expression, known: Known, local: Mapping[str, Any] | None = None) -> Any:
    """What an expression comes to, as a value to look at; raises as `evaluate`. None of what a skipped step gave."""
    match expression:
        case Literal():
            return expression.value
        case Reference():
            if local is not None and expression.name in local:
                found = local[expression.name]
            else:
                given = known(expression.name)
                if given is None:
                    return None
                found = opened(given, f"${expression.name}")
            return _within(found, expression)
        case First():
            return look(_there(expression, known), known, local)
        case Object():
            return {key: look(one, known, local) for key, one in expression.of.items()}
        case Array():
            return [look(one, known, local) for one in expression.of]


def opened(value: Value, whose: str) -> Any:
    """What is in a value.

    Raises:
        InvalidInput: it is bytes, or not what its content type says.
    """
    try:
        found = content.unpack(value.data, value.content_type)
    except InvalidInput as error:
        raise InvalidInput(f"cannot look into {whose}: {error.message}") from None
    if isinstance(found, bytes):
        raise InvalidInput(f"cannot look into {whose}, which is {value.content_type!r}; it can only be handed on whole")
    return found


def packed(value: Any) -> Value:
    """A value as it travels."""
    return Value(*content.pack(value))


def _there(expression: First, known: Known) -> Expression:
    for one in expression.of:
        inner = _there(one, known) if isinstance(one, First) else one
        if not isinstance(inner, Reference) or inner.name in (*ITEM_NAMES, ERROR_NAME):
            return inner
        if known(inner.name) is not None:
            return inner
    return Literal(None)


def _within(value: Any, reference: Reference) -> Any:
    for n, part in enumerate(reference.path):
        if not (isinstance(value, dict) and part in value) and not _has_index(value, part):
            whole = Reference(reference.name, reference.path[:n])
            raise InvalidInput(f"there is no {reference}: {whole} is {_said(value)}")
        value = value[part]
    return value


def _has_index(value: Any, part: str | int) -> bool:
    return isinstance(value, list) and isinstance(part, int) and -len(value) <= part < len(value)


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object with {', '.join(list(value)[:8]) or 'nothing in it'}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "text" if isinstance(value, str) else "null" if value is None else f"a {type(value).__name__}"
