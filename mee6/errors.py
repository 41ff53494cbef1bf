"""Everything that can go wrong, once: its code, its exit code, its gRPC and HTTP statuses.

    Mee6Error                     1  500  INTERNAL
    |- InvalidInput               2  400  INVALID_ARGUMENT     the request is wrong; nothing was done
    |  |- InvalidManifest                 activity.json is missing or broken
    |  |- InvalidBundle                   the folder holds what a bundle may not
    |  |- InvalidCode                     its code is no Python, or no JavaScript
    |  |- UnknownRuntime                  no such language on this agent
    |  |- DependencyFailed                the packages it needs could not be had
    |- NotFound                   3  404  NOT_FOUND
    |  |- FunctionNotFound
    |  |- InvocationNotFound
    |- FunctionError              4  500  UNKNOWN              an answer: the function failed, not mee6
    |  |- FunctionRaised                  main(arg) raised
    |  |- LoadFailed                      its code could not be imported
    |  |- FunctionExited             502  its process ended by itself, or was killed
    |  |- ResultRefused              502  the result is too large, or not something that can be sent
    |  |- CallRefused                     it called what it does not declare, or too deep
    |- AgentUnreachable           5  503  UNAVAILABLE
    |- NotAllowed                 6  403  PERMISSION_DENIED
    |- Conflict                   7  409  FAILED_PRECONDITION  the state of things forbids it
    |  |- VersionMismatch                 agent and client speak different versions
    |- Exhausted                  8  429  RESOURCE_EXHAUSTED   a limit was reached
    |  |- TooLarge                   413  the bundle or the argument is over its limit
    |- WorkerLost                 1  502  ABORTED              the worker went away; the outcome is unknown
    |- ProtocolError              1  500  INTERNAL             a peer broke the wire's rules
    |- TimedOut                 124  504  DEADLINE_EXCEEDED
    |- Cancelled                130  499  CANCELLED

A class is one cause. `code` crosses the wire; `by_code` finds the class again. A failure to load, to
run and to keep the worker alive are three different things, and stay so up to the exit code's message.
"""

from __future__ import annotations

from typing import ClassVar, Final


class Mee6Error(Exception):
    """Something that mee6 itself could not do. The message names the thing and the next step.

    Args:
        message: one line for people.
        function: the function it happened in, where there is one.
        traceback: the remote traceback, ready to print, where there is one.
        error_type: the remote exception's class, where there is one.
    """

    code: ClassVar[str] = "internal"
    grpc: ClassVar[str] = "INTERNAL"
    http: ClassVar[int] = 500
    exit: ClassVar[int] = 1

    def __init__(self, message: str, *, function: str = "", traceback: str = "", error_type: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.function = function
        self.traceback = traceback
        self.error_type = error_type
        self.invocation = ""
        """The invocation that ended with it, where there was one."""


class InvalidInput(Mee6Error):
    """The request is wrong and nothing was done."""

    code = "invalid_input"
    grpc = "INVALID_ARGUMENT"
    http = 400
    exit = 2


class InvalidManifest(InvalidInput):
    """`activity.json` is missing, broken or contradicts itself."""

    code = "invalid_manifest"


class InvalidBundle(InvalidInput):
    """The folder is empty, or holds a link, a device or a path that leaves it."""

    code = "invalid_bundle"


class InvalidCode(InvalidInput):
    """The function's code cannot be read; `traceback` is the line it is about, as the language shows it."""

    code = "invalid_code"


class UnknownRuntime(InvalidInput):
    """The manifest names a language that the agent does not have."""

    code = "unknown_runtime"


class DependencyFailed(InvalidInput):
    """The packages that the function needs could not be resolved; `traceback` is what the tool said last."""

    code = "dependency_failed"


class NotFound(Mee6Error):
    """The thing named does not exist."""

    code = "not_found"
    grpc = "NOT_FOUND"
    http = 404
    exit = 3


class FunctionNotFound(NotFound):
    """No function of that name for that user."""

    code = "function_not_found"


class InvocationNotFound(NotFound):
    """No invocation of that id, or it has been forgotten."""

    code = "invocation_not_found"


class FunctionError(Mee6Error):
    """The function failed: an answer, not an error of mee6."""

    code = "function_error"
    grpc = "UNKNOWN"
    exit = 4


class FunctionRaised(FunctionError):
    """`main(arg)` raised; `traceback` is the remote one."""

    code = "function_raised"


class LoadFailed(FunctionError):
    """The function's code could not be loaded."""

    code = "load_failed"


class FunctionExited(FunctionError):
    """The function's process ended by itself or was killed while it ran."""

    code = "function_exited"
    http = 502


class ResultRefused(FunctionError):
    """The result is over the limit, or of a kind that cannot be sent."""

    code = "result_refused"
    http = 502


class CallRefused(FunctionError):
    """A call to what is not declared, too deep, or round and round."""

    code = "call_refused"


class AgentUnreachable(Mee6Error):
    """No agent answers at the address."""

    code = "agent_unreachable"
    grpc = "UNAVAILABLE"
    http = 503
    exit = 5


class NotAllowed(Mee6Error):
    """The caller may not do that."""

    code = "not_allowed"
    grpc = "PERMISSION_DENIED"
    http = 403
    exit = 6


class Conflict(Mee6Error):
    """The state of things forbids it: a port in use, an agent already running, a drain going on."""

    code = "conflict"
    grpc = "FAILED_PRECONDITION"
    http = 409
    exit = 7


class VersionMismatch(Conflict):
    """Agent and client speak different versions."""

    code = "version_mismatch"


class Exhausted(Mee6Error):
    """A limit was reached: queue, workers, memory."""

    code = "exhausted"
    grpc = "RESOURCE_EXHAUSTED"
    http = 429
    exit = 8


class TooLarge(Exhausted):
    """A bundle or an argument is over its limit."""

    code = "too_large"
    http = 413


class WorkerLost(Mee6Error):
    """The worker went away while it ran the invocation: whether it had its effect is unknown."""

    code = "worker_lost"
    grpc = "ABORTED"
    http = 502


class ProtocolError(Mee6Error):
    """A peer broke the wire's rules; its lane is closed."""

    code = "protocol_error"


class TimedOut(Mee6Error):
    """The invocation took longer than its limit and was stopped."""

    code = "timed_out"
    grpc = "DEADLINE_EXCEEDED"
    http = 504
    exit = 124


class Cancelled(Mee6Error):
    """Somebody called it off."""

    code = "cancelled"
    grpc = "CANCELLED"
    http = 499
    exit = 130


def _tree(root: type[Mee6Error]) -> list[type[Mee6Error]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


BY_CODE: Final[dict[str, type[Mee6Error]]] = {cls.code: cls for cls in _tree(Mee6Error)}


def by_code(code: str) -> type[Mee6Error]:
    """The class with this code; `Mee6Error` for one that this version does not know."""
    return BY_CODE.get(code, Mee6Error)


def by_grpc(status: str) -> type[Mee6Error]:
    """The broadest class with this gRPC status name; `Mee6Error` where there is none."""
    return next((cls for cls in BY_CODE.values() if cls.grpc == status), Mee6Error)
