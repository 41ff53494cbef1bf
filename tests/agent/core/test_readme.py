from __future__ import annotations

from agent.core import handover, invocation, worker
from agent.diagrams import README, diagrams, renewed


def test_the_readme_shows_the_tables_as_they_are() -> None:
    text = README.read_text(encoding="utf-8")
    assert renewed(text) == text, "run: python -m agent.diagrams"
    assert diagrams() in text


def test_a_diagram_has_a_line_for_each_transition() -> None:
    rows = len(worker.TRANSITIONS) + len(handover.TRANSITIONS) + len(invocation.TRANSITIONS)
    lines = [line for line in diagrams().splitlines() if line and not line.startswith(("*", "`"))]
    assert len(lines) == rows
    assert "proxied" in diagrams()
