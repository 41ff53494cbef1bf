"""The command: runs the questions asked for, prints a table for each, writes one JSON file for all."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

from rich.console import Console

from mee6.errors import Mee6Error
from tests.benchmarks.harness import facts
from tests.benchmarks.harness.bench import Bench
from tests.benchmarks.harness.report import Answer, show, write
from tests.support.agents import StartFailed

HERE: Final = Path(__file__).parent
OUT: Final = HERE.parents[1] / "bench-results"


def questions() -> list[str]:
    """The questions' names: the modules beside this one."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("_", "test_")))


def main(argv: list[str] | None = None) -> int:
    """Runs the command.

    Returns:
        1 where a question has no complete answer, else 0.
    """
    names = questions()
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(names)}; none = all")
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--driver", choices=("process", "docker"), default="process", help="what makes workers")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where the JSON goes")
    parser.add_argument("--list", action="store_true", help="print the questions and end")
    told = parser.parse_args(argv)
    if unknown := set(told.names) - set(names):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if told.list:
        width = max(map(len, questions())) + 2
        for name in names:
            print(f"{name:<{width}}{_question(_module(name))}")
        return 0
    console = Console(width=max(Console().width, 150))
    machine = facts.machine()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    answers: dict[str, Answer] = {}
    for name in told.names or names:
        answers[name] = asyncio.run(_ask(_module(name), told.quick, told.driver))
        show(console, name, answers[name])
        write(told.out, stamp, machine, answers)  # after each, so that a run cut short leaves what it has
    console.print(f"written to {told.out / stamp}.json", style="dim")
    return int(any(answer.error for answer in answers.values()))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tests.benchmarks.{name}")


def _question(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


async def _ask(module: ModuleType, quick: bool, driver: str) -> Answer:
    bench = Bench(quick, driver)
    before, began = facts.load(), time.monotonic()
    error = ""
    try:
        await module.measure(bench)
    except (Mee6Error, StartFailed, AssertionError, OSError, RuntimeError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    took_s = round(time.monotonic() - began, 3)
    return Answer(_question(module), bench.rows, bench.notes, took_s, [before, facts.load()], error)


if __name__ == "__main__":
    sys.exit(main())
