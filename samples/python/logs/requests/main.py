"""Reads lines of an access log: the combined format, with milliseconds at the end. Counts what is no such line."""

import re

LINE = re.compile(r'^\S+ \S+ \S+ \[[^\]]+\] "[A-Z]+ ([^ ?"]+)[^"]*" (\d{3}) \d+ "[^"]*" "[^"]*" (\d+)$')


def main(text):
    paths = {}
    unread = 0
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            unread += 1
            continue
        path, status, took = match.groups()
        found = paths.setdefault(path, {"failed": 0, "took_ms": []})
        found["failed"] += status >= "500"
        found["took_ms"].append(int(took))
    return {"paths": paths, "unread": unread}
