"""Puts into README what is made by running things: the demo's session, and the benchmarks' table.

`python -m tests.support.readme demo` runs `mee6 demo`; `... figures FILE.json...` takes results of `make bench`: of
a question that several of them answer, the last one's answer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
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
    ("step", "python -> python", "a warm step in a workflow, Python calls Python"),
    ("step", "python -> nodejs", "the same, Python calls Node.js"),
    ("step", "nodejs -> nodejs", "the same, Node.js calls Node.js"),
    ("direct", "python -> python, proxy, as placed", "the same, Python calls Python, through the proxy, on both cores"),
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
    ("add", "Client.add", "add a small function: packed, sent, on disk"),
    ("docker", "warm, docker", "a warm invocation on a gRPC stream, in a container"),
    ("docker", "warm, process", "*beside it*: by the process driver"),
    ("docker", "warm within the agent, docker", "the same within the agent, in a container"),
    ("docker", "warm within the agent, process", "*beside it*: by the process driver"),
    ("docker", "paused to reply, docker", "the reply of a paused container, thawed directly"),
    ("docker", "paused to reply, docker by API", "*beside it*: unpaused through the engine's API"),
    ("docker", "paused to reply, process", "*beside it*: by the process driver"),
    ("docker", "resume to answer, docker", "thaw a container and have its answer, without gRPC"),
    ("docker", "resume to answer, docker by API", "*beside it*: through the engine's API"),
    ("docker", "pause, docker", "freeze a container"),
    ("docker", "pause, docker by API", "*beside it*: through the engine's API"),
    ("docker", "first, docker, paused", "a function's first invocation, from a paused prewarmed container, Python"),
    ("docker", "first, docker by API, awake", "the same, left awake for want of a direct freezer"),
    ("docker", "first, docker by API, paused", "the same, paused and unpaused through the engine's API"),
    ("docker", "refill, docker", "containers made ready again after a burst of 8 leases"),
    ("docker", "memory of a prewarmed worker, docker", "memory of a prewarmed container, with its shim (PSS)"),
    ("docker", "its control group, docker", "its control group: what counts against its limit, page cache included"),
)
"""(question, row, what README calls it); of rows of the same name the last."""


def figures(results: Sequence[dict[str, Any]]) -> str:
    """The rows that README shows; without those of a question that could not be asked on that machine."""
    facts = results[-1]["machine"]
    answers = {name: answer for result in results for name, answer in result["answers"].items()}
    engine = f", Docker Engine {facts.get('docker')}" if answers.get("docker", {}).get("rows") else ""
    lines = [
        f"By `make bench` on {facts['cpu']}, {facts['cores']} cores, Linux, Python {facts['python']}{engine}.",
        "",
        "| | p50 | p99 | unit | n |",
        "|---|---|---|---|---|",
    ]
    for question, what, title in SHOWN:
        if question not in answers:
            raise ValueError(f"no answer to {question}; ask it: make bench BENCH_ARGS={question}")
        rows = answers[question]["rows"]
        if not rows and not answers[question]["error"]:
            continue  # its notes say why
        named = [row for row in rows if row["what"] == what]
        if not named:
            raise ValueError(f"{question} has no row {what!r}; {answers[question]['error'] or 'is it an old answer?'}")
        row = named[-1]
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
        case ["figures", *files] if files:
            try:
                put("figures", figures([json.loads(Path(file).read_text()) for file in files]))
            except ValueError as error:
                sys.exit(str(error))
        case _:
            sys.exit(__doc__)
