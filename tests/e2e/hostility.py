"""How a hostile function is run, and what it has to know to speak in its runtime's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mee6.client import Client
from mee6.errors import Mee6Error
from tests.support.agents import write_function

MIB: Final = 1 << 20
ECHO: Final = "def main(arg):\n    return arg\n"

LANE: Final = """
import os, socket, stat, time
from mee6.lane.codec import encode
from mee6.lane.messages import *
import mee6

def lane():
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                found = socket.socket(fileno=os.dup(fd))
                if ".lane-" not in str(found.getpeername()) + str(found.getsockname()):  # not a direct one
                    return found
        except OSError:
            pass
    raise LookupError("the lane is not to be found")

def say(*messages):
    lane().sendall(b"".join(bytes(encode(message)) for message in messages))

def me():
    return mee6.context.invocation
"""
"""What a function has to know to speak in its runtime's name: nothing that is hidden from it."""


async def bad(client: Client, base: Path, code: str, arg: Any = "x", limit_s: float = 20, **manifest: Any) -> Any:
    """What a hostile function comes to: its result, or the error; the neighbour works before and after."""
    await client.add(write_function(base, "good", ECHO))
    assert await client.invoke("good", "before", timeout=30) == "before"
    await client.add(write_function(base, "bad", code, **manifest))
    try:
        return await client.invoke("bad", arg, timeout=limit_s)
    except Mee6Error as error:
        return error
    finally:
        assert await client.invoke("good", "after", timeout=30) == "after"
