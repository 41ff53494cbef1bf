"""All pages, and with them all commands: what is added here can be gone to, typed, found, and is in the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mee6tui.console.commands import Registry
from mee6tui.console.screens import tables
from mee6tui.console.screens.acts import ACTS
from mee6tui.console.screens.detail import Detail
from mee6tui.console.screens.handovers import Handovers
from mee6tui.console.screens.leads import LEADS
from mee6tui.console.screens.logs import Logs
from mee6tui.console.screens.page import Page
from mee6tui.console.screens.pools import Pools
from mee6tui.console.screens.theatre import TheatrePage
from mee6tui.console.screens.trace import TracePage
from mee6tui.console.screens.verbs import VERBS, going

PAGES: Final[Sequence[type[Page]]] = (Pools, *tables.PAGES, Handovers, Logs, TracePage, TheatrePage, Detail)
"""The first is where the console opens."""


def registry() -> Registry:
    """Every command there is."""
    made = Registry()
    for page in PAGES:
        made.add(page.VERBS)
    made.add(ACTS)
    made.add(VERBS)
    made.add(LEADS)
    made.add(going(PAGES))
    return made
