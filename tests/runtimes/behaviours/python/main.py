# mypy: ignore-errors
"""What the conformance suite asks of a function, in Python. Returns what it was given, or does what `do` says."""

import asyncio
import os
import signal
import stat
import sys
import time
from pathlib import Path

import mee6


def main(arg):
    if not (isinstance(arg, dict) and "do" in arg):
        return arg
    return globals()[arg["do"]](arg)


def same_async(arg):
    async def later():
        await asyncio.sleep(0)
        return arg["value"]

    return later()


def raise_it(arg):
    raise ValueError(arg.get("message", "no good"))


def exit_by_call(arg):
    sys.exit(arg["status"])


def exit_at_once(arg):
    os._exit(arg["status"])


def kill_itself(_arg):
    os.kill(os.getpid(), signal.SIGKILL)


def kill_its_parent(_arg):
    os.kill(int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)


def kill_its_caller(arg):
    os.kill(arg["pid"], signal.SIGKILL)
    time.sleep(3600)


def break_its_lanes(_arg):
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, b"\x00\x00\x00\x05no no")
        except OSError:
            continue


def large(arg):
    return "x" * arg["size"]


def unserialisable(_arg):
    return lambda: None


def nothing(_arg):
    return None


def say(arg):
    for stream, text in arg["lines"]:
        print(text, file=sys.stderr if stream == "err" else sys.stdout)


def say_much(arg):
    line = "y" * 999
    for _ in range(arg["size"] // 1000):
        print(line)


def answer_http(arg):
    return mee6.Response(arg["body"], arg["status"], [("X-A", "1"), ("X-A", "2")], arg.get("type", ""))


def answer_http_wrongly(arg):
    return mee6.Response("", arg.get("status", 200), {arg.get("name", "X"): arg.get("value", "")})


def answer_http_changed(arg):
    answer = mee6.Response("")
    setattr(answer, arg["name"], arg["value"])
    return answer


def told_of_http(_arg):
    request = mee6.request
    return [request.method, request.path, request.query, dict(request.headers), request.event, len(request.body.read())]


def count_up(arg):
    for number in range(arg["count"]):
        yield f"{number}\n"


async def count_up_async(arg):
    for number in range(arg["count"]):
        await asyncio.sleep(0)
        yield f"{number}\n"


def events(arg):
    return iter([mee6.Event({"a": 1}, event="tick", id="7", retry_ms=5), mee6.Event("two\nlines")])


def values(_arg):
    yield from ({"a": 1}, [2], "three")


def pieces_of(arg):
    for _ in range(arg["count"]):
        yield b"z" * arg["size"]


def fail_midway(_arg):
    yield "part"
    raise ValueError("no good")


def unserialisable_piece(_arg):
    yield lambda: None


def nothing_in_pieces(_arg):
    return iter(())


def answer_http_in_pieces(_arg):
    return mee6.Response(iter(["a", "b"]), 202, {"X-A": "1"}, "text/html")


def read_body(_arg):
    sizes = [len(piece) for piece in mee6.request.body]
    return [len(sizes) > 1, sum(sizes)]


async def read_body_async(_arg):
    return sum([len(piece) async for piece in mee6.request.body])


def echo_body(_arg):
    yield from mee6.request.body


async def echo_body_async(_arg):
    async for piece in mee6.request.body:
        yield piece


def pid(_arg):
    return os.getpid()


def where(_arg):
    act = mee6.flow.parent
    Path(mee6.scratch, "note").write_text("mine")
    return {
        "flow": str(mee6.flow),
        "scratch": str(mee6.scratch),
        "cur": sorted(path.name for path in (act / "cur").iterdir()),
        "invocation": mee6.context.invocation,
        "function": mee6.context.function,
        "chain": list(mee6.context.chain),
        "cwd": str(Path.cwd()),
        "env": os.environ.get("GREETING", ""),
    }


def scratch_is_empty(_arg):
    return not any(mee6.scratch.iterdir())


def cur_across_a_call(arg):
    cur = mee6.flow.parent / "cur"
    (cur / "caller").write_text("")
    inner = mee6.invoke(arg["name"], {"do": "list_cur"})
    return [inner, sorted(path.name for path in cur.iterdir())]


def list_cur(_arg):
    return sorted(path.name for path in (mee6.flow.parent / "cur").iterdir())


def call(arg):
    return mee6.invoke(arg["name"], arg.get("arg"))


def call_in_turn(arg):
    return [mee6.invoke(name, one) for name, one in arg["calls"]]


def call_in_turn_async(arg):
    async def one_after_the_other():
        return [await mee6.aio.invoke(name, one) for name, one in arg["calls"]]

    return one_after_the_other()


def call_after_a_call_that_goes_on(arg):
    async def both():
        first = asyncio.ensure_future(mee6.aio.invoke(arg["first"], arg["arg"]))
        await asyncio.sleep(0)
        second = await mee6.aio.invoke(arg["second"], 2)
        return [await first, second]

    return both()


def call_async(arg):
    return mee6.aio.invoke(arg["name"], arg.get("arg"))


def call_twice(arg):
    return [mee6.invoke(arg["name"], 1), mee6.invoke(arg["name"], 2)]


def call_many(arg):
    return mee6.gather(*((arg["name"], number) for number in range(arg["count"])))


def call_many_async(arg):
    return mee6.aio.gather(*((arg["name"], number) for number in range(arg["count"])))


def call_and_catch(arg):
    try:
        mee6.invoke(arg["name"], arg.get("arg"))
    except mee6.errors.Mee6Error as error:
        return {
            "code": error.code,
            "message": error.message,
            "function": error.function,
            "type": error.error_type,
            "traceback": error.traceback,
        }


def call_and_leave(arg):
    async def hasty():
        task = asyncio.ensure_future(mee6.aio.invoke(arg["name"], arg.get("arg")))
        await asyncio.sleep(0.01)
        hasty.task = task
        return "left"

    return hasty()


def pause(arg):
    time.sleep(arg["s"])
    return arg["s"]


def call_and_leave_at_once(arg):
    async def hasty():
        hasty.task = asyncio.ensure_future(mee6.aio.invoke(arg["name"], arg.get("arg")))
        await asyncio.sleep(0)
        return "left"

    return hasty()


def leave_something_running(_arg):
    import threading

    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return "left"


def never(_arg):
    while True:
        time.sleep(3600)
