"""Puts into README what is made by running things: the demo's session, and the benchmarks' table.

`python -m tests.support.readme demo` runs `mee6 demo`; `... figures FILE.json` takes a result of `make bench`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COLUMNS = "118"


def demo() -> str:
    """The demo's output as plain text."""
    command = [sys.executable, "-m", "mee6tui.cli.main", "demo"]
    env = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return f"```\n{done.stdout.rstrip()}\n```"


def figures(result: dict[str, Any]) -> str:
    """The benchmarks' rows as tables, one a question."""
    facts = result["machine"]
    lines = [
        f"Measured by `make bench` on {facts['cpu']}, {facts['cores']} cores, Linux, Python {facts['python']}.",
    ]
    for answer in result["answers"].values():
        lines += ["", f"**{answer['question']}**", "", "| | unit | n | p50 | p95 | p99 |", "|---|---|---|---|---|---|"]
        for row in answer["rows"]:
            cells = (f"{row[key]:.4g}" for key in ("p50", "p95", "p99"))
            lines.append(f"| {row['what']} | {row['unit']} | {row['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def put(name: str, text: str) -> None:
    """Replaces what stands between README's markers of this name."""
    readme = ROOT / "README.md"
    pattern = re.compile(rf"(<!-- {name}[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    whole, count = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", readme.read_text())
    assert count == 1, f"README has no place for {name}"
    readme.write_text(whole)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["demo"]:
            put("demo", demo())
        case ["figures", file]:
            put("figures", figures(json.loads(Path(file).read_text())))
        case _:
            sys.exit(__doc__)
