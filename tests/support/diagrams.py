"""Prints into the packages' READMEs what stands in tables in the code: life cycles, and the lane's messages.

`python -m tests.support.diagrams` rewrites, in each README, what is between its two marks.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getdoc
from pathlib import Path
from typing import Final, get_args

from agent.core import handover, invocation, worker
from agent.core.machine import diagram
from mee6.lane.messages import AnyMessage
from proxy import load, table

ROOT: Final = Path(__file__).parents[2]
BEGIN: Final = "<!-- printed by `python -m tests.support.diagrams` -->\n"
END: Final = "<!-- end of what is printed -->\n"


def agent_cycles() -> str:
    """The agent's life cycles."""
    return "\n".join((
        _cycle("worker", diagram(worker.TRANSITIONS)),
        _cycle("handover", diagram(handover.TRANSITIONS)),
        _cycle("invocation", diagram(invocation.TRANSITIONS)),
    ))  # fmt: skip


def proxy_cycles() -> str:
    """The proxy's life cycles."""
    return "\n".join((_cycle("runtime", diagram(table.TRANSITIONS)), _cycle("load", diagram(load.TRANSITIONS))))


def messages() -> str:
    """The lane's messages: who says it, what it means, what is in it."""
    rows = ["| message | who to whom, and why | fields |", "| --- | --- | --- |"]
    for message in get_args(AnyMessage):
        meaning = " ".join((getdoc(message) or "").partition("\n\n")[0].split())
        rows.append(f"| `{message.__name__}` | {meaning} | {', '.join(message.__struct_fields__)} |")
    return "\n".join(rows) + "\n"


def _cycle(name: str, text: str) -> str:
    return f"**{name}**\n\n```text\n{text}\n```\n"


READMES: Final[dict[str, Callable[[], str]]] = {
    "agent/README.md": agent_cycles,
    "mee6/README.md": messages,
    "proxy/README.md": proxy_cycles,
}


def renewed(text: str, printed: str) -> str:
    """A README's `text` with what is printed today."""
    before, _mark, rest = text.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    return f"{before}{BEGIN}\n{printed}\n{END}{after}"


if __name__ == "__main__":
    for path, printed in READMES.items():
        readme = ROOT / path
        readme.write_text(renewed(readme.read_text(encoding="utf-8"), printed()), encoding="utf-8")
