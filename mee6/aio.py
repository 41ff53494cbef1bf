"""The function SDK for async code: `await mee6.aio.invoke("ponger", arg)`.

Several at once: `await mee6.aio.gather(...)`, or `asyncio.gather` over several `mee6.aio.invoke`.
"""

from __future__ import annotations

from typing import Any, Literal, overload

from mee6.sdk import CallTo, backend, call, calls_of, collected

__all__ = ["call", "gather", "invoke"]


async def invoke(name: str, arg: Any = None, *, view: bool = False) -> Any:
    """Calls a function and waits for its value; arguments and errors as of `mee6.invoke`."""
    return (await backend().start((CallTo(name, arg, view),))[0]).unwrap()


@overload
async def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: Literal[False] = False) -> list[Any]: ...
@overload
async def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: bool) -> list[Any | Exception]: ...
async def gather(*calls: CallTo | tuple[str, Any] | str, return_exceptions: bool = False) -> list[Any]:
    """Calls several functions in parallel and waits for all of them; as `mee6.gather`."""
    pending = backend().start(calls_of(calls)) if calls else []
    return collected([await one for one in pending], return_exceptions)
