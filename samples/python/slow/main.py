"""Takes as many seconds as its argument says."""

import asyncio


async def main(arg):
    seconds = float(arg or 1)
    print(f"sleeping for {seconds:g} s")
    await asyncio.sleep(seconds)
    return f"slept for {seconds:g} s"
