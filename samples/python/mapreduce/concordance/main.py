"""Which word stands in which document: a mapper for each document, a reducer for each share of the words."""

import mee6

REDUCERS = 2


def main(documents):
    mapped = mee6.gather(
        *(("mapper", {"document": name, "text": text, "reducers": REDUCERS}) for name, text in documents.items())
    )
    shares = [[pairs for part in mapped for pairs in part[number]] for number in range(REDUCERS)]
    reduced = mee6.gather(*(("reducer", share) for share in shares))
    return {word: places for part in reduced for word, places in part.items()}
