"""Puts into README what is made by running things: the demo's session, and the benchmarks' table.

`python -m tests.support.readme demo` runs `mee6 demo`; `... figures FILE.json...` takes results of `make bench`: of
a question that several of them answer, the last one's answer. `... measure` asks for all of the table.
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

from tests.benchmarks import __main__ as benchmarks
from tests.benchmarks.harness.promises import APART, PROMISES, number, questions

ROOT = Path(__file__).parents[2]
COLUMNS = "118"


def demo() -> str:
    """The demo's output as plain text."""
    command = [sys.executable, "-m", "mee6tui.cli.main", "demo"]
    env = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return f"```\n{done.stdout.rstrip()}\n```"


def figures(results: Sequence[dict[str, Any]]) -> str:
    """The promises' table; without the rows of a question that could not be asked on that machine."""
    facts = results[-1]["machine"]
    answers = {name: answer for result in results for name, answer in result["answers"].items()}
    engine = f", Docker Engine {facts.get('docker')}" if answers.get("docker", {}).get("rows") else ""
    lines = [
        f"By `make figures` on {facts['cpu']}, {facts['cores']} cores, Linux, Python {facts['python']}{engine}.",
        "`make bench BENCH_ARGS=` with what stands under *by* repeats a row. An aim is the most that the median is to",
        "be, or the 99th percentile where it says so; of what is counted in 1/s, the least.",
        "",
        "| | p50 | p99 | unit | aim | | n | by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for promise in PROMISES:
        question = promise.question
        if question not in answers:
            if question in APART:
                continue
            raise ValueError(f"no answer to {question}; ask it: make bench BENCH_ARGS={question}")
        rows = answers[question]["rows"]
        if not rows and not answers[question]["error"]:
            continue  # its notes say why
        named = [row for row in rows if row["what"] == promise.row]
        if not named:
            why = answers[question]["error"] or "is it an old answer?"
            raise ValueError(f"{question} has no row {promise.row!r}; {why}")
        row = named[-1]
        p50, p99, verdict = number(row["p50"]), number(row["p99"]), promise.verdict(row)
        marked = f"**{verdict}**" if "missed" in verdict else verdict
        said = (promise.title, p50, p99, row["unit"], promise.aims(), marked, str(row["n"]), question)
        lines.append(f"| {' | '.join(said)} |")
    return "\n".join(lines)


def put(name: str, text: str) -> None:
    """Replaces what stands between README's markers of this name."""
    readme = ROOT / "README.md"
    pattern = re.compile(rf"(<!-- {name}[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    whole, count = pattern.subn(lambda found: f"{found[1]}{text}\n{found[2]}", readme.read_text())
    assert count == 1, f"README has no place for {name}"
    readme.write_text(whole)


def _put_figures(files: Sequence[Path]) -> None:
    try:
        put("figures", figures([json.loads(file.read_text()) for file in files]))
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["demo"]:
            put("demo", demo())
        case ["figures", *files] if files:
            _put_figures([Path(file) for file in files])
        case ["measure", *files]:  # with answers to what takes minutes of its own, if there are any
            code = benchmarks.main(questions())
            _put_figures([*map(Path, files), max(benchmarks.OUT.glob("*.json"))])  # named by their times
            sys.exit(code)
        case _:
            sys.exit(__doc__)
