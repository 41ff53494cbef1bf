"""The small rules of a run: when a case of a switch holds, when a step runs again, what a `catch` is told."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mee6.declared.graph import Case, Catch, Retry
from mee6.declared.values import Value, opened
from mee6.errors import InvalidInput
from mee6.lane.messages import JSON, Fault

NEVER_AGAIN: Final = frozenset({"invalid_input"})
"""Faults after which a step is not run again, unless its `retry` names them: the same input would meet them again."""


def holds(value: Any, case: Case) -> bool:
    """Whether a case's condition holds: by its test; without one, unless it is null, false, 0 or empty.

    Raises:
        InvalidInput: it compares what is no number.
    """
    if case.equals is not msgspec.UNSET:
        return same(value, case.equals)
    if case.among is not None:
        return any(same(value, one) for one in case.among)
    if case.above is not None or case.below is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"'if' compares a number with {'null' if value is None else type(value).__name__}")
        return (case.above is None or value > case.above) and (case.below is None or value < case.below)
    return bool(value)


def same(value: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: `true` is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def runs_again(retry: Retry, fault: Fault, failures: int) -> bool:
    """Whether a step that failed so often, this time so, runs again."""
    meant = fault.code in retry.on if retry.on else fault.code not in NEVER_AGAIN
    return meant and failures < retry.attempts


def catches(catch: Catch | None, fault: Fault) -> bool:
    """Whether a step's `catch` is for this fault."""
    return catch is not None and (not catch.on or fault.code in catch.on)


def error_value(fault: Fault) -> dict[str, str]:
    """What `$error` is."""
    return {"code": fault.code, "message": fault.message, "function": fault.function, "type": fault.error_type}


def choice_in(value: Value) -> list[str]:
    """The steps that a switch chose, from what it gave."""
    return msgspec.json.decode(value.data, type=list[str])


def joined(results: list[Value]) -> Value:
    """A list of results, as JSON; what is JSON already is not read again.

    Raises:
        InvalidInput: one is bytes, or text that is not UTF-8.
    """
    pieces = []
    for n, value in enumerate(results):
        if value.content_type == JSON and value.data:
            pieces.append(value.data)
            continue
        try:
            pieces.append(msgspec.json.encode(opened(value, f"what item {n} gave")))
        except (ValueError, UnicodeEncodeError) as error:
            raise InvalidInput(f"what item {n} gave cannot be written as JSON: {error}") from error
    return Value(b"[" + b",".join(pieces) + b"]", JSON)
