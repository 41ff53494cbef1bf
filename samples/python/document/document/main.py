"""A document as `pdftotext` gives it, pages apart by form feeds: what is in it, and on which page."""

import mee6


def main(text):
    pages = text.rstrip("\f\n").split("\f")
    read = mee6.gather(*(("page", {"number": number, "text": page}) for number, page in enumerate(pages, 1)))
    return mee6.invoke("contents", read)
