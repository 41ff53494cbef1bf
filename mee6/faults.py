"""An error of `mee6.errors` as the `Fault` that crosses a wire, and back.

For every process: the proxy, the runtimes, the agent and the client. Knows no gRPC; `mee6.api.faults`
builds on it.
"""

from __future__ import annotations

from mee6.errors import Mee6Error, by_code
from mee6.lane.messages import Fault


def fault_of(error: Mee6Error) -> Fault:
    """What `error` says, for the wire."""
    return Fault(error.code, error.message, error.function, error.error_type, error.traceback)


def error_of(fault: Fault) -> Mee6Error:
    """The error that a peer reported; `Mee6Error` for a code that this version does not know."""
    return by_code(fault.code)(
        fault.message, function=fault.function, traceback=fault.traceback, error_type=fault.error_type
    )
