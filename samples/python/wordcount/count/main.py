"""Counts the words of one chunk in the workflow's folder; leaves the counts there and returns their file's name."""

import json
import re
from collections import Counter

import mee6


def main(name):
    text = (mee6.flow / name).read_text()
    counts = Counter(re.findall(r"[a-z]+", text.lower()))
    result = name.replace(".txt", ".json")
    (mee6.flow / result).write_text(json.dumps(counts))
    return result
