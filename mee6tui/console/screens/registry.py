"""All pages, and with them all commands: what is added here can be gone to, typed, found, and is in the help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mee6tui.console.commands import Registry
from mee6tui.console.screens import acts_functions, acts_nodes, acts_workers
from mee6tui.console.screens.detail import Detail
from mee6tui.console.screens.events import Events
from mee6tui.console.screens.handovers import Handovers
from mee6tui.console.screens.leads import LEADS
from mee6tui.console.screens.logs import Logs
from mee6tui.console.screens.page import Page
from mee6tui.console.screens.pools import Pools
from mee6tui.console.screens.tables import Functions, Invocations, Nodes, Workers
from mee6tui.console.screens.theatre import TheatrePage
from mee6tui.console.screens.trace import TracePage
from mee6tui.console.screens.verbs import VERBS, going
from mee6tui.console.screens.why import EXPLAIN

PAGES: Final[Sequence[type[Page]]] = (
    Pools,
    Workers,
    Functions,
    Invocations,
    Nodes,
    Events,
    Handovers,
    Logs,
    TracePage,
    TheatrePage,
    Detail,
)
"""The first is where the console opens."""


def registry() -> Registry:
    """Every command there is."""
    made = Registry()
    for page in PAGES:
        made.add(page.VERBS)
    for acts in (acts_functions, acts_workers, acts_nodes):
        made.add(acts.ACTS)
    made.add(VERBS)
    made.add(LEADS)
    made.add((EXPLAIN,))
    made.add(going(PAGES))
    return made
