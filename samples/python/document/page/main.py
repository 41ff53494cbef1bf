"""Reads one page: its headings and its longer words. The running foot is left out, words cut in two are whole again."""

import re

HEADING = re.compile(r"^(\d+(?:\.\d+)*)\s+(\S.*)$", re.MULTILINE)
FOOT = re.compile(r"\n\s*- \d+ -\s*$")
LETTERS = 7


def main(page):
    text = FOOT.sub("", page["text"])
    text = re.sub(r"([a-z])-\n([a-z])", r"\1\2", text)
    headings = [[number, title] for number, title in HEADING.findall(text)]
    words = re.findall(r"[a-z]+", HEADING.sub("", text).lower())
    return {
        "number": page["number"],
        "headings": headings,
        "words": len(words),
        "terms": sorted({word for word in words if len(word) >= LETTERS}),
    }
