"""Commands, filters, looks: what needs no app."""

from __future__ import annotations

import pytest

from agent.core.handover import HandoverState
from agent.core.invocation import InvocationState
from agent.core.worker import WorkerState
from mee6.errors import InvalidInput
from mee6tui.console import look
from mee6tui.console.commands import Command, Registry, Selection
from mee6tui.console.filter import parse
from mee6tui.console.screens.registry import PAGES, registry
from mee6tui.console.source import LinkState
from mee6tui.console.widgets.pieces import fit
from mee6tui.console.widgets.sparkline import area, bar, sparkline

ROW = {"worker": "w12", "state": "busy", "function": "checkout"}


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("", True),
        ("busy", True),
        ("BUSY", False),
        ("Busy", False),
        ("w1[0-9]", True),
        ("busy check", True),
        ("busy warm", False),
        ("!warm", True),
        ("!busy", False),
        ("-f ckt", True),
        ("-f tkc", False),
        ("state=busy", True),
        ("st=busy", True),
        ("state=warm", False),
        ("state!=busy", False),
        ("!state=warm", True),
        ("'check", True),
    ],
)
def test_a_filter_lets_pass_what_it_says(text: str, passes: bool) -> None:
    assert parse(text, ROW)(ROW) is passes


@pytest.mark.parametrize(("text", "says"), [("[", "is no pattern"), ("colour=red", "no column 'colour'")])
def test_a_filter_that_is_none_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse(text, ROW)


@pytest.mark.parametrize(
    ("signs", "states"),
    [
        (look.WORKERS, WorkerState),
        (look.INVOCATIONS, InvocationState),
        (look.HANDOVERS, HandoverState),
        (look.LINKS, LinkState),
    ],
)
def test_every_state_has_a_sign_of_its_own(signs: dict[str, look.Sign], states: type) -> None:
    assert set(signs) == {str(state.value) for state in states}  # type: ignore[attr-defined]
    for what in ("letter", "glyph", "ascii"):
        assert len({getattr(sign, what) for sign in signs.values()}) == len(signs), what
    for sign in signs.values():
        assert sign.ascii.isascii()
        for palette in look.PALETTES.values():
            assert sign.tone in palette.colors


def test_both_palettes_know_the_same_tones() -> None:
    assert look.DARK.colors.keys() == look.LIGHT.colors.keys()


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (4211, "4,211"), (12_500, "12.5k"), (123_456, "123k"), (3_100_000, "3.1M")]
)
def test_numbers_are_short(number: int, text: str) -> None:
    assert look.count(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (999, "999 B"), (1 << 20, "1.0 MiB"), (512 << 20, "512 MiB"), (1 << 42, "4.0 TiB")]
)
def test_bytes_are_short(number: int, text: str) -> None:
    assert look.bytes_(number) == text


def test_text_is_made_to_fit_in_cells() -> None:
    assert fit("abc", 5) == "abc  "
    assert fit("abc", 5, right=True) == "  abc"
    assert fit("abcdef", 4) == "abc…"
    assert fit("日本語", 4) == "日 …"
    assert fit("é", 3, right=True) == "  é"


def test_a_sparkline_shows_the_last_values_and_never_hides_a_small_one() -> None:
    assert sparkline([0, 1, 100], 5) == "   ▁█"
    assert sparkline([9, 0, 4, 8], 3) == " ▄█"
    assert sparkline([0, 1, 8], 3, ascii_only=True) == " .@"
    assert sparkline([], 3) == "   "


def test_a_bar_is_filled_for_its_part() -> None:
    assert bar(0.5, 4) == "██  "
    assert bar(2, 4) == "████"
    assert bar(0.5, 4, ascii_only=True) == "##--"


def test_an_area_is_as_high_as_it_may_be() -> None:
    assert area([1, 4, 2], 4, 2) == ["  █ ", " ▄██"]
    assert area([], 2, 2) == ["  ", "  "]


def test_every_command_can_be_found_and_explained() -> None:
    made = registry()
    for command in made.commands:
        assert command.keys or command.names, command.id
        assert command.help.endswith("."), command.id
        assert command.title[0].isupper(), command.id
    assert {page.NAME for page in PAGES if page.KEY} <= set(made.names())


def test_no_two_commands_mean_the_same_key_for_the_same_thing() -> None:
    seen: dict[tuple[str, str, str, bool], str] = {}  # a page's own command goes before one of all pages
    for page in [page.NAME for page in PAGES]:
        for command in registry().commands:
            for key in command.keys if command.known_on(page) else ():
                for kind in command.on or {""}:
                    other = seen.setdefault((page, key, kind, bool(command.pages)), command.id)
                    assert other == command.id, f"{key} on {page}: {other} and {command.id}"


def test_a_command_is_for_its_kinds_and_pages() -> None:
    command = Command(
        "x", "X", "Does x.", lambda _context: None, on=frozenset({"worker"}), pages=frozenset({"workers"})
    )
    worker, function = Selection("worker", (("desk", "w1"),)), Selection("function", (("desk", "ann/echo"),))
    assert command.applies("workers", worker)
    assert not command.applies("workers", function)
    assert not command.applies("workers", None)
    assert not command.applies("pools", worker)


def test_ids_and_names_are_taken_once() -> None:
    made = Registry()
    made.add([Command("x", "X", "Does x.", lambda _context: None, names=("ex",))])
    with pytest.raises(ValueError, match="there is a command 'x'"):
        made.add([Command("x", "X", "Does x.", lambda _context: None)])
    with pytest.raises(ValueError, match="':ex' is taken"):
        made.add([Command("y", "Y", "Does y.", lambda _context: None, names=("ex",))])


def test_a_beginning_that_only_one_name_has_is_enough() -> None:
    made = registry()
    found = made.by_name("work")
    assert found is not None
    assert found.id == "go.workers"
    assert made.by_name("q") is made["quit"]
    assert made.by_name("") is None
    assert made.by_name("nonsense") is None
