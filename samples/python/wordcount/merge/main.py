"""Adds up the counts of all chunks: the number of words, of different words, and the most frequent ones."""

import json
from collections import Counter

import mee6

TOP = 10


def main(names):
    counts = Counter()
    for name in names:
        counts.update(json.loads((mee6.flow / name).read_text()))
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return {"words": counts.total(), "distinct": len(counts), "top": ranked[:TOP]}
