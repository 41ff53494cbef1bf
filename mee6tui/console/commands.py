"""The one registry of what can be done: keys, `:`, the palette, `?`, `x`, hints and `Y` are all read from it.

A `Command` says what it is called, where it applies (`on`: kinds of things that may be selected), why it cannot be
done just now (`when`), how it is done (`run`) and what would do the same on the command line (`cli`). Pages have
commands of their own (`Page.VERBS`); those of the whole console stand in `screens/verbs.py`. Knows no Textual.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mee6tui.console.app import ConsoleApp

Key = tuple[str, str]
"""A thing in the store: its source's name and its own id."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user points at, captured: acts are on these keys even when the rows have moved meanwhile."""

    kind: str
    """`worker invocation function node event`."""
    keys: tuple[Key, ...]

    @property
    def key(self) -> Key:
        """The only or first of them."""
        return self.keys[0]


@dataclass(frozen=True, slots=True)
class Context:
    """Where a command is run: captured when it is asked for."""

    app: ConsoleApp
    page: str
    selection: Selection | None
    arg: str = ""
    """What follows the command's name after `:`."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that was done from here."""

    at_ns: int
    """Since 1970, UTC."""
    line: str
    """What does the same."""
    error: str = ""
    """How it failed."""


Reason = Callable[[Context], str | None]
Run = Callable[[Context], Awaitable[None] | None]


def _always(_context: Context) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be done."""

    id: str
    """Unique, dotted: `worker.kill`; also the binding's id, by which a key can be remapped."""
    title: str
    """Imperative, for menus: `Kill the invocation`."""
    help: str
    """One sentence in the indicative."""
    run: Run
    keys: tuple[str, ...] = ()
    """As Textual names them; the first is shown."""
    names: tuple[str, ...] = ()
    """What to type after `:`; none = it cannot be typed."""
    on: frozenset[str] = frozenset()
    """Kinds of selection that it is for; empty = it needs none."""
    pages: frozenset[str] = frozenset()
    """Where it is known; empty = everywhere."""
    when: Reason = _always
    """Why not just now, as a sentence without its full stop; None = it can be done."""
    cli: Callable[[Context], str] | None = None
    """The equivalent command line."""
    complete: Callable[[ConsoleApp], Sequence[str]] | None = None
    """What may follow its name after `:`."""
    hint: int = 0
    """Its place among the hints at the bottom, lowest first; 0 = not there."""
    short: str = ""
    """For the hint; empty = the title in lower case."""
    menu: bool = True
    """Whether it is in the palette and in `?`; movements are not."""

    def applies(self, page: str, selection: Selection | None) -> bool:
        """Whether it makes sense here at all."""
        if self.pages and page not in self.pages:
            return False
        return not self.on or (selection is not None and selection.kind in self.on)

    def known_on(self, page: str) -> bool:
        """Whether it could make sense on the page, with the right thing selected."""
        return not self.pages or page in self.pages


@dataclass
class Registry:
    """All commands; ids are unique, and of several with one key the first that applies is meant."""

    commands: list[Command] = field(default_factory=list)

    def add(self, commands: Iterable[Command]) -> None:
        """Takes them in.

        Raises:
            ValueError: an id or a name after `:` is taken.
        """
        for command in commands:
            if any(known.id == command.id for known in self.commands):
                raise ValueError(f"there is a command {command.id!r} already")
            taken = {name for known in self.commands for name in known.names} & set(command.names)
            if taken:
                raise ValueError(f"command {command.id!r}: ':{min(taken)}' is taken")
            self.commands.append(command)

    def __getitem__(self, identity: str) -> Command:
        return next(command for command in self.commands if command.id == identity)

    def here(self, page: str, selection: Selection | None) -> list[Command]:
        """Those that apply; the keys of a page's own are not those of any other while it is seen."""
        applying = [command for command in self.commands if command.applies(page, selection)]
        own = {key for command in applying if command.pages for key in command.keys}
        return [c for c in applying if c.pages or not c.keys or not own.issuperset(c.keys)]

    def by_name(self, name: str) -> Command | None:
        """The one typed after `:`; a beginning that only one has is enough."""
        exact = [command for command in self.commands if name in command.names]
        if exact:
            return exact[0]
        begun = {command.id: command for command in self.commands if any(n.startswith(name) for n in command.names)}
        return next(iter(begun.values())) if name and len(begun) == 1 else None

    def names(self) -> list[str]:
        """All that can be typed after `:`, sorted."""
        return sorted(name for command in self.commands for name in command.names)


_NAMES: Final = {
    "enter": "enter",
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "comma": ",",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "minus": "-",
    "space": "space",
    "at": "@",
}


def key_name(key: str) -> str:
    """A key as people write it: `slash` is `/`."""
    return _NAMES.get(key, key)
