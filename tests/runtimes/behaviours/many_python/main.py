"""What a function does of which several invocations run at once; see `tests/runtimes/test_many.py`."""

import asyncio
import sys
from typing import Any

import mee6

gates: dict[str, asyncio.Event] = {}


async def main(arg: dict[str, Any]) -> Any:
    return await globals()[arg["do"]](arg)


async def wait(arg: dict[str, Any]) -> Any:
    """Waits for another invocation to open its gate."""
    print("begins", arg["name"])
    await gates.setdefault(arg["name"], asyncio.Event()).wait()
    print("ends", arg["name"], file=sys.stderr)
    return arg["name"]


async def open_(arg: dict[str, Any]) -> Any:
    gates.setdefault(arg["name"], asyncio.Event()).set()
    return "opened"


async def who(arg: dict[str, Any]) -> Any:
    """What it knows of itself, before and after another has run."""
    before = mee6.context.invocation
    (mee6.scratch / "mine").write_text(before)
    await gates.setdefault(arg["name"], asyncio.Event()).wait()
    return [before, mee6.context.invocation, (mee6.scratch / "mine").read_text(), str(mee6.scratch)]


async def call(arg: dict[str, Any]) -> Any:
    return await mee6.aio.gather(("g", arg["name"]), ("g", arg["name"] * 2))


async def flow(arg: dict[str, Any]) -> Any:
    return str(mee6.flow)


async def deaf(arg: dict[str, Any]) -> Any:
    """Does not end when it is called off."""
    while True:
        try:
            await gates.setdefault(arg["name"], asyncio.Event()).wait()
        except asyncio.CancelledError:
            print("not me")
        else:
            return "done"


async def body(arg: dict[str, Any]) -> Any:
    return mee6.request.path


async def stream(arg: dict[str, Any]) -> Any:
    async def items() -> Any:
        for number in range(2):
            await gates.setdefault(f"{arg['name']}{number}", asyncio.Event()).wait()
            yield f"{arg['name']}{number} "

    return items()
