from __future__ import annotations

from collections.abc import Sized

import pytest

from agent.core import handover, invocation, worker
from proxy import load, table
from tests.support.diagrams import READMES, ROOT, agent_cycles, proxy_cycles, renewed


@pytest.mark.parametrize("path", READMES)
def test_a_readme_shows_the_tables_as_they_are(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    printed = READMES[path]()
    assert printed in text, "run: python -m tests.support.diagrams"
    assert renewed(text, printed) == text


def test_a_diagram_has_a_line_for_each_transition() -> None:
    tables: list[Sized] = [
        worker.TRANSITIONS,
        handover.TRANSITIONS,
        invocation.TRANSITIONS,
        table.TRANSITIONS,
        load.TRANSITIONS,
    ]
    printed = (agent_cycles() + proxy_cycles()).splitlines()
    lines = [line for line in printed if line and not line.startswith(("*", "`"))]
    assert len(lines) == sum(map(len, tables))
