"""Puts together what all documents say of a share of the words: only words of more than one document are kept."""


def main(pairs):
    places = {}
    for word, document, count in pairs:
        places.setdefault(word, {})[document] = count
    return {word: found for word, found in places.items() if len(found) > 1}
