"""Results on standard output, in the form that was asked for with `-o`.

`table` is for people and may change; `json`, `jsonl` and `yaml` have the keys of the records they show and
keep them; `name` is one name or id a line, for pipes; `plain` is `table` without
anything that moves. Only what was asked for goes to standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mee6.config import OUTPUTS
from mee6.errors import InvalidInput

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title and how it reads a row."""

    title: str
    text: Callable[[Row], str]
    right: bool = False


def column(title: str, key: str, *, right: bool = False) -> Column:
    """A column that shows one key as it is."""
    return Column(title, lambda row: str(row[key]), right)


def write(text: str) -> None:
    """Text and a newline, if it does not end in one."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def show(form: str, rows: Sequence[Row], columns: Sequence[Column], *, name: str = "name") -> None:
    """Many things.

    Args:
        form: one of `mee6.config.OUTPUTS`.
        name: the key that `-o name` shows.
    """
    match form:
        case "json":
            write(as_json(list(rows)))
        case "jsonl":
            sys.stdout.writelines(as_json(row, indent=0) + "\n" for row in rows)
        case "yaml":
            write(as_yaml(list(rows)))
        case "name":
            sys.stdout.writelines(f"{row[name]}\n" for row in rows)
        case _:
            sys.stdout.writelines(line + "\n" for line in (table(rows, columns) if rows else ()))


def show_one(form: str, row: Row, lines: Callable[[], Iterable[str]], *, name: str = "name") -> None:
    """One thing; `lines` make its form for people."""
    match form:
        case "json":
            write(as_json(row))
        case "jsonl":
            write(as_json(row, indent=0))
        case "yaml":
            write(as_yaml(row))
        case "name":
            write(str(row[name]))
        case _:
            sys.stdout.writelines(line + "\n" for line in lines())


def table(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Aligned columns, as wide as what they hold."""
    cells = [[column.title for column in columns], *([column.text(row) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    return [
        "  ".join(
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in cells
    ]


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Titles and values, one pair a line; empty values are left out."""
    kept = [(title, value) for title, value in pairs if value]
    width = max((len(title) for title, _ in kept), default=0)
    return [f"{title.ljust(width)}  {value}" for title, value in kept]


def as_json(value: Any, indent: int = 2) -> str:
    """JSON, without escaping what is not ASCII."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=indent or None)


def as_yaml(value: Any) -> str:
    """YAML, keys in their order."""
    import yaml

    plain = _plain(value)
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def checked_form(form: str) -> str:
    """The form, if there is one of that name.

    Raises:
        InvalidInput: there is none.
    """
    if form not in OUTPUTS:
        raise InvalidInput(f"no output {form!r}; use one of: {', '.join(OUTPUTS)}")
    return form
