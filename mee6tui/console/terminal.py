"""Keeps the console's terminal from ending it: a byte that is no UTF-8 is shown as such, and not an exception.

Textual's input thread decodes strictly, so that one stray byte, as a paste cut within a letter leaves, would end the
console with a traceback. Importing this changes how it decodes; there is no option for that (Textual 8.2).
"""

from __future__ import annotations

import codecs
from functools import partial

from textual.drivers import linux_driver


def _lenient(encoding: str) -> partial[codecs.IncrementalDecoder]:
    return partial(codecs.getincrementaldecoder(encoding), errors="replace")


linux_driver.getincrementaldecoder = _lenient  # type: ignore[attr-defined, assignment]
