"""A Python workflow that calls a Node.js function."""

import mee6


def main(name):
    return mee6.invoke("shout", f"good morning, {name}")
