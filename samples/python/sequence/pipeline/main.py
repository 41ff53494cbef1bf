"""From an order's text to its receipt: three steps, one after the other, in one worker."""

import mee6


def main(text):
    lines = mee6.invoke("clean", text)
    order = mee6.invoke("enrich", lines)
    return mee6.invoke("publish", order)
