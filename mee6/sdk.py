"""The function SDK: calls to other functions, and what a function may know about its invocation.

A `Backend` does the work: a runtime installs its own (calls go over the lane); without one, calls go to an
agent through `mee6.client`. People use these names through `import mee6`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol, overload

from mee6.errors import Conflict
from mee6.http import Request

log: Final = logging.getLogger("mee6.function")
"""Writes to standard error, and so to the invocation's log."""


class CallTo(NamedTuple):
    """A call to be made; `call` makes it."""

    name: str
    arg: Any = None
    view: bool = False
    """Its value, where it is bytes, is wanted as a `memoryview`."""


class Outcome(NamedTuple):
    """How a call ended: one of the two counts."""

    value: Any = None
    error: Exception | None = None

    def unwrap(self) -> Any:
        """The value, or raises the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class Context:
    """What a function may know about the invocation it serves."""

    invocation: str
    """Its id: the invocation's own for a workflow's first function, `<caller's>.<n>` below."""
    function: str
    version: int
    chain: tuple[str, ...]
    """Function names from the workflow's first down to this one."""
    deadline: float
    """When this run is stopped at the latest, on the clock of `time.monotonic()`."""


class Backend(Protocol):
    """What carries calls out and knows the surroundings."""

    def invoke(self, name: str, arg: Any, view: bool) -> Any:
        """Makes one call and blocks until it has ended: its value, or raises its error."""
        ...

    def run(self, calls: Sequence[CallTo]) -> list[Outcome]:
        """Makes the calls, all at once, and blocks until all have ended. Outcomes in order."""
        ...

    def start(self, calls: Sequence[CallTo]) -> list[Awaitable[Outcome]]:
        """Makes the calls, all at once; for the running event loop. None of the awaitables raises."""
        ...

    def flow(self) -> Path:
        """The workflow's folder."""
        ...

    def scratch(self) -> Path:
        """This invocation's folder."""
        ...

    def context(self) -> Context:
        """The invocation that is being served."""
        ...

    def request(self) -> Request:
        """The HTTP request that it came with."""
        ...


_backend: Backend | None = None


def install(backend: Backend | None) -> None:
    """Makes `backend` carry out all calls from now on; None goes back to the client."""
    global _backend  # noqa: PLW0603 - the one slot: functions call plain names, so something must be global
    _backend = backend


def backend() -> Backend:
    """What carries calls out: the runtime's, else one that talks to an agent."""
    global _backend  # noqa: PLW0603 - as above
    if _backend is None:
        from mee6.script import ClientBackend

        _backend = ClientBackend()
    return _backend


def call(name: str, arg: Any = None, *, view: bool = False) -> CallTo:
    """A call for `gather`; `view` as in `invoke`."""
    return CallTo(name, arg, view)


def invoke(name: str, arg: Any = None, *, view: bool = False) -> Any:
    """Calls a function and waits for its value.

    Args:
        view: a value that is bytes comes as a read-only `memoryview` of them where they lie, in the workflow's store,
            and without a copy. It is good until the function that called has returned.

    Raises:
        FunctionRaised: it raised; with `.function`, `.error_type` and the remote `.traceback`.
        CallRefused: it is not among the caller's dependencies, or the calls are too deep.
        Mee6Error: it could not be run; see `mee6.errors`.
    """
    return (_backend or backend()).invoke(name, arg, view)


@overload
def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: Literal[False] = False) -> list[Any]: ...
@overload
def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: bool) -> list[Any | Exception]: ...
def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: bool = False) -> list[Any]:
    """Calls several functions in parallel, as far as their outflow allows, and waits for all of them.

    Args:
        calls: made by `call`, or `(name, arg)`, or a name alone.
        return_exceptions: puts errors in their place among the values instead of raising the first of them.

    Raises:
        Mee6Error: as `invoke`; of the first call, in the order given, that failed, after all have ended.
    """
    return collected(backend().run(calls_of(calls)) if calls else [], return_exceptions)


def calls_of(calls: Iterable[Any]) -> list[CallTo]:
    """The calls in one form.

    Raises:
        TypeError: one is neither a call, nor a pair, nor a name.
    """
    taken: list[CallTo] = []
    for one in calls:
        if isinstance(one, str):
            taken.append(CallTo(one))
        elif isinstance(one, CallTo):
            taken.append(one)
        elif isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str):
            taken.append(CallTo(*one))
        else:
            raise TypeError(f"gather takes mee6.call(name, arg) or (name, arg), not {type(one).__name__}")
    return taken


def collected(outcomes: list[Outcome], return_exceptions: bool) -> list[Any]:
    """The values in order; the first error is raised, or errors stand in their place."""
    if return_exceptions:
        return [outcome.value if outcome.error is None else outcome.error for outcome in outcomes]
    return [outcome.unwrap() for outcome in outcomes]


def current_flow() -> Path:
    """The folder that all functions of the running workflow share.

    Raises:
        Conflict: no function is running here.
    """
    return backend().flow()


def current_scratch() -> Path:
    """This invocation's own folder, removed when it ends.

    Raises:
        Conflict: no function is running here.
    """
    return backend().scratch()


def current_context() -> Context:
    """What is known about the running invocation.

    Raises:
        Conflict: no function is running here.
    """
    return backend().context()


def current_request() -> Request:
    """The HTTP request that the running invocation came with; its `method` is empty where it came another way.

    Raises:
        Conflict: no function is running here.
    """
    return backend().request()


def outside(what: str) -> Conflict:
    """The error for what exists only inside a running function."""
    return Conflict(f"mee6.{what} exists only while a function runs; this is a script, or the function has returned")
