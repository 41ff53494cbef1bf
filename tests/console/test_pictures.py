"""What the pages look like, as pictures: few, since a text tells more of what is wrong.

After a change that is meant: `python -m pytest tests/console/test_pictures.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mee6tui.console.app import ConsoleApp
from tests.console.conftest import Played, Time

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("size", "keys", "settings"),
    [
        ((80, 24), [], {}),
        ((200, 50), [], {}),
        ((80, 24), ["2", "j"], {"theme": "mee6-light"}),
        ((120, 40), ["4", "F"], {}),
        ((80, 24), ["2", "question_mark"], {"ascii_only": True}),
    ],
    ids=["pools", "pools-wide", "workers-light", "invocations-frozen", "help-ascii"],
)
def test_a_page_looks_as_it_did(
    snap_compare: Callable[..., bool], busy: list[Any], size: tuple[int, int], keys: list[str], settings: dict[str, Any]
) -> None:
    at = Time()
    source = Played("desk", at, busy)
    app = ConsoleApp([source], now=lambda: at.now, wall_ns=lambda: at.wall_ns, **settings)

    async def played(pilot: Any) -> None:
        await source.done.wait()
        for key in ["", *keys, ""]:
            if key:
                await pilot.press(key)
            at.on(1.1)
            app.flush(at.now)
            await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=played)
