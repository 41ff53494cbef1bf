"""Calls the function that its argument names, and returns both messages as one line."""

import mee6


def main(name):
    ping = f"ping to {name}..."
    print(ping)
    pong = f"pong from {name}: {mee6.invoke(name, 'ping')}"
    print(pong)
    return ping + pong
