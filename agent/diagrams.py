"""Prints the life cycles of `agent.core` from their tables, and keeps those in `README.md` up to date.

`python -m agent.diagrams` rewrites the part of the file between its two marks. For developers; the agent
itself does not use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agent.core import handover, invocation, worker
from agent.core.machine import diagram

README: Final = Path(__file__).with_name("README.md")
BEGIN: Final = "<!-- printed by `python -m agent.diagrams` -->\n"
END: Final = "<!-- end of what is printed -->\n"


def diagrams() -> str:
    """All life cycles: state, event, next state."""
    tables = {
        "worker": diagram(worker.TRANSITIONS),
        "handover": diagram(handover.TRANSITIONS),
        "invocation": diagram(invocation.TRANSITIONS),
    }
    return "\n".join(f"**{name}**\n\n```text\n{text}\n```\n" for name, text in tables.items())


def renewed(text: str) -> str:
    """The README `text` with today's diagrams."""
    before, _mark, rest = text.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    return f"{before}{BEGIN}\n{diagrams()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
