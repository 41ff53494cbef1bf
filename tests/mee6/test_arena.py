"""The allocator of a store: no two blocks overlap, none is lost, and the same in both languages."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mee6.lane.arena import PAGE, Arena, pages

Op = tuple[str, int]
OPS = st.lists(st.tuples(st.sampled_from(["take", "give", "cut"]), st.integers(1, 5 * PAGE)), max_size=60)


def play(arena: Arena, ops: list[Op]) -> list[int | None]:
    """Does what is said, a number telling how much or which; what was given for each block asked for."""
    taken: list[int] = []
    found: list[int | None] = []
    for what, number in ops:
        if what == "take":
            offset = arena.take(number)
            found.append(offset)
            if offset is not None:
                taken.append(offset)
        elif taken and what == "give":
            arena.give(taken.pop(number % len(taken)))
        elif taken:
            arena.cut(taken[number % len(taken)], number)
        arena.check()
    for offset in taken:
        arena.give(offset)
    return found


@given(OPS)
def test_no_blocks_overlap_and_all_is_free_at_the_end(ops: list[Op]) -> None:
    arena = Arena(16 * PAGE)
    play(arena, ops)
    arena.check()
    assert (arena.taken, arena.largest) == (0, 16 * PAGE)


def test_every_order_of_four_blocks_leaves_one_free_part() -> None:
    for sizes in itertools.product((1, PAGE, PAGE + 1, 3 * PAGE), repeat=4):
        for order in itertools.permutations(range(4)):
            arena = Arena(12 * PAGE)
            taken = [arena.take(size) for size in sizes]
            for index in order:
                if (offset := taken[index]) is not None:
                    arena.give(offset)
                    arena.check()
            assert arena.largest == arena.size, (sizes, order)


def test_the_first_place_that_fits_is_taken_so_that_pages_are_used_again() -> None:
    arena = Arena(8 * PAGE)
    first, second = arena.take(2 * PAGE), arena.take(PAGE)
    assert (first, second) == (0, 2 * PAGE)
    arena.give(0)
    assert arena.take(3 * PAGE) == 3 * PAGE, "it does not fit before the second"
    assert arena.take(PAGE) == 0
    assert arena.take(PAGE) == PAGE


def test_what_is_cut_off_a_block_is_free() -> None:
    arena = Arena(8 * PAGE)
    arena.take(8 * PAGE)
    assert arena.take(1) is None
    arena.cut(0, PAGE + 1)
    assert (arena.taken, arena.largest) == (2 * PAGE, 6 * PAGE)


def test_without_room_nothing_is_taken() -> None:
    assert Arena(PAGE - 1).take(1) is None
    with pytest.raises(KeyError):
        Arena(PAGE).give(0)
    assert pages(1) == pages(PAGE) == PAGE


@pytest.mark.node
def test_nodejs_allocates_the_same(tmp_path: Path) -> None:
    if not (node := shutil.which("node")):
        pytest.skip("node is not on PATH")
    ops = [("take" if n % 3 else "give", (n * 7919) % (5 * PAGE) + 1) for n in range(500)]
    script = tmp_path / "play.js"
    script.write_text(
        f"const {{ Arena }} = require({json.dumps(str(Path(__file__).parents[2] / 'runtimes/nodejs/arena.js'))});\n"
        f"const arena = new Arena({16 * PAGE}), taken = [], found = [];\n"
        f"for (const [what, number] of {json.dumps(ops)}) {{\n"
        "  if (what === 'take') {\n    const offset = arena.take(number);\n    found.push(offset);\n"
        "    if (offset !== null) taken.push(offset);\n"
        "  } else if (taken.length) arena.give(taken.splice(number % taken.length, 1)[0]);\n}\n"
        "for (const offset of taken) arena.give(offset);\n"
        "console.log(JSON.stringify([found, arena.taken, arena.largest]));\n"
    )
    told = subprocess.run([node, str(script)], capture_output=True, text=True, check=True).stdout
    assert json.loads(told) == [play(Arena(16 * PAGE), ops), 0, 16 * PAGE]
