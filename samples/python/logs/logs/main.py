"""What an access log tells. Chunks of lines are read in parallel, and travel as arguments through the node's memory."""

import mee6

LINES = 200


def main(text):
    lines = text.splitlines(keepends=True)
    chunks = ["".join(lines[start : start + LINES]) for start in range(0, len(lines), LINES)]
    return mee6.invoke("report", mee6.gather(*(("requests", chunk) for chunk in chunks)))
