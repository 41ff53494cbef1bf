"""What a function gave back, as the report of its invocation."""

from __future__ import annotations

from typing import Any

from mee6.content import pack
from mee6.errors import InvalidInput
from mee6.http import Response
from mee6.lane.messages import Fault, Report
from mee6.lane.messages import Response as LaneResponse


def parts(value: Any) -> tuple[Any, str, LaneResponse | None]:
    """A value's body, its content type where the function said one, and what it said of its answer over HTTP."""
    if isinstance(value, Response):
        return value.body, value.content_type, value.on_the_lane()
    return value, "", None


def report_of(
    number: str, name: str, value: Any, content_type: str, response: LaneResponse | None, limit: int
) -> Report:
    """The report of an invocation whose function gave a value that goes as a whole.

    Args:
        limit: bytes of a result.
    """
    try:
        data, kind = pack(value)
    except InvalidInput as error:
        return refused(number, name, f"{name!r} returned what cannot be sent: {error.message}")
    if len(data) > limit:
        return refused(number, name, f"the result of {name!r} is {len(data)} bytes, over the limit of {limit}")
    return Report(number, data, content_type or kind, response=response)


def refused(number: str, function: str, message: str) -> Report:
    """The report of a result that cannot be sent."""
    return Report(number, fault=Fault("result_refused", message, function=function))
