"""One invocation between the wire and the node: request to ticket, outcome or error to response."""

from __future__ import annotations

from typing import Any, Final

import grpc.aio

from agent.config import SCHEDULES
from agent.services.api import NodeApi, Outcome, Ticket, function_name, user_name
from mee6.api.v1 import invoker_pb2 as pb
from mee6.errors import InvalidInput
from mee6.lane.messages import TEXT
from mee6.manifest import MAX_TIMEOUT_S

USUAL_LIMIT_BYTES: Final = 4 << 20
"""What gRPC's clients take in one message unless they are told otherwise; a server cannot know what they were told."""
_AROUND_BYTES: Final = 512
"""What may be around a result in its message."""
HINT_KEY: Final = "mee6-hint"


def begin(node: NodeApi, request: pb.InvokeRequest) -> Ticket:
    """Hands a request to the node.

    Raises:
        InvalidInput: a name or the timeout is wrong.
        Mee6Error: as `NodeApi.begin`.
    """
    timeout_s = request.timeout_s
    if not 0 <= timeout_s <= MAX_TIMEOUT_S:
        raise InvalidInput(
            f"timeout_s is {timeout_s}; give seconds up to {MAX_TIMEOUT_S}, or 0 for the function's own limit"
        )
    if request.content_type:
        arg, content_type = request.data, request.content_type
    else:
        arg, content_type = request.arg.encode(), TEXT
    name = function_name(request.actName)
    if request.schedule not in ("", *SCHEDULES):
        raise InvalidInput(f"schedule is {request.schedule!r}; use one of: {', '.join(SCHEDULES)}")
    user = user_name(request.username)
    ticket = node.begin(user, name, arg, content_type, timeout_s or None, request.schedule)
    if request.detach:
        # Nobody awaits it; without this, a failure would be reported as never retrieved.
        ticket.outcome.add_done_callback(lambda outcome: outcome.cancelled() or outcome.exception())
    return ticket


def response(outcome: Outcome, *, as_text: bool) -> pb.InvokeResponse:
    """An outcome on the wire: as the first Mee6aaS had it, or as bytes with a content type."""
    if as_text:
        return pb.InvokeResponse(result=outcome.result.decode("utf-8", "replace"), id=outcome.id)
    return pb.InvokeResponse(data=outcome.result, content_type=outcome.content_type, id=outcome.id)


async def hint(context: grpc.aio.ServicerContext[Any, Any], outcome: Outcome) -> None:
    """Tells, ahead of an answer that a client may refuse for its size, what to set, and that it need not run again.

    Such a client sees an error of its own library, which names neither; what came ahead it can still read.
    """
    size = len(outcome.result) + _AROUND_BYTES
    if size > USUAL_LIMIT_BYTES:
        said = (
            f"this answer has {len(outcome.result)} bytes, and gRPC clients take {USUAL_LIMIT_BYTES} unless told "
            f"otherwise: set grpc.max_receive_message_length, and get it by Result with the id {outcome.id}"
        )
        await context.send_initial_metadata(((HINT_KEY, said),))
