"""What is typed after `/`: which rows are to be seen. Pure.

Words are separated by spaces and all must hold: `w12` is a regular expression looked for anywhere (upper and lower
case alike, unless it has a capital), `!x` is for what does not match, `-f abc` for the letters in that order with
others between them, `state=busy` for one column, `state!=busy` for its opposite. A quoted word may hold spaces.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mee6.errors import InvalidInput

MAX_CHARACTERS: Final = 500
"""Every word is asked of every row: a page of text, pasted by mistake, would take minutes."""

Fields = Mapping[str, str]
"""A row's texts by the columns' keys."""
Test = Callable[[Fields], bool]


@dataclass(frozen=True, slots=True)
class Filter:
    """A question to each row."""

    text: str
    tests: tuple[Test, ...] = ()

    def __call__(self, row: Fields) -> bool:
        """Whether the row is to be seen."""
        return all(test(row) for test in self.tests)

    def __bool__(self) -> bool:
        return bool(self.tests)


def parse(text: str, columns: Iterable[str]) -> Filter:
    """The filter that the text means.

    Args:
        columns: the keys that may stand before `=`.

    Raises:
        InvalidInput: it is too long, a pattern is not one, or there is no such column.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(f"a filter has at most {MAX_CHARACTERS} characters; this has {len(text)}")
    try:
        words = shlex.split(text, posix=True)
    except ValueError:  # a quote that is not closed yet: it is still being typed
        words = text.replace('"', "").replace("'", "").split()
    known, tests, fuzzy = list(columns), [], False
    for word in words:
        if word == "-f":
            fuzzy = True
            continue
        tests.append(_fuzzy(word) if fuzzy else _word(word, known))
        fuzzy = False
    return Filter(text, tuple(tests))


def _word(word: str, columns: list[str]) -> Test:
    name, equals, value = word.partition("=")
    negated = name.endswith("!")
    if equals and re.fullmatch(r"!?[a-z0-9_]+!?", name):
        column = name.strip("!")
        fit = [known for known in columns if known == column] or [key for key in columns if key.startswith(column)]
        if not fit:
            raise InvalidInput(f"no column {column!r}; there are: {', '.join(columns)}")
        pattern, key = _pattern(value), fit[0]
        if negated or name.startswith("!"):
            return lambda row: not pattern.search(row[key])
        return lambda row: bool(pattern.search(row[key]))
    if word.startswith("!") and len(word) > 1:
        unwanted = _pattern(word[1:])
        return lambda row: not any(unwanted.search(cell) for cell in row.values())
    wanted = _pattern(word)
    return lambda row: any(wanted.search(cell) for cell in row.values())


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, 0 if any(letter.isupper() for letter in text) else re.IGNORECASE)
    except re.error as error:
        raise InvalidInput(f"{text!r} is no pattern: {error}") from error


def _fuzzy(word: str) -> Test:
    pattern = re.compile(".*?".join(map(re.escape, word)), re.IGNORECASE)
    return lambda row: any(pattern.search(cell) for cell in row.values())
