"""An error of `mee6.errors` as the `Fault` that crosses a wire, and back.

For every process: the proxy, the runtimes, the agent and the client. Knows no gRPC; `mee6.api.faults`
builds on it.
"""

from __future__ import annotations

import signal
from typing import Final

from mee6.errors import Mee6Error, by_code
from mee6.lane.messages import Fault


def fault_of(error: Mee6Error) -> Fault:
    """What `error` says, for the wire."""
    return Fault(error.code, error.message, error.function, error.error_type, error.traceback, error.invocation)


def error_of(fault: Fault) -> Mee6Error:
    """The error that a peer reported; `Mee6Error` for a code that this version does not know."""
    error = by_code(fault.code)(
        fault.message, function=fault.function, traceback=fault.traceback, error_type=fault.error_type
    )
    error.invocation = fault.invocation
    return error


FROM_RUNTIMES: Final = frozenset(
    {"function_raised", "load_failed", "result_refused", "call_refused", "invalid_input", "conflict"}
)
"""Codes that a runtime may give its failure; any other would pass for something that happened to the agent."""
FROM_PROXIES: Final = FROM_RUNTIMES | {"function_exited", "timed_out", "worker_lost"}
_MESSAGE_CHARS: Final = 4000
_NAME_CHARS: Final = 200
_TRACEBACK_CHARS: Final = 256 << 10


def bounded(fault: Fault, codes: frozenset[str] = FROM_RUNTIMES) -> Fault:
    """The fault as far as its sender is to be believed: a runtime's process is its function's to do with as it likes.

    Args:
        codes: those that the sender may give.
    """
    return Fault(
        fault.code if fault.code in codes else "function_raised",
        fault.message[:_MESSAGE_CHARS],
        fault.function[:_NAME_CHARS],
        fault.error_type[:_NAME_CHARS],
        fault.traceback[-_TRACEBACK_CHARS:],
    )


def exit_fault(function: str, status: int, cause: str = "") -> Fault:
    """What to say of a function whose process has ended while it ran.

    Args:
        status: as `os.waitstatus_to_exitcode`: an exit code, or minus a signal's number.
        cause: what the driver knows of it, e.g. `out of memory (limit 512 MiB)`.
    """
    if status < 0:
        try:
            name = f" ({signal.Signals(-status).name})"
        except ValueError:
            name = ""
        how = f"was killed by signal {-status}{name}"
    else:
        how = f"exited with code {status}"
    message = f"the process of {function!r} {how}" + (f": {cause}" if cause else "")
    return Fault("function_exited", message, function=function)
