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


SHOWN: tuple[tuple[str, str, str], ...] = (
    ("step", "python -> python", "a warm step in a workflow, Python calls Python, through the proxy"),
    ("step", "python -> nodejs", "the same, Python calls Node.js"),
    ("step", "nodejs -> nodejs", "the same, Node.js calls Node.js"),
    ("step", "floor: msgspec, one core", "*floor*: request and reply between two processes on one core"),
    ("step", "floor: msgspec, two cores", "*floor*: the same on two cores"),
    ("warm", "python, agent's part: begin to outcome", "a warm invocation within the agent, Python"),
    ("warm", "python, stream", "the same from outside, on a gRPC stream"),
    ("warm", "floor: grpc stream", "*floor*: an echo on a gRPC stream, without mee6"),
    ("warm", "python, unary", "the same from outside, unary"),
    ("warm", "floor: grpc unary", "*floor*: a unary echo, without mee6"),
    ("cold", "python, prewarmed, paused", "a function's first invocation, from a paused prewarmed worker, Python"),
    ("cold", "nodejs, prewarmed, paused", "the same, Node.js"),
    ("cold", "python, no worker", "the same with nothing made ahead, Python"),
    ("cold", "nodejs, no worker", "the same, Node.js"),
    ("fanout", "8 calls out and back", "8 calls in 8 other workers and back"),
    ("pause", "python, thaw to answer", "thaw a paused worker and have its answer"),
    ("pause", "python, the driver's pause", "freeze a worker"),
    ("memory", "python, warm: whole worker", "memory of a warm Python worker (PSS)"),
    ("memory", "python, prewarmed: whole worker", "memory of a prewarmed Python worker (PSS)"),
    ("memory", "agent, RSS", "memory of the agent (RSS), after 2000 invocations"),
    ("add", "Client.add", "add a small function: packed, sent, checked, on disk"),
)
"""(question, row, what README calls it); of rows of the same name the last."""


def figures(result: dict[str, Any]) -> str:
    """The rows that README shows."""
    facts = result["machine"]
    lines = [
        f"By `make bench` on {facts['cpu']}, {facts['cores']} cores, Linux, Python {facts['python']}.",
        "",
        "| | p50 | p99 | unit | n |",
        "|---|---|---|---|---|",
    ]
    for question, what, title in SHOWN:
        row = [row for row in result["answers"][question]["rows"] if row["what"] == what][-1]
        lines.append(f"| {title} | {_number(row['p50'])} | {_number(row['p99'])} | {row['unit']} | {row['n']} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


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
