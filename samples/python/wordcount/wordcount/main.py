"""The most frequent words of a text: the chunks and their counts travel through the workflow's folder."""

import mee6

CHUNKS = 6


def split(text):
    """Splits a text into chunks of about the same size, between lines."""
    size = -(-len(text) // CHUNKS)
    chunks = []
    start = 0
    while start < len(text):
        end = text.find("\n", start + size - 1) + 1 or len(text)
        chunks.append(text[start:end])
        start = end
    return chunks


def main(text):
    names = []
    for index, chunk in enumerate(split(text)):
        names.append(f"chunk-{index}.txt")
        (mee6.flow / names[-1]).write_text(chunk)
    counted = mee6.gather(*(("count", name) for name in names))
    return mee6.invoke("merge", counted)
