"""One place where errors become gRPC statuses, and where a client's API level is looked at.

Wraps every RPC of ours; health and reflection pass untouched. What is not a `Mee6Error` is a mistake of
this program: it is logged once, with a short id that the client is told, and the client sees no traceback.
Relies on streaming handlers being coroutines that use `context.read` and `context.write`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import grpc.aio

from mee6.api.faults import API_KEY, API_LEVEL, to_status
from mee6.errors import Cancelled, Mee6Error, VersionMismatch

log = logging.getLogger("mee6.agent")

_OURS: Final = ("/mee6aas.", "/mee6.")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]


class ErrorsToStatus(grpc.aio.ServerInterceptor):
    """The interceptor; one instance serves one server."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Gives the RPC's handler, wrapped."""
        method = handler_call_details.method
        # Once per method: the handlers of a server never change, and this is on every invocation's way.
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            handler = await continuation(handler_call_details)
            if handler is None or not method.startswith(_OURS):
                return handler
            wrapped = self._wrapped[method] = _wrap(handler, method)
        for key, value in handler_call_details.invocation_metadata or ():
            if key == API_KEY and value != _LEVEL:
                return _checked(wrapped, value)
        return wrapped


_LEVEL: Final = str(API_LEVEL)


def _wrap(handler: Handler, method: str) -> Handler:
    behaviour: Behaviour
    if not handler.response_streaming:
        behaviour = _any(handler.stream_unary if handler.request_streaming else handler.unary_unary)

        async def unary(request: Any, context: Context) -> Any:
            try:
                return await behaviour(request, context)
            except Exception as error:
                await _abort(context, method, error)

        return _like(handler, unary)

    behaviour = _any(handler.stream_stream if handler.request_streaming else handler.unary_stream)

    async def stream(request: Any, context: Context) -> None:
        try:
            await behaviour(request, context)
        except Exception as error:
            await _abort(context, method, error)

    return _like(handler, stream)


def _any(behaviour: Any) -> Behaviour:
    """The behaviour; the stubs know only that of a synchronous server."""
    return behaviour  # type: ignore[no-any-return]


def _like(handler: Handler, behaviour: Behaviour) -> Handler:
    """A handler of the same kind with another behaviour."""
    make: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    wrapped: Handler = make(behaviour, handler.request_deserializer, handler.response_serializer)
    return wrapped


def _checked(handler: Handler, level: str | bytes) -> Handler:
    """The handler, or one that refuses, for a client that named another API level than ours."""
    text = level if isinstance(level, str) else level.decode("ascii", "replace")
    if len(text) < 10 and text.isascii() and text.isdigit() and int(text) <= API_LEVEL:
        return handler

    async def refuse(_request: Any, context: Context) -> None:
        await _abort(
            context,
            "",
            VersionMismatch(
                f"the client speaks API level {text[:20]!r}, this agent speaks {API_LEVEL}; "
                f"upgrade the agent, or use an older client"
            ),
        )

    return _like(handler, refuse)


async def _abort(context: Context, method: str, error: Exception) -> NoReturn:
    """Ends the RPC with the status of `error`."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, grpc.aio.UsageError | asyncio.InvalidStateError) and context.done():
        # Written to a stream whose client has just gone.
        error = Cancelled("the client went away")
    if not isinstance(error, Mee6Error):
        incident = secrets.token_hex(4)
        log.error("%s failed, incident %s", method, incident, exc_info=error)
        error = Mee6Error(f"the agent failed inside; its log says more under incident {incident}")
    await context.abort(*to_status(error))
